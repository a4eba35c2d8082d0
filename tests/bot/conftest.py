"""What the tests of what is touched of NoneBot share."""

import asyncio

import pytest
from loguru import logger


@pytest.fixture
def tree():
    """Give the plugin's tree of work."""
    from nonebot_plugin_graceful.core import installed

    return installed.tree


@pytest.fixture
def kinds(tree):
    """Set what ``GRACEFUL_KINDS`` would: ``kinds(image={"limit": 1})``."""
    from nonebot_plugin_graceful.core.kinds import Kinds

    def kinds(**overrides):
        tree.kinds = Kinds(overrides, tree.kinds.plugins)

    return kinds


@pytest.fixture
def log():
    """Collect ``LEVEL message`` of every line."""
    lines = []
    sink = logger.add(lambda m: lines.append(f"{m.record['level'].name} {m.record['message']}"))
    yield lines
    logger.remove(sink)


@pytest.fixture
def until(within):
    """Give a function that waits for what no event tells of."""

    async def wait(condition):
        while not condition():
            await asyncio.sleep(0.001)

    async def until(condition):
        await within(wait(condition))

    return until


@pytest.fixture
async def running():
    """APScheduler itself, running for one test."""
    from apscheduler.schedulers.base import STATE_PAUSED
    from nonebot_plugin_apscheduler import scheduler as apscheduler

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
        function.__module__ = "nonebot_plugin_graceful.bot.scheduler"
        return running.add_job(function, name="daily", misfire_grace_time=None)

    return run_job
