"""What the tests of the machinery share."""

import asyncio

import pytest
from loguru import logger

from nonebot_plugin_graceful.core.lifecycle import lifecycle
from nonebot_plugin_graceful.core.registry import registry
from nonebot_plugin_graceful.core.stopping import Stopping


@pytest.fixture
def log():
    """Collect ``LEVEL message`` of every line."""
    lines = []
    sink = logger.add(lambda m: lines.append(f"{m.record['level'].name} {m.record['message']}"))
    yield lines
    logger.remove(sink)


@pytest.fixture
def shutdown():
    """Begin a shutdown as a signal does, without stopping anything yet."""

    def shutdown(reason="SIGINT"):
        lifecycle.begin(reason)
        lifecycle.announce()

    return shutdown


@pytest.fixture
def drain(within):
    """Begin a shutdown and stop everything; gives the ``Stopping``."""

    async def drain(**keywords):
        lifecycle.begin("SIGINT")
        lifecycle.announce()
        stopping = Stopping(registry.families, "SIGINT", **keywords)
        await within(stopping.run())
        return stopping

    return drain


@pytest.fixture
async def hang():
    """Make tasks that hang in a section of a kind. None outlives the test."""
    from nonebot_plugin_graceful.core.work import track

    tasks = []

    async def hang(kind, **keywords):
        entered = asyncio.Event()

        async def work():
            async with track(kind, **keywords):
                entered.set()
                await asyncio.Event().wait()

        tasks.append(asyncio.create_task(work()))
        await entered.wait()
        return tasks[-1]

    yield hang
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
