"""Stopping tasks: tier by tier, again and again until they end or prove to be stragglers."""

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from . import frames
from .kinds import Kind
from .registry import Family, Limits, Record, registry

__all__ = ["Attempts", "Outcomes", "Stopping"]

AnyTask = asyncio.Task[Any]

TIER_PATIENCE = 0.1
"""Seconds a tier gets to end before the next one is cancelled."""
PACE = 0.05
"""Seconds between two cancellations of a task that may be cleaning up."""
EAGER_CANCELS = 100
"""How often a task that visibly swallows its cancellation is cancelled without a pause."""
EAGER_ROUNDS = 8
"""Loop iterations without a pause: what ends at once is seen at once."""
FEW = 1000
"""Up to so many tasks it pays to look where each one stands before it is cancelled."""


@dataclass(slots=True)
class Outcomes:
    """What became of the tasks."""

    finished: list[Record] = field(default_factory=list[Record])
    """Ended by themselves, within their grace."""
    cancelled: list[Record] = field(default_factory=list[Record])
    stragglers: list[Record] = field(default_factory=list[Record])


class Attempts:
    """How often one task was cancelled, and where it stood."""

    __slots__ = ("count", "first", "last", "position")

    def __init__(self, now: float, position: frames.Position | None) -> None:
        self.count = 1
        self.first = self.last = now
        self.position = position


class Stopping:
    """The stopping of some families, from the first cancellation to the last straggler.

    Args:
        select: Gives the families to stop. It is asked again in every round, so tasks that are
            started by tasks being stopped are caught too.
        reason: What ``Interrupted`` says.
        due: When a record is to be stopped at the latest, by ``time.monotonic()``.
        limits: How long to wait.
        is_busy: Whether a task is inside something that must not be cut, beside ``shield()``.

    """

    def __init__(
        self,
        select: Callable[[], list[Family]],
        reason: str,
        *,
        due: Callable[[Record], float] = lambda _: 0.0,
        limits: Limits | None = None,
        is_busy: Callable[[AnyTask], bool] = lambda _: False,
    ) -> None:
        self._select = select
        self._reason = reason
        self._due = due
        self._limits = limits or Limits()
        self._is_busy = is_busy
        self._hurried = False
        self._families: list[Family] = []
        self._held: dict[Record, float] = {}
        """Until when, by ``time.monotonic()``, somebody waited for a task that had its grace."""
        self._seen: dict[Record, Kind] = {}
        """Everything that was looked at, and what it did while it was not yet stopping."""
        self.attempts: dict[AnyTask, Attempts] = {}
        self._few = True

    def assume_cancelled(self) -> None:
        """Take it that somebody else has just cancelled every task."""
        now = time.monotonic()
        for family in self.select():
            family.record.reason = family.record.reason or self._reason
            family.record.asked = family.record.asked or now
            for task in family.members:
                self.attempts.setdefault(task, Attempts(now, frames.position(task)))

    def hurry(self) -> None:
        """Grant no more graces."""
        self._hurried = True

    async def run(self) -> None:
        """Stop them; return when all have ended but the stragglers."""
        quiet = 0
        while families := self.select():
            now = time.monotonic()
            if self._round(families, now):
                quiet = 0
            open_ = [family for family in families if not self._is_straggler(family, now)]
            if not open_:
                break
            quiet += 1
            if quiet <= EAGER_ROUNDS:
                await asyncio.sleep(0)
            else:
                # Grace or cleaning up: nothing to do but to look again before long.
                tasks = [task for family in open_ for task in family.members]
                await asyncio.wait(tasks, timeout=PACE)

    def select(self) -> list[Family]:
        """Look anew at what is to be stopped."""
        self._families = self._select()
        return self._families

    def left(self) -> list[Family]:
        """What had not ended when it was last looked at, and has not ended since."""
        return [
            family
            for family in self._families
            if any(
                not task.done() and not (family.record.ended and family.leader is task)
                for task in family.members
            )
        ]

    def step(self) -> None:
        """Do one round now."""
        self._round(self.select(), time.monotonic())

    def look(self, earlier: dict[Record, Kind]) -> None:
        """Take in what is there, and cancel nothing.

        Args:
            earlier: What was there at the signal. Some may have ended since by asking whether
                they are to.

        """
        self._seen.update(earlier)
        self._remember(self.select())

    def _remember(self, families: list[Family]) -> None:
        for family in families:
            record = family.record
            if record.reason is None or record not in self._seen:
                self._seen[record] = record.kind

    def kind_of(self, record: Record) -> Kind:
        """What a record did when it was last seen at work: while it unwinds it leaves sections."""
        return self._seen.get(record, record.kind)

    def outcomes(self) -> Outcomes:
        """Sort everything that was seen by what became of it."""
        outcomes = Outcomes()
        stuck = {family.record for family in self.left()}
        for record in self._seen:
            if record in stuck:
                outcomes.stragglers.append(record)
            elif not record.begun:
                continue
            elif record.reason is None:
                outcomes.finished.append(record)
            else:
                outcomes.cancelled.append(record)
        return outcomes

    def _round(self, families: list[Family], now: float) -> bool:
        """Cancel what is due, as far as the tiers allow. Whether anything was cancelled."""
        self._remember(families)
        self._few = len(families) <= FEW
        due = self._due_now(families, now)
        # Within a tier those first who still wait for a place: none is to become free for them.
        tiers: dict[int, list[Family]] = {}
        for family in sorted(due, key=lambda family: not family.record.queued):
            tiers.setdefault(family.record.tier, []).append(family)
        acted = False
        for tier in sorted(tiers):
            for family in tiers[tier]:
                acted |= self._stop(family, now)
            if any(now - family.record.asked < TIER_PATIENCE for family in tiers[tier]):
                break
        return acted

    def _due_now(self, families: list[Family], now: float) -> list[Family]:
        due: list[Family] = []
        held: set[Record | None] = set()
        for family in families:
            record = family.record
            waits = record.queued or not record.begun
            if self._hurried or waits or self._due(record) <= now:
                due.append(family)
                continue
            # Whoever waits for a task that still has its grace, has it too.
            parent = record.parent
            while parent is not None and parent not in held:
                held.add(parent)
                parent = parent.parent
        self._held.update((record, now) for record in held if record is not None)
        # Once that task has finished, there is its result to take.
        return [
            family
            for family in due
            if self._hurried or now - self._held.get(family.record, 0.0) >= TIER_PATIENCE
        ]

    def _stop(self, family: Family, now: float) -> bool:
        record = family.record
        if record.reason is None:
            record.reason = self._reason
            record.asked = now
        members = family.members
        if now - record.asked < self._limits.shield:
            for task in members:
                if task in registry.shields or self._is_busy(task):
                    return False
        acted = False
        for task in members:
            if self._is_time(task, now):
                task.cancel(self._reason)
                record.cancelled = acted = True
        return acted

    def _is_time(self, task: AnyTask, now: float) -> bool:
        """Whether to cancel this task now, be it for the first time or again."""
        attempts = self.attempts.get(task)
        if attempts is None:
            self.attempts[task] = Attempts(now, frames.position(task) if self._few else None)
            return True
        position = frames.position(task)
        swallowed = attempts.position is not None and position.repeats(attempts.position)
        if now - attempts.last < PACE and not (swallowed and attempts.count < EAGER_CANCELS):
            return False
        attempts.count += 1
        attempts.last = now
        attempts.position = position
        return True

    def _is_straggler(self, family: Family, now: float) -> bool:
        for task in family.members:
            attempts = self.attempts.get(task)
            if attempts is None or now - attempts.first < self._limits.cancel:
                return False
        return True
