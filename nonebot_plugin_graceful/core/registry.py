"""Every task in flight that somebody should know of: what it does, for whom, and since when."""

import asyncio
import contextvars
import gc
import itertools
import sys
import time
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

from anyio import CancelScope, CapacityLimiter

from . import frames
from .errors import Interrupted
from .kinds import Kind, Kinds
from .lifecycle import lifecycle

__all__ = [
    "Family",
    "Limits",
    "Origin",
    "PluginOrigin",
    "Record",
    "Registry",
    "Section",
    "TaskInfo",
    "context_of",
    "owner",
    "registry",
]


@dataclass(frozen=True, slots=True)
class Limits:
    """How long stopping waits for what."""

    cancel: float = 1.0
    """Seconds from a task's first cancellation until it counts as a straggler."""
    shield: float = 3.0
    """Seconds a shield, or a reply under way, may hold a cancellation back."""


T = TypeVar("T")
AnyTask = asyncio.Task[Any]

ORDINARY = ("handler", "job", "background")
"""Kinds of which new tasks are taken on even while AI work is refused."""

_ids = itertools.count(1)


class Origin(Protocol):
    """Whose request a task works on. All of it may be unknown."""

    @property
    def plugin(self) -> str | None:
        """The id of the plugin that does the work."""

    @property
    def matcher(self) -> str | None:
        """Where its matcher was defined."""

    @property
    def bot(self) -> str | None:
        """The id of the bot that was asked."""

    @property
    def user(self) -> str | None:
        """The id of who asked."""

    @property
    def chat(self) -> str | None:
        """The id of the group or channel where it was asked, else of who asked."""


@dataclass(frozen=True, slots=True)
class PluginOrigin:
    """Of work that a plugin does on nobody's request."""

    plugin: str | None
    matcher: str | None = None
    bot: str | None = None
    user: str | None = None
    chat: str | None = None


@dataclass(frozen=True, slots=True)
class TaskInfo:
    """What is known of one task, at the moment of asking."""

    id: int
    kind: str
    tier: int
    name: str
    state: str
    """``queued`` for its kind's limit, ``running``, ``shielded``, or ``stopping``."""
    age: float
    """Seconds."""
    where: str
    """``file:line`` where it stands."""
    note: str
    """What it says of itself, such as the attempt of a retry."""
    plugin: str | None
    matcher: str | None
    bot: str | None
    user: str | None
    chat: str | None


class Section:
    """One stretch in which a task does work of a kind."""

    __slots__ = ("_grace", "kind", "limiter", "name", "notice", "scope", "started", "timeout")

    def __init__(
        self,
        kind: Kind,
        name: str | None = None,
        grace: float | None = None,
        timeout: float | None = None,
        notice: str | bool | None = None,
    ) -> None:
        self.kind = kind
        self.name = name
        self._grace = grace
        self.timeout = timeout if timeout is not None else kind.timeout
        self.notice = notice
        self.started = 0.0
        """``time.monotonic()``."""
        self.limiter: CapacityLimiter | None = None
        """Where it has a place, if its kind has a limit."""
        self.scope: CancelScope | None = None
        """What ends it after ``timeout``."""

    @property
    def grace(self) -> float:
        """Seconds."""
        return self.kind.grace if self._grace is None else self._grace


class Record:
    """One asyncio task in flight."""

    __slots__ = (
        "asked",
        "aware",
        "begun",
        "cancelled",
        "ended",
        "id",
        "note",
        "origin",
        "parent",
        "queued",
        "reason",
        "sections",
        "task",
    )

    def __init__(
        self, task: AnyTask | None, section: Section, parent: "Record | None", origin: Origin | None
    ) -> None:
        self.id = next(_ids)
        self.task = task
        self.sections = [section]
        self.parent = parent
        """The task it was made in and ends with, if any."""
        self.origin = origin
        self.queued = False
        self.begun = True
        """Whether it has come to its work; a matcher whose rule is being checked has not."""
        self.ended = False
        self.aware = False
        """Whether its author has used ``track`` or ``spawn`` in it, and so knows of being stopped."""
        self.cancelled = False
        """Whether it has been cancelled; one that is to stop may still be sending a reply."""
        self.note = ""
        self.reason: str | None = None
        """Why it is to stop; None while it is not."""
        self.asked = 0.0
        """``time.monotonic()`` when it was first to stop."""

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
        return min(section.kind.tier for section in self.sections)

    @property
    def grace(self) -> float:
        """Seconds, of the innermost section."""
        return self.sections[-1].grace

    @property
    def started(self) -> float:
        """``time.monotonic()`` of its outermost section's begin."""
        return self.sections[0].started

    @property
    def alive(self) -> bool:
        """Whether the work goes on."""
        return not self.ended and self.task is not None and not self.task.done()

    @property
    def stop_reason(self) -> str | None:
        """Why it, or the task it belongs to, is to stop; None while it is not."""
        record: Record | None = self
        while record is not None and record.reason is None:
            record = record.parent
        return record.reason if record is not None else None


class Family:
    """A record's task, and the tasks made under it that nobody registered: they end together."""

    __slots__ = ("leader", "members", "record")

    def __init__(self, record: Record, leader: AnyTask | None) -> None:
        self.record = record
        self.leader = leader
        """The record's own task, unless it has ended."""
        self.members = [] if leader is None else [leader]


owner: contextvars.ContextVar[Record | None] = contextvars.ContextVar(
    "graceful_owner", default=None
)
"""The record a new task belongs to. Tasks copy their maker's context, so they inherit it."""

if sys.version_info >= (3, 12):

    def context_of(task: AnyTask) -> contextvars.Context | None:
        """Give the context a task runs in."""
        return task.get_context()

else:

    def context_of(task: AnyTask) -> contextvars.Context | None:
        """Give the context a task runs in.

        Before 3.12 a task does not tell its context, but refers to it. A task factory would tell
        too, at a price for every task the bot ever makes; this costs only when asked.
        """
        for referent in gc.get_referents(task):
            if isinstance(referent, contextvars.Context):
                return referent
        return None


class Registry:
    """The tasks in flight, by task."""

    def __init__(self) -> None:
        self.recognizers: list[Callable[[AnyTask], bool]] = []
        """Shown every task that nothing is known of. They register those they recognize."""
        self.plugin_kinds: dict[str, str] = {}
        """Kinds an operator has given to other people's plugins."""
        self.internal: set[AnyTask] = set()
        """Our own tasks: never to be stopped."""
        self.on_cancel: list[Callable[[Record], None]] = []
        """Told of every task that is cancelled while the bot runs on."""
        self.on_refuse: list[Callable[[Record], None]] = []
        """Told of every task whose work is refused while the bot runs on."""
        self.is_busy: Callable[[AnyTask], bool] = lambda _: False
        """Whether a task is inside something that must not be cut, beside ``shield()``."""
        self.reset(Kinds())

    def reset(self, kinds: Kinds, limits: Limits = Limits()) -> None:
        """Forget everything in flight, and use these settings."""
        self.kinds = kinds
        self.limits = limits
        self.records: dict[AnyTask, Record] = {}
        self.noted: dict[Record, Kind] = {}
        """What was at work at the signal, and what it did."""
        self.shields: dict[AnyTask, int] = {}
        """How many ``shield()`` each task is in."""
        self.refusing = ""
        """Why no new AI work is taken on; empty while it is."""
        self._refusing_since = 0.0
        self._limiters: dict[str, CapacityLimiter] = {}

    # -- who is in

    def add(self, task: AnyTask, section: Section, *, origin: Origin | None = None) -> Record:
        """Register a task until it ends."""
        section.started = time.monotonic()
        record = Record(task, section, None, origin)
        self.records[task] = record
        task.add_done_callback(self.discard)
        return record

    def drop(self, task: AnyTask, record: Record) -> None:
        """Take out a task that goes on, but no longer does work of any kind."""
        del self.records[task]
        record.ended = True
        owner.set(record.parent)

    def discard(self, task: AnyTask) -> None:
        """Take out a task that has ended."""
        record = self.records.pop(task, None)
        if record is not None:
            record.ended = True
            record.task = None
            if record.reason is None and task.cancelled():  # by itself, or by somebody else
                record.reason = "cancelled"
            for section in record.sections:
                self.release(section)

    def note_in_flight(self) -> None:
        """Note what is at work at this moment. At any bytecode of the event loop's thread."""
        self.noted = {record: record.kind for record in list(self.records.values())}

    def current(self) -> Record | None:
        """Give the record of the running task, or of the task it belongs to."""
        task = asyncio.current_task()
        return (self.records.get(task) if task else None) or owner.get()

    def annotate(self, note: str) -> None:
        """Let the running task say of itself what it is at; empty to take it back."""
        record = self.current()
        if record is not None:
            record.note = note

    def run_internal(self, coro: Coroutine[Any, Any, T], name: str) -> "asyncio.Task[T]":
        """Run a task of our own."""
        task = asyncio.get_running_loop().create_task(coro, name=f"graceful {name}")
        self.internal.add(task)
        task.add_done_callback(self.internal.discard)
        return task

    # -- taking on

    def refuse(self, reason: str) -> None:
        """Take on no new AI work from now on; set ``refusing`` to nothing to take it on again."""
        self.refusing = reason
        self._refusing_since = time.monotonic()

    def admit(self, kind: Kind) -> None:
        """Check whether the running task may begin work of a kind.

        What began before the refusal may go on to its end.

        Raises:
            Interrupted: No new work of this kind is taken on.

        """
        if not self.refusing or kind.name in ORDINARY:
            return
        record = self.current()
        if record is not None and record.alive and self._was_admitted(record):
            return
        if record is not None:
            for hook in (*self.on_cancel, *self.on_refuse):
                hook(record)
        raise Interrupted(self.refusing)

    def _was_admitted(self, record: Record) -> bool:
        ancestor: Record | None = record
        while ancestor is not None:
            if any(section.kind.name not in ORDINARY for section in ancestor.sections):
                return True
            if ancestor.origin is not None and ancestor.started < self._refusing_since:
                return True
            ancestor = ancestor.parent
        return False

    # -- limits

    async def acquire(self, record: Record, section: Section) -> None:
        """Wait for one of the places that the section's kind has."""
        kind = section.kind
        if kind.limit is None:
            return
        limiter = self._limiters.get(kind.name)
        if limiter is None:
            limiter = self._limiters[kind.name] = CapacityLimiter(kind.limit)
        record.queued = True
        try:
            await limiter.acquire_on_behalf_of(section)
        finally:
            record.queued = False
        section.limiter = limiter
        if lifecycle.stopping:  # the one before us was stopped: that makes no room for us
            self.release(section)
            raise Interrupted(lifecycle.reason)

    def release(self, section: Section) -> None:
        """Give the section's place to the next in the queue, if it had one."""
        if section.limiter is not None:
            section.limiter.release_on_behalf_of(section)
            section.limiter = None

    # -- looking

    def families(self) -> list[Family]:
        """Everything in flight, with the tasks that belong to it.

        What outlives its handler is left out: it is left to the plugins' own ``on_shutdown``
        hooks (see :meth:`outlived`).
        """
        strangers = self._strangers()
        families = [
            Family(record, task)
            for task, record in self.records.items()
            if task not in self.internal and not task.done()
        ]
        if strangers:
            by_record = {family.record: family for family in families}
            for task, record in strangers:
                if not record.alive and record.reason is None:
                    continue
                family = by_record.get(record)
                if family is None:
                    family = by_record[record] = Family(record, None)
                    families.append(family)
                family.members.append(task)
        return families

    def adopt_outlived(self) -> None:
        """Register the tasks whose handler has ended by itself."""
        for task, record in self._strangers():
            if not record.alive and record.reason is None:
                self.add(task, Section(self.kinds["background"]), origin=record.origin)

    def adopt_all(self, is_waiting: Callable[[AnyTask], bool]) -> None:
        """Register every task there is, but our own.

        Args:
            is_waiting: Whether a task only waits for others, and is none of its own.

        """
        for task in asyncio.all_tasks() - self.records.keys() - self.internal:
            if not is_waiting(task):
                self.add(task, Section(self.kinds["background"]))

    def _strangers(self) -> list[tuple[AnyTask, Record]]:
        """Tasks that did not register themselves, and the record each belongs to.

        Those that turn out to be work of their own are registered.
        """
        strangers: list[tuple[AnyTask, Record]] = []
        current = asyncio.current_task()
        for task in asyncio.all_tasks():
            if task in self.records or task in self.internal or task is current:
                continue
            context = context_of(task)
            record = context.get(owner) if context is not None else None
            if record is None:
                for recognize in self.recognizers:
                    if recognize(task):
                        break
            elif not self._adopt(task, record):
                strangers.append((task, record))
        return strangers

    def _adopt(self, task: AnyTask, record: Record) -> bool:
        """Register a task that outlives its handler, if the operator called it work of a kind.

        It may as well be a queue worker that wants to flush.
        """
        if record.alive or record.reason is not None:
            return False
        kind = self.plugin_kinds.get(record.origin.plugin or "") if record.origin else None
        if kind is None:
            return False
        self.add(task, Section(self.kinds[kind]), origin=record.origin)
        return True

    def is_shielded(self, task: AnyTask) -> bool:
        """Whether the task is inside ``shield()``."""
        return task in self.shields

    def info(self, record: Record) -> TaskInfo:
        """Describe a record."""
        origin = record.origin
        task = record.task
        if record.queued:
            state = "queued"
        elif task is not None and self.is_shielded(task):
            state = "shielded"
        elif record.reason is not None:
            state = "stopping"
        else:
            state = "running"
        return TaskInfo(
            id=record.id,
            kind=record.kind.name,
            tier=record.tier,
            name=record.name,
            state=state,
            age=time.monotonic() - record.started,
            where=frames.where(task) if task else "",
            note=record.note,
            plugin=origin.plugin if origin else None,
            matcher=origin.matcher if origin else None,
            bot=origin.bot if origin else None,
            user=origin.user if origin else None,
            chat=origin.chat if origin else None,
        )


registry = Registry()
"""One for the process, as there is one bot in it."""
