"""From the first word of a shutdown to nothing in flight, while the bot can still talk."""

import asyncio
import inspect
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from typing import Any

from loguru import logger

from .discovery import Branch, adopt_orphans, branches
from .failures import log_failure
from .kinds import DEFAULT_KINDS
from .lifecycle import ShuttingDownHook
from .stopping import Stopping
from .tree import Tree
from .waits import what_for
from .work import Section, Work

__all__ = ["Drain", "name_of"]

HOPELESS = 2.0
"""Seconds after which a handler that still waits for a service is not waited for."""
SAY_EVERY = 5.0
"""Seconds between two lines that say who is waited for."""
_GRACES = {kind.name: kind.grace for kind in DEFAULT_KINDS}

Farewell = Callable[["Drain"], Awaitable[None]]


class Drain:
    """One shutdown's draining.

    Args:
        tree: What is to be stopped.
        noted: What was at work at the signal, and what it was in.
        grace_cap: Seconds that no grace may exceed, for the deadline's sake.
        hook_timeout: Seconds each ``on_shutting_down`` hook has.
        farewells: Run one after the other when all has been stopped; they bound themselves.
        hooks_are_over: Whether the plugins' own hooks have run: orphans are stopped from then on.

    """

    def __init__(
        self,
        tree: Tree,
        *,
        noted: dict[Work, tuple[Section, ...]] | None = None,
        grace_cap: float,
        hook_timeout: float,
        farewells: list[Farewell] | None = None,
        hooks_are_over: Callable[[], bool] = lambda: False,
    ) -> None:
        self._tree = tree
        self._noted = noted or {}
        self._hook_timeout = hook_timeout
        self._farewells = farewells or []
        self._grace_cap = grace_cap
        self._hooks_are_over = hooks_are_over
        self.stopping: Stopping = Stopping(tree, self._select, tree.lifecycle.reason, due=self._due)

    def _select(self) -> list[Branch]:
        return [branch for branch in branches(self._tree) if not self._is_for_the_hooks(branch)]

    def _is_for_the_hooks(self, branch: Branch) -> bool:
        """Whether it is left to the plugins' own ``on_shutdown`` hooks to end it first."""
        work = branch.work
        return work.orphan and len(work.sections) == 1 and not self._hooks_are_over()

    def orphans(self) -> list[Work]:
        """Give what outlived its handler and still waits for a service."""
        return [
            work
            for work in self._tree.all()
            if work.orphan and work.task is not None and what_for(work.task).service
        ]

    def _due(self, work: Work) -> float:
        """When work is to be stopped at the latest, by ``time.monotonic()``."""
        began = self._tree.lifecycle.began
        if self._is_hopeless(work):
            return began
        return began + min(work.grace, self._grace_cap)

    def _is_hopeless(self, work: Work) -> bool:
        """Whether the second that a handler gets to finish would be lost on it.

        A stranger's that has waited for a service, or between two attempts, for long: that one
        second more brings the answer is most unlikely. A grace that somebody asked for is kept.
        """
        kind, task = work.kind, work.task
        if task is None or work.aware or work.asked_grace is not None:
            return False
        if kind.grace != _GRACES.get(kind.name):
            return False
        began = self._tree.lifecycle.began
        return kind.grace > 0 and began - work.started > HOPELESS and what_for(task).hopeless

    async def _say_who_is_waited_for(self) -> None:
        """Say it at once, and every few seconds, while graces run."""
        while works := self.stopping.not_yet_told():
            kinds = Counter((work.kind.name, work.origin and work.origin.plugin) for work in works)
            whom = ", ".join(
                f"{kind} {count}" + (f" ({plugin})" if plugin else "")
                for (kind, plugin), count in kinds.most_common()
            )
            left = max(self._due(work) for work in works) - time.monotonic()
            logger.success(
                f"Waiting for {len(works)}: {whom}; at most {max(left, 0):.0f} s more,"
                " press again to stop waiting"
            )
            await asyncio.sleep(SAY_EVERY)

    async def run(self) -> None:
        """Tell everybody, stop everything, say goodbye."""
        lifecycle = self._tree.lifecycle
        adopt_orphans(self._tree)
        # Before the announcement wakes, and so ends, what was waiting.
        self.stopping.look(self._noted, branches(self._tree))
        lifecycle.announce()
        for hook in lifecycle.hooks:
            self._start_hook(hook)
        # A hook may set the flag by which a worker ends; so it comes before the first cancel.
        await asyncio.sleep(0)
        self.stopping.step()
        telling = self._tree.run_internal(self._say_who_is_waited_for(), "who is waited for")
        await self.stopping.run()
        telling.cancel()
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
    except GeneratorExit:  # thrown away with its event loop
        raise
    except BaseException as error:  # what is no Exception may end the event loop
        log_failure(name, error)


def name_of(function: Callable[..., Any]) -> str:
    """``module.function``, for a log."""
    function = inspect.unwrap(function)
    name = getattr(function, "__qualname__", type(function).__qualname__)
    return f"{getattr(function, '__module__', '?')}.{name}"
