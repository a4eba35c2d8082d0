"""Sinks that take their time to tell of a hook that fails, or that fail, cost no other hook its turn."""

import signal

import pytest

from .culprits import WITNESS, last_shutdown
from .endings import CLEAN, PATIENT, assert_orderly
from .harness import DRIVERS

pytestmark = pytest.mark.parametrize("driver", DRIVERS.values(), ids=DRIVERS)

NOTIFIER = """
import asyncio
import time
from mark import mark
from nonebot import get_driver, logger

driver = get_driver()

def notify(message):
    if " hook " in message.record["message"]:
        mark("telling")
        time.sleep(1)  # requests.post() to whoever watches over the bot: it blocks the event loop
        mark("told")

logger.add(notify, level="WARNING")
"""
SHUTDOWN = """
@driver.on_shutdown
async def fails():
    raise ValueError("lost it")
"""
START = """
@driver.on_startup
async def fails():
    mark("waiting")
    try:
        await asyncio.sleep(1000)
    finally:
        raise ValueError("lost it")
"""
DISCONNECTION = """
@driver.on_bot_disconnect
async def fails(bot):
    raise ValueError("lost it")

@driver.on_bot_disconnect
async def saves(bot):
    await asyncio.sleep(0.1)
    mark("saved")
"""


async def stop(bot):
    """Send SIGINT; it ends in order, and who was told was not interrupted."""
    bot.signal(signal.SIGINT)
    await bot.wait()
    assert_orderly(bot, codes=(CLEAN,))
    assert bot.mark("telling"), bot.log
    assert len(bot.marks("telling")) == len(bot.marks("told")), bot.log


async def test_of_on_shutdown(driver, bot_factory, tmp_path):
    """All others run, and what it failed with is in the report."""
    bot = await bot_factory(WITNESS, NOTIFIER + SHUTDOWN, driver=driver, settings=PATIENT)
    await stop(bot)
    assert last_shutdown(tmp_path)["hooks"] == {"plugin_1.fails": "failed: ValueError: lost it"}


async def test_of_on_startup(driver, bot_factory):
    """The start does not fail, or no hook of ``on_shutdown`` would run."""
    bot = await bot_factory(
        WITNESS, NOTIFIER + START, driver=driver, settings=PATIENT, connect=False
    )
    await bot.wait_mark("waiting")
    await stop(bot)


async def test_of_on_bot_disconnect(driver, bot_factory):
    """Those beside it are not cut."""
    bot = await bot_factory(WITNESS, NOTIFIER + DISCONNECTION, driver=driver, settings=PATIENT)
    await stop(bot)
    assert bot.mark("saved"), bot.log


RAISING = """
from mark import mark
from nonebot import logger, on_command

def fails(message):
    raise RuntimeError("the disk is full")

@on_command("add").handle()
async def _():
    logger.add(fails, catch=False)
    mark("added")
"""


async def test_one_that_raises_costs_what_it_costs_without_the_plugin(driver, bot_factory, onebot):
    """The same hooks run, and the exit code is the same."""
    seen = {}
    for graceful in (False, True):
        bot = await bot_factory(
            WITNESS, RAISING, driver=driver, graceful=graceful, settings=PATIENT
        )
        await onebot.say(1, "/add")
        await bot.wait_mark("added")
        bot.signal(signal.SIGINT)
        code = await bot.wait()
        seen[graceful] = code, {line.text for line in bot.marks()}
    assert seen[True] == seen[False], bot.log
