"""The plugins' ``on_bot_disconnect`` hooks: each is waited for, whenever it begins, and none ends another."""

import asyncio
import threading
import time

import anyio
import nonebot
import pytest
from nonebot.adapters.onebot.v11 import Adapter, Bot
from nonebot.exception import SkippedException
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
async def group(driver, monkeypatch):
    """NoneBot's own, in which it runs them."""
    group = anyio.create_task_group()
    monkeypatch.setattr(driver._lifespan, "_task_group", group)
    return group


@pytest.fixture
def end_run(driver, order, group):
    """End a run as NoneBot and we do, a bot being disconnected last of all."""

    async def end_run():
        bot = Bot(nonebot.get_adapter(Adapter), "1")
        disconnecting = Disconnecting()
        async with group:
            restore = disconnecting.guard()
            driver._bot_disconnect(bot)
            await disconnecting.wait(lambda: 60)
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


@pytest.mark.parametrize(
    "error", [KeyboardInterrupt(), GeneratorExit(), ValueError("no")], ids=repr
)
async def test_a_sync_one_that_raises_ends_no_other(error, driver, order, end_run):
    """It comes out of a thread."""
    raised = threading.Event()

    @driver.on_bot_disconnect
    async def saves():
        while not raised.is_set():
            await asyncio.sleep(0.001)
        await asyncio.sleep(0.01)
        order.append("saved")

    @driver.on_bot_disconnect
    def raises(bot: Bot):
        raised.set()
        raise error

    disconnecting = await end_run()
    assert order == ["saved", "the run has ended"]
    ((name, what),) = disconnecting.failures.items()
    assert name.endswith("raises")
    assert what.startswith(f"(on_bot_disconnect) failed: {type(error).__name__}")


async def test_a_sync_one_is_waited_for(driver, order, end_run):
    """In its thread; what it returns, or has skipped, is nobody's failure."""

    @driver.on_bot_disconnect
    def saves(bot: Bot):
        time.sleep(0.05)  # a look at the clock long
        order.append(f"saved {bot.self_id}")
        return ValueError("as a value")

    @driver.on_bot_disconnect
    def skips():
        raise SkippedException

    disconnecting = await end_run()
    assert order == ["saved 1", "the run has ended"]
    assert disconnecting.failures == {}


@pytest.mark.parametrize("guarded", [True, False], ids=["guarded", "begun before"])
async def test_one_that_runs_is_no_work_that_is_to_be_stopped(guarded, driver, group, tree, until):
    """It has its time at the end."""
    running, saved = [], asyncio.Event()

    @driver.on_bot_disconnect
    async def saves():
        running.append(asyncio.current_task())
        await saved.wait()

    disconnecting = Disconnecting()
    async with group:
        restore = disconnecting.guard() if guarded else None
        driver._bot_disconnect(Bot(nonebot.get_adapter(Adapter), "1"))
        await until(lambda: running)
        restore = restore or disconnecting.guard()
        assert list(disconnecting.running()) == running
        assert tree.world.recognize(running[0]) is None
        restore()
        saved.set()


async def test_the_wait_is_not_cut_by_nonebots_own_group(driver, order, end_run, group):
    """A task in it that was cancelled cancels all of it; no hook is to pay for that."""

    @driver.on_bot_disconnect
    async def saves():
        await asyncio.sleep(0.01)
        order.append("saved")

    group.cancel_scope.cancel()
    await end_run()
    assert order == ["saved", "the run has ended"]


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
