"""Where a suspended task stands, what it waits for, and in what context."""

import asyncio
import contextvars
import functools
import gc
import itertools
import sys
from collections.abc import Callable, Iterator
from types import AsyncGeneratorType, CodeType, CoroutineType, FrameType, GeneratorType
from typing import Any, TypeGuard

__all__ = [
    "Position",
    "above",
    "authors_code",
    "authors_frames",
    "authors_line",
    "awaitables",
    "awaited_tasks",
    "blame",
    "calls",
    "context_of",
    "frame_of",
    "is_task",
    "nobodys",
    "plugin_of",
    "stack",
    "where",
]

AnyTask = asyncio.Task[Any]

# Between the author's code and the socket. A plugin's author looks for his own line.
_LIBRARIES = frozenset(sys.stdlib_module_names) | {
    "PIL",
    "aiohttp",
    "aiosqlite",
    "anthropic",
    "anyio",
    "apscheduler",
    "boto3",
    "botocore",
    "bson",
    "exceptiongroup",
    "google",
    "httpcore",
    "httpcore2",
    "httpx",
    "httpx2",
    "nonebot",
    "nonebot_plugin_graceful",
    "openai",
    "pymongo",
    "quart",
    "requests",
    "sqlalchemy",
    "starlette",
    "tenacity",
    "urllib3",
    "uvicorn",
    "uvloop",
    "websockets",
}

_FRAMED: tuple[type[Any], ...] = (CoroutineType, GeneratorType, AsyncGeneratorType)


def awaitables(task: AnyTask) -> Iterator[Any]:
    """Every coroutine and generator that a task is in, outermost first, and what ends the chain."""
    # CPython 3.12.1 crashes when a task is asked that an eager factory has run to its end.
    awaited: Any = None if task.done() else task.get_coro()
    while awaited is not None:
        yield awaited
        awaited = _awaited_by(awaited)


def _awaited_by(awaited: Any) -> Any:
    kind: type[Any] = type(awaited)  # pyright: ignore[reportUnknownVariableType]
    if kind is CoroutineType:
        return awaited.cr_await
    if kind is GeneratorType:
        return awaited.gi_yieldfrom
    if kind is AsyncGeneratorType:
        return awaited.ag_await
    if kind.__name__ == "FutureIter":  # nothing is below a future
        return None
    if hasattr(kind, "cr_await"):  # compiled by Cython
        return awaited.cr_await
    # What stands between an await and the thing awaited (one step of an async generator, say) has
    # no attribute that leads on, but refers to it.
    referents: list[Any] = gc.get_referents(awaited)
    return next((each for each in referents if isinstance(each, _FRAMED)), None)


def frame_of(awaited: Any) -> FrameType | None:
    """Give the frame of a coroutine, a generator or an async generator; None for all others."""
    kind: type[Any] = type(awaited)  # pyright: ignore[reportUnknownVariableType]
    if kind is CoroutineType:
        return awaited.cr_frame
    if kind is GeneratorType:
        return awaited.gi_frame
    if kind is AsyncGeneratorType:
        return awaited.ag_frame
    return getattr(awaited, "cr_frame", None)


def stack(task: AnyTask) -> list[FrameType]:
    """Give every suspended frame of a task, outermost first.

    ``Task.get_stack`` gives but the outermost one of a suspended task.
    """
    found: list[FrameType] = []
    awaited: Any = None if task.done() else task.get_coro()
    while awaited is not None:
        # The most common kind first: a shutdown looks at every task there is.
        kind: type[Any] = type(awaited)  # pyright: ignore[reportUnknownVariableType]
        if kind is CoroutineType:
            frame, awaited = awaited.cr_frame, awaited.cr_await
        elif kind.__name__ == "FutureIter":  # nothing is below a future
            break
        else:
            frame, awaited = frame_of(awaited), _awaited_by(awaited)
        if frame is not None:
            found.append(frame)
    return found


def calls(task: AnyTask, code: CodeType) -> FrameType | None:
    """Find the frame of a task that runs this code, if it has one."""
    return next((frame for frame in stack(task) if frame.f_code is code), None)


def awaited_tasks(task: AnyTask) -> list[AnyTask]:
    """Give the tasks that a task awaits itself or by ``gather``: its cancellation becomes theirs."""
    # Private, but read by anyio and asyncio's own tools too; there is no public way before 3.14.
    waiter: Any = getattr(task, "_fut_waiter", None)
    if waiter is None:
        return []
    if is_task(waiter):
        return [waiter]
    children: Any = getattr(waiter, "_children", ())  # of gather()
    return [child for child in children if is_task(child)]


def is_task(thing: Any) -> TypeGuard[AnyTask]:
    """Whether something is a task, be it one written in Python, which is no ``asyncio.Task``."""
    return asyncio.isfuture(thing) and hasattr(thing, "get_coro")


class Position:
    """The await that a task is suspended in, down to the future it waits for."""

    __slots__ = ("_chain",)

    def __init__(self, task: AnyTask) -> None:
        self._chain = [(awaited, _instruction(awaited)) for awaited in awaitables(task)]

    def begun_anew(self, task: AnyTask) -> bool:
        """Whether the task has since caught its cancellation and gone round a loop.

        Then the deepest frame that is still the same stands at the same instruction, and waits for
        something new. One that cleans up stands at another instruction, and one that has not
        noticed yet waits for the same thing.
        """
        instruction: int | None = None
        now = awaitables(task)
        for awaited, before in self._chain:
            there = next(now, None)
            if there is not awaited:
                return there is not None and instruction is not None
            instruction = _instruction(awaited)
            if instruction != before:
                return False
        return False


def _instruction(awaited: Any) -> int | None:
    frame = frame_of(awaited)
    return None if frame is None else frame.f_lasti


WhoseCode = Callable[[str], "str | None"]
"""Tells the plugin that a module belongs to."""


def nobodys(module: str) -> str | None:
    """Know of no plugins."""
    del module
    return None


def where(task: AnyTask, plugin: str | None = None, whose: WhoseCode = nobodys) -> str:
    """``file:line`` of the frame that its author knows.

    That is the innermost of the plugin's own code, else of some plugin's, else of what is no known
    library's, else the innermost of all.

    Args:
        task: Which stands somewhere.
        plugin: The id of the plugin that it works for.
        whose: Tells which plugin a module belongs to.

    """
    return _line(_chosen(stack(task), plugin, whose), "not started")


def plugin_of(task: AnyTask, whose: WhoseCode) -> str | None:
    """Tell the plugin whose code a task is in, the outermost if there are several."""
    modules = (str(frame.f_globals.get("__name__", "")) for frame in stack(task))
    return next(filter(None, map(whose, modules)), None)


def _chosen(inward: list[FrameType], plugin: str | None, whose: WhoseCode) -> FrameType | None:
    best, rank = None, -1
    for frame in inward:
        owner = whose(str(frame.f_globals.get("__name__", "")))
        if owner is not None:
            value = 3 if owner == plugin else 2
        else:
            value = 1 if _is_authors(frame) else 0
        if value >= rank:
            best, rank = frame, value
    return best


def above(task: AnyTask, code: CodeType) -> list[FrameType]:
    """Give the suspended frames of a task, outermost first, down to the one that runs this code."""
    return list(itertools.takewhile(lambda frame: frame.f_code is not code, stack(task)))


def authors_frames(task: AnyTask, until: CodeType) -> list[FrameType]:
    """Give the suspended frames of a task that are its author's, outermost first, down to some code."""
    return list(filter(_is_authors, above(task, until)))


def authors_code(task: AnyTask) -> CodeType | None:
    """Give what a task does for its author: the code of the outermost frame that is his."""
    outermost = None if task.done() else frame_of(task.get_coro())
    if outermost is not None and _is_authors(outermost):
        return outermost.f_code
    return next((frame.f_code for frame in stack(task) if _is_authors(frame)), None)


def authors_line(frame: FrameType | None, whose: WhoseCode = nobodys) -> str:
    """``file:line`` of the frame that its author knows in a running stack: see :func:`where`."""
    return blame(frame, None, whose)[0]


def blame(frame: FrameType | None, plugin: str | None, whose: WhoseCode) -> tuple[str, str | None]:
    """Give ``file:line`` of a running stack as :func:`where` does, and the plugin whose code it is."""
    outward: list[FrameType] = []
    while frame is not None:
        outward.append(frame)
        frame = frame.f_back
    chosen = _chosen(outward[::-1], plugin, whose)
    owner = whose(str(chosen.f_globals.get("__name__", ""))) if chosen is not None else None
    return _line(chosen, "unknown"), owner


def _line(frame: FrameType | None, otherwise: str) -> str:
    return f"{frame.f_code.co_filename}:{frame.f_lineno}" if frame else otherwise


def _is_authors(frame: FrameType) -> bool:
    return _is_no_library(str(frame.f_globals.get("__name__", "")))


@functools.lru_cache(4096)
def _is_no_library(module: str) -> bool:
    return module.partition(".")[0] not in _LIBRARIES


if sys.version_info >= (3, 12):

    def context_of(task: AnyTask) -> contextvars.Context | None:
        """Give the context a task runs in."""
        return task.get_context()

else:

    def context_of(task: AnyTask) -> contextvars.Context | None:
        """Give the context a task runs in.

        Before 3.12 a task does not tell its context, but refers to it. A task factory would tell
        too, at a price for every task the bot ever makes; this costs only when asked.
        """
        context = getattr(task, "_context", None)  # of one written in Python
        if context is not None:
            return context
        for referent in gc.get_referents(task):
            if isinstance(referent, contextvars.Context):
                return referent
        return None
