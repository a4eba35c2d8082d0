"""What is not begun, and what cannot be retried."""

import inspect
from collections.abc import Callable, Coroutine
from typing import Any

from tenacity import AttemptManager

from . import work

__all__ = [
    "refuse_another",
    "refuse_coroutine",
    "refuse_first",
    "refuse_generator",
    "refuse_unused",
]


def refuse_first() -> None:
    """Refuse to begin during a shutdown, but not inside ``shield()``: that stretch is not to be cut."""
    reason = work.stopping()
    if reason is not None and not work.is_shielded():
        raise work.interruption(reason)


def refuse_another(after: BaseException | None = None) -> None:
    """Refuse another attempt if there is to be none.

    Not only during a shutdown: this work alone may have been cancelled, and have swallowed it.
    """
    reason = work.stop_reason()
    if reason is not None:
        raise work.interruption(reason) from after


def refuse_unused(attempt: AttemptManager) -> None:
    """Refuse to go on for ever: without ``with attempt:`` nobody knows whether it succeeded."""
    if attempt.retry_state.outcome is None:
        raise RuntimeError("the attempt was not used: its block has to begin with `with attempt:`")


def refuse_generator(fn: Callable[..., Any]) -> None:
    """Refuse what has not done anything yet when it returns, and so never fails."""
    if inspect.isgeneratorfunction(fn) or inspect.isasyncgenfunction(fn):
        raise TypeError(
            f"{fn!r} is a generator function: calling it does nothing that could be retried."
            " Retry what opens the stream, and iterate over it outside"
        )


def refuse_coroutine(result: Coroutine[Any, Any, Any]) -> None:
    """Refuse, in a thread, what turns out to be made for an event loop."""
    result.close()
    raise TypeError(
        f"{result!r} was returned, and Retrying awaits nothing;"
        " use AsyncRetrying, or make it a coroutine function"
    )
