"""What those are told who count: each stretch of a kind, once, and what became of it."""

import asyncio

import pytest

from nonebot_plugin_graceful.core.api import cancel, spawn, track
from nonebot_plugin_graceful.core.errors import Refused
from nonebot_plugin_graceful.core.meters import Meter, seconds_queued, seconds_worked


class Notes(Meter):
    """Writes down what it is told."""

    def __init__(self):
        self.outcomes = []
        self.refusals = []
        self.seconds = []

    def ended(self, section, work, outcome):
        self.outcomes.append((section.kind.name, outcome))
        self.seconds.append((seconds_queued(section), seconds_worked(section)))

    def refused(self, kind, work):
        self.refusals.append(kind.name)


@pytest.fixture
def notes(tree):
    """Somebody who counts."""
    notes = Notes()
    tree.world.meters.append(notes)
    return notes


async def test_what_ends_well_is_done(notes):
    """A stretch within a task, and a task of its own."""
    async with track("image"):
        pass
    await spawn(asyncio.sleep(0), kind="llm")
    await asyncio.sleep(0)
    assert notes.outcomes == [("image", "done"), ("llm", "done")]


async def test_what_raises_has_failed(notes):
    """Whoever sees its exception."""

    async def fail():
        raise ValueError

    with pytest.raises(ValueError):
        async with track("image"):
            await fail()
    with pytest.raises(ValueError):
        await spawn(fail(), kind="llm")
    with pytest.raises(ValueError):
        await spawn(fail(), kind="job", timeout=60)
    assert notes.outcomes == [("image", "failed"), ("llm", "failed"), ("job", "failed")]


async def test_what_is_cancelled_while_the_bot_runs(notes, hang, within):
    """By its author or by an operator."""
    task = await hang("image")
    cancel(kind="image")
    await asyncio.wait([task], timeout=10)
    task = await hang("llm")
    task.cancel()
    await asyncio.wait([task], timeout=10)
    assert notes.outcomes == [("image", "cancelled"), ("llm", "cancelled")]


async def test_what_the_shutdown_ends_is_interrupted(notes, hang, drain):
    """And nothing else."""
    await hang("image")
    await drain()
    assert notes.outcomes == [("image", "interrupted")]


async def test_what_takes_too_long_is_timed_out(notes):
    """As its section says; a time-out of the author's own is a failure."""
    with pytest.raises(TimeoutError):
        async with track("image", timeout=0.01):
            await asyncio.Event().wait()
    with pytest.raises(asyncio.TimeoutError):
        async with track("llm"):
            await asyncio.wait_for(asyncio.Event().wait(), 0.01)
    assert notes.outcomes == [("image", "timed_out"), ("llm", "failed")]


async def test_what_may_not_begin_is_refused(notes, tree, kinds, hang):
    """While drained, and if no place becomes free in time."""
    tree.admission.refuse("drained")
    with pytest.raises(Refused):
        async with track("image"):
            pass
    tree.admission.resume()
    assert (notes.refusals, notes.outcomes) == (["image"], [])
    kinds(llm={"limit": 1})
    await hang("llm")
    with pytest.raises(Refused):
        async with track("llm", timeout=0.01):
            pass
    assert notes.outcomes == [("llm", "refused")]


async def test_a_stretch_within_one_of_its_kind_is_no_further_one(notes):
    """Of another kind it is."""
    async with track("image"), track("llm"), track("image"), track("llm"):
        pass
    assert sorted(notes.outcomes) == [("image", "done"), ("llm", "done")]


async def test_a_task_that_ends_inside_its_stretches_closes_each(notes, tree):
    """Once."""

    async def leave_open():
        tree.open(track("image"), asyncio.current_task())
        tree.open(track("llm"), asyncio.current_task())

    await asyncio.create_task(leave_open())
    await asyncio.sleep(0)
    assert sorted(notes.outcomes) == [("image", "done"), ("llm", "done")]


async def test_the_wait_for_a_place_is_not_the_work(notes, kinds, hang, within):
    """The seconds of both are told apart."""
    kinds(image={"limit": 1})
    first = await hang("image")

    async def second():
        async with track("image"):
            pass

    task = asyncio.create_task(second())
    await asyncio.sleep(0)  # it waits from now on, and not from whenever a busy machine lets it
    await asyncio.sleep(0.2)
    first.cancel()
    await within(task)
    (queued, _), (waited, worked) = notes.seconds
    assert queued < 0.2 <= waited
    assert worked < waited


async def test_what_is_taken_up_again_is_resumed(notes, tree):
    """All of it that ends well."""
    async with track("handler"):
        tree.current().resumed = True
        async with track("image"):
            pass
    assert notes.outcomes == [("image", "resumed"), ("handler", "resumed")]
