"""``on_worker``: functions whose calls are enqueued, and whose work outlives whoever waits for it."""

import functools
import importlib.util
from collections.abc import Callable, Coroutine
from contextvars import ContextVar
from typing import Any, NamedTuple, ParamSpec, Protocol, TypeVar

from nonebot_plugin_graceful.core.signatures import resolved_signature
from nonebot_plugin_graceful.journal.keeper import Keeper

__all__ = ["Function", "WorkerError", "functions", "install", "on_worker", "working"]

P = ParamSpec("P")
T = TypeVar("T")


class WorkerError(Exception):
    """A function of ``on_worker`` has failed, or could not be run.

    The exception itself stays where it was raised, which may be another machine.

    Attributes:
        name: The name of its class.

    """

    def __init__(self, message: str, name: str = "") -> None:
        super().__init__(message)
        self.name = name

    def __str__(self) -> str:
        return ": ".join(filter(None, (self.name, *self.args)))


class Function(NamedTuple):
    """One that was decorated."""

    kind: str
    keeper: Keeper[Any]


class Caller(Protocol):
    """Who enqueues calls."""

    async def call(self, function: Function, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Enqueue a call, and wait for its result."""


functions: dict[str, Function] = {}
"""All of this process, by their names."""
working: ContextVar[bool] = ContextVar("graceful_working", default=False)
"""Whether the code at hand is a function's: what it calls it does itself, holding a place already."""
_caller: Caller | None = None


def on_worker(
    kind: str,
) -> Callable[[Callable[P, Coroutine[Any, Any, T]]], Callable[P, Coroutine[Any, Any, T]]]:
    """Have a coroutine function's work outlive the bot, and be done wherever there is a worker.

    A decorator. A call is kept in a database before it is begun, and waited for. When the bot
    stops, the waiting ends at once and the work goes on; when the request is taken up again, the
    same call takes the same work's result. Cancelled while the bot runs on, the work is cancelled.
    By default this process does the work itself; with ``GRACEFUL_DATABASE_URL`` whoever runs
    ``python -m nonebot_plugin_graceful worker MODULE`` does. The kind's ``limit`` is that of all
    workers together. On a worker, and where there is no bot, it is a plain call.

    Args:
        kind: ``image``, ``llm``, … or a name of your own: the name of the queue. Whoever works on
            a kind has to know all its functions.

    Raises:
        ImportError: The extra ``nonebot-plugin-graceful[dbos]`` is not installed.
        TypeError: It decorates something that is no coroutine function, or an argument or the
            result of which cannot be kept; the message names it.
        WorkerError: At a call: the work has failed.

    """
    if importlib.util.find_spec("dbos") is None:
        raise ImportError(
            "on_worker needs DBOS: pip install nonebot-plugin-graceful[dbos]", name="dbos"
        )

    def decorate(
        function: Callable[P, Coroutine[Any, Any, T]],
    ) -> Callable[P, Coroutine[Any, Any, T]]:
        keeper: Keeper[T] = Keeper(function, "on_worker")
        decorated = functions[keeper.name] = Function(kind, keeper)

        @functools.wraps(function)
        async def enqueued(*args: P.args, **kwargs: P.kwargs) -> T:
            if _caller is None or working.get():
                return await function(*args, **kwargs)
            return await _caller.call(decorated, args, kwargs)

        enqueued.__signature__ = resolved_signature(function)  # pyright: ignore[reportAttributeAccessIssue]
        return enqueued

    return decorate


def install(new: Caller | None) -> Caller | None:
    """Have these calls go to somebody: there is one bot in a process.

    Returns:
        To whom they went before.

    """
    global _caller
    before, _caller = _caller, new
    return before
