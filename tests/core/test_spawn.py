"""``spawn``: tasks of their own."""

import asyncio
import gc
import weakref

import pytest

from nonebot_plugin_graceful.core.api import spawn, tasks, track


async def test_it_is_create_task_with_a_record(tree):
    """Its result, its name, its kind; and nothing is left of it."""
    go_on = asyncio.Event()

    async def work():
        await go_on.wait()
        return 42

    task = spawn(work(), name="worker")
    (info,) = tasks()
    assert (info.kind, info.tier, info.name) == ("background", 4, "worker")
    assert task.get_name() == "worker"
    go_on.set()
    assert await task == 42
    await asyncio.sleep(0)
    assert tree.works == {}


async def test_it_is_held_when_nobody_else_holds_it():
    """The event loop itself only holds tasks weakly."""
    done = asyncio.Event()

    async def work():
        trap = asyncio.get_running_loop().create_future()
        here.append(weakref.ref(trap))
        await trap

    here = []
    reference = weakref.ref(spawn(work()))
    await asyncio.sleep(0)
    gc.collect()
    assert reference() is not None
    assert here[0]() is not None
    reference().add_done_callback(lambda _: done.set())
    reference().cancel()
    await done.wait()


async def test_a_failure_that_nobody_awaits_is_logged(log):
    """In one line with the task's name."""

    async def work():
        raise ValueError("missing")

    task = spawn(work(), name="worker")
    await asyncio.wait([task])
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert [line for line in log if line.startswith("ERROR")] == [
        "ERROR Task worker failed: ValueError: missing"
    ]


async def test_a_failure_that_somebody_awaits_is_not_logged(log):
    """It is his to handle."""

    async def work():
        raise KeyError("missing")

    with pytest.raises(KeyError):
        await spawn(work())
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert not [line for line in log if "failed" in line]


async def test_it_does_not_belong_to_who_spawned_it(drain):
    """It outlives the section, and ends in its own tier after it."""
    order = []

    async def work(name):
        try:
            await asyncio.Event().wait()
        finally:
            order.append(name)

    async def spawner():
        async with track("handler"):
            spawned.append(spawn(work("spawned")))
            await work("spawner")

    spawned = []
    task = asyncio.create_task(spawner())
    while not spawned:
        await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert len(tasks()) == 2
    await drain()
    assert task.cancelled()
    assert spawned[0].cancelled()
    assert order == ["spawner", "spawned"]


async def test_what_it_makes_belongs_to_it(drain):
    """A plain task under a spawned one ends with it."""
    children = []

    async def work():
        children.append(asyncio.create_task(asyncio.Event().wait()))
        await asyncio.Event().wait()

    task = spawn(work())
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert len(tasks()) == 1
    await drain()
    assert task.cancelled()
    assert children[0].cancelled()


async def test_a_timeout_ends_it(within):
    """As of ``track``."""
    with pytest.raises(TimeoutError, match="background"):
        await within(spawn(asyncio.Event().wait(), timeout=0.01))


async def test_it_may_be_cancelled_before_it_began(tree):
    """Nothing stays registered, and no coroutine warns of never having been awaited."""

    async def work():
        raise AssertionError("began")

    for timeout in (None, 5):
        task = spawn(work(), timeout=timeout)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await asyncio.sleep(0)
    assert tree.works == {}
    gc.collect()


async def test_a_timeout_ends_it_through_a_job_of_its_own(within):
    """The job, which is of a lower tier and so told first, makes no cancellation of it."""

    async def worker():
        async with track("image", event=None):
            await asyncio.Event().wait()

    with pytest.raises(TimeoutError, match="background"):
        await within(spawn(worker(), timeout=0.01))


@pytest.mark.parametrize("busy", [False, True])
async def test_a_timeout_that_nobody_awaits_is_logged(busy, hang, kinds, log, within):
    """As any other failure, be it in the queue: the work is over by then, and the task is not."""
    kinds(image={"limit": 1})
    if busy:
        await hang("image")
    task = spawn(asyncio.Event().wait(), kind="image", name="worker", timeout=0.01)
    await within(asyncio.wait([task]))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    (line,) = [line for line in log if line.startswith("ERROR")]
    assert line.startswith("ERROR Task worker failed: ")
    assert ("Refused" in line) is busy
