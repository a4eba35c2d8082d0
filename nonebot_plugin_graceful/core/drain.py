"""From the first word of a shutdown to nothing in flight, while the bot can still talk."""

import asyncio
import inspect
import time
from collections.abc import Awaitable, Callable
from typing import Any

from loguru import logger

from .discovery import branches
from .failures import log_failure
from .lifecycle import ShuttingDownHook
from .stopping import Stopping
from .work import Section, Tree, Work

__all__ = ["Drain", "name_of"]

Farewell = Callable[["Drain"], Awaitable[None]]


class Drain:
    """One shutdown's draining.

    Args:
        tree: What is to be stopped.
        noted: What was at work at the signal, and what it was in.
        grace_cap: Seconds that no grace may exceed, for the deadline's sake.
        hook_timeout: Seconds each ``on_shutting_down`` hook has.
        farewells: Run one after the other when all has been stopped; they bound themselves.

    """

    def __init__(
        self,
        tree: Tree,
        *,
        noted: dict[Work, tuple[Section, ...]] | None = None,
        grace_cap: float,
        hook_timeout: float,
        farewells: list[Farewell] | None = None,
    ) -> None:
        self._tree = tree
        self._noted = noted or {}
        self._hook_timeout = hook_timeout
        self._farewells = farewells or []
        began = tree.lifecycle.began
        self.stopping = Stopping(
            tree,
            lambda: branches(tree),
            tree.lifecycle.reason,
            due=lambda work: began + min(work.grace, grace_cap),
        )

    async def run(self) -> None:
        """Tell everybody, stop everything, say goodbye."""
        lifecycle = self._tree.lifecycle
        # Before the announcement wakes, and so ends, what was waiting.
        self.stopping.look(self._noted)
        lifecycle.announce()
        for hook in lifecycle.hooks:
            self._start_hook(hook)
        # A hook may set the flag by which a worker ends; so it comes before the first cancel.
        await asyncio.sleep(0)
        await self.stopping.run()
        for farewell in self._farewells:
            try:
                await farewell(self)
            except Exception as error:
                log_failure(name_of(farewell), error)

    def _start_hook(self, hook: ShuttingDownHook) -> None:
        """Run a hook as work with a grace, so it is stopped as any other when its time is over."""
        name = f"on_shutting_down hook {name_of(hook)}"
        section = Section(self._tree.kinds["handler"], name, grace=self._hook_timeout)
        self._tree.start(section, _run_hook(hook, name), listed=False)


async def _run_hook(hook: ShuttingDownHook, name: str) -> None:
    began = time.monotonic()
    try:
        result: Any = hook()
        if inspect.isawaitable(result):
            await result
    except asyncio.CancelledError:
        logger.warning(f"{name} is not done after {time.monotonic() - began:.1f} s: stopped")
        raise
    except (Exception, SystemExit) as error:  # the latter would end the event loop
        log_failure(name, error)


def name_of(function: Callable[..., Any]) -> str:
    """``module.function``, for a log."""
    function = inspect.unwrap(function)
    name = getattr(function, "__qualname__", type(function).__qualname__)
    return f"{getattr(function, '__module__', '?')}.{name}"
