"""Adapters: replies that are being sent, and event tasks that adapters would wait for."""

import asyncio
from collections.abc import Callable
from typing import Any, cast

from nonebot import get_adapters
from nonebot.adapters import Bot
from nonebot.message import handle_event

from .core import frames
from .core.lifecycle import lifecycle
from .core.registry import owner, registry

__all__ = ["cut_after_replies", "handles_event", "is_replying", "release_event_tasks"]


def is_replying(task: "asyncio.Task[Any]") -> bool:
    """Whether the task is inside ``Bot.call_api``.

    Seen from its frames, so that it costs a running bot nothing.
    """
    return frames.calls(task, Bot.call_api.__code__) is not None


def cut_after_replies() -> Callable[[], None]:
    """From now on cancel a task that is to stop as soon as the reply it is sending has been sent.

    Without this it would run on to its next await, which may be the next paid request.

    Returns:
        Takes it back.

    """
    Bot.on_called_api(_cut)

    def restore() -> None:
        Bot._called_api_hook.discard(_cut)  # noqa: SLF001 # pyright: ignore[reportPrivateUsage]

    return restore


async def _cut(bot: Bot, exception: Exception | None, api: str, data: Any, result: Any) -> None:  # noqa: ARG001
    # NoneBot runs this in a child task of the one that called the API; it inherits the record.
    record = owner.get()
    if record is None or record.reason is None or not lifecycle.stopping:
        return
    task = record.task
    if task is not None and not task.done() and task not in registry.shields:
        task.cancel(record.reason)
        record.cancelled = True


def release_event_tasks() -> int:
    """Have adapters no longer wait for the events they are handling.

    OneBot's adapter cancels the tasks in its public ``tasks`` and waits for each as long as it
    takes (nonebot/adapters/onebot/v11/adapter.py, ``_stop``); others do likewise. Their matcher
    runs have been stopped; what is left would not stop for the adapter either.

    Returns:
        How many there were.

    """
    released = 0
    for adapter in get_adapters().values():
        tasks: object = getattr(adapter, "tasks", None)
        if not isinstance(tasks, set):
            continue
        event_tasks: set[Any] = {task for task in cast("set[Any]", tasks) if handles_event(task)}
        cast("set[Any]", tasks).difference_update(event_tasks)
        released += len(event_tasks)
    return released


def handles_event(task: object) -> bool:
    """Whether it is a task that waits for the matcher runs of an event."""
    if not isinstance(task, asyncio.Task):
        return False
    task = cast("asyncio.Task[Any]", task)
    return not task.done() and frames.calls(task, handle_event.__code__) is not None
