"""What the tests of the machinery share. Each has a tree of its own, and no NoneBot."""

import asyncio
import sys

import pytest
from loguru import logger

from nonebot_plugin_graceful.core import installed
from nonebot_plugin_graceful.core.discovery import branches
from nonebot_plugin_graceful.core.kinds import Kinds
from nonebot_plugin_graceful.core.stopping import Stopping
from nonebot_plugin_graceful.core.tree import Limits, Tree
from nonebot_plugin_graceful.core.work import owner


@pytest.fixture(autouse=True)
def tree():
    """Install a tree of the test's own."""
    tree = Tree()
    restore = installed.install(tree)
    yield tree
    restore()


@pytest.fixture(autouse=True)
def nothing_left(tree):
    """Every test leaves no work, no shield, no place and no queue."""
    yield
    assert tree.works == {}
    assert tree.shields == {}
    assert tree.places.taken() == {}
    assert tree.places.queued() == {}
    work = owner.get()
    assert work is None or work.ended


@pytest.fixture
def kinds(tree):
    """Give kinds their settings: ``kinds(image={"limit": 1})``."""

    def kinds(**overrides):
        tree.kinds = Kinds(overrides)

    return kinds


@pytest.fixture
def within():
    """Bound what has to happen soon. The bound is far below for ever."""

    async def within(awaitable, seconds=30):
        return await asyncio.wait_for(awaitable, seconds)

    return within


@pytest.fixture
def ended_by(within):
    """Give what a task ended with, as it was raised in there."""

    async def ended_by(task):
        with pytest.raises(BaseException) as raised:
            await within(task)
        error = raised.value
        if type(error) is asyncio.CancelledError and sys.version_info < (3, 11):
            # Who awaits it gets one anew there, with that of the task behind it.
            while error.__context__ is not None and type(error) is asyncio.CancelledError:
                error = error.__context__
        return error

    return ended_by


@pytest.fixture
def log():
    """Collect ``LEVEL message`` of every line."""
    lines = []
    sink = logger.add(lambda m: lines.append(f"{m.record['level'].name} {m.record['message']}"))
    yield lines
    logger.remove(sink)


@pytest.fixture
def shutdown(tree):
    """Begin a shutdown as a signal does, without stopping anything yet."""

    def shutdown(reason="SIGINT"):
        tree.lifecycle.begin(reason)
        tree.lifecycle.announce()

    return shutdown


@pytest.fixture
def drain(tree, within):
    """Begin a shutdown and stop everything; gives the ``Stopping``."""

    async def drain(*, limits=None, **keywords):
        tree.limits = limits or Limits()
        tree.lifecycle.begin("SIGINT")
        tree.lifecycle.announce()
        stopping = Stopping(tree, lambda: branches(tree), "SIGINT", **keywords)
        await within(stopping.run())
        return stopping

    return drain


@pytest.fixture
async def hang():
    """Make tasks that hang in a section of a kind. None outlives the test."""
    from nonebot_plugin_graceful.core.api import track

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
    await asyncio.sleep(0)
