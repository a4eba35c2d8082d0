"""Stopping work: tier by tier, again and again until it ends or proves to be a straggler."""

import asyncio
import gc
import time
from collections.abc import Callable, Collection, Generator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from .cancelling import LAST_CHANCE, PACE, Cancelling
from .discovery import Branch
from .ending import works_of_hosts
from .kinds import Kind
from .tree import Limits, Tree
from .waiting import everybody_above, hosts
from .work import Section, Work

__all__ = ["Outcomes", "Stopping"]

AnyTask = asyncio.Task[Any]
AnyFuture = asyncio.Future[Any]

TIER_PATIENCE = 0.1
"""Seconds a tier gets to end before the next one is cancelled."""
STILL_ROUNDS = 1000
"""Rounds that follow at once though no time passes, while each has something to cancel."""
EAGER_ROUNDS = 8
"""Loop iterations without a pause: what ends at once is seen at once."""
EAGER_LOOKS = 500
"""The same, in looks at tasks: what closes a connection and asks again takes a few dozen."""
FEW = 1000
"""Up to so many tasks it pays to look where each one stands before it is cancelled."""


@dataclass(slots=True)
class Outcomes:
    """What became of the work."""

    finished: list[Work] = field(default_factory=list[Work])
    """Ended by itself, within its grace."""
    cancelled: list[Work] = field(default_factory=list[Work])
    stragglers: list[Work] = field(default_factory=list[Work])


@contextmanager
def _no_garbage_collected() -> Generator[None]:
    """Leave that out of a round, in which it would look at everything in flight again and again."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


class Stopping:
    """The stopping of some branches, from the first cancellation to the last straggler.

    Args:
        tree: Where they are.
        select: Gives the branches to stop. It is asked again in every round, so work that is begun
            by work being stopped is caught too.
        reason: What ``Interrupted`` says.
        target: What of a piece of work is to end; by default all of it.
        due: When work is to be stopped at the latest, by ``time.monotonic()``.
        meant: Work that is to end for its own sake, whoever else waits for what it computes.
        goes_on: As :class:`Cancelling` takes it.

    """

    def __init__(
        self,
        tree: Tree,
        select: Callable[[], list[Branch]],
        reason: str,
        *,
        target: Callable[[Work], Section | None] = lambda _: None,
        due: Callable[[Work], float] = lambda _: 0.0,
        limits: Limits | None = None,
        meant: "set[Work] | None" = None,
        goes_on: Callable[[AnyFuture, Collection[AnyFuture]], bool] | None = None,
    ) -> None:
        self._meant = meant or set()
        self.tree = tree
        self._select = select
        self._reason = reason
        self._target = target
        self._due = due
        self._limits = limits or tree.limits
        self._hurried = False
        self._branches: list[Branch] = []
        self._held: dict[Work, float] = {}
        """Until when, by ``time.monotonic()``, somebody waited for work that had its grace."""
        self._seen: dict[Work, tuple[Section, ...]] = {}
        """Everything that was looked at, and what it was in while it was not yet stopping."""
        self._asked: dict[Work, float] = {}
        """Since when, by ``time.monotonic()``, work knows that it is to end."""
        self._protected: set[AnyTask] = set()
        """What is not to be cut in this round."""
        self._spared: dict[AnyTask, float] = {}
        """When, by ``time.monotonic()``, a task was last not cancelled because of that."""
        self.cancelling: Cancelling = Cancelling(
            tree,
            reason,
            patience=self._limits.cancel,
            on_host=self._remember_work,
            goes_on=goes_on,
        )

    # -- from outside

    def hurry(self) -> None:
        """Grant no more graces."""
        self._hurried = True

    async def run(self) -> None:
        """Stop them; return when all have ended but the stragglers."""
        quiet = still = 0
        began = before = time.monotonic()
        while True:
            # As of before: whom this round cancels has had no turn yet, however long the round takes.
            now = time.monotonic()
            acted = self.step()
            quiet = 0 if acted else quiet + 1
            still = still + 1 if acted and now == before else 0
            before = now
            # Too soon for stragglers. A clock that moves only while all wait has to come to that.
            if acted and still < STILL_ROUNDS and now - began < self._limits.cancel:
                await asyncio.sleep(0)
                continue
            tasks = [task for branch in self._open(now) for task in branch.tasks]
            if not tasks:
                return
            eager = quiet <= EAGER_ROUNDS or quiet * len(tasks) <= EAGER_LOOKS
            if eager and still < STILL_ROUNDS:
                await asyncio.sleep(0)
                continue
            # Grace or cleaning up: nothing to do but to look again before long.
            here = asyncio.get_running_loop()
            if all(task.get_loop() is here for task in tasks):
                await asyncio.wait(tasks, timeout=PACE)
            else:
                await asyncio.sleep(PACE)

    def step(self) -> bool:
        """Do one round now. Whether anything was cancelled."""
        with _no_garbage_collected():
            return self._round(self._select(), time.monotonic())

    def look(self, earlier: dict[Work, tuple[Section, ...]], now: list[Branch]) -> None:
        """Take in what is there, and cancel nothing.

        Args:
            earlier: What was there at the signal, and what it was in. Some may have ended since by
                asking whether they are to.
            now: What is there.

        """
        self._seen.update(earlier)
        self._remember(now)

    def assume_cancelled(self) -> None:
        """Take it that somebody else has just cancelled every task."""
        now = time.monotonic()
        self._branches = self._select()
        for branch in self._branches:
            self._tell(branch)
            self.cancelling.assume(branch, now)

    def sections_of(self, work: Work) -> tuple[Section, ...]:
        """What work was in when it was last seen at it: while it unwinds it leaves sections."""
        return self._seen.get(work) or tuple(work.sections)

    def kind_of(self, work: Work) -> Kind:
        """What work did when it was last seen at it."""
        return self.sections_of(work)[-1].kind

    def left(self) -> list[Branch]:
        """What had not ended when it was last looked at, and has not ended since."""
        return [branch for branch in self._branches if self._is_left(branch)]

    def told_at(self, work: Work) -> float | None:
        """Tell since when, by ``time.monotonic()``, work knows that it is to end; None: it does not."""
        return self._asked.get(work)

    def unlisted(self) -> list[Work]:
        """Give what was looked at, and is not counted: hooks of our own kind."""
        return [work for work in list(self._seen) if not work.listed]

    def stuck(self) -> list[tuple[Branch, AnyTask, int]]:
        """Every task that has not ended, of which branch it is, and how often it was cancelled."""
        attempts = self.cancelling.attempts
        return [
            (branch, task, attempts[task].count)
            for branch in self.left()
            for task in branch.tasks
            if not task.done() and task in attempts
        ]

    def outcomes(self) -> Outcomes:
        """Sort everything that was seen by what became of it."""
        outcomes = Outcomes()
        stuck = {branch.work for branch in self.left()}
        for work in self._seen:
            if work in stuck:
                outcomes.stragglers.append(work)
            elif not work.begun or not work.listed:
                continue
            elif work.outcome is None:
                outcomes.finished.append(work)
            else:
                outcomes.cancelled.append(work)
        return outcomes

    def not_yet_told(self) -> list[Work]:
        """What still has its grace, as it was last looked at."""
        return [
            branch.work
            for branch in self._branches
            if branch.work.alive
            and branch.work.listed
            and branch.work.begun
            and branch.work.sections
            and branch.work.stop_reason is None
        ]

    # -- a round

    def _round(self, selected: list[Branch], now: float) -> bool:
        """Cancel what is due, as far as the tiers allow."""
        self._branches = selected
        if not selected:
            return False
        self.cancelling.take_over(selected, now)
        self._remember(selected)
        due = self._due_now(selected, now)
        tiers: dict[int, list[Branch]] = {}
        for branch in due:
            tiers.setdefault(branch.work.tier, []).append(branch)
        acted = False
        for tier in sorted(tiers):
            # Those first who still wait for a place: none is to become free for them.
            those = sorted(tiers[tier], key=lambda branch: not branch.work.queued)
            asked = [self._tell(branch) for branch in those]
            self._protected = self._not_to_be_cut(selected, now)
            self.cancelling.protect(self._protected)
            for branch, since in zip(those, asked, strict=True):
                acted |= self._stop(branch, since, now, look=len(selected) <= FEW)
            if now - max(asked) < TIER_PATIENCE:
                break
        return acted

    def _remember_work(self, work: Work) -> None:
        self._seen.setdefault(work, tuple(work.sections))

    def _remember(self, selected: list[Branch]) -> None:
        for branch in selected:
            work = branch.work
            if work.sections and (work.outcome is None or work not in self._seen):
                self._seen[work] = tuple(work.sections)

    def _due_now(self, selected: list[Branch], now: float) -> list[Branch]:
        if self._hurried or self.tree.lifecycle.presses > 1:
            return selected
        due: list[Branch] = []
        held: set[Work] = set()
        for branch in selected:
            work = branch.work
            if work.queued or not work.begun or not work.sections or self._due(work) <= now:
                due.append(branch)
            else:  # whoever waits for work that still has its grace, has it too
                held.update(work.ancestors())
        for work in held:
            self._held[work] = now
        if not self._held:
            return due
        # Once that has finished, there is its result to take.
        return [
            branch
            for branch in due
            if now - self._held.get(branch.work, 0.0) >= TIER_PATIENCE
            and not (branch.task and self._would_end_somebody_held(branch.task, now))
        ]

    def _would_end_somebody_held(self, task: AnyTask, now: float) -> bool:
        return any(
            work is not None and now - self._held.get(work, 0.0) < TIER_PATIENCE
            for _, work in works_of_hosts(self.tree, task)
        )

    def _tell(self, branch: Branch) -> float:
        """Tell work to end. Since when it knows."""
        work = branch.work
        if work.ended:
            return self._asked.get(work, 0.0)
        if work.ending is None:
            self.cancelling.know(branch)
        asked = self.tree.tell(work, self._reason, self._target(work)).asked
        return self._asked.setdefault(work, asked)

    def _not_to_be_cut(self, selected: list[Branch], now: float) -> set[AnyTask]:
        """Find what is shielded or replying, and whose cancellation would cut it."""
        tree, protected = self.tree, set[AnyTask]()
        for branch in selected:
            ending = branch.work.ending
            if ending is not None and now - ending.asked >= self._limits.shield:
                continue
            for task in branch.tasks:
                if task in tree.shields:
                    protected.add(task)
                    protected |= everybody_above(task)
                    continue
                beneficiaries = tree.world.must_finish(task)
                if beneficiaries is None:
                    continue
                if not beneficiaries:
                    protected.add(task)
                    protected |= everybody_above(task)
                elif branch.work in self._meant:
                    for each in beneficiaries:
                        self.cancelling.end_hosts(each, now)
                elif not all(self._is_ending(each) for each in beneficiaries):
                    protected.add(task)
        return protected

    def _is_ending(self, task: AnyTask) -> bool:
        return any(
            (work := self.tree.works.get(each)) is not None and work.stop_reason is not None
            for each in (task, *everybody_above(task))
        )

    def _stop(self, branch: Branch, asked: float, now: float, *, look: bool) -> bool:
        acted = False
        for task in self.cancelling.in_order(branch.tasks):
            if self._protected and self._is_protected(task):
                self._spared[task] = now
                continue
            acted |= self.cancelling.cancel(task, branch, asked, now, look=look)
        return acted

    def _is_protected(self, task: AnyTask) -> bool:
        # Its group would be cancelled with it, and so what is protected in there.
        return task in self._protected or any(host in self._protected for host in hosts(task))

    # -- the end

    def _open(self, now: float) -> list[Branch]:
        """What is not yet known to be stuck."""
        return [
            branch
            for branch in self._branches
            if self._is_left(branch) and not self._is_straggler(branch, now)
        ]

    def _is_left(self, branch: Branch) -> bool:
        if all(task.done() for task in branch.tasks):
            return False
        # What was to end may have, and its task goes on.
        return not branch.work.ended or branch.task is None

    def _is_straggler(self, branch: Branch, now: float) -> bool:
        return all(
            task.done()
            or (self.cancelling.is_straggler(task, now) and not self._is_spared(task, now))
            for task in branch.tasks
        )

    def _is_spared(self, task: AnyTask, now: float) -> bool:
        """Whether a task replies or is shielded, or did just now, and has yet to end after that."""
        return task in self._spared and now - self._spared[task] < LAST_CHANCE
