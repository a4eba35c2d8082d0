"""What holds of the tree whatever tasks do in it, and whoever is cancelled when."""

import asyncio
import contextlib
import functools
import os
import sys
from dataclasses import dataclass

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from programs import (
    EXPECTED,
    LIMITS,
    WAYS,
    Cancel,
    Caught,
    Children,
    CleanedUp,
    Dependency,
    InSection,
    MovedOn,
    Node,
    Refuse,
    Run,
    Shared,
    Shielded,
    ShutDown,
    Sleep,
    Stream,
    Swallowed,
)
from virtual_time import VirtualTime

from nonebot_plugin_graceful.core import installed
from nonebot_plugin_graceful.core.kinds import Kinds
from nonebot_plugin_graceful.core.tree import Tree
from nonebot_plugin_graceful.core.work import Section

KINDS = (*LIMITS, "free")
UNTAKEN = (asyncio.CancelledError, *EXPECTED)
CANCELLING = ("MovedOn(", "'wait_for'", "'TaskGroup'", "'anyio'")
"""What cancels without us, and hands it on to whatever is awaited."""
HORIZON = 2000
"""Seconds within which everything has ended, even if all of it waits for one place."""

seconds = st.sampled_from([0, 0.25, 1, 3])
timeouts = st.sampled_from([None, None, None, 0.5, 2])
kinds = st.sampled_from(KINDS)
criteria = st.one_of(st.sampled_from([*KINDS, "background", "handler"]), st.integers(0, 5))
leaves = st.one_of(
    st.builds(Sleep, seconds),
    st.builds(Cancel, criteria),
    st.builds(Swallowed, st.integers(1, 2), seconds),
    st.builds(Refuse, seconds),
    st.builds(Shared, st.booleans()),
)


@functools.cache
def bodies(depth):
    """Give what may stand in something, so deep."""
    if not depth:
        return st.lists(leaves, min_size=1, max_size=2).map(tuple)
    body = bodies(depth - 1)
    shallow = bodies(0)
    nested = st.one_of(
        st.builds(InSection, kinds, timeouts, st.booleans(), body),
        st.builds(
            Children,
            st.sampled_from(WAYS),
            st.one_of(st.none(), kinds, st.just("background")),
            timeouts,
            st.one_of(st.tuples(body), st.tuples(body, shallow)),
            shallow,
        ),
        st.builds(Stream, kinds, timeouts, st.booleans(), shallow, body),
        st.builds(Dependency, kinds, timeouts, st.booleans(), st.booleans(), body),
        st.builds(Shielded, body),
        st.builds(Caught, body),
        st.builds(CleanedUp, body, st.sampled_from([0, 0.3]), st.booleans()),
        st.builds(MovedOn, seconds.filter(bool), body),
    )
    return st.one_of(st.tuples(nested), st.tuples(nested, leaves), st.tuples(leaves, nested))


@dataclass(frozen=True)
class Root:
    """A task that nobody waits for."""

    request: bool
    """Whether it is a matcher run."""
    body: tuple


roots = st.builds(Root, st.booleans(), st.integers(0, 4).flatmap(bodies))
programs = st.lists(roots, min_size=1, max_size=4).map(tuple)

factories = {"plain": None}
if sys.version_info >= (3, 12):
    factories["eager"] = asyncio.eager_task_factory


def write_in_python(loop, coro, **keywords):
    return asyncio.tasks._PyTask(coro, loop=loop, **keywords)


factories["python"] = write_in_python


async def play(tree, program, factory):
    """Run a program to its end."""
    loop = asyncio.get_running_loop()
    loop.set_task_factory(factories[factory])
    run = Run(tree, shielded=any(each in repr(program) for each in CANCELLING))
    run.shared = asyncio.create_task(run.share())

    def note(_, context):
        # asyncio itself leaves a gather() that is cancelled in a wait_for() with nobody to take
        # what its children ended with.
        gathered = type(context.get("future")).__name__ == "_GatheringFuture"
        if not (gathered and isinstance(context.get("exception"), UNTAKEN)):
            run.wrong.append(repr(context))

    loop.set_exception_handler(note)

    async def begin(node, root):
        task = asyncio.current_task()
        if root.request:
            section = Section(tree.kinds["handler"])
            tree.open_work(section, task, None, root=True)
            run.sections.append((node, section))
        await run.child(node, root.body)

    held = [
        asyncio.create_task(begin(Node(None, why=f"root {number}"), root))
        for number, root in enumerate(program)
    ]
    end = loop.time() + HORIZON
    while rest := asyncio.all_tasks() - {asyncio.current_task()}:
        assert loop.time() < end, f"a deadlock: {rest}"
        await asyncio.sleep(0.5)
    assert all(task.done() for task in held)
    loop.set_task_factory(None)
    await loop.shutdown_asyncgens()
    await asyncio.sleep(0)
    return run


def check(tree, run, loop_timers):
    """Check that nothing is left, and that nobody was touched who had nothing to do with it."""
    assert tree.works == {}
    assert tree.shields == {}
    assert tree.places.taken() == {}
    assert tree.places.queued() == {}
    assert not tree.internal
    assert [section.timer for _, section in run.sections if section.work is not None] == []
    assert loop_timers == [], loop_timers
    assert tree.lifecycle._waiters == set()
    assert run.wrong == [], run.wrong
    innocent = run.innocent()
    assert innocent == [], innocent


@contextlib.contextmanager
def a_tree():
    tree = Tree(Kinds({name: {"limit": limit} for name, limit in LIMITS.items()}))
    restore = installed.install(tree)
    try:
        yield tree
    finally:
        restore()


def run_and_check(program, factory, clock=None):
    async def main():
        loop = asyncio.get_running_loop()
        run = await play(tree, program, factory)
        return run, [timer for timer in loop._scheduled if not timer.cancelled()]

    with a_tree() as tree:
        run, timers = (clock or VirtualTime(patience=5000)).run(main())
        check(tree, run, timers)


BUSY = (
    Root(
        request=True,
        body=(
            Swallowed(times=1, seconds=1),
            MovedOn(
                seconds=0.25,
                body=(
                    Stream(
                        kind="one",
                        timeout=None,
                        broken=True,
                        within=(Cancel(criterion=0), Cancel(criterion=1)),
                        body=(
                            Stream(
                                kind="one",
                                timeout=None,
                                broken=False,
                                within=(Refuse(seconds=0.25),),
                                body=(
                                    Sleep(seconds=0),
                                    CleanedUp(
                                        body=(Refuse(seconds=0.25), Cancel(criterion=4)),
                                        seconds=0,
                                        apart=True,
                                    ),
                                ),
                            ),
                        ),
                    ),
                    Cancel(criterion=0),
                ),
            ),
        ),
    ),
    Root(
        request=False,
        body=(Swallowed(times=2, seconds=0), MovedOn(seconds=1, body=(Sleep(seconds=0.25),))),
    ),
    Root(
        request=False,
        body=(
            Refuse(seconds=0),
            Children(
                way="TaskGroup",
                spawned="free",
                timeout=0.5,
                bodies=(
                    (CleanedUp(body=(Refuse(seconds=1),), seconds=0.3, apart=False),),
                    (Refuse(seconds=0.25), Cancel(criterion=4)),
                ),
                body=(Swallowed(times=1, seconds=0.25),),
            ),
        ),
    ),
    Root(
        request=True,
        body=(
            Children(
                way="TaskGroup",
                spawned="free",
                timeout=0.5,
                bodies=(
                    (CleanedUp(body=(Refuse(seconds=1),), seconds=0.3, apart=False),),
                    (Refuse(seconds=0.25), Cancel(criterion=4)),
                ),
                body=(Swallowed(times=1, seconds=0.25),),
            ),
        ),
    ),
)
SWALLOWED = (
    Root(
        request=False,
        body=(
            InSection(
                kind="one",
                timeout=2,
                own=False,
                body=(
                    Sleep(1),
                    Caught(
                        body=(
                            InSection(
                                kind="one",
                                timeout=None,
                                own=True,
                                body=(
                                    Stream(
                                        kind="one",
                                        timeout=None,
                                        broken=True,
                                        within=(Sleep(0),),
                                        body=(Swallowed(times=1, seconds=1),),
                                    ),
                                ),
                            ),
                            Sleep(0),
                        )
                    ),
                ),
            ),
        ),
    ),
)
"""One with a job that swallows the time-out of what is around it, and ends, though it has left a
stream behind: it was cancelled again, and that was counted for the job."""
MADE_ANEW = (
    Root(
        request=False,
        body=(
            InSection(
                kind="one",
                timeout=2,
                own=False,
                body=(
                    Children(
                        way="gather",
                        spawned=None,
                        timeout=None,
                        bodies=((Swallowed(times=2, seconds=1),), (Sleep(seconds=0),)),
                        body=(Sleep(seconds=0),),
                    ),
                ),
            ),
        ),
    ),
)
"""One in which gather() makes the cancellation by a time-out anew, without its message."""
EXAMPLES = int(os.environ.get("GRACEFUL_EXAMPLES", "60"))
"""Few in the suite, where they are others each time but in CI; by hand some thousands."""


@pytest.mark.parametrize("factory", factories)
@settings(max_examples=EXAMPLES)
@given(program=programs)
@example(program=SWALLOWED)
@example(program=MADE_ANEW)
def test_whatever_is_cancelled_nothing_is_left_and_nobody_else_is_touched(factory, program):
    """Neither a place, nor work, a shield or a timer; and all come to their end."""
    run_and_check(program, factory)


@pytest.mark.parametrize("factory", factories)
@settings(max_examples=EXAMPLES)
@given(program=programs, after=seconds)
def test_a_shutdown_ends_whatever_is_at_work(factory, program, after):
    """At whatever moment it begins."""
    run_and_check((*program, Root(request=False, body=(Sleep(after), ShutDown()))), factory)


@pytest.mark.parametrize("factory", factories)
def test_what_is_cancelled_again_and_again_lets_time_pass(factory):
    """It swallows all that came at one moment, at which the loop stood still."""
    run_and_check(BUSY, factory, VirtualTime())
