"""The shutdown, from the first signal to the last hook, on NoneBot's lifecycle."""

import asyncio
import signal
import time
from collections.abc import Callable
from contextvars import Context
from pathlib import Path
from typing import Any

from nonebot.drivers import Driver
from nonebot.log import logger

from . import adapters, scheduler
from .config import Config
from .core.drain import Drain, Farewell
from .core.kinds import Kinds
from .core.lifecycle import Phase, lifecycle
from .core.registry import Limits, registry
from .core.report import Report, describe_straggler, load_report
from .core.stopping import Stopping
from .core.watchdog import Watchdog, thread_stacks
from .hooks import Turns
from .matchers import refuse_events
from .signals import Signals, numbers

__all__ = ["Shutdown"]

LEAST_LEFT = 0.5
"""Seconds of the deadline that are kept for what comes after the hooks."""


class Shutdown:
    """Everything that happens between a driver's start and its end.

    Args:
        driver: The driver to stop.
        config: The settings.
        report_file: Where the report is left.

    """

    def __init__(self, driver: Driver, config: Config, report_file: Path) -> None:
        self.report = Report()
        self.farewells: list[Farewell] = []
        """Run when all work has been stopped and the bot can still talk."""
        self.beginnings: list[Callable[[], Callable[[], None]]] = []
        """Called before anything is stopped; each returns what takes it back in the end."""
        self.report_file = report_file
        self.flush: Callable[[], object] = lambda: None
        """Called last before the process is ended by force."""
        self._driver = driver
        self._config = config
        self._reserve = min(
            config.graceful_thread_timeout + LEAST_LEFT, config.graceful_deadline / 2
        )
        self._signals = Signals(driver, self._pressed)
        self._watchdog = Watchdog(
            deadline=config.graceful_deadline,
            thread_timeout=config.graceful_thread_timeout,
            last_words=self._last_words,
            may_interrupt=self._may_interrupt,
        )
        self._forget()

    def _forget(self) -> None:
        """Be as before the first start."""
        self._signum: int | None = None
        self._handed_over = False
        self._drain: Drain | None = None
        self._draining: asyncio.Task[None] | None = None
        self._turns: Turns | None = None
        self._undo: list[Callable[[], None]] = []
        self._summarized = False
        self._marked = 0.0
        self.report = Report()

    def install(self) -> None:
        """Hook into the driver's lifecycle."""
        self._driver.on_startup(self._start)

    # -- start-up

    async def _start(self) -> None:
        config = self._config
        self._watchdog.disarm()
        self._forget()
        self._loop = asyncio.get_running_loop()
        self._lifespan_task = asyncio.current_task()
        lifecycle.reset()
        registry.reset(
            Kinds(config.kind_overrides),
            Limits(cancel=config.graceful_cancel_timeout, shield=config.graceful_shield_timeout),
        )
        registry.is_busy = adapters.is_replying
        self._sentinel = registry.run_internal(self._sweep_at_the_end(), "sentinel")
        self._place_hooks()
        self._tell_of_last_time()
        self._signals.install(numbers(config.graceful_signals))

    @property
    def _hooks(self) -> list[Callable[[], Any]]:
        # NoneBot offers no public way to be the last of all, nor to guard another's hook.
        return self._driver._lifespan._shutdown_funcs  # noqa: SLF001 # pyright: ignore[reportPrivateUsage]

    def _place_hooks(self) -> None:
        """Be the first and the last of the ``on_shutdown`` hooks, which NoneBot runs LIFO."""
        self._remove_hooks()
        self._hooks.insert(0, self._after_hooks)
        self._hooks.append(self._before_hooks)

    def _remove_hooks(self) -> None:
        for ours in (self._after_hooks, self._before_hooks):
            while ours in self._hooks:
                self._hooks.remove(ours)

    def _tell_of_last_time(self) -> None:
        last = load_report(self.report_file)
        if last is not None and not last.clean:
            what = last.forced or (
                f"abandoned {len(last.stragglers)} tasks and {len(last.hooks)} on_shutdown hooks"
            )
            logger.warning(f"The last shutdown ({last.at}) was not clean: {what}")

    # -- a signal: at any bytecode of the main thread, so there is no lock and no log here

    def _pressed(self, signum: int, presses: int) -> None:
        if presses == 1:
            self._signum = signum
            registry.note_in_flight()
            lifecycle.begin(signal.Signals(signum).name)
            self._watchdog.arm(self._loop, signum)
            step = self._begin
        elif presses == 2:
            step = self._hurry
        else:
            self._watchdog.end_now("told to end at once")
            return
        # Without a context of its own the callback would run in that of the interrupted task,
        # and what it starts would belong to that task's handler.
        self._loop.call_soon_threadsafe(step, context=Context())

    def begin(self, reason: str) -> None:
        """Shut down as at SIGTERM. In the event loop.

        Args:
            reason: For the log.

        """
        if lifecycle.begin(reason):
            if self._signals.installed:
                self._signals.press(signal.SIGTERM)
            else:
                self._begin()

    # -- draining

    def _begin(self) -> None:
        if self._draining is None and self._drain is None:
            more = " (press again to stop waiting)" if self._signum == signal.SIGINT else ""
            logger.info(f"{lifecycle.reason}: stopping what is in flight{more}")
            self._place_hooks()
            self._draining = registry.run_internal(self._drain_and_hand_over(), "drain")

    async def _drain_and_hand_over(self) -> None:
        try:
            await self._stop_work()
        except Exception as error:
            logger.opt(exception=error).error("Draining failed")
        finally:
            self._hand_over()

    async def _stop_work(self) -> None:
        self.report.reason = lifecycle.reason
        self.report.at = time.strftime("%Y-%m-%d %H:%M:%S")
        self._mark("")
        self._undo += [refuse_events(), scheduler.pause(), adapters.cut_after_replies()]
        self._undo += [begin() for begin in self.beginnings]
        config = self._config
        self._drain = Drain(
            grace_cap=config.graceful_deadline - self._reserve - config.graceful_cancel_timeout,
            hook_timeout=config.graceful_hook_timeout,
            farewells=self.farewells,
        )
        await self._drain.run()
        adapters.release_event_tasks()
        lifecycle.phase = Phase.CLOSING
        self._mark("work")
        self.report.count(self._drain.stopping)
        for straggler in self.report.stragglers:
            logger.error(f"Does not stop: {straggler}")

    def _hurry(self) -> None:
        logger.warning("Waiting no longer (press again to end the process at once)")
        if self._drain is not None:
            self._drain.stopping.hurry()
        if self._turns is not None:
            self._turns.cut()
        self._hand_over()

    def _hand_over(self) -> None:
        """Tell the server, once: at its second signal uvicorn skips the ``on_shutdown`` hooks."""
        if self._handed_over:
            return
        self._handed_over = True
        self._signals.hand_over(self._signum or signal.SIGTERM)

    def _mark(self, phase: str) -> None:
        """Note that a phase has ended."""
        now = time.monotonic()
        if phase:
            self.report.phases[phase] = now - self._marked
        self._marked = now

    # -- NoneBot's own shutdown

    async def _before_hooks(self) -> None:
        """Run first of all ``on_shutdown`` hooks."""
        lifecycle.begin("the server stopped")
        self._handed_over = True
        if self._draining is not None:
            await asyncio.wait([self._draining])
        elif self._drain is None:  # no signal came, or none came to us
            await self._stop_work()
        self._mark("server")
        self._turns = Turns(
            self._hooks,
            ours=(self._before_hooks, self._after_hooks),
            time_left=self._time_for_hooks,
        )

    def _time_for_hooks(self) -> float:
        ends = lifecycle.began + self._config.graceful_deadline - self._reserve
        left = ends - time.monotonic()
        if self._signals.presses > 1:  # whoever pressed again does not want to wait
            left = min(left, self._config.graceful_hook_timeout)
        return left

    async def _after_hooks(self) -> None:
        """Run last of all ``on_shutdown`` hooks."""
        if self._turns is not None:
            await self._turns.finish()
            self._turns.restore()
            self.report.hooks = self._turns.failures
        if self._drain is not None:
            stopping = self._drain.stopping
            registry.adopt_outlived()
            stopping.hurry()
            await stopping.run()
            self.report.count(stopping)
        self._mark("hooks")
        self._summarize()
        self._restore()

    def _summarize(self) -> None:
        self.report.interrupted = self._watchdog.interrupted
        for line in self.report.lines():
            logger.log("INFO" if self.report.clean else "WARNING", line)
        self._summarized = True
        self._save()

    def _save(self) -> None:
        try:
            self.report.save(self.report_file)
        except OSError as error:
            logger.warning(f"The report of this shutdown cannot be kept: {error}")

    def _restore(self) -> None:
        """Leave everything as it was found."""
        for undo in self._undo:
            undo()
        self._undo.clear()
        self._remove_hooks()
        self._signals.restore()
        if not self._watchdog.armed:
            # Nobody told the process to end: the loop may go on, and the driver start again.
            self._sentinel.cancel()
            lifecycle.reset()

    # -- the end of the event loop

    async def _sweep_at_the_end(self) -> None:
        """Wait until the runner cancels what is left; see to it that it is not left for good."""
        try:
            await asyncio.get_running_loop().create_future()
        except asyncio.CancelledError:
            if not self._watchdog.armed:
                return
        self._watchdog.start_thread_clock()
        registry.adopt_all(adapters.handles_event)
        stopping = self._drain.stopping if self._drain else Stopping(registry.families, "exit")
        stopping.assume_cancelled()
        await stopping.run()
        if stopping.left():
            self.report.count(stopping)
            # The runner would wait for them for ever.
            self._watchdog.end_now("tasks that do not stop are left")

    # -- the watchdog

    def _may_interrupt(self, task: "asyncio.Task[Any]") -> bool:
        if self._turns is not None and self._turns.interrupt(task):
            return True
        return (
            lifecycle.stopping
            and task is not self._lifespan_task
            and task not in registry.internal
            and task not in registry.shields
        )

    def _last_words(self, why: str) -> None:
        """Report before the process is ended by force. In a thread; the loop may be blocked."""
        report = self.report
        report.forced = why
        report.reason = report.reason or lifecycle.reason
        report.interrupted = self._watchdog.interrupted
        report.threads = thread_stacks(main=not self._summarized)
        if not report.stragglers:
            report.stragglers = [
                describe_straggler(record, record.task, 0)
                for record in list(registry.records.values())
                if record.alive
            ]
        self._save()
        logger.critical(f"Ending the process: {why}")
        for line in [] if self._summarized else report.lines():
            logger.critical(line)
        for name, stack in report.threads.items():
            logger.critical(f"Thread {name} is at\n{stack}")
        self.flush()
