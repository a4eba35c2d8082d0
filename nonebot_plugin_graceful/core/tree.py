"""The tree of work: what is in flight, what belongs to what, and when each piece ends."""

import asyncio
import contextlib
import contextvars
import itertools
import time
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any, TypeVar
from weakref import WeakSet

from .admission import INHERITED, Admission
from .current import current_task
from .failures import log_failure
from .frames import context_of
from .kinds import Kinds
from .lifecycle import Lifecycle
from .meters import outcome_of
from .places import Places
from .work import Ending, Section, Work, is_for, living, made_in, owner
from .world import Origin, PluginOrigin, World

__all__ = ["Limits", "Tree", "disown"]

AnyTask = asyncio.Task[Any]
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Limits:
    """How long stopping waits for what."""

    cancel: float = 1.0
    """Seconds from a task's first cancellation until it counts as a straggler."""
    shield: float = 3.0
    """Seconds a shield, or a reply under way, may hold a cancellation back."""


class Tree:
    """Everything in flight, by task.

    Args:
        kinds: Every kind by its name.
        limits: How long stopping waits for what.
        world: What the tree has to ask of what is around it.

    """

    def __init__(
        self, kinds: Kinds | None = None, limits: Limits | None = None, world: World | None = None
    ) -> None:
        self.kinds: Kinds = kinds or Kinds()
        self.limits: Limits = limits or Limits()
        self.world: World = world or World()
        self.lifecycle: Lifecycle = Lifecycle()
        self.places: Places = Places(self.lifecycle)
        self.admission: Admission = Admission(self)
        self.works: dict[AnyTask, Work] = {}
        """The innermost work of every task that does any."""
        self.shields: dict[AnyTask, int] = {}
        """How many ``shield()`` each task is in."""
        self.cuts: WeakSet[AnyTask] = WeakSet()
        """Tasks that were cancelled as soon as their reply was sent."""
        self.internal: set[AnyTask] = set()
        """Our own tasks: never to be stopped."""
        self._when_done = self._task_done  # one object for all tasks

    # -- opening and closing

    def open(self, section: Section, task: AnyTask) -> Work:
        """Open a section in a task; one that does no work yet does some from now on."""
        section.started = time.monotonic()
        work = self.works.get(task)
        if work is not None:
            work.sections.append(section)
        else:
            work = self._begin(section, task)
        section.work = work
        if self.world.watching or section.resume is not None:
            self.world.section_opened(section, work)
        return work

    def _begin(self, section: Section, task: AnyTask) -> Work:
        maker = self._attach_if_begun_at_once(task)
        if maker is not None:
            maker.sections.append(section)
            return maker
        parent = living(owner.get())
        if parent is None:
            work = Work(task, None, None, section)
        else:
            work = Work(task, parent, parent.origin, section)
            parent.aware = True
        self.works[task] = work
        task.add_done_callback(self._when_done)
        owner.set(work)
        return work

    def open_work(
        self,
        section: Section,
        task: AnyTask,
        origin: Origin | None,
        *,
        event: Any = INHERITED,
        root: bool = False,
        begun: bool = True,
    ) -> Work:
        """Open a section as work of its own, on somebody's behalf.

        Args:
            section: Its first section.
            task: The task that does it, be it for a while or to its end.
            origin: On whose.
            event: Whose event it is for, if its author says so. He knows better than the task, which
                is for ever that of whoever has made it.
            root: Whether it is a matcher run or a job.
            begun: Whether it has come to its work.

        """
        section.started = time.monotonic()
        own = task is _current_task()
        if own:
            self._attach_if_begun_at_once(task)
        outer = self.works.get(task)
        work = Work(task, outer or (living(owner.get()) if own else None), origin, section)
        work.outer, work.root, work.begun = outer, root, begun
        if event is not INHERITED:
            self._be_for(work, event, apart=outer is None)
        section.work = work
        self._enter(work, task)
        if own:
            owner.set(work)
        if not root:
            self.world.section_opened(section, work)
        return work

    def start(
        self,
        section: Section,
        coro: Coroutine[Any, Any, T],
        origin: Origin | None = None,
        *,
        inherit: bool = False,
        event: Any = INHERITED,
        listed: bool = True,
    ) -> "asyncio.Task[T]":
        """Run a coroutine as a task of its own, in a section.

        Args:
            section: Its first section.
            coro: What it runs.
            origin: On whose behalf.
            inherit: Whether it is on behalf of whoever the work is for that starts it.
            event: Whose event it is for, if its author says so.
            listed: Whether it is to be shown and counted.

        """
        section.started = time.monotonic()
        parent = living(owner.get())
        if inherit and parent is not None:
            origin = parent.origin
            if origin is not None and section.kind.name == "background":
                # Maybe a worker that serves everybody: then it is not for whoever came first.
                origin = PluginOrigin(origin.plugin)
        work = Work(None, parent, origin, section)
        work.aware = work.spawned = True
        if event is not INHERITED:
            self._be_for(work, event, apart=_current_task() not in self.works)
        if not listed:
            work.listed = False
        work.coro = coro
        section.work = work
        if self.world.watching:
            self.world.section_opened(section, work)
        # create_task takes a context only from 3.11 on. To set and reset the variable in this one would
        # leave another set of variables each time, for as long as the task lives.
        task = contextvars.copy_context().run(_make_task, work, coro, section.name)
        if work.coro is None:
            pass  # begun at once, by an eager task factory, and it has told us already
        elif task.done():
            work.coro = None
            self._close_all(work)
            self._report(task)
        else:
            self._attach(work, task)
        return task

    def close(self, section: Section) -> None:
        """Close a section, in whatever task. More than once does no harm."""
        work = section.work
        if work is None:
            return
        if self.world.meters:
            self._measure(section, work, None)
        section.work = None
        if section.place is not None:
            self.places.leave(section)
        if section.timer is not None:
            section.timer.cancel()
        sections = work.sections
        if sections[-1] is section:
            sections.pop()
        else:
            sections.remove(section)
        ending = work.ending
        if ending is not None and ending.target is section:
            self._told_and_done(work, ending)
        if not sections:
            self._leave(work)

    def _be_for(self, work: Work, event: Any, *, apart: bool) -> None:
        """Have work be for an event, though what is around it may be for another one.

        Args:
            work: What is about to be opened.
            event: Whose; None: nobody's.
            apart: Whether it is then no part of that either: a task that nobody has registered may
                be a worker, and was only made by whoever came first.

        """
        if is_for(work.parent, event):
            return
        work.event = event
        work.request = self.world.request_of(event)
        if apart:
            work.apart, work.before = True, made_in(owner.get())
            work.parent = work.request

    def _attach_if_begun_at_once(self, task: AnyTask) -> Work | None:
        """Attach a spawned task that has begun before ``spawn()`` got to see it; give its work."""
        maker = owner.get()
        if maker is None or maker.coro is None or maker.coro is not task.get_coro():
            return None
        self._attach(maker, task)
        return maker

    def _attach(self, work: Work, task: AnyTask) -> None:
        work.task = task
        work.coro = None
        self.works[task] = work
        task.add_done_callback(self._when_done)

    def _enter(self, work: Work, task: AnyTask) -> None:
        if task not in self.works:
            task.add_done_callback(self._when_done)
        self.works[task] = work

    def _leave(self, work: Work) -> None:
        """Take out work whose task goes on."""
        task = work.task
        self._end(work)
        if task is None or self.works.get(task) is not work:
            return
        outer = work.outer
        while outer is not None and outer.ended:
            outer = outer.outer
        if outer is not None:
            self.works[task] = outer
        else:
            del self.works[task]
            task.remove_done_callback(self._when_done)
            if work.spawned:  # it may still fail, be it by its section's time-out
                task.add_done_callback(self._report)
        if work.outcome is None and not work.apart:
            work.left = True
        else:
            _disown(work, task, outer or (_before(work) if work.apart else work.parent))

    def _task_done(self, task: AnyTask) -> None:
        work = self.works.pop(task, None)
        while work is not None:
            outer = work.outer
            if not work.ended:
                self._close_all(work)
                if work.spawned:
                    self._report(task)
                elif work.root:
                    told = task.cancelled() and work.outcome is not None
                    self.world.run_ended(work, told=told)
                if work.outcome is None and task.cancelled():  # by itself, or by somebody else
                    work.outcome = "cancelled"
            work = outer

    def _close_all(self, work: Work) -> None:
        for section in reversed(work.sections):
            if self.world.meters:
                self._measure(section, work, work.task)
            section.work = None
            if section.place is not None:
                self.places.leave(section)
            if section.timer is not None:
                section.timer.cancel()
        self._end(work)

    def _measure(self, section: Section, work: Work, task: AnyTask | None) -> None:
        """Tell those who count of a section that is about to be closed."""
        if not (work.listed and work.begun):
            return
        around = itertools.takewhile(lambda each: each is not section, work.sections)
        if any(each.kind is section.kind for each in around):
            return  # a stretch of a kind within another one of that kind is no further one
        outcome = outcome_of(section, work, task, self.lifecycle.phase)
        if outcome == "done" and task is not None and self.world.has_failed(task):
            outcome = "failed"
        for meter in self.world.meters:
            meter.ended(section, work, outcome)

    def _report(self, task: AnyTask) -> None:
        if _is_unretrieved(task):
            # Whoever awaits it is woken in the same iteration, after us.
            task.get_loop().call_soon(_report_unless_awaited, task)

    def _end(self, work: Work) -> None:
        if self.world.watching or work.outcome is not None:
            self.world.work_ended(work)
        work.ended = True
        if self.lifecycle.stopping:
            work.ended_at = time.monotonic()
        work.task = None
        if work.ending is not None:
            work.ending = None

    def _told_and_done(self, work: Work, ending: Ending) -> None:
        """Let the task go on, as whole as before: what was told to end has ended."""
        work.ending = None
        task = work.task
        uncancel: Callable[[], int] | None = getattr(task, "uncancel", None)  # from 3.11 on
        if task is None or task.done() or uncancel is None:
            return
        for _ in range(ending.cancels):
            uncancel()

    # -- ending

    def tell(self, work: Work, reason: str, target: Section | None = None) -> Ending:
        """Note that work, or a section of it, is to end. Cancelling it is stopping's business.

        Args:
            work: What is to end.
            reason: What ``Interrupted`` says.
            target: What it ends with, where its task may go on afterwards; by default all of it.

        """
        sections = work.sections
        target = target or sections[0]
        ending = work.ending
        if ending is None:
            ending = work.ending = Ending(target, reason)
            work.outcome = reason
        elif sections.index(target) < sections.index(ending.target):
            ending.target = target
        return ending

    # -- looking

    def current(self) -> Work | None:
        """Give the work of the running task, or what that task belongs to."""
        task = _current_task()
        work = self.works.get(task) if task is not None else None
        return work if work is not None else living(owner.get())

    def all(self) -> list[Work]:
        """Everything in flight."""
        works: list[Work] = []
        for work in list(self.works.values()):
            inner: Work | None = work
            while inner is not None:
                if not inner.ended:
                    works.append(inner)
                inner = inner.outer
        return works

    def snapshot(self) -> dict[Work, tuple[Section, ...]]:
        """Note what is at work at this moment, at any bytecode of the event loop's thread."""
        return {work: tuple(work.sections) for work in list(self.works.values()) if work.sections}

    def is_shielded(self, task: AnyTask | None) -> bool:
        """Whether the task is inside ``shield()``."""
        return task in self.shields

    def cut(self, task: AnyTask, reason: str) -> None:
        """Cancel a task that is to end, at the moment it has sent what it was sending."""
        if not task.done() and self.note_cut(task):
            task.cancel(reason)

    def note_cut(self, task: AnyTask) -> bool:
        """Take note that a task is being cancelled. False if it has been: it cleans up."""
        work = self.works.get(task)
        ending = work.ending if work is not None else None
        if task in self.cuts or (ending is not None and ending.was_cancelled(task)):
            return False
        self.cuts.add(task)
        if ending is not None:
            ending.cancels += 1
        return True

    def shield(self, task: AnyTask) -> None:
        """Do not cut a task from now on."""
        depth = self.shields.get(task, 0)
        if not depth:
            task.add_done_callback(self._shielded_ended)
        self.shields[task] = depth + 1

    def unshield(self, task: AnyTask) -> bool:
        """Take one shield of a task away. Whether that was the last one."""
        depth = self.shields.get(task, 0)
        if depth > 1:
            self.shields[task] = depth - 1
            return False
        if depth:
            del self.shields[task]
            task.remove_done_callback(self._shielded_ended)
        return True

    def _shielded_ended(self, task: AnyTask) -> None:
        self.shields.pop(task, None)

    def run_internal(self, coro: Coroutine[Any, Any, T], name: str) -> "asyncio.Task[T]":
        """Run a task of our own."""
        loop = asyncio.get_running_loop()
        # In a context of its own: it belongs to nobody's work.
        task = contextvars.Context().run(
            lambda: loop.create_task(coro, name=f"graceful {name}"),
        )
        self.internal.add(task)
        task.add_done_callback(self.internal.discard)
        return task


def _make_task(work: Work, coro: Coroutine[Any, Any, T], name: str | None) -> "asyncio.Task[T]":
    owner.set(work)  # what is made under it belongs to it
    return asyncio.get_running_loop().create_task(coro, name=name)


def _before(work: Work) -> Work | None:
    """Give what a task belongs to again after a job, unless that was told to end meanwhile."""
    before = work.before
    told = before is not None and before.ended and before.outcome is not None
    return None if told else before


def _disown(work: Work, task: AnyTask, heir: Work | None) -> None:
    """Have a task that goes on belong to what it belonged to before."""
    if task is _current_task():
        if made_in(owner.get()) is work:
            owner.set(heir)
        return
    context = context_of(task)
    if context is not None and made_in(context.get(owner)) is work:
        with contextlib.suppress(RuntimeError):  # shared with the task that runs, and entered
            context.run(owner.set, heir)


def disown(task: AnyTask) -> None:
    """Have a task go on that was made in work which ends: it belongs to nobody from now on."""
    context = context_of(task)
    if context is not None:
        with contextlib.suppress(RuntimeError):  # shared with the task that runs, and entered
            context.run(owner.set, None)


def _is_unretrieved(task: AnyTask) -> bool:
    # What asyncio itself goes by for "Task exception was never retrieved".
    return bool(getattr(task, "_log_traceback", False))


def _report_unless_awaited(task: AnyTask) -> None:
    if _is_unretrieved(task) and (error := task.exception()) is not None:
        log_failure(f"Task {task.get_name()}", error)


def _current_task() -> AnyTask | None:
    try:
        return current_task()
    except RuntimeError:  # a thread without an event loop
        return None
