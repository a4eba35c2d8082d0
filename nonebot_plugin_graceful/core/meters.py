"""Who counts what happens: nobody, unless something has asked to."""

import asyncio
import time
from typing import Any

from .errors import Refused
from .kinds import Kind
from .lifecycle import Phase
from .work import Section, Work

__all__ = ["OUTCOMES", "Meter", "outcome_of", "seconds_queued", "seconds_worked"]

OUTCOMES = ("done", "failed", "cancelled", "timed_out", "refused", "interrupted", "resumed")
"""What can become of work: ``interrupted`` by the shutdown, ``cancelled`` while the bot runs on,
``refused`` before it began, ``resumed``: done, having been taken up again after a restart."""


class Meter:
    """Takes note of nothing. What is counted is overridden; each is called in the event loop."""

    def ended(self, section: Section, work: Work, outcome: str) -> None:
        """Take note that work of a kind has come to its end, be it that of its task or not."""

    def refused(self, kind: Kind, work: Work | None) -> None:
        """Take note that work of a kind may not begin."""

    def answered(self, host: str, status: str) -> None:
        """Take note of an attempt to ask a service.

        Args:
            host: Which.
            status: Of HTTP, or ``timeout``, ``error``, ``cancelled``.

        """

    def retried(self, host: str, reason: str) -> None:
        """Take note that something is tried again. From any thread.

        Args:
            host: Which service had failed; empty if that is not known.
            reason: The status of HTTP, or ``timeout``, ``connection``, ``error``, ``result``.

        """

    def throttled(self, host: str) -> None:
        """Take note that something is not tried again, since too much has failed. From any thread."""

    def blocked(self, plugin: str | None) -> None:
        """Take note that a plugin's code blocked the event loop. From any thread."""


def outcome_of(section: Section, work: Work, task: "asyncio.Task[Any] | None", phase: Phase) -> str:
    """Tell what became of a section that is about to be closed.

    Args:
        section: Which.
        work: What it is a stretch of; it still has its ending.
        task: That of the work, if that ends with the section.
        phase: Of the bot.

    """
    if section.timed_out:
        return "timed_out"
    raised = section.raised or _raised(task)
    if raised is not None and issubclass(raised, Refused):
        return "refused"
    told = work.stop_reason is not None
    if told or (raised is not None and issubclass(raised, asyncio.CancelledError)):
        return "cancelled" if phase is Phase.RUNNING else "interrupted"
    if raised is not None:
        return "failed"
    return "resumed" if any(each.resumed for each in work.ancestors()) else "done"


def _raised(task: "asyncio.Task[Any] | None") -> type[BaseException] | None:
    if task is None or not task.done():
        return None
    if task.cancelled():
        return asyncio.CancelledError
    # Task.exception() would have asyncio believe that somebody has seen it.
    error: BaseException | None = getattr(task, "_exception", None)
    return type(error) if error is not None else None


def seconds_queued(section: Section) -> float:
    """Tell how long a section has waited for its place; 0 if its kind has no limit."""
    if section.kind.limit is None:
        return 0.0
    return (section.placed or time.monotonic()) - section.started


def seconds_worked(section: Section) -> float:
    """Tell how long a section has been at its work, without its wait for a place."""
    if section.kind.limit is not None and not section.placed:
        return 0.0
    return time.monotonic() - (section.placed or section.started)
