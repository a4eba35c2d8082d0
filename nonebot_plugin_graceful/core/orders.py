"""Orders to end something while the bot runs on: by a person, by its author, by its time-out."""

import asyncio
from typing import Any

from loguru import logger

from .cancellations import TIMED_OUT, Cancellations
from .discovery import Branch, branches
from .ending import note_who_waits, warn_of_timeout
from .report import describe_straggler
from .stopping import Stopping
from .tree import Tree
from .waiting import everybody_above
from .work import Section, Work

__all__ = ["TIMED_OUT", "run_time", "stop", "time_out"]

AnyTask = asyncio.Task[Any]


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
    for work, section in chosen.items():
        if reason != TIMED_OUT:
            _note_cut(work, section)
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
        branch.tasks = [
            task for task in branch.tasks if task is branch.task or _is_awaited(task, branch)
        ]
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
