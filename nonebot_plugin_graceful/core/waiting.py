"""Who waits for a task, and what that means for ending it.

Read from the task's own done callbacks, for there each of asyncio's and anyio's ways to wait leaves
something. None of that is public; a way to wait that is not known here is one nobody waits by.
"""

import asyncio
import functools
from collections.abc import Callable, Iterator
from typing import Any

from .frames import is_task

__all__ = [
    "before_groups",
    "everybody_above",
    "groups",
    "hosts",
    "is_alone",
    "passers",
    "siblings",
    "spare_group",
    "waiters",
]

AnyTask = asyncio.Task[Any]


def passers(future: "asyncio.Future[Any]") -> Iterator[AnyTask]:
    """Give the tasks whose cancellation becomes this one's.

    They await it: directly, by ``gather``, by ``wait_for``, or as the host of its
    ``asyncio.TaskGroup``. To cancel both would be to cancel it twice.
    """
    for callback in _callbacks(future):
        me = getattr(callback, "__self__", None)
        if is_task(me):
            if callback.__name__ == "task_wakeup" or callback.__name__.endswith("__wakeup"):
                yield me
        elif type(me) is _TaskGroup:
            yield from _existing(getattr(me, "_parent_task", None))
        elif isinstance(callback, functools.partial):
            for argument in callback.args:  # wait_for, before 3.12
                if asyncio.isfuture(argument):
                    yield from passers(argument)  # pyright: ignore[reportUnknownArgumentType]
        elif _name(callback).startswith("gather."):
            outer = _cell(callback, "outer")
            if asyncio.isfuture(outer):
                yield from passers(outer)  # pyright: ignore[reportUnknownArgumentType]


def waiters(future: "asyncio.Future[Any]", *, shielded: bool) -> Iterator[AnyTask]:
    """Give the tasks that wait for what this one gives, whether their cancellation becomes its or not.

    Hosts of its task groups are not among them (see :func:`hosts`).

    Args:
        future: For which.
        shielded: Also those that wait behind ``asyncio.shield``, and so want it to go on without them.

    """
    for callback in _callbacks(future):
        me = getattr(callback, "__self__", None)
        if is_task(me):
            if callback.__name__ == "task_wakeup" or callback.__name__.endswith("__wakeup"):
                yield me
            continue
        for behind in _woken_by(callback, shielded=shielded):
            yield from waiters(behind, shielded=shielded)


def _woken_by(callback: Any, *, shielded: bool) -> "list[asyncio.Future[Any]]":
    """Give the futures that a callback of asyncio's hands the end of its own on to."""
    name = _name(callback)
    found: list[Any] = []
    if isinstance(callback, functools.partial):  # wait_for, before 3.12
        found = list(callback.args)
    elif name.startswith("gather.") or (shielded and name.startswith("shield.")):
        found = [_cell(callback, "outer")]
    elif name.startswith("_wait."):  # asyncio.wait
        found = [_cell(callback, "waiter")]
    elif name.startswith("as_completed."):
        found = list(getattr(_cell(callback, "done"), "_getters", ()))
    elif name.startswith("_AsCompletedIterator."):  # from 3.13 on
        done = getattr(getattr(callback, "__self__", None), "_done", None)
        found = list(getattr(done, "_getters", ()))
    return [each for each in found if asyncio.isfuture(each)]


def hosts(task: AnyTask) -> Iterator[AnyTask]:
    """Give the hosts of the task groups that a task is in.

    A group takes a child that ends with ``CancelledError`` for its own doing, or looks away: its
    host goes on as if all had been done. So whoever cancels the child has to end the host.
    """
    for callback in _callbacks(task):
        me = getattr(callback, "__self__", None)
        if type(me) is _TaskGroup:
            yield from _existing(getattr(me, "_parent_task", None))
    for group in groups(task):
        yield from _existing(getattr(group.cancel_scope, "_host_task", None))


def before_groups(task: AnyTask, callback: Callable[[AnyTask], None]) -> None:
    """Have something done when a task has ended, and before its task groups learn of it."""
    callbacks: list[tuple[Any, Any]] = list(getattr(task, "_callbacks", None) or ())
    for known, context in callbacks:
        if type(getattr(known, "__self__", None)) is _TaskGroup or _name(known) == _ANYIO:
            task.remove_done_callback(known)
            task.add_done_callback(callback)
            task.add_done_callback(known, context=context)
            return


def spare_group(task: AnyTask, group: Any) -> None:
    """Have one of anyio's groups go on when a task in it is cancelled, as ``asyncio.TaskGroup`` does.

    It would cancel all others in it, and its host: those may be everybody's.
    """
    scope = group.cancel_scope
    spared: list[bool] = []

    def before(ended: AnyTask) -> None:
        if ended.cancelled() and getattr(scope, "_cancel_called", True) is False:
            scope._cancel_called = True  # noqa: SLF001 - so it sees no need to
            spared.append(True)

    def after(_: AnyTask) -> None:
        if spared:
            scope._cancel_called = False  # noqa: SLF001

    callbacks: list[tuple[Any, Any]] = list(getattr(task, "_callbacks", None) or ())
    for known, context in callbacks:
        if _name(known) == _ANYIO and _cell(known, "self") is group:
            task.remove_done_callback(known)
            task.add_done_callback(before)
            task.add_done_callback(known, context=context)
            task.add_done_callback(after)
            return


def is_alone(task: AnyTask) -> bool:
    """Whether certainly nobody waits for a task that does work: the one callback is the tree's."""
    return len(getattr(task, "_callbacks", None) or ()) <= 1


def groups(task: AnyTask) -> Iterator[Any]:
    """Give anyio's task groups that a task is in."""
    for callback in _callbacks(task):
        if _name(callback) == _ANYIO:
            yield _cell(callback, "self")


def siblings(task: AnyTask) -> list[AnyTask]:
    """Give the other tasks of anyio's task groups that a task is in."""
    return [each for group in groups(task) for each in group._tasks if each is not task]  # noqa: SLF001


def everybody_above(task: AnyTask) -> set[AnyTask]:
    """Give a task's passers and hosts, theirs, and so on."""
    above: set[AnyTask] = set()
    found = [task]
    while found:
        for waiter in (*passers(found[0]), *hosts(found[0])):
            if waiter not in above and waiter is not task:
                above.add(waiter)
                found.append(waiter)
        found.pop(0)
    return above


_ANYIO = "TaskGroup._spawn.<locals>.task_done"
_TaskGroup: Any = getattr(asyncio, "TaskGroup", None)  # from 3.11 on


def _callbacks(future: "asyncio.Future[Any]") -> list[Any]:
    return [callback for callback, _ in getattr(future, "_callbacks", None) or ()]


def _name(callback: Any) -> str:
    return getattr(callback, "__qualname__", "")


def _cell(function: Any, name: str) -> Any:
    names: tuple[str, ...] = function.__code__.co_freevars
    return function.__closure__[names.index(name)].cell_contents if name in names else None


def _existing(task: Any) -> Iterator[AnyTask]:
    if is_task(task) and not task.done():
        yield task
