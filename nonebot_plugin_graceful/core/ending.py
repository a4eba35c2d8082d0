"""Where work begins and ends by the rules: admitted, placed, timed, told."""

import asyncio
from collections.abc import Iterator
from typing import Any, NamedTuple

from loguru import logger

from . import frames
from .admission import INHERITED
from .discovery import recognize
from .errors import Interrupted, Refused
from .frames import context_of
from .kinds import Kind
from .tree import Tree
from .waiting import everybody_above, hosts, passers
from .work import Ending, Section, Work, living, owner

__all__ = [
    "Host",
    "admit",
    "admit_at_once",
    "does_work",
    "end_hosts",
    "interrupt_if_told",
    "left_cancelled",
    "next_hosts",
    "note_who_waits",
    "stop_reason",
    "take_place",
    "warn_of_timeout",
    "works_of_hosts",
]

AnyTask = asyncio.Task[Any]


async def admit(
    tree: Tree,
    kind: Kind,
    task: AnyTask | None,
    event: Any = INHERITED,
    *,
    resume: bool | None = None,
) -> None:
    """Check whether a task may begin work of a kind, in a section that says so of resuming.

    Raises:
        Interrupted: The bot is being stopped.
        Refused: It runs on, but takes on no new work of this kind.

    """
    try:
        admit_at_once(tree, kind, task, event, resume=resume)
    except Interrupted:
        # Who tries again and again, whatever is raised, would never let the event loop go on.
        await asyncio.sleep(0)
        raise


def admit_at_once(
    tree: Tree,
    kind: Kind,
    task: AnyTask | None,
    event: Any = INHERITED,
    *,
    resume: bool | None = None,
) -> None:
    """Check the same where nothing can be awaited.

    Raises:
        Interrupted: The bot is being stopped.
        Refused: It runs on, but takes on no new work of this kind.

    """
    try:
        tree.admission.check(kind, task, event)
    except Interrupted as error:
        work = tree.current() if event is INHERITED else tree.world.request_of(event)
        if work is not None:
            tree.world.section_refused(Section(kind, resume=resume), work)
        end_hosts(tree, error.reason)
        raise


async def take_place(tree: Tree, section: Section) -> None:
    """Wait for a place, in a section that is open; it is closed if none is to be had.

    Raises:
        Refused: None became free within the section's time-out.

    """
    work = section.work
    assert work is not None
    try:
        await tree.places.take(section)
    except TimeoutError:
        section.raised = Refused
        tree.close(section)
        reason = f"no place for {section.kind.name} within {section.timeout:g} s"
        raise tree.world.refusal(reason, work) from None
    except asyncio.CancelledError as error:
        left_cancelled(tree, section, work, error)
        raise
    except BaseException:
        tree.close(section)
        raise


def left_cancelled(tree: Tree, section: Section, work: Work, error: BaseException) -> None:
    """Close a section that a cancellation passes through, and give it its name.

    Somebody else's cancellation has none, be it that the time-out came on top of it.

    Raises:
        Interrupted: We have cancelled it.
        TimeoutError: Because it took too long.

    """
    ending = work.ending
    # Not told yet: what it does inside of a lower tier was, and ended it.
    timed_out = section.timed_out and (ending is None or ending.target is section)
    reason = work.stop_reason
    if timed_out and _others_cancelled(section, ending, error):
        timed_out = section.timed_out = False
        reason = work.parent.stop_reason if work.parent is not None else None
    if isinstance(error, Interrupted) and work.outcome is None:
        work.outcome = error.reason  # it was waiting, and the announcement of the shutdown ended it
    tree.close(section)
    if timed_out:
        raise TimeoutError(f"{section.kind.name} took longer than {section.timeout:g} s") from error
    if reason is not None and not isinstance(error, Interrupted):
        raise Interrupted(reason) from error


def _others_cancelled(section: Section, ending: Ending | None, error: BaseException) -> bool:
    own = ending.cancels if ending is not None else 0
    return section.cancellations is not None and section.cancellations.others(own, error)


def end_hosts(tree: Tree, reason: str) -> None:
    """End whoever would go on as if the current task had done its work, and it has not.

    Called before ``Interrupted`` is raised in a task that we have not cancelled: nobody would
    cancel the hosts of the task groups it is in.
    """
    task = asyncio.current_task()
    if task is None:
        return
    for host, work in works_of_hosts(tree, task):
        if work is not None:
            tree.tell(work, reason)
        host.cancel(reason)


def stop_reason(tree: Tree) -> str | None:
    """Tell why what the running task does is to end; None: it is not."""
    work = tree.current()
    return work.stop_reason if work is not None else None


def interrupt_if_told(tree: Tree) -> None:
    """End the running task where it was not to be cut before.

    Raises:
        Interrupted: What it does was told to end.

    """
    reason = stop_reason(tree)
    if reason is not None:
        end_hosts(tree, reason)
        raise Interrupted(reason)


class Host(NamedTuple):
    """The host of a task group, that does not go on without a child of the group."""

    child: AnyTask
    task: AnyTask
    work: Work | None
    """What it does."""
    own: bool
    """Whether it is part of the same work as the child; else it is only told to end."""


def works_of_hosts(tree: Tree, task: AnyTask) -> list[tuple[AnyTask, Work | None]]:
    """Give the hosts above a task that do not go on without it, and what work each does.

    That is up to the matcher run or job it is in: beyond are other people's.
    """
    found: list[tuple[AnyTask, Work | None]] = []
    look = [task]
    while look:
        for host in next_hosts(tree, look.pop()):
            found.append((host.task, host.work))
            if host.own:
                look.append(host.task)
    return found


def next_hosts(tree: Tree, task: AnyTask) -> Iterator[Host]:
    """Give the hosts of the groups that a task, or who awaits it, is a child of."""
    look = [task]
    while look:
        each = look.pop()
        if _is_somebodys_own(tree.works.get(each)):
            continue
        # Who awaits it is told by its cancellation, and is then a child that ends with one itself.
        look += passers(each)
        for host in hosts(each):
            work = tree.works.get(host) or recognize(tree, host)
            own = work is not None or _belongs_to_work(tree, host)
            if own or tree.world.awaits_verdict(host):
                yield Host(each, host, work, own)


def does_work(tree: Tree, task: AnyTask) -> bool:
    """Whether a task does work, or is part of some."""
    return tree.works.get(task) is not None or _belongs_to_work(tree, task)


def _belongs_to_work(tree: Tree, task: AnyTask) -> bool:
    """Whether a task was made in work, or under a matcher run that has not come to its work.

    If not, it is NoneBot's own, or some loop of a plugin's that serves many.
    """
    context = context_of(task)
    if context is not None and living(context.get(owner)) is not None:
        return True
    return any(
        tree.works.get(host) is not None
        or recognize(tree, host) is not None
        or _belongs_to_work(tree, host)
        for host in hosts(task)
    )


def _is_somebodys_own(work: Work | None) -> bool:
    """Whether nobody above it is one with it: a matcher run, or a job that a worker does for somebody."""
    return work is not None and (work.root or work.apart)


def note_who_waits(tree: Tree, task: AnyTask, reason: str) -> None:
    """Note for the matcher runs that wait for a task why they get its cancellation."""
    for waiter in everybody_above(task):
        work = tree.works.get(waiter)
        if work is not None and work.outcome is None:
            work.outcome = reason


def warn_of_timeout(tree: Tree, work: Work, section: Section) -> None:
    """Say that work took too long which has no section of its author's to raise in."""
    plugin = work.origin.plugin if work.origin else None
    place = frames.where(work.task, plugin, tree.world.plugin_of) if work.task else "unknown"
    logger.warning(f"{plugin} took longer than its {section.kind.name} time-out: at {place}")
