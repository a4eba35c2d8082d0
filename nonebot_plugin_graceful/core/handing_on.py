"""Cancelling a task without ending what others wait for, too.

asyncio hands a task's cancellation on to what that awaits: a future, another task, all that it
gathers. Where that is to go on, only the wait for it may end.
"""

import asyncio
from collections.abc import Callable
from typing import Any

from .frames import is_task

__all__ = ["GoesOn", "cancel", "would_end"]

AnyTask = asyncio.Task[Any]
AnyFuture = asyncio.Future[Any]
GoesOn = Callable[[AnyFuture], bool]


def cancel(task: AnyTask, reason: str, goes_on: GoesOn | None = None) -> bool:
    """Cancel a task, and what it awaits unless that goes on.

    Args:
        task: Which.
        reason: What its ``CancelledError`` says.
        goes_on: Tells what is not to end. None: there is nothing of that kind.

    Returns:
        Whether the task has counted it, as ``task.cancelling()`` tells. It does not if its end is that
        of a task that it awaits, or of its wait.

    """
    awaited = _awaited(task)
    if awaited is None or goes_on is None or not would_end(awaited, goes_on):
        task.cancel(reason)
        return True
    if is_task(awaited) and not goes_on(awaited):
        cancel(awaited, reason, goes_on)
        return False
    if not goes_on(awaited):
        for each in _gathered(awaited):
            if is_task(each) and not goes_on(each):
                cancel(each, reason, goes_on)
        awaited.add_done_callback(_retrieve)
    _end_wait(task, awaited, reason)
    return False


def would_end(future: AnyFuture, goes_on: GoesOn) -> bool:
    """Whether a cancellation of a future would be handed on to something that goes on."""
    if future.done():
        return False
    if goes_on(future):
        return True
    if is_task(future):
        awaited = _awaited(future)
        return awaited is not None and would_end(awaited, goes_on)
    return any(would_end(each, goes_on) for each in _gathered(future))


def _awaited(task: AnyTask) -> AnyFuture | None:
    return getattr(task, "_fut_waiter", None)


def _gathered(future: AnyFuture) -> list[AnyFuture]:
    return list(getattr(future, "_children", ()))


def _end_wait(task: AnyTask, awaited: AnyFuture, reason: str) -> None:
    """Have a task's wait for a future end as if that had been cancelled; once is enough."""
    callbacks: list[tuple[Any, Any]] = list(getattr(awaited, "_callbacks", None) or ())
    for callback, context in callbacks:
        if getattr(callback, "__self__", None) is task:
            loop = task.get_loop()
            cancelled = loop.create_future()
            cancelled.cancel(reason)
            awaited.remove_done_callback(callback)
            loop.call_soon(callback, cancelled, context=context)
            return


def _retrieve(gathering: AnyFuture) -> None:
    """Take what nobody waits for any more: its children have been told to end."""
    if not gathering.cancelled():
        gathering.exception()
