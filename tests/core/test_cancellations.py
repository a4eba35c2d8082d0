"""Whose a cancellation is: a time-out that comes on top of another changes nothing of that."""

import asyncio
import sys

import anyio
import pytest

from nonebot_plugin_graceful.core.api import cancel, track
from nonebot_plugin_graceful.core.orders import time_out

COUNTED = sys.version_info >= (3, 11)


class Job:
    """A task in a section whose time is over when a test says so."""

    def __init__(self, *, cleans_up=False):
        self.section = track("image", timeout=1000)
        self.cleans_up = cleans_up
        self.cleaning, self.hanging = asyncio.Event(), asyncio.Event()
        self.left, self.count = None, None
        self.task = asyncio.create_task(self.run())

    async def run(self):
        try:
            async with self.section:
                await self.work()
        except BaseException as error:
            self.left, self.count = error, count(asyncio.current_task())
            raise

    async def work(self):
        try:
            self.hanging.set()
            await asyncio.Event().wait()
        finally:
            self.cleaning.set()
            if self.cleans_up:
                await asyncio.Event().wait()

    async def end(self):
        """Wait for it, and give the class of what left its section."""
        await asyncio.wait([self.task], timeout=10)
        assert self.task.done()
        if not self.task.cancelled():
            self.task.exception()
        return type(self.left)


class Awaiting(Job):
    """The same, where the wait is in a task of its own."""

    async def work(self):
        await asyncio.create_task(super().work())


def count(task):
    return task.cancelling() if COUNTED else None


@pytest.fixture(params=[Job, Awaiting])
async def make(request):
    async def make(**keywords):
        job = request.param(**keywords)
        await job.hanging.wait()
        return job

    return make


async def test_a_time_out_alone_is_a_timeout_error(make, tree):
    """And the task has not been cancelled, once it is over."""
    job = await make()
    time_out(tree, job.section)
    assert await job.end() is TimeoutError
    assert job.count in {0, None}


@pytest.mark.parametrize("cleans_up", [False, True])
async def test_a_time_out_during_somebody_elses_cancellation(make, tree, cleans_up):
    """It stays a cancellation, however long its clean-up takes; and is counted as that one alone."""
    job = await make(cleans_up=cleans_up)
    job.task.cancel()
    if cleans_up:
        await job.cleaning.wait()
    time_out(tree, job.section)
    assert await job.end() is asyncio.CancelledError
    assert job.task.cancelled()
    assert job.count in {1, None}


async def test_a_cancellation_right_after_the_time_out(make, tree):
    """In the same iteration: the task knows of neither yet, and is cancelled."""
    job = await make()
    time_out(tree, job.section)
    job.task.cancel()
    assert await job.end() is asyncio.CancelledError
    assert job.count in {1, None}


@pytest.mark.skipif(not COUNTED, reason="Python counts no cancellations before 3.11")
async def test_a_cancellation_during_the_clean_up_after_a_time_out(make, tree):
    """Whoever asked for it finds the task cancelled."""
    job = await make(cleans_up=True)
    time_out(tree, job.section)
    await job.cleaning.wait()
    job.task.cancel()
    assert await job.end() is asyncio.CancelledError
    assert job.count == 1


async def test_a_section_within_a_clean_up_times_out(tree):
    """What it is within the clean-up of, was there before it."""
    section, hanging, seen = track("image", timeout=1000), asyncio.Event(), []

    async def work():
        try:
            await asyncio.Event().wait()
        finally:
            try:
                async with section:
                    hanging.set()
                    await asyncio.Event().wait()
            except TimeoutError as error:
                seen.append(error)

    task = asyncio.create_task(work())
    await asyncio.sleep(0)
    task.cancel()
    await hanging.wait()
    time_out(tree, section)
    await asyncio.wait([task], timeout=10)
    assert task.cancelled()
    assert seen


async def test_a_time_out_around_a_task_group(tree):
    """What anyio cancels on its account is its own."""
    section, hanging = track("image", timeout=1000), asyncio.Event()

    async def child():
        hanging.set()
        await anyio.sleep_forever()

    async def work():
        async with section, anyio.create_task_group() as group:
            group.start_soon(child)
            with anyio.move_on_after(1000):
                await anyio.sleep_forever()

    task = asyncio.create_task(work())
    await hanging.wait()
    time_out(tree, section)
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(task, 10)


async def test_a_time_out_within_a_scope_that_is_cancelled(tree):
    """The scope's cancellation goes on to the scope."""
    section, hanging, passed = track("image", timeout=1000), asyncio.Event(), []

    async def work():
        with anyio.CancelScope() as scope:
            scopes.append(scope)
            try:
                async with section:
                    hanging.set()
                    await anyio.sleep_forever()
            except BaseException as error:
                passed.append(type(error))
                raise
        return scope.cancelled_caught

    scopes = []
    task = asyncio.create_task(work())
    await hanging.wait()
    scopes[0].cancel()
    time_out(tree, section)
    assert await asyncio.wait_for(task, 10)
    assert passed == [asyncio.CancelledError]


async def test_what_belongs_to_work_is_not_counted_as_its_own(make, tree):
    """A cancellation of ours is taken back where it was made, and the author's stays."""
    job = await make(cleans_up=True)
    job.task.cancel()
    await job.cleaning.wait()
    cancel(kind="image")
    await job.end()
    assert job.count in {1, None}
