"""The hosts of task groups: who ends with a child, and who does not."""

import asyncio
import sys

import anyio
import pytest

from nonebot_plugin_graceful.core.api import cancel, spawn, track
from nonebot_plugin_graceful.core.errors import Interrupted

needs_task_group = pytest.mark.skipif(
    sys.version_info < (3, 11), reason="asyncio.TaskGroup is new in Python 3.11"
)


async def in_asyncios_group(body, *children):
    async with asyncio.TaskGroup() as group:
        for child in children:
            group.create_task(child())
        await body()


async def in_anyios_group(body, *children):
    async with anyio.create_task_group() as group:
        for child in children:
            group.start_soon(child)
        await body()


GROUPS = pytest.mark.parametrize(
    "grouped",
    [pytest.param(in_asyncios_group, marks=needs_task_group), in_anyios_group],
    ids=["asyncio", "anyio"],
)


async def nothing():
    pass


@GROUPS
async def test_a_time_out_in_a_child_costs_its_host_nothing(grouped, within):
    """The child made something else of it, and neither its group nor its host is to know."""
    steps = []

    async def child():
        with pytest.raises(TimeoutError):
            async with track("image", timeout=0.01):
                await asyncio.Event().wait()
        await asyncio.sleep(0)
        steps.append("child")

    async def host():
        await grouped(nothing, child)
        await asyncio.sleep(0)
        steps.append("host")

    await within(spawn(host()))
    assert steps == ["child", "host"]


@GROUPS
async def test_a_worker_in_a_group_that_caught_its_jobs_end_costs_the_pool_nothing(grouped, within):
    """A pool of workers in a task group goes on when one of its jobs is cancelled."""
    drawing, go_on, steps = asyncio.Event(), asyncio.Event(), []

    async def worker():
        try:
            async with track("image"):
                drawing.set()
                await asyncio.Event().wait()
        except Interrupted:
            steps.append("interrupted")
        await go_on.wait()
        steps.append("next job")

    pool = spawn(grouped(nothing, worker))
    await within(drawing.wait())
    assert len(cancel(kind="image")) == 1
    for _ in range(10):
        await asyncio.sleep(0)
    go_on.set()
    await within(pool)
    assert steps == ["interrupted", "next job"]


@GROUPS
@pytest.mark.parametrize("busy", [False, True], ids=["waits", "in its body"])
async def test_a_host_does_not_go_on_without_what_its_child_was_to_do(busy, grouped, within):
    """A group takes a cancelled child for one that has done its work."""
    drawing, steps = asyncio.Event(), []

    async def child():
        async with track("image"):
            drawing.set()
            await asyncio.Event().wait()

    async def body():
        if busy:
            await asyncio.Event().wait()

    async def host():
        await grouped(body, child)
        steps.append("as if there were a picture")

    task = spawn(host())
    await within(drawing.wait())
    cancel(kind="image")
    await within(asyncio.wait([task]))
    assert task.cancelled()
    assert steps == []


@GROUPS
async def test_a_child_cleans_up_before_its_host_ends(grouped, within):
    """The group would cancel it once more, with all it awaits."""
    drawing, steps = asyncio.Event(), []

    async def child():
        async with track("image"):
            try:
                drawing.set()
                await asyncio.Event().wait()
            finally:
                await asyncio.sleep(0.05)
                steps.append("clean")

    task = spawn(grouped(nothing, child))
    await within(drawing.wait())
    cancel(kind="image")
    await within(asyncio.wait([task]))
    assert task.cancelled()
    assert steps == ["clean"]
