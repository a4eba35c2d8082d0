"""Whose a cancellation is: a time-out's own, or somebody else's."""

import asyncio
import sys
from collections.abc import Iterator
from typing import Any

__all__ = ["TIMED_OUT", "Cancellations"]

AnyTask = asyncio.Task[Any]

TIMED_OUT = "timed out"
"""What the cancellations of a time-out say of themselves."""


class Cancellations:
    """Tells the cancellations by a time-out from everybody else's, as ``asyncio.timeout`` does.

    Only what the time-out alone has cancelled is a ``TimeoutError``. Python counts a task's
    cancellations from 3.11 on; before, it is told by what can be seen of them, which is all but
    one that comes while the task still cleans up after the time-out.

    Args:
        task: Whose. It is made in this task, when its time begins to run.

    """

    __slots__ = ("_before", "_handled", "_seen", "_task")

    def __init__(self, task: AnyTask | None) -> None:
        self._task = task
        self._before = _count(task)
        # What the time-out is within the clean-up of is no business of it.
        self._handled = None if _COUNTED else sys.exc_info()[1]
        self._seen = False

    def expect_own(self) -> None:
        """Take note that the time-out is about to cancel the task."""
        task = self._task
        if _COUNTED or task is None:
            return
        if any(_is_coming(each) for each in _awaited(task)):
            self._seen = True
        else:  # runs before the task gets to know of the time-out
            task.get_loop().call_soon(self._look_again)

    def _look_again(self) -> None:
        # Its waits are cancelled already: another cancellation had nothing left but to be noted.
        if self._task is not None and any(_is_noted(each) for each in _awaited(self._task)):
            self._seen = True

    def others(self, own: int, error: BaseException) -> bool:
        """Whether somebody else has cancelled the task, too.

        Args:
            own: How often the time-out has.
            error: The cancellation that the task got.

        """
        if _COUNTED:
            return _count(self._task) - own > self._before
        return self._seen or self._is_cleaning_up(error)

    def _is_cleaning_up(self, error: BaseException) -> bool:
        """Whether the time-out came within the clean-up after another cancellation."""
        link: BaseException | None = error
        first = None
        while link is not None and link is not self._handled:
            if isinstance(link, asyncio.CancelledError):
                first = link
            link = link.__context__
        # The error itself may be one that gather() has made anew, without our message.
        if first is None or first is error:
            return False
        text = str(first.args[0]) if first.args else ""
        # The scopes of anyio use messages of their own, and swallow what they have cancelled.
        return text != TIMED_OUT and "cancel scope" not in text


_COUNTED = hasattr(asyncio.Task, "cancelling")
# A backport's count is none to go by: anyio does not keep it there.


def _count(task: Any) -> int:
    return task.cancelling() if _COUNTED and task is not None else 0


def _awaited(task: AnyTask) -> Iterator[AnyTask]:
    """Give a task and those it awaits, to which its cancellations are handed on."""
    each: Any = task
    while isinstance(each, asyncio.Task):
        yield each  # pyright: ignore[reportUnknownVariableType]
        each = getattr(each, "_fut_waiter", None)  # pyright: ignore[reportUnknownArgumentType]


def _is_noted(task: AnyTask) -> bool:
    return (
        getattr(task, "_must_cancel", False)
        and getattr(task, "_cancel_message", None) != TIMED_OUT  # which has not been handed on
    )


def _is_coming(task: AnyTask) -> bool:
    waiter: asyncio.Future[Any] | None = getattr(task, "_fut_waiter", None)
    return _is_noted(task) or (waiter is not None and waiter.cancelled())
