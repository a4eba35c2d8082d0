"""The plugins' start-up and ``on_shutdown`` hooks: each gets its turn, whatever the others do."""

import asyncio
import functools
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from nonebot.log import logger
from nonebot.utils import is_coroutine_callable, run_sync

from nonebot_plugin_graceful.core.drain import name_of
from nonebot_plugin_graceful.core.failures import describe_failure
from nonebot_plugin_graceful.core.lifecycle import Lifecycle
from nonebot_plugin_graceful.core.tree import Tree

__all__ = [
    "LEAST_TURN",
    "PACE",
    "SKIPPED",
    "StartUp",
    "Turns",
    "contained",
    "how_it_failed",
    "is_being_closed",
]

PACE = 0.05
"""Seconds between two looks at the clock, and between two cancellations of a hook."""

NEEDED = 0.1
"""Seconds that are kept for each hook that has not had its turn; then the next one begins."""
SKIPPED = "was not run"
"""What became of a hook that has not had its turn."""
LEAST_TURN = 0.3
"""Seconds every hook has, however late it comes and whoever is in a hurry: what is cancelled as
soon as it begins might as well have been skipped."""

Hook = Callable[[], Any]


async def _call(hook: Hook) -> None:
    """Run a hook as NoneBot does (nonebot/internal/driver/_lifespan.py)."""
    if is_coroutine_callable(hook):
        await hook()
        return
    error = await run_sync(contained(hook))()
    if error is not None:
        raise error


def contained(hook: Callable[..., Any]) -> Callable[..., BaseException | None]:
    """Give a sync hook that returns what it raises.

    What comes out of a thread is thrown into the whole task. A ``GeneratorExit`` closes it so, all
    the way down, and nobody on the way can say that it was but the hook's.
    """

    @functools.wraps(hook)
    def contained(*args: Any, **keywords: Any) -> BaseException | None:
        try:
            hook(*args, **keywords)
        except BaseException as error:
            return error
        return None

    return contained


def how_it_failed(error: BaseException) -> str:
    """Say in one line what a hook was left by: also what is no ``Exception``.

    Args:
        error: What it raised: pyo3's ``PanicException``, say, or a group of anything.

    """
    if isinstance(error, SystemExit):
        return f"called sys.exit({error.code!r}), and the shutdown goes on"
    return f"failed: {describe_failure(error)}"


def is_being_closed(error: BaseException, task: "asyncio.Task[Any] | None") -> bool:
    """Whether a hook was not left by what it raised, but thrown away with its task.

    Args:
        error: What came out of it.
        task: The one it ran in.

    """
    if not isinstance(error, GeneratorExit):
        return False
    try:
        return asyncio.current_task() is not task
    except RuntimeError:  # its event loop is gone
        return True


class StartUp:
    """One start's run through the start-up hooks: once the bot is to stop, they end.

    NoneBot runs them one after the other, and the server cancels none of them.

    Args:
        lists: The lists they are in. They are changed in place.
        ours: Those of them that need no guard.
        lifecycle: Tells whether the bot is to stop.

    """

    def __init__(self, lists: list[list[Hook]], *, ours: Hook, lifecycle: Lifecycle) -> None:
        self._lifecycle = lifecycle
        self._lists = lists
        self._originals: dict[Hook, Hook] = {}
        self._task: asyncio.Task[Any] | None = None
        self._cancels = 0
        for hooks in lists:
            hooks[:] = [hook if hook == ours else self._guarded(hook) for hook in hooks]

    def restore(self) -> None:
        """Take the guards away; what was registered during the start stays."""
        for hooks in self._lists:
            hooks[:] = [self._originals.get(hook, hook) for hook in hooks]

    def end(self) -> None:
        """Cancel the hook that is running, until it ends. In the event loop."""
        if self._task is not None:
            self._cancels += 1
            self._task.cancel(self._lifecycle.reason)
            asyncio.get_running_loop().call_later(PACE, self.end)

    def runs_in(self, task: "asyncio.Task[Any]") -> bool:
        """Whether a hook is running in a task."""
        return task is self._task

    def _guarded(self, hook: Hook) -> Hook:
        async def guarded() -> None:
            name = name_of(hook)
            if self._lifecycle.stopping:
                logger.warning(f"on_startup hook {name} is left out: {self._lifecycle.reason}")
                return
            self._task, self._cancels = asyncio.current_task(), 0
            ended, failed = False, None
            try:
                await _call(hook)
            except asyncio.CancelledError:
                if not self._lifecycle.stopping:
                    raise
                ended = True
            except BaseException as error:
                # A start that fails runs no on_shutdown hook.
                if not self._lifecycle.stopping or is_being_closed(error, self._task):
                    raise
                ended, failed = True, error
            finally:
                _uncancel(self._task, self._cancels)
                self._task = None
            # From here on nobody interrupts what takes long: whoever is told of it, say.
            if ended:
                it = f"; it {how_it_failed(failed)}" if failed is not None else ""
                logger.warning(f"on_startup hook {name} was ended: {self._lifecycle.reason}{it}")
            if failed is not None:
                logger.opt(exception=failed).debug(f"on_startup hook {name} failed")

        self._originals[guarded] = hook
        return guarded


class _Turn:
    """One hook's turn."""

    __slots__ = ("began", "cancels", "cut", "done", "ended", "hook", "name", "started", "task")

    def __init__(self, hook: Hook) -> None:
        self.hook = hook
        self.name = name_of(hook)
        self.started = False
        self.done = False
        self.cut = False
        self.began = 0.0
        self.ended: float | None = None
        self.cancels = 0
        self.task: asyncio.Task[Any] | None = None

    @property
    def age(self) -> float:
        """Seconds."""
        return time.monotonic() - self.began


class Turns:
    """One shutdown's run through the ``on_shutdown`` hooks.

    NoneBot runs them one after the other, the last registered first, and skips the rest when one
    raises. They still run in NoneBot's own task and order, for what a start-up hook has entered (an
    anyio task group, say) must be left in the same one, and a hook may need what a later one
    closes. Only when what is left would not be enough for the others do they go on beside one that
    takes long, in a task of ours, and beside the next that does; when the time is up it is
    cancelled.

    Args:
        tree: Whose tasks of ours they are.
        hooks: The list they are in, first registered first. It is changed in place.
        ours: Those of them that need no guard.
        time_left: Seconds until a hook that still runs is to be cancelled.

    """

    def __init__(
        self,
        tree: Tree,
        hooks: list[Hook],
        *,
        ours: tuple[Hook, ...] = (),
        time_left: Callable[[], float],
    ) -> None:
        self.began: float = 0.0
        """``time.monotonic()`` when the first may have its turn; 0 before."""
        self.failures: dict[str, str] = {}
        """What became of the hooks that did not end as they should, by their names."""
        self._tree = tree
        self._hooks = hooks
        self._original = list(hooks)
        self._time_left = time_left
        self._turns = [_Turn(hook) for hook in hooks if hook not in ours]
        self._helpers: list[asyncio.Task[None]] = []
        self._timer: asyncio.TimerHandle | None = None
        turns = iter(self._turns)
        hooks[:] = [hook if hook in ours else self._guarded(next(turns)) for hook in hooks]

    def restore(self) -> None:
        """Put the hooks back as they were."""
        self._hooks[:] = self._original
        if self._timer is not None:
            self._timer.cancel()

    def spans(self) -> list[tuple[str, float, float | None]]:
        """Give name, begin and end (``time.monotonic()``) of each that has had its turn."""
        had = sorted((turn for turn in self._turns if turn.started), key=lambda turn: turn.began)
        return [(turn.name, turn.began, turn.ended) for turn in had]

    def unfinished(self) -> dict[str, str]:
        """Give those that have not had their turn, or are having it, by their names."""
        return {
            turn.name: f"was still running after {turn.age:.1f} s" if turn.started else SKIPPED
            for turn in self._turns
            if not turn.done
        }

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
            if all(turn.done or self._is_stuck(turn) for turn in self._turns):
                return
            await asyncio.wait(pending, timeout=PACE)

    def _is_stuck(self, turn: _Turn) -> bool:
        return turn.cancels > 1  # it was cancelled, and goes on all the same

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
        cancelling = _cancelling(turn.task)
        self._watch()
        failed, cancelled = None, False
        try:
            await _call(turn.hook)
        except asyncio.CancelledError:
            # The most written hook of all ends so by itself: worker.cancel(); await worker
            cancelled = turn.cut
        except BaseException as error:
            if is_being_closed(error, turn.task):
                raise
            failed = error
        finally:
            turn.done = True
            turn.ended = time.monotonic()
            # Ours, and what the hook itself has asked for.
            _uncancel(turn.task, _cancelling(turn.task) - cancelling)
        # From here on nobody interrupts what takes long, such as a sink that sends it to somebody:
        # that would come out of here, and cost the others their turn.
        if failed is not None:
            self._failed(turn, how_it_failed(failed))
            logger.opt(exception=failed).debug(f"on_shutdown hook {turn.name} failed")
        elif cancelled:
            self._failed(turn, f"was cancelled after {turn.age:.1f} s")
        # At its very end: it would cut the next one's first wait. There is no public way to ask.
        if getattr(turn.task, "_must_cancel", False):
            with suppress(asyncio.CancelledError):
                await asyncio.sleep(0)

    def _failed(self, turn: _Turn, what: str) -> None:
        self.failures[turn.name] = what
        logger.error(f"on_shutdown hook {turn.name} {what}")

    def _watch(self) -> None:
        """Look at the clock again and again while a hook is running."""
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(PACE, self._look)

    def _look(self) -> None:
        self._timer = None
        running = [turn for turn in self._turns if turn.started and not turn.done]
        if not running:
            return
        left = self._time_left()
        rest = [turn for turn in reversed(self._turns) if not turn.started]
        last = max(running, key=lambda turn: turn.began)
        if rest and last.age >= NEEDED and left < LEAST_TURN + NEEDED * len(rest):
            logger.warning(
                f"on_shutdown hook {last.name} has run for {last.age:.1f} s, and"
                f" {max(left, 0):.1f} s are left: the other {len(rest)} go on beside it"
            )
            self._helpers.append(self._tree.run_internal(self._take_all(rest), "hooks"))
        if left <= 0:
            for turn in running:
                self._cut(turn)
        self._watch()

    async def _take_all(self, turns: list[_Turn]) -> None:
        for turn in turns:
            await self._take(turn)

    def _cut(self, turn: _Turn) -> None:
        if turn.task is None or turn.age < LEAST_TURN:
            return
        turn.cut = True
        turn.cancels += 1
        turn.task.cancel()


def _cancelling(task: "asyncio.Task[Any] | None") -> int:
    count = getattr(task, "cancelling", None)  # from 3.11 on
    return count() if count is not None else 0


def _uncancel(task: "asyncio.Task[Any] | None", times: int) -> None:
    uncancel = getattr(task, "uncancel", None)  # from 3.11 on
    for _ in range(times if uncancel is not None else 0):
        uncancel()  # pyright: ignore[reportOptionalCall]
