"""Adapters: replies that are being sent, and event tasks that adapters would wait for."""

import asyncio
import inspect
import re
import time
from collections.abc import Callable, Iterator, Mapping
from types import CodeType, FrameType
from typing import Any, cast

from anyio.abc import TaskGroup
from nonebot import get_adapters
from nonebot.adapters import Bot
from nonebot.matcher import Matcher
from nonebot.message import handle_event

from nonebot_plugin_graceful.core import frames
from nonebot_plugin_graceful.core.ending import works_of_hosts
from nonebot_plugin_graceful.core.rest import awaits_more
from nonebot_plugin_graceful.core.tree import Tree
from nonebot_plugin_graceful.core.waiting import groups, hosts, siblings
from nonebot_plugin_graceful.core.work import Work, living, owner

__all__ = ["cut_after_replies", "handles_event", "release_event_tasks", "reply_codes", "sends"]


def reply_codes() -> set[CodeType]:
    """Give the code that a task is in while it sends: ``Bot.send`` of each adapter, and every API.

    A reply may take two calls: upload the picture, then send it.
    """
    codes = {Bot.call_api.__code__}
    for kind in _subclasses(Bot):
        code = getattr(inspect.unwrap(kind.send), "__code__", None)
        if code is not None:
            codes.add(code)
    return codes


def _subclasses(kind: type[Any]) -> Iterator[type[Any]]:
    for each in kind.__subclasses__():
        yield each
        yield from _subclasses(each)


def cut_after_replies(tree: Tree) -> Callable[[], None]:
    """From now on cancel a task that is to stop as soon as the reply it is sending has been sent.

    Without this it would run on to its next await, which may be the next paid request.

    Returns:
        Takes it back.

    """

    async def cut(bot: Bot, exception: Exception | None, api: str, data: Any, result: Any) -> None:
        # NoneBot runs this in a task group of the task that called the API.
        del bot, exception, result
        if sends(api, data):
            await _cut_host(tree)

    for group in _groups_of_called_api_hooks():
        group.start_soon(_cut_host, tree)
    Bot.on_called_api(cut)

    def restore() -> None:
        Bot._called_api_hook.discard(cut)  # noqa: SLF001 # pyright: ignore[reportPrivateUsage]

    return restore


def _groups_of_called_api_hooks() -> set[TaskGroup]:
    """Give the task groups of the hooks that run at this moment, after their reply was sent."""
    hooks = {getattr(hook, "__code__", None) for hook in Bot._called_api_hook}  # noqa: SLF001 # pyright: ignore[reportPrivateUsage]
    return {
        group
        for task in (asyncio.all_tasks() if hooks else ())
        if any(frame.f_code in hooks for frame in frames.stack(task))
        for group in groups(task)
    }


async def _cut_host(tree: Tree) -> None:
    """When all others in the task group have ended, cancel its host if that is to stop."""
    me = asyncio.current_task()
    assert me is not None
    while others := [task for task in siblings(me) if not task.done()]:
        await asyncio.wait(others)  # other plugins' hooks, which keep what was sent
    for task in hosts(me):
        work = tree.works.get(task) or living(owner.get())
        if work is None or tree.is_shielded(task) or not _is_to_stop(tree, work):
            continue
        if any(tree.world.must_finish(each) is not None for each in siblings(task)):
            continue  # to end it would end its task group, and their replies
        # What it says when it has been cancelled is no answer: "the service has failed", say.
        if (work.ending is None or not work.ending.cancelled) and _has_answered(work, task):
            work.answered = True
        for host, _ in works_of_hosts(tree, task):
            tree.cut(host, tree.lifecycle.reason)
        tree.cut(task, tree.lifecycle.reason)


def _has_answered(work: Work, task: "asyncio.Task[Any]") -> bool:
    """Whether what a task has just sent was the answer, and not "one moment, please".

    It was, if the handler ends with it; one that waits for several has more to say.
    """
    own = work.task
    if own is None or own is task:
        return _ends_with_this(task)
    return frames.awaited_tasks(own) == [task] and _ends_with_this(task) and _ends_with_this(own)


def _ends_with_this(task: "asyncio.Task[Any]") -> bool:
    stack = frames.above(task, Bot.call_api.__code__)
    if any(frame.f_code is _FINISH for frame in stack):
        return True
    return not any(
        frame.f_locals["self"].remain_handlers
        if frame.f_code is Matcher.simple_run.__code__
        else _is_the_authors(frame) and awaits_more(frame)
        for frame in stack
    )


def _is_the_authors(frame: FrameType) -> bool:
    library = str(frame.f_globals.get("__name__", "")).partition(".")[0]
    return library not in ("anyio", "nonebot", "nonebot_plugin_graceful")


_FINISH: CodeType = cast("Any", Matcher).finish.__func__.__code__


def _is_to_stop(tree: Tree, work: Work) -> bool:
    if work.stop_reason is not None:
        return True
    lifecycle = tree.lifecycle
    return lifecycle.stopping and lifecycle.began + work.grace <= time.monotonic()


def sends(api: str, data: Mapping[str, Any]) -> bool:
    """Whether an API says something in a chat, or changes what was said there.

    Args:
        api: Its name: ``edit_message_text``, ``directMessage_create``, ``im/v1/messages``.
        data: What it is given; of an API that is a path, the HTTP method.

    """
    words = {word.lower() for word in _WORD.findall(api)}
    words.add(str(data.get("method", "")).lower())
    if words & _SAYS_NOTHING:
        return False
    return bool(
        words & _SAYS
        or (words & _MESSAGE and words & _PUTS)
        or {"interaction", "response"} < words
        or {"answer", "query"} < words
        or {"execute", "webhook"} < words
        or ({"upload", "file"} < words and words & {"private", "group"})
    )


_WORD = re.compile(r"[A-Z]?[a-z]+")
_SAYS = {"send", "broadcast"}
_MESSAGE = {"message", "messages", "msg", "msgs", "comment"}
_PUTS = {"create", "update", "edit", "post", "put", "patch", "reply", "forward", "copy"}
_SAYS_NOTHING = {
    *("get", "list", "delete", "pin", "pins", "reaction", "reactions"),
    *("like", "nudge", "poke", "sign", "action", "command", "packet"),
}


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
