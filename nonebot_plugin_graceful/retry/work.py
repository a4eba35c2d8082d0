"""What retries ask of the core: the one place where the two meet."""

import asyncio

from nonebot_plugin_graceful.core.drain import name_of
from nonebot_plugin_graceful.core.errors import Interrupted, Refused
from nonebot_plugin_graceful.core.lifecycle import Phase, lifecycle
from nonebot_plugin_graceful.core.registry import Record as Work
from nonebot_plugin_graceful.core.registry import owner, registry
from nonebot_plugin_graceful.core.work import _resolved_signature, sleep  # pyright: ignore[reportPrivateUsage]

__all__ = [
    "Interrupted",
    "Refused",
    "Work",
    "annotate",
    "block",
    "current",
    "is_shielded",
    "kind_name",
    "name_of",
    "note_of",
    "resolved_signature",
    "sleep",
    "stop_reason",
    "stopping",
    "title",
    "wait",
    "whose",
]

resolved_signature = _resolved_signature


def stopping() -> str | None:
    """Tell why the bot is being stopped; None while it runs. From any thread."""
    return None if lifecycle.phase is Phase.RUNNING else lifecycle.reason


def stop_reason() -> str | None:
    """Tell why the bot, or the current work alone, is to stop; None while neither is."""
    reason = stopping()
    if reason is None and (work := current()) is not None:
        reason = work.stop_reason
    return reason


def is_shielded() -> bool:
    """Tell whether the current task is inside ``shield()``."""
    try:
        return asyncio.current_task() in registry.shields
    except RuntimeError:  # no event loop in this thread
        return False


async def wait(seconds: float) -> None:
    """Wait in the event loop.

    Raises:
        Interrupted: The shutdown began, or had begun already.

    """
    await lifecycle.wait(seconds)


def block(seconds: float) -> None:
    """Wait in a thread, at most until the shutdown is announced."""
    lifecycle.stopped.wait(seconds)


def current() -> Work | None:
    """Find the work of the running task, or in a thread that of the task it works for."""
    try:
        return registry.current()
    except RuntimeError:  # no event loop in this thread
        return owner.get()


def title(work: Work) -> str:
    """Call it by kind and name, for a log."""
    return f"{work.kind.name} {work.name!r}"


def kind_name(work: Work | None) -> str:
    """Name its kind; nothing if there is no work."""
    return work.kind.name if work is not None else ""


def whose(work: Work | None) -> str:
    """Tell its plugin, user and chat, as far as they are known, as words that follow a name."""
    origin = work.origin if work is not None else None
    if origin is None:
        return ""
    plugin = f" of {origin.plugin}" if origin.plugin else ""
    return plugin + (f" for user {origin.user} in {origin.chat}" if origin.user else "")


def note_of(work: Work) -> str:
    """Give what it says of itself."""
    return work.note


def annotate(work: Work, note: str) -> None:
    """Let it say something of itself; :func:`note_of` gives back the very same object."""
    work.note = note
