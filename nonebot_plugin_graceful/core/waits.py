"""What a task waits for, and for which host: read from its frames when somebody asks.

Of libraries it knows the names of modules and variables, and imports none of them. What it does not
know is nothing it says anything of.
"""

import asyncio
from dataclasses import dataclass
from types import FrameType
from typing import Any

from . import frames

__all__ = ["Wait", "what_for"]

AnyTask = asyncio.Task[Any]

_DATABASES = frozenset(
    {"aiomysql", "aiosqlite", "asyncpg", "asyncmy", "motor", "pymongo", "redis", "sqlalchemy"}
)
_ASYNCIO = {
    ("asyncio.tasks", "sleep"): "a moment",
    ("asyncio.locks", "acquire"): "a lock",
    ("asyncio.locks", "wait"): "an event",
    ("asyncio.queues", "get"): "a queue",
    ("asyncio.queues", "put"): "a full queue",
    ("asyncio.threads", "to_thread"): "a thread",
    ("asyncio.subprocess", "wait"): "a process",
    ("anyio.to_thread", "run_sync"): "a thread",
}


@dataclass(frozen=True, slots=True)
class Wait:
    """What a task waits for."""

    what: str
    """Such as ``api.example.com``, ``a lock``, ``a moment`` (it sleeps); empty: not known."""
    service: bool = False
    """Whether that is a service on the network."""

    @property
    def hopeless(self) -> bool:
        """Whether a second or two more change nothing, once it has waited for long."""
        return self.service or self.what == "a moment"


def what_for(task: AnyTask) -> Wait:
    """Tell what a task waits for, or what those do that it awaits."""
    found = Wait("")
    for frame in frames.stack(task):
        found = _of(frame) or found
        if found.service:
            return found
    if not found.what:
        for awaited in frames.awaited_tasks(task):
            found = what_for(awaited)
            if found.what:
                return found
    return found


def _of(frame: FrameType) -> Wait | None:
    module = str(frame.f_globals.get("__name__", ""))
    package = module.partition(".")[0]
    if package in ("httpx", "httpx2", "aiohttp", "httpcore", "httpcore2"):
        host = _host(frame)
        return Wait(host, service=True) if host else None
    if package in _DATABASES:
        return Wait("a database", service=True)
    if package == "websockets":
        return Wait("a WebSocket")
    what = _ASYNCIO.get((module, frame.f_code.co_name))
    return Wait(what) if what is not None else None


def _host(frame: FrameType) -> str:
    """Find the host of the request that a frame of an HTTP client's sends."""
    variables = frame.f_locals
    for name in ("request", "req", "url", "str_or_url"):
        thing: Any = variables.get(name)
        url: Any = getattr(thing, "url", thing)
        host: Any = getattr(url, "host", None)
        if isinstance(host, bytes):  # httpcore's
            host = host.decode("ascii", "replace")
        if isinstance(host, str) and host:
            return host
    return ""
