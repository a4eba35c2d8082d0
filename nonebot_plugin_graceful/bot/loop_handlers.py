"""Signals that an event loop has been asked for, with ``loop.add_signal_handler()``."""

import asyncio
import contextvars
import threading
from collections.abc import Callable
from typing import Any

__all__ = ["Asked", "asked_of", "give_to_loop", "is_loops_own", "remove_from_loop"]

Asked = tuple[Callable[..., object], tuple[Any, ...], contextvars.Context]
"""What an event loop is to call: with which arguments, in which context."""


def remove_from_loop(loop: asyncio.AbstractEventLoop, signum: int) -> bool:
    """Have a loop call nobody at a signal. False: it cannot be told so."""
    try:
        return loop.remove_signal_handler(signum)
    except (NotImplementedError, RuntimeError, ValueError):  # Windows
        return False


def asked_of(loop: asyncio.AbstractEventLoop, signum: int) -> Asked | None:
    """Give what the loop is to call at a signal, if it is asyncio's own: others do not tell."""
    handle: Any = getattr(loop, "_signal_handlers", {}).get(signum)
    if handle is None or handle.cancelled():
        return None
    return handle._callback, tuple(handle._args), handle._context  # noqa: SLF001


def give_to_loop(loop: asyncio.AbstractEventLoop | None, signum: int, asked: Asked) -> bool:
    """Have a loop call whom it was to call. False: it cannot be told so."""
    callback, args, context = asked
    if loop is None or threading.current_thread() is not threading.main_thread():
        return False
    try:
        context.copy().run(loop.add_signal_handler, signum, callback, *args)
    except (NotImplementedError, RuntimeError, ValueError):  # closed
        return False
    return True


def is_loops_own(handler: Any) -> bool:
    """Whether it is what ``getsignal()`` gives while ``loop.add_signal_handler()`` is in force."""
    return str(getattr(handler, "__module__", "")).startswith(("asyncio.unix_events", "uvloop"))
