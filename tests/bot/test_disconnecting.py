"""The plugins' ``on_bot_disconnect`` hooks: each is waited for, whenever it begins, and none ends another."""

import asyncio

import anyio
import nonebot
import pytest
from nonebot.adapters.onebot.v11 import Adapter, Bot
from nonebot.internal.driver import Driver

from nonebot_plugin_graceful.bot.disconnecting import Disconnecting


@pytest.fixture
def driver(monkeypatch):
    """NoneBot's, with hooks of this test alone."""
    monkeypatch.setattr(Driver, "_bot_disconnection_hook", set())
    return nonebot.get_driver()


@pytest.fixture
def order():
    """What has happened."""
    return []


@pytest.fixture
def end_run(driver, order, monkeypatch, within):
    """End a run as NoneBot and we do, a bot being disconnected last of all."""

    async def end_run():
        bot = Bot(nonebot.get_adapter(Adapter), "1")
        disconnecting = Disconnecting()
        async with anyio.create_task_group() as group:
            monkeypatch.setattr(driver._lifespan, "_task_group", group)
            restore = disconnecting.guard()
            driver._bot_disconnect(bot)
            await within(disconnecting.wait(lambda: 60))
            restore()
            order.append("the run has ended")
            group.cancel_scope.cancel()
        return disconnecting

    return end_run


async def test_one_that_is_about_to_begin_is_waited_for(driver, order, end_run):
    """The bot is gone already, and no step of the hook has run."""

    @driver.on_bot_disconnect
    async def saves(bot: Bot):
        await asyncio.sleep(0.01)
        order.append(f"saved {bot.self_id}")

    disconnecting = await end_run()
    assert order == ["saved 1", "the run has ended"]
    assert disconnecting.failures == {}


async def test_one_that_is_about_to_begin_is_guarded(driver, order, end_run):
    """What it raises ends no other."""
    raised = asyncio.Event()

    @driver.on_bot_disconnect
    async def saves():
        await raised.wait()
        await asyncio.sleep(0.01)
        order.append("saved")

    @driver.on_bot_disconnect
    async def raises():
        raised.set()
        raise KeyboardInterrupt

    disconnecting = await end_run()
    assert order == ["saved", "the run has ended"]
    (what,) = disconnecting.failures.values()
    assert what == "(on_bot_disconnect) failed: KeyboardInterrupt"
