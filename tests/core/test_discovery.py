"""Tasks that nobody registered, and whose they are."""

import asyncio

import pytest

from nonebot_plugin_graceful.core.api import spawn, track
from nonebot_plugin_graceful.core.discovery import (
    adopt_all,
    adopt_orphans,
    branches,
    recognize,
)
from nonebot_plugin_graceful.core.kinds import Kinds
from nonebot_plugin_graceful.core.work import Section
from nonebot_plugin_graceful.core.world import PluginOrigin, Recognized, World

MAKERS = pytest.mark.parametrize("python", [False, True], ids=["compiled", "python"])


@pytest.fixture
async def make():
    """Make tasks, compiled or written in Python; none outlives the test."""
    made = []

    def make(coro, *, python=False):
        kind = asyncio.tasks._PyTask if python else asyncio.Task
        made.append(kind(coro, loop=asyncio.get_running_loop()))
        return made[-1]

    yield make
    for task in made:
        task.cancel()
    await asyncio.gather(*made, return_exceptions=True)
    await settle()


async def settle():
    for _ in range(4):
        await asyncio.sleep(0)


async def forever():
    await asyncio.Event().wait()


def branch_of(tree, task):
    (found,) = [each for each in branches(tree) if task in each.tasks]
    return found


@MAKERS
async def test_what_is_made_in_work_belongs_to_it(python, make, tree):
    """However deep, and through whichever way of making tasks."""
    children = []

    async def child():
        children.append(make(forever(), python=python))
        await forever()

    async def work():
        async with track("image"):
            children.append(make(child(), python=python))
            await forever()

    task = make(work())
    await settle()
    (branch,) = branches(tree)
    assert branch.task is task
    assert set(branch.members) == set(children)
    assert set(branch.tasks) == {task, *children}
    assert branch.work.kind.name == "image"


@MAKERS
async def test_work_in_a_child_is_a_branch_of_its_own(python, make, tree):
    """Its parent is what it was made in."""
    children = []

    async def child():
        async with track("llm"):
            await forever()

    async def work():
        async with track("image"):
            children.append(make(child(), python=python))
            await forever()

    task = make(work())
    await settle()
    outer, inner = branch_of(tree, task), branch_of(tree, children[0])
    assert inner.work.parent is outer.work
    assert (outer.members, inner.members) == ([], [])


async def test_what_is_made_in_no_work_belongs_to_nobody(make, tree):
    """The server's tasks, the adapters', the test's."""
    make(forever())
    await settle()
    assert branches(tree) == []


async def test_what_is_made_after_a_section_belongs_to_what_is_around_it(make, tree):
    """Not to a section that is over."""
    made = []

    async def work():
        async with track("image"):
            async with track("llm", event=None):
                pass
            made.append(make(forever()))
            await forever()

    task = make(work())
    await settle()
    assert branch_of(tree, made[0]).task is task


async def test_what_outlives_its_handler_belongs_to_no_branch(make, tree):
    """It is left to the plugins' own hooks to end it; then it is adopted."""
    made = []

    async def handler():
        task = asyncio.current_task()
        tree.open_work(Section(tree.kinds["handler"]), task, PluginOrigin("p"), root=True)
        made.append(make(forever()))

    await make(handler())
    await settle()
    assert branches(tree) == []
    adopt_orphans(tree)
    (branch,) = branches(tree)
    assert branch.task is made[0]
    assert branch.work.origin.plugin == "p"
    assert branch.work.kind.name == "background"


async def test_what_outlives_a_plugin_with_a_kind_is_of_that_kind(make, tree):
    """An operator has said so."""
    tree.kinds = Kinds(plugins={"p": "image"})
    made = []

    async def handler():
        task = asyncio.current_task()
        tree.open_work(Section(tree.kinds["handler"]), task, PluginOrigin("p:sub"), root=True)
        made.append(make(forever()))

    await make(handler())
    await settle()
    assert branch_of(tree, made[0]).work.kind.name == "image"


async def test_what_is_left_by_work_that_was_stopped_is_still_found(make, tree):
    """Whoever was told to end has left it behind: it ends too."""
    made = []

    async def work():
        async with track("image"):
            made.append(make(forever()))
            await forever()

    task = make(work())
    await settle()
    tree.tell(tree.works[task], "SIGINT")
    task.cancel()
    await asyncio.wait([task])
    await settle()
    branch = branch_of(tree, made[0])
    assert branch.task is None
    assert branch.members == made
    made[0].cancel()
    await settle()
    assert branches(tree) == []


async def test_a_task_that_a_section_was_left_in_is_not_left_by_it(make, tree):
    """Its section was ended, and the task goes on: nothing was left behind."""

    async def worker():
        try:
            async with track("image"):
                await forever()
        except asyncio.CancelledError:
            await forever()

    task = make(worker())
    await settle()
    tree.tell(tree.works[task], "cancelled")
    task.cancel()
    await settle()
    assert not task.done()
    assert branches(tree) == []


async def test_a_worker_around_its_job_is_two_branches_of_one_task(make, tree):
    """Each may be ended by itself."""

    async def worker():
        async with track("image", event=None):
            await forever()

    task = spawn(worker())
    await settle()
    found = {branch.work.kind.name: branch.task for branch in branches(tree)}
    assert found == {"image": task, "background": task}
    task.cancel()
    await asyncio.wait([task])


async def test_our_own_tasks_and_who_asks_belong_to_nobody(make, tree):
    """They are not to be stopped by what they are for."""
    async with track("image"):
        inner = tree.run_internal(forever(), "test")
        (branch,) = branches(tree)
        assert branch.members == []
    inner.cancel()
    await asyncio.wait([inner])


class Known(World):
    """A world that knows a task by its name."""

    def recognize(self, task):
        if task.get_name() == "known":
            return Recognized("image", "a picture", PluginOrigin("p"))
        return None


async def test_a_task_that_the_world_knows_is_registered(make, tree):
    """Once; and its children with it."""
    tree.world = Known()
    task, other = make(forever()), make(forever())
    task.set_name("known")
    await settle()
    (branch,) = branches(tree)
    assert branch.task is task
    assert branch.work.root
    assert branch.work.origin.plugin == "p"
    assert branches(tree)[0].work is branch.work
    assert recognize(tree, other) is None


async def test_everything_is_adopted_but_what_is_not_ours(make, tree):
    """At the very end: whatever is left."""
    plain, left = make(forever()), make(forever())
    await settle()
    others = asyncio.all_tasks() - {plain, left}
    adopt_all(tree, leave={*others, left})
    assert [branch.task for branch in branches(tree)] == [plain]
    plain.cancel()
    await asyncio.wait([plain])
