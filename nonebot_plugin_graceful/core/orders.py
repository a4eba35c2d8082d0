"""Orders to end something while the bot runs on: by a person, by its author, by its time-out."""

import asyncio
from collections.abc import Collection
from typing import Any

from loguru import logger

from .cancellations import TIMED_OUT, Cancellations
from .discovery import Branch, branches
from .ending import does_work, note_who_waits, warn_of_timeout
from .frames import context_of, is_task
from .report import describe_straggler
from .stopping import Stopping
from .tree import Tree, disown
from .waiting import everybody_above, hosts, waiters
from .work import Section, Work, made_in, owner

__all__ = ["TIMED_OUT", "run_time", "stop", "time_out"]

AnyTask = asyncio.Task[Any]
AnyFuture = asyncio.Future[Any]


def stop(
    tree: Tree, targets: list[Section], reason: str, *, of_requests: bool = False
) -> list[Section]:
    """End sections while the bot runs on, and what belongs to them, and nothing else.

    It returns when they have been cancelled for the first time.

    Args:
        tree: Where they are.
        targets: What is to end.
        reason: What ``Interrupted`` says.
        of_requests: They were chosen for whom they work: what somebody else waits for too, goes on.

    Returns:
        What was told to end.

    """
    chosen: dict[Work, Section] = {}
    for section in targets:
        if section.work is not None:
            chosen.setdefault(section.work, section)
    if not chosen:
        return []
    order = _Order(tree, chosen, meant=set() if of_requests else set(chosen))
    order.select()
    told = {work: section for work, section in chosen.items() if work in order.chosen}
    for work, section in told.items():
        if reason != TIMED_OUT:
            _note_cut(work, section)
        tree.world.told_to_end(work)
        if work.task is not None:
            note_who_waits(tree, work.task, reason)
    stopping = Stopping(
        tree,
        order.select,
        reason,
        target=order.chosen.get,
        meant=set(told),
        goes_on=order.goes_on,
    )
    stopping.hurry()
    stopping.step()  # now; not when the loop comes round to it
    tree.run_internal(_see_to_it(tree, stopping), "cancel")
    return list(told.values())


def _note_cut(work: Work, section: Section) -> None:
    """Let what a section is in know of its end: it is not to be done once more."""
    for each in work.ancestors():
        each.cut_began = max(each.cut_began, section.started)
        if _may_serve_others(each):
            return


async def _see_to_it(tree: Tree, stopping: Stopping) -> None:
    await stopping.run()
    for branch, task, cancels in stopping.stuck():
        logger.error(f"Does not stop: {describe_straggler(tree, branch.work, task, cancels)}")


def run_time(tree: Tree, section: Section) -> None:
    """Let a section's time run, if it has a time-out. In the task that it was opened in."""
    if section.timeout is not None:
        loop = asyncio.get_running_loop()
        section.cancellations = Cancellations(asyncio.current_task())
        section.timer = loop.call_later(section.timeout, time_out, tree, section)


def time_out(tree: Tree, section: Section) -> None:
    """End a section because it takes too long."""
    work = section.work
    if work is None or work.ending is not None:
        return
    section.timed_out = True
    if section.cancellations is not None:
        section.cancellations.expect_own()
    if work.root and section is work.sections[0]:
        warn_of_timeout(tree, work, section)
    stop(tree, [section], TIMED_OUT)


class _Order:
    """What ends by one order: what is to, and what belongs to it and to nobody else.

    What somebody has registered belongs to the work it was begun in. A task that nobody has
    registered may as well be a worker or a cache that serves everybody, and was only begun by whoever
    came first. It ends if it is waited for, and only by what ends too. If nobody waits for it, it is
    left alone: one request that is paid for nothing costs less than a worker that is gone. So it is
    behind ``asyncio.shield``, by which its author has said just that.

    Args:
        tree: Where.
        chosen: What is to end, and of which work.
        meant: What of that ends whoever else waits for it.

    """

    def __init__(self, tree: Tree, chosen: dict[Work, Section], *, meant: set[Work]) -> None:
        self.chosen: dict[Work, Section] = dict(chosen)
        """What is to end so far, with what was begun in it."""
        self._tree = tree
        self._meant = meant
        self._doomed: set[AnyTask] = set()
        """What ends in any case: who has waited for it may have ended already."""
        self._above: set[Work] = {each for work in chosen for each in work.ancestors()}
        """What is chosen, and what that was begun in."""

    def select(self) -> list[Branch]:
        """Find what is to end now."""
        found = [each for each in branches(self._tree) if self._is_chosen(each)]
        ending = self._ending(found)
        selected: list[Branch] = []
        for branch in found:
            if branch.task is not None and branch.task not in ending:
                self._let_go(branch.work)
                continue
            self._leave_others(branch, ending)
            if branch.tasks:
                selected.append(branch)
        return selected

    def goes_on(self, future: AnyFuture, told: Collection[AnyFuture]) -> bool:
        """Whether something does not end, though somebody awaits it who does.

        Somebody else waits for it, too; or it is a task that was made elsewhere, be it at the start.

        Args:
            future: What.
            told: Who ends besides those that the order is for: the hosts of their groups, say.

        """
        if future in self._doomed:
            return False
        if any(
            each not in self._doomed and each not in told for each in waiters(future, shielded=True)
        ):
            return True
        if not is_task(future):
            return False
        work = self._tree.works.get(future)
        context = context_of(future)
        if work is None and context is None:  # nobody can tell
            return False
        maker = work or made_in(context.get(owner) if context is not None else None)
        return maker is None or self._above.isdisjoint(maker.ancestors())

    def _is_chosen(self, branch: Branch) -> bool:
        work, chosen = branch.work, self.chosen
        section = chosen.get(work)
        if section is None:
            above = _chosen_above(work, chosen)
            if above is None:
                return False
            section = chosen[work] = work.sections[0] if work.sections else above
        # It may have ended, while its task goes on.
        return section.work is not None or branch.task is None

    def _ending(self, found: list[Branch]) -> set[AnyTask]:
        """Find the tasks that end: those for which nobody waits who goes on."""
        own = {branch.task for branch in found if branch.task is not None}
        ending = own.union(*(branch.tasks for branch in found))
        sure = {each.task for each in found if each.work.root or each.work in self._meant}
        unsure = ending - sure - self._doomed
        while others := {
            task for task in unsure if not _ends(self._tree, task, ending, task in own)
        }:
            ending -= others
            unsure -= others
        self._doomed.update(ending)
        return ending

    def _let_go(self, work: Work) -> None:
        """Have work that goes on belong to nothing that ends."""
        del self.chosen[work]
        work.parent = None

    def _leave_others(self, branch: Branch, ending: set[AnyTask]) -> None:
        """Take out of a branch what does not end, or not yet."""
        work = branch.work
        is_whole = not work.sections or self.chosen[work] is work.sections[0]
        for task in branch.members:
            if task not in ending:
                branch.tasks.remove(task)
                if is_whole:
                    disown(task)
            elif branch.task is not None and branch.task not in everybody_above(task):
                branch.tasks.remove(task)  # whoever looks at it, sees to it first


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


def _ends(tree: Tree, task: AnyTask, ending: set[AnyTask], registered: bool) -> bool:
    goes_on = {*waiters(task, shielded=True)} - ending
    if registered:
        work = tree.works.get(task)
        if work is not None and work.event is not None:
            # Its author has said whose it is: it is that one's, in whichever task a worker has it done.
            goes_on = {waiter for waiter in goes_on if not _is_nobodys(tree.works.get(waiter))}
        return not any(does_work(tree, waiter) for waiter in goes_on)
    wait = {*waiters(task, shielded=False), *hosts(task)}
    return not goes_on and bool(wait) and wait <= ending


def _is_nobodys(work: Work | None) -> bool:
    return work is not None and (work.adopted or work.is_nobodys)
