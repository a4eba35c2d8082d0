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
        """How many kept results of each step have been given out."""
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
