"""From the first word of a shutdown to nothing in flight, while the bot can still talk."""

import asyncio
import inspect
import time
from collections.abc import Awaitable, Callable
from typing import Any

from loguru import logger

from .failures import log_failure
from .lifecycle import ShuttingDownHook, lifecycle
from .registry import registry
from .stopping import Stopping

__all__ = ["Drain", "name_of"]

Farewell = Callable[["Drain"], Awaitable[None]]


class Drain:
    """One shutdown's draining.

    Args:
        grace_cap: Seconds that no grace may exceed, for the deadline's sake.
        hook_timeout: Seconds each ``on_shutting_down`` hook has.
        farewells: Run one after the other when all has been stopped; they bound themselves.

    """

    def __init__(
        self, *, grace_cap: float, hook_timeout: float, farewells: list[Farewell] | None = None
    ) -> None:
        self._hook_timeout = hook_timeout
        self._farewells = farewells or []
        began = lifecycle.began
        self.stopping = Stopping(
            registry.families,
            lifecycle.reason,
            due=lambda record: began + min(record.grace, grace_cap),
            limits=registry.limits,
            is_busy=registry.is_busy,
        )

    async def run(self) -> None:
        """Tell everybody, stop everything, say goodbye."""
        # Before the announcement wakes, and so ends, what was waiting.
        self.stopping.look(registry.noted)
        lifecycle.announce()
        hooks = [
            registry.run_internal(_run_hook(hook, self._hook_timeout), f"hook {name_of(hook)}")
            for hook in lifecycle.hooks
        ]
        # A hook may set the flag by which a worker ends; so it comes before the first cancel.
        await asyncio.sleep(0)
        await self.stopping.run()
        if hooks:
            await asyncio.wait(hooks)
        for farewell in self._farewells:
            try:
                await farewell(self)
            except Exception as error:
                log_failure(name_of(farewell), error)


async def _run_hook(hook: ShuttingDownHook, timeout: float) -> None:
    try:
        result: Any = hook()
        if not inspect.isawaitable(result):
            return
        inner = registry.run_internal(_awaiting(result), f"inner hook {name_of(hook)}")
        began = time.monotonic()
        # wait(), because unlike every timeout it also ends when the hook swallows it
        _, pending = await asyncio.wait([inner], timeout=timeout)
        if pending:
            inner.cancel()
            logger.warning(
                f"on_shutting_down hook {name_of(hook)} is not done after"
                f" {time.monotonic() - began:.1f} s: going on without it"
            )
        elif not inner.cancelled() and (error := inner.exception()) is not None:
            raise error
    except Exception as error:
        log_failure(f"on_shutting_down hook {name_of(hook)}", error)


async def _awaiting(awaitable: Awaitable[Any]) -> None:
    await awaitable


def name_of(function: Callable[..., Any]) -> str:
    """``module.function``, for a log."""
    function = inspect.unwrap(function)
    name = getattr(function, "__qualname__", type(function).__qualname__)
    return f"{getattr(function, '__module__', '?')}.{name}"
