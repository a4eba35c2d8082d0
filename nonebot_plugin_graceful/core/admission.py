"""Whether new work may begin."""

import asyncio
import time
from typing import TYPE_CHECKING, Any

from .errors import Interrupted
from .kinds import ORDINARY, Kind

if TYPE_CHECKING:
    from .tree import Tree
    from .work import Work

__all__ = ["INHERITED", "Admission"]


class _Inherited:
    """Stands for the event that the surrounding work is for."""

    def __repr__(self) -> str:
        return "INHERITED"


INHERITED: Any = _Inherited()


class Admission:
    """Admits everything, but while the bot is being stopped or drained.

    Args:
        tree: Where the work is to begin.

    """

    def __init__(self, tree: "Tree") -> None:
        self._tree = tree
        self.refusing: str = ""
        """Why no new AI work is taken on; empty while it is."""
        self.turns: int = 0
        """How often that was changed: tells one drain from the next."""
        self.stops_when_empty: bool = False
        """Whether the bot is to stop when nothing is in flight any more."""
        self.stops_at: float | None = None
        """When it is to stop in any case, by ``time.monotonic``."""
        self._since: float = 0.0

    def refuse(
        self, reason: str, *, stops_when_empty: bool = False, stops_in: float | None = None
    ) -> None:
        """Take on no new AI work from now on.

        Args:
            reason: For whoever asks why.
            stops_when_empty: What somebody means to do then; told to whoever looks.
            stops_in: The same, with the seconds until it is done in any case.

        """
        self._since = time.monotonic()
        self.turns += 1
        self.refusing = reason
        self.stops_when_empty = stops_when_empty
        self.stops_at = None if stops_in is None else self._since + stops_in

    def resume(self) -> None:
        """Take it on again."""
        self.turns += 1
        self.refusing = ""
        self.stops_when_empty, self.stops_at = False, None

    @property
    def seconds_left(self) -> int | None:
        """Whole seconds until the bot is to stop in any case; None: it is not."""
        at = self.stops_at
        return None if at is None else max(0, round(at - time.monotonic()))

    def check(self, kind: Kind, task: "asyncio.Task[Any] | None", event: Any) -> None:
        """Check whether a task may begin work of a kind, for an event that is not its work's own.

        What began before a drain may go on to its end, and a shield is not to be cut.

        Raises:
            Interrupted: The bot is being stopped.
            Refused: It runs on, but takes on no new AI work.

        """
        tree = self._tree
        if tree.lifecycle.stopping:
            if task not in tree.shields:
                raise Interrupted(tree.lifecycle.reason)
        elif self.refusing and kind.name not in ORDINARY:
            work = tree.current() if event is INHERITED else tree.world.request_of(event)
            if work is None or not self._was_admitted(work):
                for meter in tree.world.meters:
                    meter.refused(kind, work)
                raise tree.world.refusal(self.refusing, work)

    def _was_admitted(self, work: "Work") -> bool:
        for ancestor in work.ancestors():
            if ancestor.ended:
                continue
            if any(section.kind.name not in ORDINARY for section in ancestor.sections):
                return True
            # A request, and what was spawned for one: not a worker, whose next job is new.
            of_request = ancestor.root or (ancestor.origin is not None and ancestor.origin.user)
            if of_request and ancestor.started < self._since:
                return True
        return False
