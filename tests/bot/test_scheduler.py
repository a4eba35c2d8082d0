"""APScheduler's jobs: seen, with what they make, and none begun while stopping."""

import asyncio
import logging
from contextlib import contextmanager

from apscheduler.events import EVENT_JOB_ERROR
from apscheduler.schedulers.base import STATE_PAUSED, STATE_RUNNING
from nonebot_plugin_apscheduler import scheduler as apscheduler

from nonebot_plugin_graceful import Refused, _process, cancel, tasks, track
from nonebot_plugin_graceful.core.discovery import branches


@contextmanager
def listening(shown):
    """Collect what APScheduler's handlers show with a traceback."""
    handlers = logging.getLogger("apscheduler").handlers
    assert handlers
    emits = [handler.emit for handler in handlers]
    for handler in handlers:
        handler.emit = lambda record: shown.append(record) if record.exc_info else None
    try:
        yield
    finally:
        for handler, emit in zip(handlers, emits, strict=True):
            handler.emit = emit


async def test_an_async_job_is_seen(tree, run_job, within):
    """It is of the kind ``job``, and of the plugin that defined its function."""
    entered, leave = asyncio.Event(), asyncio.Event()
    works = []

    async def job():
        works.append(tree.current())
        entered.set()
        await leave.wait()

    run_job(job)
    await within(entered.wait())
    (info,) = tasks()
    assert (info.kind, info.name, info.plugin) == ("job", "daily", "nonebot_plugin_graceful")
    assert works[0] is not None
    assert works[0].id == info.id
    assert works[0].root
    ended = asyncio.wait([works[0].task])
    leave.set()
    await within(ended)
    assert tasks() == []


async def test_an_operator_gives_a_plugins_jobs_another_kind(tree, run_job, within):
    """GRACEFUL_PLUGIN_KINDS holds for jobs, too."""
    tree.kinds.plugins["nonebot_plugin_graceful"] = "background"
    entered, leave = asyncio.Event(), asyncio.Event()

    async def job():
        entered.set()
        await leave.wait()

    run_job(job)
    await within(entered.wait())
    assert [info.kind for info in tasks()] == ["background"]
    leave.set()


async def test_what_a_job_makes_belongs_to_it(tree, run_job, within):
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
    (branch,) = branches(tree)
    assert branch.work.kind.name == "job"
    assert branch.task is not children[0]
    assert branch.members == children
    ended = asyncio.wait(branch.tasks)
    leave.set()
    await within(ended)


async def test_no_job_begins_while_stopping(running, run_job, within):
    """One that falls due is begun only after the scheduler was resumed."""
    ran = asyncio.Event()

    async def job():
        ran.set()

    restore = _process.jobs.pause()
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


class Shows(logging.Handler):
    """Collects messages."""

    def __init__(self, shown):
        super().__init__()
        self.shown = shown

    def emit(self, record):
        self.shown.append(record.getMessage())


def test_a_cancelled_job_is_not_logged_as_a_failed_one():
    """While stopping; other errors are logged, and afterwards everything is."""
    logger, shown = logging.getLogger("apscheduler"), []
    handler = Shows(shown)
    logger.addHandler(handler)
    before = [list(one.filters) for one in logger.handlers]
    try:
        restore = _process.jobs.pause()
        logger.error("stopped", exc_info=asyncio.CancelledError())
        logger.error("failed", exc_info=ValueError())
        restore()
        logger.error("stopped later", exc_info=asyncio.CancelledError())
        assert [one.filters for one in logger.handlers] == before
    finally:
        logger.removeHandler(handler)
    assert shown == ["failed", "stopped later"]


async def test_a_job_that_was_told_to_end_is_not_logged_as_a_failed_one(tree, run_job, within):
    """Whoever cancelled it knows; one that was cancelled by somebody else is."""
    begun, shown = asyncio.Event(), []

    async def job():
        async with track("llm"):
            begun.set()
            await asyncio.Event().wait()

    with listening(shown):
        for cancelled_by in (lambda info, _: cancel(info.id), lambda _, work: work.task.cancel()):
            begun.clear()
            ended = asyncio.Event()
            apscheduler.add_listener(lambda _, ended=ended: ended.set(), EVENT_JOB_ERROR)
            run_job(job)
            await within(begun.wait())
            (branch,), (info,) = branches(tree), tasks()
            cancelled_by(info, branch.work)
            await within(ended.wait())
    assert len(shown) == 1


async def test_a_refused_job_is_not_logged_as_a_failed_one(tree, run_job, within):
    """A drain refuses its AI work with ``Refused``, which ends the job: no error, no traceback."""
    tree.admission.refuse("no new AI work is taken on")
    refused, shown = [], []

    async def job():
        try:
            async with track("llm"):
                pass
        except Refused as error:
            refused.append(error)
            raise

    with listening(shown):
        ended = asyncio.Event()
        run_job(job)
        apscheduler.add_listener(lambda _: ended.set(), EVENT_JOB_ERROR)
        await within(ended.wait())
    assert len(refused) == 1
    assert shown == []
