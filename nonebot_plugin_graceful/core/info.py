"""What is known of what is in flight, at the moment of asking."""

import time
from dataclasses import dataclass

from . import frames
from .discovery import adopt_orphans, branches
from .tree import Tree
from .waits import what_for
from .work import Work

__all__ = ["TaskInfo", "describe", "in_flight", "others_in_flight"]


@dataclass(frozen=True, slots=True)
class TaskInfo:
    """What is known of one piece of work."""

    id: int
    kind: str
    tier: int
    name: str
    state: str
    """``queued`` for its kind's limit, ``running``, ``shielded``, or ``stopping``."""
    age: float
    """Seconds."""
    where: str
    """``file:line`` where it stands."""
    note: str
    """What it says of itself, such as the attempt of a retry."""
    plugin: str | None
    matcher: str | None
    bot: str | None
    user: str | None
    chat: str | None
    resumed: bool = False
    """Whether it was begun before a restart, and is taken up again."""
    parent: int | None = None
    """The ``id`` of the work it is a part of, if that goes on."""
    position: int | None = None
    """Its turn while it is queued, 1 for the next."""
    waits_for: str = ""
    """The host of the service it waits for, or ``a lock`` and the like, if that is known."""


def in_flight(tree: Tree, *, begun: bool = True) -> list[Work]:
    """Give everything in flight, the longest first. Needs a running event loop.

    Args:
        tree: Where.
        begun: Leave out what has not come to its work.

    """
    adopt_orphans(tree)
    works = (branch.work for branch in branches(tree))
    found = [each for each in works if each.sections and each.listed and (each.begun or not begun)]
    # Not by TaskInfo.age: each is told at a moment of its own.
    return sorted(found, key=lambda work: work.started)


def others_in_flight(tree: Tree, *, begun: bool = True) -> list[Work]:
    """Give the same but for what asks, and what that is a part of."""
    current = tree.current()
    own = set(current.ancestors()) if current is not None else set[Work]()
    return [work for work in in_flight(tree, begun=begun) if work not in own]


def describe(tree: Tree, work: Work) -> TaskInfo:
    """Describe a piece of work."""
    origin, task = work.origin, work.task
    section = work.sections[-1]
    plugin = origin.plugin if origin else None
    if work.queued:
        state = "queued"
    elif tree.is_shielded(task):
        state = "shielded"
    elif work.stop_reason is not None:
        state = "stopping"
    else:
        state = "running"
    parent = work.parent
    return TaskInfo(
        id=work.id,
        kind=section.kind.name,
        tier=work.tier,
        name=work.name,
        state=state,
        age=time.monotonic() - work.started,
        where=frames.where(task, plugin, tree.world.plugin_of) if task else "",
        note=work.note,
        plugin=plugin,
        matcher=origin.matcher if origin else None,
        bot=origin.bot if origin else None,
        user=origin.user if origin else None,
        chat=origin.chat if origin else None,
        resumed=any(each.resumed for each in work.ancestors()),
        parent=parent.id if parent is not None and not parent.ended else None,
        position=tree.places.position(section),
        waits_for=what_for(task).what if task else "",
    )
