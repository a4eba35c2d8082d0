"""A scheduler job costs what it costs, however many tasks the bot has; seen by counting, not by a clock."""

import asyncio
import itertools
import sys

import pytest

from nonebot_plugin_graceful import cancel, tasks


@pytest.fixture
async def crowd():
    """Idle tasks, as many as are asked for."""
    made = []

    async def crowd(count):
        made.extend(asyncio.create_task(asyncio.Event().wait()) for _ in range(count))
        await asyncio.sleep(0)

    return crowd


@pytest.fixture
def run_job(scheduler, within):
    """Have a job run once, to its end; give what is returned by looking at it from within."""
    numbers = itertools.count()

    async def run_job(look=lambda: None):
        ended = asyncio.get_running_loop().create_future()

        async def job():
            await asyncio.sleep(0)
            ended.set_result(look())

        scheduler.add_job(job, id=f"job {next(numbers)}", name="daily", misfire_grace_time=None)
        return await within(ended)

    return run_job


async def test_no_run_of_a_job_walks_all_tasks(crowd, monkeypatch, run_job, settle):
    """``asyncio.all_tasks`` is not asked, neither when it begins nor when it ends."""
    await crowd(50)
    await run_job()  # whatever is done once
    await settle()
    walks = []
    real = asyncio.all_tasks

    def all_tasks(loop=None):
        walks.append(sys._getframe(1).f_code.co_qualname if sys.version_info >= (3, 11) else "")
        return real(loop)

    monkeypatch.setattr(asyncio, "all_tasks", all_tasks)
    monkeypatch.setattr(asyncio.tasks, "all_tasks", all_tasks)
    for _ in range(5):
        await run_job()
        await settle()
    assert walks == []


async def test_a_job_takes_as_many_calls_among_many_tasks_as_among_few(crowd, run_job, settle):
    """Counted by the interpreter's own profile: Python's functions and C's."""

    async def calls():
        count = 0

        def profile(_frame, event, _arg):
            nonlocal count
            count += event in ("call", "c_call")

        sys.setprofile(profile)
        try:
            await run_job()
            await settle()
        finally:
            sys.setprofile(None)
        return count

    await run_job()  # whatever is done once
    few = min([await calls() for _ in range(3)])
    await crowd(2000)
    many = min([await calls() for _ in range(3)])
    # The threads of others, a collection of garbage: a little more is no walk.
    assert many < few + 1000


async def test_a_job_is_seen_all_the_same(run_job):
    """Its kind and its name, from its first step on."""

    def look():
        return [(info.kind, info.name) for info in tasks()]

    assert await run_job(look) == [("job", "daily")]
    assert tasks() == []


async def test_what_a_job_makes_in_its_first_step_ends_with_it(ended, scheduler, until):
    """It inherits the job before anybody has looked."""
    made, begun, cut = [], [], []

    async def hang(name):
        begun.append(name)
        try:
            await asyncio.Event().wait()
        finally:
            cut.append(name)

    async def job():
        made.append(asyncio.current_task())
        made.append(asyncio.create_task(hang("child")))
        await asyncio.wait(made[1:])

    scheduler.add_job(job, name="daily", misfire_grace_time=None)
    await until(lambda: begun)
    (info,) = tasks()
    assert [one.id for one in cancel(info.id)] == [info.id]
    await ended(*made)
    assert cut == ["child"]
    assert tasks() == []


async def test_several_jobs_that_begin_at_once_are_all_seen(scheduler, until):
    """Each by its own name."""
    go, begun = asyncio.Event(), []

    async def job():
        begun.append(1)
        await go.wait()

    for name in ("a", "b", "c"):
        scheduler.add_job(job, name=name, misfire_grace_time=None)
    await until(lambda: len(begun) == 3)
    assert sorted(info.name for info in tasks()) == ["a", "b", "c"]
    assert {info.kind for info in tasks()} == {"job"}
    go.set()
    await until(lambda: tasks() == [])
