"""One run of the driver, from its start to its end."""

import asyncio
import atexit
import time
from collections.abc import Callable
from contextlib import suppress
from types import FrameType
from typing import TYPE_CHECKING, Any

from nonebot.log import logger

from nonebot_plugin_graceful.core.children import names_of_children
from nonebot_plugin_graceful.core.discovery import adopt_all, adopt_orphans, branches
from nonebot_plugin_graceful.core.drain import Drain, name_of
from nonebot_plugin_graceful.core.frames import blame
from nonebot_plugin_graceful.core.lookout import Lookout
from nonebot_plugin_graceful.core.report import Report, describe_straggler, load_report
from nonebot_plugin_graceful.core.stopping import Stopping
from nonebot_plugin_graceful.core.timeline import HookSpan, Span
from nonebot_plugin_graceful.core.waiting import everybody_above
from nonebot_plugin_graceful.core.watchdog import Watchdog, thread_stacks

from .adapters import cut_after_replies, handles_event, release_event_tasks
from .disconnecting import Disconnecting, guard_connect_hooks
from .hooks import SKIPPED, StartUp, Turns
from .matchers import refuse_events

if TYPE_CHECKING:
    from .process import Process

__all__ = ["Run"]

PHASES = ("work", "server", "hooks")
"""What a shutdown consists of, in this order."""
ORDINARY_GRACE = 1.0
"""Seconds that a handler has to finish. Whoever has more was given it on purpose."""


class Run:
    """Everything that happens between a driver's start and its end. In the event loop.

    Args:
        process: What lives longer than a run.

    """

    def __init__(self, process: "Process") -> None:
        self.report: Report = Report(folder=process.folder)
        self._process = process
        self._tree = tree = process.tree
        self._loop = asyncio.get_running_loop()
        self._lifespan_task = asyncio.current_task()
        config = process.config
        told = list(tree.lifecycle.hooks)
        self._undo: list[Callable[[], None]] = [
            # what start-up hooks ask to be told they ask again at the next start
            lambda: tree.lifecycle.hooks.__setitem__(slice(None), told)
        ]
        self._summarized = self._hooks_over = self._muted = False
        self._marked = 0.0
        self.watchdog: Watchdog = Watchdog(
            loop=self._loop,
            deadline=config.graceful_deadline,
            thread_timeout=config.graceful_thread_timeout,
            last_words=self._last_words,
            leave=process.restarting.leave,
            may_interrupt=self._may_interrupt,
            after_interrupt=self._interrupted,
            whose_code=tree.world.plugin_of,
            noticed=self._noticed,
        )
        self.watchdog.catch_interrupts()
        self._start_up = StartUp(process.start_hooks, ours=process.start, lifecycle=tree.lifecycle)
        self._turns = Turns(tree, [], time_left=self._time_for_hooks)
        self._disconnecting = Disconnecting()
        self._stopping = Stopping(tree, lambda: branches(tree), "exit")
        self._lookout = Lookout(
            config.graceful_blocked,
            over=lambda: tree.lifecycle.stopping,
            whose_code=tree.world.plugin_of,
            plugin_of=self._plugin_of,
            count=self._count_blocked,
        )
        self._drained = asyncio.Event()
        self._started = asyncio.Event()
        self._draining = False
        self._sentinel = tree.run_internal(self._sweep_at_the_end(), "sentinel")
        self._place_hooks()
        process.start_hooks[-1].append(self._ready)
        self._tell_of_last_time()

    # -- the hooks of ours

    def _place_hooks(self) -> None:
        """Be the first and the last of the ``on_shutdown`` hooks, which NoneBot runs LIFO."""
        self._remove_hooks()
        self._process.stop_hooks.insert(0, self._after_hooks)
        self._process.stop_hooks.append(self._before_hooks)

    async def _ready(self) -> None:
        """Run last of the start-up hooks, which may have registered some for the end."""
        self._place_hooks()
        self._undo.append(guard_connect_hooks(self._tree.lifecycle))
        self._started.set()
        if self._process.config.graceful_blocked:
            self._lookout.begin()
            self._undo.append(self._lookout.end)

    def _plugin_of(self, task: "asyncio.Task[Any]") -> str | None:
        work = self._tree.works.get(task)
        return work.origin.plugin if work is not None and work.origin is not None else None

    def _count_blocked(self, plugin: str | None) -> None:
        for meter in self._tree.world.meters:
            meter.blocked(plugin)

    def _noticed(self, task: "asyncio.Task[Any]", frame: FrameType | None) -> None:
        """Take note of who blocks the event loop of a bot that is being stopped."""
        # The watchdog is not to wait for a counter's lock, which somebody may hold who is stuck.
        with suppress(Exception):
            plugin = self._plugin_of(task)
            _, owner = blame(frame, plugin, self._tree.world.plugin_of)
            self._loop.call_soon_threadsafe(self._count_blocked, owner or plugin)

    def _remove_hooks(self) -> None:
        hooks = self._process.stop_hooks
        hooks[:] = [hook for hook in hooks if hook not in (self._after_hooks, self._before_hooks)]

    def _tell_of_last_time(self) -> None:
        last = load_report(self._process.report_file)
        if last is not None and not last.clean:
            what = last.forced or (
                f"abandoned {len(last.stragglers)} tasks and {len(last.hooks)} on_shutdown hooks"
            )
            elsewhere = last.elsewhere(self._process.folder)
            whose = f"{last.at}, of a bot in {elsewhere}" if elsewhere else last.at
            logger.warning(f"The last shutdown ({whose}) was not clean: {what}")

    # -- draining

    def begin(self) -> None:
        """Stop what is in flight, then tell the server. More than once does no harm."""
        if self._draining:
            return
        self._draining = True
        if self.watchdog.armed and not self.watchdog.watch():
            logger.warning("No thread for the watchdog: nothing ends the process at the deadline")
        atexit.register(self._gone)
        more = "" if self._process.signum is None else " (press again to stop waiting)"
        try:
            logger.success(f"{self._tree.lifecycle.reason}: stopping what is in flight{more}")
        finally:  # a sink that was added with catch=False may raise
            self._place_hooks()
            self._start_up.end()
            self._tree.run_internal(self._drain_and_hand_over(), "drain")

    def say_that_it_hurries(self) -> None:
        """Say that a second press was understood."""
        self.report.timeline.presses.append(self._since(self._tree.lifecycle.pressed))
        logger.warning("Waiting no longer (press again to end the process at once)")

    async def _drain_and_hand_over(self) -> None:
        try:
            await self._drain()
        except Exception as error:
            logger.opt(exception=error).error("Draining failed")
        finally:
            self._drained.set()
            # Told to stop before that, ~none and older uvicorns leave out the shutdown hooks.
            await self._started.wait()
            await self._process.server.started()
            self._process.hand_over()

    async def _drain(self) -> None:
        process, tree = self._process, self._tree
        self.report.reason = tree.lifecycle.reason
        self.report.at = time.strftime("%Y-%m-%d %H:%M:%S")
        self._mark("")
        self._undo += [
            refuse_events(tree),
            self._disconnecting.guard(),
            process.jobs.pause(),
            cut_after_replies(tree),
            *(begin() for begin in process.beginnings),
        ]
        self._mute()
        drain = Drain(
            tree,
            noted=process.noted,
            grace_cap=self._longest_grace(),
            hook_timeout=process.config.graceful_hook_timeout,
            farewells=process.farewells,
            hooks_are_over=lambda: self._hooks_over,
        )
        self._stopping = drain.stopping
        await drain.run()
        release_event_tasks()
        tree.lifecycle.close()
        self._mark("work")
        self.report.count(self._stopping)
        for straggler in self.report.stragglers:
            logger.error(f"Does not stop: {straggler}")
        self._persist()

    def _longest_grace(self) -> float:
        """Give the seconds that no grace exceeds, of a deadline that may have been brought forward."""
        config = self._process.config
        deadline = self.watchdog.left + time.monotonic() - self._tree.lifecycle.began
        left = deadline - config.reserve - config.graceful_cancel_timeout
        return max(0.0, min(config.longest_grace, left))

    def _persist(self) -> None:
        """See to it until the end that nothing which swallows gets on with its work."""
        self._tree.run_internal(self._stopping.cancelling.persist(), "persist")

    def _mark(self, phase: str) -> None:
        """Note that a phase has ended."""
        now = time.monotonic()
        if phase:
            self.report.phases[phase] = now - self._marked
            began, ended = self._since(self._marked), self._since(now)
            self.report.timeline.phases.append(Span(phase, began, ended))
        self._marked = now

    def _since(self, moment: float) -> float:
        """Seconds from the beginning of the shutdown to a moment of ``time.monotonic()``."""
        return round(moment - self._tree.lifecycle.began, 3)

    def _count_hooks(self) -> None:
        """Note when each ``on_shutdown`` hook ran, and how it ended."""
        timeline, failures = self.report.timeline, self._turns.failures
        timeline.hooks = [hook for hook in timeline.hooks if hook.event != "on_shutdown"] + [
            HookSpan(
                name,
                self._since(began),
                self._since(ended) if ended is not None else None,
                failure=failures.get(name, "was running" if ended is None else ""),
            )
            for name, began, ended in self._turns.spans()
        ]

    # -- NoneBot's own shutdown

    async def _before_hooks(self) -> None:
        """Run first of all ``on_shutdown`` hooks."""
        self._tree.lifecycle.begin("the server stopped")
        self._process.handed_over = True
        if self._draining:
            await self._drained.wait()
        else:  # no signal came, or none came to us
            self._draining = True
            await self._drain()
            self._drained.set()
        self._mark("server")
        hooks = self._process.stop_hooks
        self._turns = Turns(
            self._tree,
            hooks,
            ours=(self._after_hooks, *hooks[hooks.index(self._before_hooks) :]),
            time_left=self._time_for_hooks,
        )
        self._turns.began = time.monotonic()

    def _time_for_hooks(self) -> float:
        lifecycle, config = self._tree.lifecycle, self._process.config
        ends = lifecycle.began + config.graceful_deadline - config.last_moments
        if lifecycle.presses > 1:  # whoever pressed again does not want to wait
            since = max(lifecycle.pressed, self._turns.began)
            ends = min(ends, since + config.graceful_hook_timeout)
        return min(ends - time.monotonic(), self.watchdog.left - config.last_moments)

    async def _after_hooks(self) -> None:
        """Run last of all ``on_shutdown`` hooks."""
        await self._turns.finish()
        self._turns.restore()
        self._hooks_over = True
        await self._disconnecting.wait(self._time_for_hooks)
        self.report.hooks = self._failed_hooks()
        adopt_orphans(self._tree, unattributed=True)
        self._stopping.hurry()
        await self._stopping.run()
        self._persist()
        self.report.count(self._stopping)
        self._count_hooks()
        self._mark("hooks")
        try:
            self._summarize()
        finally:
            self._end()

    def _summarize(self) -> None:
        self.report.interrupted = self.watchdog.interrupted
        try:
            for line in self.report.lines():
                logger.log("SUCCESS" if self.report.clean else "WARNING", line)
        finally:
            self._summarized = True
            self._save()

    def _save(self) -> None:
        try:
            self.report.save(self._process.report_file)
        except OSError as error:
            logger.warning(f"The report of this shutdown cannot be kept: {error}")

    def _gone(self) -> None:
        """Note when the process came to its end: it is about to."""
        file = self._process.report_file
        if self._summarized and not self.report.forced and file.exists():
            self.report.timeline.gone = self._since(time.monotonic())
            self._save()

    def _end(self) -> None:
        """Leave everything as it was found."""
        for undo in self._undo:
            undo()
        self._undo.clear()
        self._start_up.restore()
        self._process.start_hooks[-1].remove(self._ready)
        self._remove_hooks()
        if not self._stopping.left():  # else the end of the loop is one by force
            self.watchdog.share_as_before()
        if not self.watchdog.armed:
            # Nobody told the process to end: the loop may go on, and the driver start again.
            self._sentinel.cancel()
            self.watchdog.release_interrupts()
            atexit.unregister(self._gone)
        self._process.run_ended()

    # -- the end of the event loop

    async def _sweep_at_the_end(self) -> None:
        """Wait until the runner cancels what is left; see to it that it is not left for good."""
        try:
            await self._loop.create_future()
        except asyncio.CancelledError:
            if self.watchdog.armed:
                await self._sweep()
        finally:  # from here on nobody can block the loop
            self.watchdog.release_interrupts()

    async def _sweep(self) -> None:
        me = asyncio.current_task()
        assert me is not None
        self._hooks_over = True
        self.watchdog.start_thread_clock()
        adopt_all(self._tree, leave=self._not_ours(me))
        self._stopping.assume_cancelled()
        self._stopping.hurry()
        self._persist()  # the runner has cancelled the earlier ones
        await self._stopping.run()
        if self._stopping.left():
            self.report.count(self._stopping)
            # The runner would wait for them for ever.
            self.watchdog.end_now("tasks that do not stop are left")

    def _not_ours(self, me: "asyncio.Task[Any]") -> "set[asyncio.Task[Any]]":
        """Find the tasks that whoever ends the loop waits for, or that wait themselves."""
        not_ours = {task for task in asyncio.all_tasks() if handles_event(task)}
        not_ours |= self._process.server.tasks | everybody_above(me)
        if self._lifespan_task is not None:
            not_ours |= {self._lifespan_task, *everybody_above(self._lifespan_task)}
        return not_ours

    # -- the watchdog

    def _may_interrupt(self, task: "asyncio.Task[Any]") -> bool:
        if self._turns.interrupt(task) or self._start_up.runs_in(task):
            return True
        return (
            self._tree.lifecycle.stopping
            and task is not self._lifespan_task
            and not self._disconnecting.is_over(task)
            and task not in self._tree.internal
            and not self._tree.is_shielded(task)
        )

    def _mute(self) -> None:
        """See to it that nobody raises a false alarm. More than once does no harm."""
        if not self._muted:
            self._muted = True
            self._undo += [mute() for mute in self._process.mutes]

    def _interrupted(self) -> None:
        """After a blocking call was interrupted: those who are next are not to begin theirs.

        At any bytecode of the main thread. They may be in the loop's ready queue already, ahead of
        every callback of ours.
        """
        tree = self._tree
        me = asyncio.current_task()
        interrupted = tree.works.get(me) if me is not None else None
        if me is not None and interrupted is not None:
            tree.tell(interrupted, tree.lifecycle.reason)
            tree.note_cut(me)
            self._mute()  # it goes on at once
        for work in tree.all():
            task = work.task
            if task is None or task is me or tree.is_shielded(task) or not work.listed:
                continue
            if (
                work.grace <= ORDINARY_GRACE
                and work.ending is None
                and tree.world.must_finish(task) is None
            ):
                tree.tell(work, tree.lifecycle.reason)
                tree.cut(task, tree.lifecycle.reason)

    def _failed_hooks(self) -> dict[str, str]:
        return {**self._disconnecting.failures, **self._turns.failures}

    def _unfinished_hooks(self) -> dict[str, str]:
        if self._summarized:
            return {}
        if self._turns.began:
            return self._turns.unfinished()
        ours = (self._before_hooks, self._after_hooks)
        return {name_of(hook): SKIPPED for hook in self._process.stop_hooks if hook not in ours}

    def _note_hooks(self) -> None:
        self.report.hooks = {**self._unfinished_hooks(), **self._failed_hooks()}
        if not self._summarized:
            self._count_hooks()

    def _note_what_is_on(self) -> None:
        """Put down what has begun and not ended."""
        report = self.report
        if not report.stragglers:
            report.stragglers = [
                describe_straggler(self._tree, work, work.task, 0)
                for work in self._tree.all()
                if work.alive and work.begun
            ]
        if self._summarized:
            return
        if self._marked and len(report.timeline.phases) < len(PHASES):
            on = PHASES[len(report.timeline.phases)]
            report.timeline.phases.append(Span(on, self._since(self._marked), None))
        if not report.timeline.works:
            report.timeline.take_alive(self._tree)

    def _last_words(self, why: str) -> None:
        """Report before the process is ended by force. In a thread; the loop may be blocked.

        There may be no time for all of it, so what matters most goes first.
        """
        children = names_of_children()
        report = self.report
        report.forced = why
        report.reason = report.reason or self._tree.lifecycle.reason
        report.interrupted = self.watchdog.interrupted
        for note in (self._note_hooks, self._note_what_is_on):
            # A loop that goes on may change what is being looked at: the rest is told all the same.
            with suppress(Exception):
                note()
        report.timeline.gone = self._since(time.monotonic())
        self._save()
        logger.critical(f"Ending the process: {why}")
        if children:
            logger.critical(f"Ended with it, as children of multiprocessing: {', '.join(children)}")
        for line in [] if self._summarized else report.lines():
            logger.critical(line)
        report.threads = thread_stacks(main=not self._summarized)
        self._save()
        for name, stack in report.threads.items():
            logger.critical(f"Thread {name} is at\n{stack}")
        self._process.flush()
