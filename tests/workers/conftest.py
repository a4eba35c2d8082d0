"""Bots with work that outlives them, one life after the other; nothing of DBOS is left behind."""

import asyncio

import pytest

from nonebot_plugin_graceful.workers import functions
from nonebot_plugin_graceful.workers.calls import Calls
from tests.journal.conftest import house, log, matcher  # noqa: F401 - fixtures


@pytest.fixture
def no_functions():
    """Know none but those of the test, and enqueue no calls."""
    known, before = dict(functions.functions), functions.install(None)
    functions.functions.clear()
    yield
    functions.functions.clear()
    functions.functions.update(known)
    functions.install(before)


@pytest.fixture
async def begin(house, no_functions):  # noqa: F811
    """Begin a life of the bot that has its calls enqueued; the one before has ended."""
    opened = []

    async def end():
        while opened:
            await asyncio.to_thread(opened.pop().close)

    async def begin(**settings):
        await end()
        life = house.life(**settings)
        life.calls = Calls(life.tree, life.requests, "", house.folder)
        opened.append(life.calls)
        functions.install(life.calls)
        return life

    yield begin
    functions.install(None)
    await end()


@pytest.fixture
def workflows():
    """Give the status of every workflow that is kept, by its name."""

    async def workflows(life):
        found = await asyncio.to_thread(life.calls._client.list_workflows)
        return [each.status for each in found]

    return workflows
