"""What retries ask of the core: the one place where the two meet."""

import asyncio
from contextlib import suppress

from nonebot_plugin_graceful.core import installed
from nonebot_plugin_graceful.core.api import sleep
from nonebot_plugin_graceful.core.cancellations import TIMED_OUT
from nonebot_plugin_graceful.core.drain import name_of
from nonebot_plugin_graceful.core.ending import end_hosts
from nonebot_plugin_graceful.core.errors import Interrupted, Refused
from nonebot_plugin_graceful.core.meters import Meter
from nonebot_plugin_graceful.core.signatures import resolved_signature
from nonebot_plugin_graceful.core.work import Work, owner

__all__ = [
    "TIMED_OUT",
    "Interrupted",
    "Refused",
    "Work",
    "annotate",
    "block",
    "current",
    "interruption",
    "is_shielded",
    "kind_name",
    "meters",
    "name_of",
    "note_of",
    "resolved_signature",
    "sleep",
    "stop_reason",
    "stopping",
    "title",
    "until_stopping",
    "whose",
]

_FOREVER = 365 * 86400.0
"""Seconds. Not infinity, which uvloop and Windows cannot wait for."""


def stopping() -> str | None:
    """Tell why the bot is being stopped; None while it runs. From any thread."""
    lifecycle = installed.tree.lifecycle
    return lifecycle.reason if lifecycle.stopping else None


def stop_reason() -> str | None:
    """Tell why the bot, or the current work alone, is to stop; None while neither is."""
    reason = stopping()
    if reason is None and (work := current()) is not None:
        reason = work.stop_reason
    return reason if reason is not None else _left_behind()


def _left_behind() -> str | None:
    """Tell why the work that a thread was started in has ended before it, if it was told to."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        work = owner.get()
        return work.outcome if work is not None and work.ended else None
    return None  # a task may outlive whoever began it, as a queue worker does


def interruption(reason: str) -> Interrupted:
    """Make what is raised where work may not go on, and end whoever would go on without it."""
    with suppress(RuntimeError):  # no event loop in this thread
        end_hosts(installed.tree, reason)
    return Interrupted(reason)


def is_shielded() -> bool:
    """Tell whether the current task is inside ``shield()``."""
    try:
        return asyncio.current_task() in installed.tree.shields
    except RuntimeError:  # no event loop in this thread
        return False


async def until_stopping() -> None:
    """Wait until the shutdown begins."""
    with suppress(Interrupted):
        await installed.tree.lifecycle.wait(_FOREVER)


def block(seconds: float) -> None:
    """Wait in a thread, at most until the shutdown is announced."""
    installed.tree.lifecycle.stopped.wait(seconds)


def current() -> Work | None:
    """Find the work of the running task, or in a thread that of the task it works for."""
    return installed.tree.current()


def title(work: Work) -> str:
    """Call it by kind and name, for a log."""
    return f"{work.kind.name} {work.name!r}"


def meters() -> list[Meter]:
    """Give those who count what happens."""
    return installed.tree.world.meters


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
