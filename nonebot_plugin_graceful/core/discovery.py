"""Tasks that nobody registered, and whose they are."""

import asyncio
from typing import Any

from .frames import context_of
from .tree import Tree
from .waiting import everybody_above
from .work import Section, Work, living, made_in, owner
from .world import Origin, PluginOrigin

__all__ = ["Branch", "adopt_all", "adopt_orphans", "branches", "recognize"]

AnyTask = asyncio.Task[Any]


class Branch:
    """A piece of work, and the tasks that were made in it and are no work of their own."""

    __slots__ = ("task", "tasks", "work")

    def __init__(self, work: Work, task: AnyTask | None) -> None:
        self.work: Work = work
        self.task: AnyTask | None = task
        """The work's own task, unless that has ended."""
        self.tasks: list[AnyTask] = [] if task is None else [task]
        """That, and the others."""

    @property
    def members(self) -> list[AnyTask]:
        """The others."""
        return [task for task in self.tasks if task is not self.task]


def branches(tree: Tree) -> list[Branch]:
    """Give everything in flight, with the tasks that belong to it. Needs a running event loop.

    Orphans only if they have been adopted (see :func:`adopt_orphans`).
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
        branch.tasks.append(task)
    return list(found.values())


def recognize(tree: Tree, task: AnyTask) -> Work | None:
    """Register a task that says nothing of itself, but is known from where it stands."""
    what = tree.world.recognize(task)
    if what is None:
        return None
    section = Section(tree.kinds[what.kind], what.name)
    return tree.open_work(section, task, what.origin, root=what.root, begun=what.begun)


def adopt_orphans(tree: Tree, *, unattributed: bool = False) -> None:
    """Register the tasks of plugins that belong to no work.

    Their handler has ended, or they never had one. They are listed, once for all that they await
    themselves; but it is left to the plugins' own ``on_shutdown`` hooks to end them first, for a
    queue worker may have to flush.

    Args:
        tree: Where.
        unattributed: Also what was made in work, and is no plugin's as far as can be told.

    """
    orphans = {
        task: maker
        for task, maker in _strangers(tree, unmade=True)
        if maker is None or (living(maker) is None and maker.outcome is None)
    }
    origins = {task: _origin_of(tree, task, maker) for task, maker in orphans.items()}
    for task, maker in orphans.items():
        origin = origins[task]
        above = [each for each in everybody_above(task) if each in orphans]
        if origin is None:  # the server's, an adapter's, a library's
            if above or not (unattributed and maker is not None):
                continue
        elif any(origins[each] is not None for each in above):
            continue  # it is a part of that
        response = tree.world.response_of(task)
        work = tree.open_work(Section(tree.kinds["background"], response or None), task, origin)
        work.orphan, work.adopted, work.note = True, True, response


def _origin_of(tree: Tree, task: AnyTask, maker: Work | None) -> Origin | None:
    """Tell whose an orphan is: of what it has in hand, else of the plugin in whose work it was made."""
    origin = tree.world.carried_by(task)
    if origin is None and maker is not None and maker.origin is not None:
        origin = PluginOrigin(maker.origin.plugin)
    return origin


def adopt_all(tree: Tree, *, leave: "set[AnyTask]") -> None:
    """Register every task there is, but our own.

    Args:
        tree: Where.
        leave: Tasks that are not ours to cancel.

    """
    for task in asyncio.all_tasks() - tree.works.keys() - tree.internal - leave:
        _adopt(tree, task, None)


def _adopt(tree: Tree, task: AnyTask, maker: Work | None, kind: str = "background") -> None:
    origin = maker.origin if maker is not None else None
    tree.open_work(Section(tree.kinds[kind]), task, origin).adopted = True


def _strangers(tree: Tree, *, unmade: bool = False) -> list[tuple[AnyTask, Any]]:
    """Tasks that did not register themselves, and the work each was made in.

    Those that turn out to be work of their own are registered.

    Args:
        tree: Where.
        unmade: Also those that were made in none, with None.

    """
    strangers: list[tuple[AnyTask, Any]] = []
    current = asyncio.current_task()
    for task in asyncio.all_tasks():
        if task in tree.works or task in tree.internal or task is current:
            continue
        context = context_of(task)
        maker = made_in(context.get(owner)) if context is not None else None
        if maker is None:
            if recognize(tree, task) is None and unmade:
                strangers.append((task, None))
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
