"""What the core has to ask of what is around it; alone it knows only asyncio."""

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from .errors import Refused

if TYPE_CHECKING:
    from .meters import Meter
    from .work import Section, Work

__all__ = ["Origin", "PluginOrigin", "Recognized", "World"]

AnyTask = asyncio.Task[Any]


class Origin(Protocol):
    """Whose request a piece of work is for. All of it may be unknown."""

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
class Recognized:
    """What a task that nobody registered turned out to be."""

    kind: str
    name: str | None
    origin: Origin | None
    root: bool = True
    """Whether it is a matcher run or a job."""
    begun: bool = True
    """False: it is only looked for to be stopped, and has not come to its work."""


class World:
    """The world of a plain asyncio program. NoneBot's overrides what it knows better."""

    def __init__(self) -> None:
        self.meters: list[Meter] = []
        """Those who count what happens."""
        self.watching: bool = False
        """Whether somebody is to hear of every section and of the end of all work, and not only of
        sections that say ``resume=`` and of work that was told to end."""

    def recognize(self, task: AnyTask) -> Recognized | None:
        """Tell what a task is that belongs to no work."""
        del task
        return None

    def must_finish(self, task: AnyTask) -> list[AnyTask] | None:
        """Tell for whom a task does something that is not to be cut.

        Returns:
            None: for nobody. Tasks: for those, as long as one of them goes on. None of them: it is
            for somebody outside, as a message that is being sent.

        """
        del task
        return None

    def plugin_of(self, module: str) -> str | None:
        """Tell the id of the plugin that a module belongs to."""
        del module
        return None

    def carried_by(self, task: AnyTask) -> Origin | None:
        """Tell on whose behalf a task is that was made in no work, from what it has in hand."""
        del task
        return None

    def response_of(self, task: AnyTask) -> str:
        """Tell what a server's task answers, such as ``GET /events``; empty: it is none's."""
        del task
        return ""

    def awaits_verdict(self, task: AnyTask) -> bool:
        """Whether a task that serves many lets something run unless those it hosts object."""
        del task
        return False

    def origin_of(self, event: Any) -> Origin | None:
        """Tell on whose behalf an event is."""
        del event
        return None

    def request_of(self, event: Any) -> "Work | None":
        """Give the work on the request that an event began, while it is in flight."""
        del event
        return None

    def refusal(self, reason: str, work: "Work | None") -> Refused:
        """Make the exception by which work is refused, and tell whoever asked for it."""
        del work
        return Refused(reason)

    def told_to_end(self, work: "Work") -> None:
        """Take note that work was told to end while the bot runs on."""

    def section_opened(self, section: "Section", work: "Work") -> None:
        """Take note that work has come to a section."""

    def section_refused(self, section: "Section", work: "Work") -> None:
        """Take note that work may not come to a section, since the bot is being stopped."""

    def run_refused(self, origin: Origin) -> None:
        """Take note that a matcher run may not begin, since the bot is being stopped."""

    def event_refused(self, origin: Origin) -> None:
        """Take note that an event is not handled at all, since the bot is being stopped."""

    def has_failed(self, task: AnyTask) -> bool:
        """Whether a task has failed that ended without an exception."""
        del task
        return False

    def work_ended(self, work: "Work") -> None:
        """Take note that work ends; it still has its task and its ending."""

    def run_timed_out(self, work: "Work") -> None:
        """Take note that a matcher run ends because something in it took too long."""

    def run_ended(self, work: "Work", *, told: bool) -> None:
        """Take note that a matcher run or a job has ended; ``told``: because it was told to."""
