"""Tasks that nobody registered, and whose they are."""

import asyncio
from dataclasses import dataclass, field
from typing import Any

from .frames import context_of
from .work import Section, Tree, Work, living, owner

__all__ = ["Branch", "adopt_all", "adopt_outlived", "branches", "recognize"]

AnyTask = asyncio.Task[Any]


@dataclass(slots=True)
class Branch:
    """A piece of work, and the tasks that were made in it and are no work of their own."""

    work: Work
    task: AnyTask | None
    """The work's own task, unless that has ended."""
    members: list[AnyTask] = field(default_factory=list[AnyTask])

    @property
    def tasks(self) -> list[AnyTask]:
        """All of them."""
        return self.members if self.task is None else [self.task, *self.members]


def branches(tree: Tree) -> list[Branch]:
    """Give everything in flight, with the tasks that belong to it. Needs a running event loop.

    What outlives its handler is left out: it is left to the plugins' own ``on_shutdown`` hooks
    (see :func:`adopt_outlived`).
    """
    strangers = _strangers(tree)
    found: dict[Work, Branch] = {}
    for task, innermost in list(tree.works.items()):
        work: Work | None = innermost
        while work is not None and not task.done():
            if not work.ended:
                found[work] = Branch(work, task)
            work = work.outer
    for task, maker in strangers:
        work = living(maker) if maker.outcome is None else maker
        if work is None:
            continue
        branch = found.get(work)
        if branch is None:  # it was stopped, and what it had made goes on
            branch = found[work] = Branch(work, None)
        branch.members.append(task)
    return list(found.values())


def recognize(tree: Tree, task: AnyTask) -> Work | None:
    """Register a task that says nothing of itself, but is known from where it stands."""
    what = tree.world.recognize(task)
    if what is None:
        return None
    section = Section(tree.kinds[what.kind], what.name)
    return tree.open_work(section, task, what.origin, root=what.root, begun=what.begun)


def adopt_outlived(tree: Tree) -> None:
    """Register the tasks whose handler has ended by itself."""
    for task, maker in _strangers(tree):
        if living(maker) is None and maker.outcome is None:
            _adopt(tree, task, maker)


def adopt_all(tree: Tree, *, leave: "set[AnyTask]") -> None:
    """Register every task there is, but our own.

    Args:
        tree: Where.
        leave: Tasks that are not ours to cancel.

    """
    for task in asyncio.all_tasks() - tree.works.keys() - tree.internal - leave:
        _adopt(tree, task, None)


def _adopt(tree: Tree, task: AnyTask, maker: Work | None, kind: str = "background") -> None:
    tree.open_work(Section(tree.kinds[kind]), task, maker.origin if maker is not None else None)


def _strangers(tree: Tree) -> list[tuple[AnyTask, Work]]:
    """Tasks that did not register themselves, and the work each was made in.

    Those that turn out to be work of their own are registered.
    """
    strangers: list[tuple[AnyTask, Work]] = []
    current = asyncio.current_task()
    for task in asyncio.all_tasks():
        if task in tree.works or task in tree.internal or task is current:
            continue
        context = context_of(task)
        maker = context.get(owner) if context is not None else None
        if maker is None:
            recognize(tree, task)
        elif not _has_kind(tree, task, maker):
            strangers.append((task, maker))
    return strangers


def _has_kind(tree: Tree, task: AnyTask, maker: Work) -> bool:
    """Register a task that outlives its handler, if the operator called it work of a kind.

    It may as well be a queue worker that wants to flush.
    """
    if maker.outcome is not None or living(maker) is not None or maker.origin is None:
        return False
    kind = tree.kinds.given_to(maker.origin.plugin)
    if kind is None:
        return False
    _adopt(tree, task, maker, kind)
    return True
