"""APScheduler's jobs: seen, with what they make, and none begun while stopping."""

import asyncio
import logging

import pytest
from apscheduler.schedulers.base import STATE_PAUSED, STATE_RUNNING
from nonebot_plugin_apscheduler import scheduler as apscheduler

from nonebot_plugin_graceful import scheduler, tasks
from nonebot_plugin_graceful.core.registry import registry


@pytest.fixture
async def running():
    """APScheduler itself, running for one test."""
    apscheduler.start()
    yield apscheduler
    apscheduler.remove_all_jobs()
    if apscheduler.state == STATE_PAUSED:
        apscheduler.resume()
    apscheduler.shutdown(wait=False)
    while apscheduler.running:  # it stops in a callback of the loop
        await asyncio.sleep(0)


@pytest.fixture
def run_job(running):
    """Run a coroutine function at once, as a job of the plugin."""

    def run_job(function):
        function.__module__ = "nonebot_plugin_graceful.scheduler"
        return running.add_job(function, name="daily", misfire_grace_time=None)

    return run_job


async def test_an_async_job_is_seen(run_job, within):
    """It is of the kind ``job``, and of the plugin that defined its function."""
    entered, leave = asyncio.Event(), asyncio.Event()
    records = []

    async def job():
        records.append(registry.current())
        entered.set()
        await leave.wait()

    run_job(job)
    await within(entered.wait())
    (info,) = tasks()
    assert (info.kind, info.name, info.plugin) == ("job", "daily", "nonebot_plugin_graceful")
    assert records[0] is not None
    assert records[0].id == info.id
    ended = asyncio.wait([records[0].task])
    leave.set()
    await within(ended)
    assert tasks() == []


async def test_an_operator_gives_a_plugins_jobs_another_kind(run_job, within):
    """GRACEFUL_PLUGIN_KINDS holds for jobs, too."""
    registry.plugin_kinds["nonebot_plugin_graceful"] = "background"
    entered, leave = asyncio.Event(), asyncio.Event()

    async def job():
        entered.set()
        await leave.wait()

    run_job(job)
    await within(entered.wait())
    assert [info.kind for info in tasks()] == ["background"]
    leave.set()


async def test_what_a_job_makes_belongs_to_it(run_job, within):
    """Even a task made in its first step."""
    entered, leave = asyncio.Event(), asyncio.Event()
    children = []

    async def child():
        entered.set()
        await leave.wait()

    async def job():
        children.append(asyncio.create_task(child()))
        await children[0]

    run_job(job)
    await within(entered.wait())
    (family,) = registry.families()
    assert family.record.kind.name == "job"
    assert family.leader is not children[0]
    assert set(family.members) == {family.leader, children[0]}
    ended = asyncio.wait(set(family.members))
    leave.set()
    await within(ended)


async def test_no_job_begins_while_stopping(running, run_job, within):
    """One that falls due is begun only after the scheduler was resumed."""
    ran = asyncio.Event()

    async def job():
        ran.set()

    restore = scheduler.pause()
    try:
        assert running.state == STATE_PAUSED
        run_job(job)
        running._process_jobs()
        for _ in range(5):
            await asyncio.sleep(0)
        assert not ran.is_set()
    finally:
        restore()
    running.resume()
    assert running.state == STATE_RUNNING
    await within(ran.wait())


def test_a_cancelled_job_is_not_logged_as_a_failed_one():
    """While stopping; other errors are logged, and afterwards everything is."""
    logger, shown = logging.getLogger("apscheduler"), []

    class Shows(logging.Handler):
        def emit(self, record):
            shown.append(record.getMessage())

    handler = Shows()
    logger.addHandler(handler)
    try:
        restore = scheduler.pause()
        logger.error("stopped", exc_info=asyncio.CancelledError())
        logger.error("failed", exc_info=ValueError())
        restore()
        logger.error("stopped later", exc_info=asyncio.CancelledError())
    finally:
        logger.removeHandler(handler)
    assert shown == ["failed", "stopped later"]
    assert not any(one.filters for one in logger.handlers)
