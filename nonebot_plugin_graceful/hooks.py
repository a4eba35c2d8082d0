"""The plugins' ``on_shutdown`` hooks: each gets its turn, whatever the others do."""

import asyncio
import time
from collections.abc import Callable
from typing import Any

from nonebot.log import logger
from nonebot.utils import is_coroutine_callable, run_sync

from .core.drain import name_of
from .core.failures import describe_failure
from .core.registry import registry

__all__ = ["Turns"]

PACE = 0.05
"""Seconds between two cancellations of a hook whose time is over."""

LEAST_TURN = 0.3
"""Seconds every hook has, however late it comes and whoever is in a hurry: what is cancelled as
soon as it begins might as well have been skipped."""

Hook = Callable[[], Any]


class _Turn:
    """One hook's turn."""

    __slots__ = ("began", "cut", "done", "ends", "hook", "name", "started", "task")

    def __init__(self, hook: Hook) -> None:
        self.hook = hook
        self.name = name_of(hook)
        self.started = False
        self.done = False
        self.cut = False
        self.began = 0.0
        self.ends = 0.0
        """``time.monotonic()`` from which on it is cancelled."""
        self.task: asyncio.Task[Any] | None = None


class Turns:
    """One shutdown's run through the hooks.

    NoneBot runs them one after the other, the last registered first, and skips the rest when one
    raises (nonebot/internal/driver/_lifespan.py). They still run in NoneBot's own task, for what a
    start-up hook has entered (an anyio task group, say) must be left in the same one. So a hook
    that takes long is not cut, but the others go on beside it, in a task of ours; when the time
    is up it is cancelled.

    Args:
        hooks: The list they are in, first registered first. It is changed in place.
        ours: Those of them that need no guard.
        time_left: Seconds until a hook that still runs is to be cancelled.

    """

    def __init__(
        self, hooks: list[Hook], *, ours: tuple[Hook, ...], time_left: Callable[[], float]
    ) -> None:
        self.failures: dict[str, str] = {}
        """What became of the hooks that did not end as they should, by their names."""
        self._hooks = hooks
        self._original = list(hooks)
        self._time_left = time_left
        self._turns = [_Turn(hook) for hook in hooks if hook not in ours]
        self._helpers: list[asyncio.Task[None]] = []
        turns = iter(self._turns)
        hooks[:] = [hook if hook in ours else self._guarded(next(turns)) for hook in hooks]

    def restore(self) -> None:
        """Put the hooks back as they were."""
        self._hooks[:] = self._original

    def cut(self) -> None:
        """Cancel the hooks that are running now, as soon as they have had their least."""
        loop = asyncio.get_running_loop()
        now = time.monotonic()
        for turn in self._turns:
            if turn.started and not turn.done:
                turn.ends = min(turn.ends, max(now, turn.began + LEAST_TURN))
                loop.call_later(turn.ends - now, self._cut, turn)

    def interrupt(self, task: "asyncio.Task[Any]") -> bool:
        """Whether the task runs a hook. If so, the hook is taken to be cancelled now."""
        for turn in self._turns:
            if turn.task is task and not turn.done:
                turn.cut = True
                return True
        return False

    async def finish(self) -> None:
        """Wait for the hooks that run beside a slow one."""
        while pending := [task for task in self._helpers if not task.done()]:
            overdue = time.monotonic() - PACE
            if all(turn.done or (turn.started and turn.ends <= overdue) for turn in self._turns):
                return  # they were cancelled, and go on all the same
            await asyncio.wait(pending, timeout=PACE)

    def _guarded(self, turn: _Turn) -> Hook:
        async def guarded() -> None:
            await self._take(turn)

        return guarded

    async def _take(self, turn: _Turn) -> None:
        if turn.started:  # beside a slow one
            return
        turn.started = True
        turn.began = time.monotonic()
        turn.task = asyncio.current_task()
        loop = asyncio.get_running_loop()
        left = max(LEAST_TURN, self._time_left())
        turn.ends = turn.began + left
        timers = [
            loop.call_later(left / 2, self._go_on_beside, turn),
            loop.call_later(left, self._cut, turn),
        ]
        try:
            await (turn.hook() if is_coroutine_callable(turn.hook) else run_sync(turn.hook)())
        except asyncio.CancelledError:
            if not turn.cut:
                raise
            _uncancel(turn.task)
            self._failed(turn, f"was cancelled after {time.monotonic() - turn.began:.1f} s")
        except Exception as error:
            self._failed(turn, f"failed: {describe_failure(error)}")
            logger.opt(exception=error).debug(f"on_shutdown hook {turn.name} failed")
        finally:
            turn.done = True
            for timer in timers:
                timer.cancel()

    def _failed(self, turn: _Turn, what: str) -> None:
        self.failures[turn.name] = what
        logger.error(f"on_shutdown hook {turn.name} {what}")

    def _go_on_beside(self, slow: _Turn) -> None:
        rest = [turn for turn in reversed(self._turns) if not turn.started]
        if slow.done or not rest:
            return
        logger.warning(
            f"on_shutdown hook {slow.name} has run for {time.monotonic() - slow.began:.1f} s:"
            " going on with the others"
        )
        self._helpers.append(registry.run_internal(self._take_all(rest), "hooks"))

    async def _take_all(self, turns: list[_Turn]) -> None:
        for turn in turns:
            await self._take(turn)

    def _cut(self, turn: _Turn) -> None:
        if turn.done or turn.task is None:
            return
        turn.cut = True
        turn.task.cancel()
        asyncio.get_running_loop().call_later(PACE, self._cut, turn)


def _uncancel(task: "asyncio.Task[Any] | None") -> None:
    uncancel = getattr(task, "uncancel", None)  # from 3.11 on
    while uncancel is not None and uncancel() > 0:
        pass
