"""Work and its sections: the nodes of the tree.

A task does *work* from the moment somebody says so until it ends or the last of its *sections* is
left. A section is opened in one task and may be closed from any, by identity; it is closed with the
task it was opened in at the latest. Nothing is held across an await: no scope, no token.
"""

import asyncio
import contextvars
import itertools
import time
from collections.abc import Iterator
from typing import Any

from .cancellations import Cancellations
from .kinds import Kind
from .places import Claim, Place
from .world import Origin

__all__ = ["Ending", "Section", "Work", "is_for", "living", "made_in", "owner"]

AnyTask = asyncio.Task[Any]

_ids = itertools.count(1)


class Section:
    """One stretch of a task in which it does work of a kind.

    Args:
        kind: As of :class:`track`, and so are the others.
        name: What the log calls it.
        grace: Seconds; None: the kind's.
        timeout: Seconds; None: the kind's.
        notice: What the chat is told.
        resume: Whether its request is to be taken up again; None: as the settings say.

    """

    # What most sections never need has no slot, but is there: it costs nothing to make.
    __slots__ = ("__dict__", "kind", "name", "started", "work")

    own_grace: float | None = None
    """What was asked for; None: the kind's."""
    own_timeout: float | None = None
    notice: str | bool | None = None
    resume: bool | None = None
    """Whether its request is to be taken up again after a restart; None: as the settings say."""
    place: "Place | Claim | None" = None
    """One of its kind's, if there is a limit."""
    timer: asyncio.TimerHandle | None = None
    cancellations: Cancellations | None = None
    """Tells those of its time-out from others; None before its time runs, and if it has none."""
    timed_out = False
    placed: float = 0.0
    """``time.monotonic()`` when it got its place; 0 before, and if there is no limit."""
    raised: type[BaseException] | None = None
    """The class of what has left it, as far as it saw that itself."""

    def __init__(  # noqa: PLR0917 - keywords cost time
        self,
        kind: Kind,
        name: str | None = None,
        grace: float | None = None,
        timeout: float | None = None,
        notice: str | bool | None = None,
        resume: bool | None = None,
    ) -> None:
        self.kind: Kind = kind
        self.name: str | None = name
        self.started: float = 0.0
        """``time.monotonic()``; 0 before it was opened."""
        self.work: Work | None = None
        """What it is a stretch of; None before it is opened and after it is closed."""
        if grace is not None:
            self.own_grace = grace
        if timeout is not None:
            self.own_timeout = timeout
        if notice is not None:
            self.notice = notice
        if resume is not None:
            self.resume = resume

    @property
    def timeout(self) -> float | None:
        """Seconds it may wait for a place, and then take."""
        return self.kind.timeout if self.own_timeout is None else self.own_timeout


class Ending:
    """The ending of a piece of work: what was told to end, and why."""

    __slots__ = ("asked", "attempts", "cancels", "reason", "target")

    def __init__(self, target: Section, reason: str) -> None:
        self.target: Section = target
        """Over when this is closed. Its task may go on, as a queue worker does."""
        self.reason: str = reason
        self.asked: float = time.monotonic()
        self.cancels: int = 0
        """How often we have cancelled the work's own task for it."""
        self.attempts: tuple[Any, ...] = ()
        """What stopping knows of each task that was cancelled for it. There may be many orders."""

    @property
    def cancelled(self) -> bool:
        """Whether we have cancelled anything for it, be it a task that merely belongs to the work."""
        return bool(self.cancels or self.attempts)

    def was_cancelled(self, task: AnyTask) -> bool:
        """Whether stopping has cancelled a task for it."""
        return any(each.task is task and each.count for each in self.attempts)


class Work:
    """A node of the tree: a matcher run, a job, a spawned coroutine or any task with a section."""

    __slots__ = (
        "__dict__",
        "aware",
        "coro",
        "ended",
        "id",
        "left",
        "origin",
        "parent",
        "sections",
        "spawned",
        "started",
        "task",
    )

    outer: "Work | None" = None
    """What the same task does around it: a worker around its job."""
    ending: Ending | None = None
    """Told to end, and not there yet."""
    outcome: str | None = None
    """Why it or a section of it was told to end, once it has been."""
    orphan = False
    """Whether it has outlived what began it: plugins' own hooks may want to end it first."""
    adopted = False
    """Whether it is a task that nobody registered and that has outlived what began it: nobody can tell
    whether it does its request's errand or serves everybody."""
    root = False
    """A matcher run or a job: whoever waits for it does not end with it."""
    begun = True
    """Whether it has come to its work; a matcher whose rule is being checked has not."""
    listed = True
    """Whether it is shown and counted; our own hooks are not."""
    event: Any = None
    """For whose it is, where somebody has said so and what is around it is for another one's."""
    request: "Work | None" = None
    """The run that had begun with that event; None: it had ended."""
    apart = False
    """Whether it is no part of what its task belongs to: a job, in a worker that somebody has made."""
    before: "Work | None" = None
    """What its task belonged to before, and does again afterwards, if it is apart."""
    resumed = False
    """Whether it was begun before a restart, and is taken up again."""
    ended_at: float = 0.0
    """``time.monotonic()`` when it ended, if that was at a shutdown."""
    answered = False
    """Whether it has sent what it had to say when it was to end."""
    cut_began: float = 0.0
    """When the latest of what a person has ended in it had begun, by ``time.monotonic()``."""
    note = ""
    """What it says of itself, such as the attempt of a retry."""

    def __init__(
        self, task: AnyTask | None, parent: "Work | None", origin: Origin | None, section: Section
    ) -> None:
        self.id: int = next(_ids)
        self.task: AnyTask | None = task
        """None before a spawned one has its task, and after its end."""
        self.coro: Any = None
        """What a spawned one runs, while it has no task."""
        self.parent: Work | None = parent
        """The work it was begun in; not necessarily alive any more."""
        self.origin: Origin | None = origin
        self.sections: list[Section] = [section]
        self.started: float = section.started
        self.ended: bool = False
        self.left: bool = False
        """Whether its task went on when it ended: what that makes from then on is not of it."""
        self.spawned: bool = False
        """Whether it is a task that we made, and whose failure we log if nobody else looks."""
        self.aware: bool = False
        """Whether its author has used ``track`` or ``spawn`` in it, and so knows of being stopped."""

    @property
    def kind(self) -> Kind:
        """The kind of the innermost section."""
        return self.sections[-1].kind

    @property
    def name(self) -> str:
        """The name of the innermost section that has one, else the task's."""
        for section in reversed(self.sections):
            if section.name:
                return section.name
        return self.task.get_name() if self.task else ""

    @property
    def tier(self) -> int:
        """The lowest tier of all sections it is in: what holds the exit longest, goes first."""
        if len(self.sections) == 1:
            return self.sections[0].kind.tier
        return min((section.kind.tier for section in self.sections), default=0)

    @property
    def grace(self) -> float:
        """Seconds: as asked for where it is, else of its kind, or as asked for around it if longer."""
        innermost, asked = self.sections[-1], self.asked_grace
        if asked is None:
            return innermost.kind.grace
        return asked if innermost.own_grace is not None else max(asked, innermost.kind.grace)

    @property
    def is_nobodys(self) -> bool:
        """Whether it was spawned as nobody's: maybe a worker, which serves everybody."""
        return self.spawned and is_for(self, None)

    @property
    def asked_grace(self) -> float | None:
        """Seconds that an author has asked for, here or around it; None: nobody has.

        A request of ``http_client()`` says nothing of its grace, and the author does, around it.
        """
        work: Work | None = self
        while work is not None and not work.ended:
            for section in reversed(work.sections):
                if section.own_grace is not None:
                    return section.own_grace
            # What was spawned has a grace of its own, and so has what is another's.
            work = None if work.spawned or work.root else work.outer or work.parent
        return None

    @property
    def queued(self) -> bool:
        """Whether it waits for a place."""
        return bool(self.sections) and isinstance(self.sections[-1].place, Claim)

    @property
    def alive(self) -> bool:
        """Whether it goes on."""
        return not self.ended and self.task is not None and not self.task.done()

    @property
    def stop_reason(self) -> str | None:
        """Why it, or what it belongs to, is to end; None while it is not."""
        work: Work | None = self
        while work is not None:
            if work.ending is not None:
                return work.ending.reason
            # A worker is told by itself: it does not end with the request that has started it.
            work = None if work.is_nobodys else work.parent
        return None

    def ancestors(self) -> "Iterator[Work]":
        """Itself, what it was begun in, and so on."""
        work: Work | None = self
        while work is not None:
            yield work
            work = work.parent


owner: contextvars.ContextVar[Work | None] = contextvars.ContextVar("graceful_owner", default=None)
"""The work a new task belongs to. Tasks copy their maker's context, so they inherit it."""


def living(work: Work | None) -> Work | None:
    """Give the nearest that has not ended of a piece of work and what it was begun in."""
    # A task that is done closes its work in the next iteration only; others may be woken before.
    while work is not None and (work.ended or (work.task is not None and work.task.done())):
        work = work.parent
    return work


def made_in(work: Work | None) -> Work | None:
    """Give the work that a task was made in, from what its context holds."""
    while work is not None and work.left:
        work = work.outer or work.parent
    return work


def is_for(work: Work | None, event: Any) -> bool:
    """Whether work is certainly for that event; for None: whether it is for none."""
    if work is None or work.adopted:
        return False
    return getattr(work.origin, "event", None) is event
