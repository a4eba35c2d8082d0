"""Stopping work: tier by tier, again and again until it ends or proves to be a straggler."""

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from loguru import logger

from . import frames
from .discovery import Branch, branches
from .ending import note_who_waits, warn_of_timeout, works_of_hosts
from .kinds import Kind
from .report import describe_straggler
from .waiting import everybody_above, hosts, is_alone, passers
from .work import Limits, Section, Tree, Work

__all__ = ["Attempts", "Outcomes", "Stopping", "stop", "time_out"]

AnyTask = asyncio.Task[Any]

TIER_PATIENCE = 0.1
"""Seconds a tier gets to end before the next one is cancelled."""
PACE = 0.05
"""Seconds between two looks while there is nothing to do, and between two last cancellations."""
LAST_CHANCE = 0.1
"""Seconds that are left to a task that has had its time to clean up and is cancelled again."""
EAGER_ROUNDS = 8
"""Loop iterations without a pause: what ends at once is seen at once."""
FEW = 1000
"""Up to so many tasks it pays to look where each one stands before it is cancelled."""


@dataclass(slots=True)
class Outcomes:
    """What became of the work."""

    finished: list[Work] = field(default_factory=list[Work])
    """Ended by itself, within its grace."""
    cancelled: list[Work] = field(default_factory=list[Work])
    stragglers: list[Work] = field(default_factory=list[Work])


class Attempts:
    """How often one task was cancelled, and where it stood."""

    __slots__ = ("count", "first", "last", "position", "swallows", "work")

    def __init__(
        self, work: Work, count: int, now: float, position: frames.Position | None
    ) -> None:
        self.work = work
        self.count = count
        """0: it was not cancelled by us, but is ending: its cancellation came from another task, or
        it was made to clean up."""
        self.first = self.last = now
        self.position = position
        self.swallows = False
        """Whether it has caught a cancellation and gone on as before."""


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
    ) -> None:
        self._meant = meant or set()
        self.attempts: dict[AnyTask, Attempts] = {}
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
        self._cancelled_code: set[tuple[Work, Any]] = set()
        """What the tasks ran that were cancelled, and as part of which work."""
        self._known: set[AnyTask] = set()
        """What was there when the work it is of was told to end."""
        self._protected: set[AnyTask] = set()
        """What is not to be cut in this round."""
        self._few = True

    # -- from outside

    def hurry(self) -> None:
        """Grant no more graces."""
        self._hurried = True

    async def run(self) -> None:
        """Stop them; return when all have ended but the stragglers."""
        quiet = 0
        while True:
            acted = self.step()
            now = time.monotonic()
            tasks = [task for branch in self._open(now) for task in branch.tasks]
            if not tasks:
                return
            quiet = 0 if acted else quiet + 1
            if quiet <= EAGER_ROUNDS:
                await asyncio.sleep(0)
                continue
            # Grace or cleaning up: nothing to do but to look again before long.
            here = asyncio.get_running_loop()
            if all(task.get_loop() is here for task in tasks):
                await asyncio.wait(tasks, timeout=PACE)
            else:
                await asyncio.sleep(PACE)

    async def persist(self) -> None:
        """Let nothing that swallows its cancellations get on with its work; never returns by itself.

        Each of its attempts would be a paid request. It is cancelled in the iteration in which it
        begins the next one, so that does not come to leave the machine.
        """
        while any(a.swallows and not task.done() for task, a in self.attempts.items()):
            now = time.monotonic()
            for task, attempts in list(self.attempts.items()):
                if attempts.swallows and not task.done():
                    self._cancel_anew(task, attempts, now)
            await asyncio.sleep(0)

    def step(self) -> bool:
        """Do one round now. Whether anything was cancelled."""
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
            for task in branch.tasks:
                position = frames.Position(task)
                self.attempts.setdefault(task, Attempts(branch.work, 1, now, position))

    def sections_of(self, work: Work) -> tuple[Section, ...]:
        """What work was in when it was last seen at it: while it unwinds it leaves sections."""
        return self._seen.get(work) or tuple(work.sections)

    def kind_of(self, work: Work) -> Kind:
        """What work did when it was last seen at it."""
        return self.sections_of(work)[-1].kind

    def left(self) -> list[Branch]:
        """What had not ended when it was last looked at, and has not ended since."""
        return [branch for branch in self._branches if self._is_left(branch)]

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
            if branch.work.alive and branch.work.listed and branch.work.begun
            and branch.work.sections and branch.work.stop_reason is None
        ]

    # -- a round

    def _round(self, selected: list[Branch], now: float) -> bool:
        """Cancel what is due, as far as the tiers allow."""
        self._branches = selected
        if not selected:
            return False
        self._few = len(selected) <= FEW
        self._take_over(selected, now)
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
            for branch, since in zip(those, asked, strict=True):
                acted |= self._stop(branch, since, now)
            if now - max(asked) < TIER_PATIENCE:
                break
        return acted

    def _take_over(self, selected: list[Branch], now: float) -> None:
        """Go on where an earlier order is: to begin anew would cut what is being cleaned up."""
        for branch in selected:
            ending = branch.work.ending
            if ending is None:
                continue
            for task, attempts in ending.attempts.items():
                if task not in self.attempts and not task.done():
                    self.attempts[task] = attempts
                    self._note_passers(task, now)

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
            if branch.task in self.attempts and self.attempts[branch.task].work.ended:
                # The task has ended an inner piece of work of its own, and gone on with this one.
                del self.attempts[branch.task]
            self._known.update(branch.tasks)
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
                        self._end_hosts(each, now)
                elif not all(self._is_ending(each) for each in beneficiaries):
                    protected.add(task)
        return protected

    def _is_ending(self, task: AnyTask) -> bool:
        return any(
            (work := self.tree.works.get(each)) is not None and work.stop_reason is not None
            for each in (task, *everybody_above(task))
        )

    def _stop(self, branch: Branch, asked: float, now: float) -> bool:
        acted = False
        for task in branch.tasks:
            if self._protected and self._is_protected(task):
                continue
            acted |= self._cancel(task, branch, asked, now)
        return acted

    def _is_protected(self, task: AnyTask) -> bool:
        # Its group would be cancelled with it, and so what is protected in there.
        return task in self._protected or any(host in self._protected for host in hosts(task))

    def _cancel(self, task: AnyTask, branch: Branch, asked: float, now: float) -> bool:
        """Cancel a task, for the first time or again, if it is time for that."""
        attempts = self.attempts.get(task)
        if attempts is None:
            return self._cancel_first(task, branch, asked, now)
        if now - attempts.first >= self._limits.cancel:
            if now - attempts.last < PACE and attempts.count:
                return False
            attempts.position = frames.Position(task)
            self._deliver(task, attempts, now)
            return True
        return self._cancel_anew(task, attempts, now)

    def _cancel_first(self, task: AnyTask, branch: Branch, asked: float, now: float) -> bool:
        position = frames.Position(task) if self._few else None
        attempts = self.attempts[task] = Attempts(branch.work, 0, now, position)
        code = branch.work, frames.authors_code(task)
        if task is not branch.task and task not in self._known:
            attempts.first = asked or now
            # It was made to clean up, unless it does what was cancelled over again.
            if code not in self._cancelled_code:
                return False
            attempts.swallows = True
        self._cancelled_code.add(code)
        if task in self.tree.cuts:
            attempts.count = 1
            return False
        alone = is_alone(task)
        if not alone:
            if any(waiter in self.attempts for waiter in passers(task)):
                return False  # their cancellation is its own
            self._end_hosts(task, now)
        self._deliver(task, attempts, now)
        if not alone:
            self._note_passers(task, now)
        return True

    def _cancel_anew(self, task: AnyTask, attempts: Attempts, now: float) -> bool:
        """Cancel again a task that has caught its cancellation and gone round a loop."""
        if attempts.position is None or not attempts.position.begun_anew(task):
            return False
        attempts.position = frames.Position(task)
        attempts.swallows = True
        self._deliver(task, attempts, now)
        return True

    def _deliver(self, task: AnyTask, attempts: Attempts, now: float) -> None:
        attempts.count += 1
        attempts.last = now
        ending = attempts.work.ending
        if ending is not None:
            ending.cancels += 1
            ending.attempts[task] = attempts
        loop = task.get_loop()
        if loop is asyncio.get_running_loop():
            task.cancel(self._reason)
            return
        try:  # a thread with a loop of its own
            loop.call_soon_threadsafe(task.cancel, self._reason)
        except RuntimeError:  # it has been closed, and its tasks with it
            attempts.first = 0.0

    def _end_hosts(self, task: AnyTask, now: float) -> None:
        """Cancel the hosts that would go on as if the task had done its work."""
        for host, work in works_of_hosts(self.tree, task):
            if host in self.attempts or host in self._protected:
                continue
            if work is not None:
                self._seen.setdefault(work, tuple(work.sections))
                self.tree.tell(work, self._reason)
            attempts = Attempts(work or _NOBODY, 0, now, frames.Position(host))
            self.attempts[host] = attempts
            self._deliver(host, attempts, now)

    def _note_passers(self, task: AnyTask, now: float) -> None:
        """Take it that who awaits the task is ending too: its cancellation comes to him.

        It would cut what he does about it if he were cancelled besides.
        """
        for waiter in everybody_above(task):
            work = self.tree.works.get(waiter)
            if work is not None and work.root and waiter not in self.attempts:
                work.outcome = work.outcome or self._reason
            if waiter not in self.attempts:
                self.attempts[waiter] = Attempts(work or _NOBODY, 0, now, frames.Position(waiter))

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
        for task in branch.tasks:
            if task.done():
                continue
            attempts = self.attempts.get(task)
            if attempts is None or now - attempts.first < self._limits.cancel + LAST_CHANCE:
                return False
        return True


_NOBODY = Work(None, None, None, 0.0)
"""The work of a task that is none of its own."""


def stop(tree: Tree, targets: list[Section], reason: str) -> None:
    """End sections while the bot runs on, and what belongs to them, and nothing else.

    It returns when they have been cancelled for the first time.

    Args:
        tree: Where they are.
        targets: What is to end.
        reason: What ``Interrupted`` says.

    """
    chosen: dict[Work, Section] = {}
    for section in targets:
        if section.work is not None:
            chosen.setdefault(section.work, section)
    if not chosen:
        return
    for work in chosen:
        tree.world.told_to_end(work)
        if work.task is not None:
            note_who_waits(tree, work.task, reason)
    stopping = Stopping(
        tree,
        lambda: _belonging(tree, chosen),
        reason,
        target=chosen.get,
        meant=set(chosen),
    )
    stopping.hurry()
    stopping.step()  # now; not when the loop comes round to it
    tree.run_internal(_see_to_it(tree, stopping), "cancel")


async def _see_to_it(tree: Tree, stopping: Stopping) -> None:
    await stopping.run()
    for branch in stopping.left():
        for task in branch.tasks:
            if not task.done() and task in stopping.attempts:
                straggler = describe_straggler(tree, branch.work, task, stopping.attempts[task].count)
                logger.error(f"Does not stop: {straggler}")


def time_out(tree: Tree, section: Section) -> None:
    """End a section because it takes too long."""
    work = section.work
    if work is None or work.ending is not None:
        return
    section.timed_out = True
    if work.root and section is work.sections[0]:
        warn_of_timeout(tree, work, section)
    stop(tree, [section], "timed out")


def _belonging(tree: Tree, chosen: dict[Work, Section]) -> list[Branch]:
    """Find what is to end, and what ends with it: what it has begun, and what it awaits."""
    selected: list[Branch] = []
    everything = branches(tree)
    for branch in everything:
        work = branch.work
        section = chosen.get(work)
        if section is None:
            above = _chosen_above(work, chosen)
            if above is None:
                continue
            section = chosen[work] = work.sections[0] if work.sections else above
        if section.work is None and branch.task is not None:
            continue  # it has ended, and its task goes on
        branch.members = [task for task in branch.members if _is_awaited(task, branch)]
        selected.append(branch)
    return selected


def _chosen_above(work: Work, chosen: dict[Work, Section]) -> Section | None:
    """Find the section that is to end and that a piece of work was begun in."""
    each = work
    while each.parent is not None:
        if _may_serve_others(each):
            return None
        if each.parent in chosen:
            section = chosen[each.parent]
            return section if each.started >= section.started else None
        each = each.parent
    return None


def _may_serve_others(work: Work) -> bool:
    """Whether it may be a queue worker: spawned in the background, and not awaited."""
    parent, task = work.parent, work.task
    if not work.spawned or not work.sections or work.sections[0].kind.name != "background":
        return False
    return parent is None or task is None or parent.task not in everybody_above(task)


def _is_awaited(task: AnyTask, branch: Branch) -> bool:
    return branch.task is None or branch.task in everybody_above(task)
