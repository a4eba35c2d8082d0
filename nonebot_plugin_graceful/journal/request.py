"""One request of the journal, while it is worked on."""

import asyncio
import hashlib
from collections.abc import Callable

from nonebot.adapters import Event

from nonebot_plugin_graceful.core.work import Work

from . import codec
from .rows import Reply, Row

__all__ = ["Request", "name_of", "rebuild"]


class Request:
    """A request while it is worked on, or about to be."""

    __slots__ = (
        "at_end",
        "begun",
        "calls",
        "event",
        "id",
        "key",
        "left",
        "name",
        "replayed",
        "replies",
        "root",
        "single",
        "steps",
        "taken",
        "unfit",
        "works",
    )

    def __init__(self, row: Row, event: Event, *, replayed: bool = False) -> None:
        self.id: int = row.id
        self.key: str = row.key
        self.name: str = name_of(row.key, row.plugin, row.matcher)
        """What ``request_key()`` gives."""
        self.event: Event = event
        self.unfit: bool = bool(row.unfit)
        """Whether it is only kept for its asker to be told."""
        self.single: bool = bool(row.matcher)
        """Whether one matcher is to have it, and not all."""
        self.begun: asyncio.Event = asyncio.Event()
        """Set when one that is taken up again has come to what is resumed of it, or will not."""
        self.replayed: bool = replayed
        """Whether it was taken up again."""
        self.replies: list[Reply] = []
        """The messages it had sent before, and that are not to be sent again."""
        self.calls: dict[str, int] = {}
        """The last one of each function that a worker does."""
        self.steps: dict[str, set[int]] = {}
        """The numbers of each step's calls: those that run, and those that have come to a result."""
        self.at_end: list[Callable[[], None]] = []
        """Called when it has ended by itself, and nobody will take it up again."""
        self.root: Work | None = None
        """Its matcher run, once that has come to its handlers."""
        self.works: set[Work] = set()
        """What is in flight for it."""
        self.left: bool = False
        """Whether some of it was stopped by the shutdown."""
        self.taken: bool = False
        """Whether its matcher has begun with it; or, if all are to have it, one that is resumed."""

    def begin_step(self, step: str) -> int:
        """Number a call, from 0, by how many were begun before it and have not failed.

        Not when it ends: of those side by side, another one may be the first to do so after a restart.
        """
        taken = self.steps.setdefault(step, set())
        number = next(n for n in range(len(taken) + 1) if n not in taken)
        taken.add(number)
        return number

    def fail_step(self, step: str, number: int) -> None:
        """Give the number of a call that has failed to the next one, which may be another try."""
        self.steps[step].discard(number)


def rebuild(row: Row) -> Event | None:
    """Give the event that a row was written for; None: it cannot be rebuilt."""
    try:
        event = codec.load(row.event)
    except ValueError:
        return None
    return event if isinstance(event, Event) else None


def name_of(key: str, plugin: str, matcher: str) -> str:
    """Give what a request, and its replay, is called towards others."""
    return hashlib.sha256(f"{key}\n{plugin}\n{matcher}".encode()).hexdigest()[:32]
