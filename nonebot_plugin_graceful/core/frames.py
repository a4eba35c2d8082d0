"""Where a suspended task stands."""

import asyncio
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from types import CodeType, FrameType
from typing import Any

__all__ = ["Position", "authors_line", "calls", "position", "stack", "where"]

# Between the author's code and the socket. A plugin's author looks for his own line.
_LIBRARIES = frozenset(sys.stdlib_module_names) | {
    "aiohttp",
    "aiosqlite",
    "anyio",
    "apscheduler",
    "exceptiongroup",
    "httpcore",
    "httpcore2",
    "httpx",
    "httpx2",
    "nonebot",
    "nonebot_plugin_graceful",
    "openai",
    "quart",
    "starlette",
    "tenacity",
    "uvicorn",
    "uvloop",
    "websockets",
}


def stack(task: "asyncio.Task[Any]") -> Iterator[FrameType]:
    """Every suspended frame of a task, outermost first.

    ``Task.get_stack`` gives but the outermost one of a suspended task.
    """
    for _, frame in _awaited(task):
        if frame is not None:
            yield frame


def _awaited(task: "asyncio.Task[Any]") -> Iterator[tuple[Any, FrameType | None]]:
    awaited: Any = task.get_coro()
    while awaited is not None:
        # coroutine, generator-based coroutine, async generator
        frame = (
            getattr(awaited, "cr_frame", None)
            or getattr(awaited, "gi_frame", None)
            or getattr(awaited, "ag_frame", None)
        )
        yield awaited, frame
        awaited = (
            getattr(awaited, "cr_await", None)
            or getattr(awaited, "gi_yieldfrom", None)
            or getattr(awaited, "ag_await", None)
        )


def calls(task: "asyncio.Task[Any]", code: CodeType) -> FrameType | None:
    """Find the frame of a task that runs this code, if it has one."""
    return next((frame for frame in stack(task) if frame.f_code is code), None)


@dataclass(frozen=True, slots=True)
class Position:
    """The await that a task is suspended in."""

    awaits: tuple[tuple[CodeType, int], ...]
    """The instruction of every frame of the author's code, outermost first."""
    innermost: Any
    """What it waits for in the end, kept so that its identity stays its own."""

    def repeats(self, earlier: "Position") -> bool:
        """Whether it is the same await of the author's code, begun anew.

        So stands a task that has caught its cancellation and gone round a loop; one that cleans
        up stands elsewhere, and one that has not noticed yet waits for the same thing.
        """
        return self.awaits == earlier.awaits and self.innermost is not earlier.innermost


def position(task: "asyncio.Task[Any]") -> Position:
    """Tell where a task is suspended."""
    awaits: list[tuple[CodeType, int]] = []
    innermost: Any = None
    for awaited, frame in _awaited(task):
        innermost = awaited
        if frame is not None and _is_authors(frame):
            awaits.append((frame.f_code, frame.f_lasti))
    return Position(tuple(awaits), innermost)


def where(task: "asyncio.Task[Any]") -> str:
    """``file:line`` of the innermost frame of the author's code, else of the innermost frame."""
    innermost = authors = None
    for frame in stack(task):
        innermost = frame
        if _is_authors(frame):
            authors = frame
    frame = authors or innermost
    return f"{frame.f_code.co_filename}:{frame.f_lineno}" if frame else "not started"


def _is_authors(frame: FrameType) -> bool:
    return str(frame.f_globals.get("__name__", "")).partition(".")[0] not in _LIBRARIES


def authors_line(frame: FrameType | None) -> str:
    """``file:line`` of the innermost frame of the author's code in a running stack."""
    innermost = frame
    while frame is not None and not _is_authors(frame):
        frame = frame.f_back
    frame = frame or innermost
    return f"{frame.f_code.co_filename}:{frame.f_lineno}" if frame else "unknown"
