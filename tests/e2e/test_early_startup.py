"""What the start-up hooks of plugins that were loaded before this one begin."""

import signal

import pytest

from .culprits import WITNESS, last_shutdown
from .endings import CLEAN, assert_orderly
from .harness import FASTAPI, NONE

both = pytest.mark.parametrize("driver", [FASTAPI, NONE], ids=["fastapi", "none"])

EARLY = """
import asyncio
from mark import mark
from nonebot import get_driver, on_command, require

@get_driver().on_startup
async def _():
    mark("early hook begins")
    await early()

require("nonebot_plugin_graceful")
from nonebot_plugin_graceful import shutdown, spawn, tasks, track
"""

NO_DATABASE = (
    EARLY
    + """
async def early():
    shutdown("no database")
"""
)


@both
async def test_a_shutdown_keeps_its_reason(driver, bot_factory):
    """The bot ends once it has started, with all hooks, and says why."""
    bot = await bot_factory(WITNESS, NO_DATABASE, driver=driver, graceful=False, connect=False)
    await bot.wait_mark("early hook begins")
    await bot.wait()
    assert_orderly(bot, codes=(CLEAN, -signal.SIGTERM))
    assert bot.find("Stopped (no database)"), bot.log


BUSY = (
    EARLY
    + """
begun = set()

async def work(name):
    mark(f"{name} begins")
    begun.add(name)
    try:
        await asyncio.sleep(1000)
    finally:
        mark(f"{name} stopped")

async def early():
    global task
    spawn(work("spawned"))
    task = asyncio.create_task(track("llm")(work)("tracked"))
    while len(begun) < 2:
        await asyncio.sleep(0)

@on_command("ask").handle()
async def _():
    mark("listed: " + " ".join(sorted(info.kind for info in tasks())))
    async with track("llm"):
        mark("a second one begins")

@on_command("ping").handle()
async def _():
    mark("pong")
"""
)


async def test_work_that_they_begin_is_not_forgotten(onebot, bot_factory, tmp_path):
    """It is listed, holds its place, and is stopped and counted while the bot can still talk."""
    settings = {"graceful_kinds": {"llm": {"limit": 1}}}
    bot = await bot_factory(WITNESS, BUSY, graceful=False, settings=settings)
    names = ("spawned", "tracked")
    for name in names:
        await bot.wait_mark(f"{name} begins")
    await onebot.say(1, "/ask")
    await bot.wait_mark("listed: background handler llm")
    await onebot.say(1, "/ping")
    await bot.wait_mark("pong")
    bot.signal(signal.SIGINT)
    await bot.wait()
    assert_orderly(bot)
    assert not bot.mark("a second one begins"), bot.log
    kinds = last_shutdown(tmp_path)["kinds"]
    assert kinds["background"] == {"cancelled": 1}, kinds
    assert "llm" in kinds
    closed = await onebot.wait_closed()
    ends = {name: bot.mark(f"{name} stopped") for name in names}
    assert all(ends.values()), bot.log
    assert {name: mark.time < closed.time for name, mark in ends.items()} == dict.fromkeys(
        names, True
    ), bot.log


WAITING = """
import asyncio
import sys
from mark import mark
from nonebot import get_driver

@get_driver().on_startup
async def waits():
    mark("waiting")
    try:
        await asyncio.sleep(1000)
    except asyncio.CancelledError:
        LEAVE
"""


@both
@pytest.mark.parametrize("leave", ["raise RuntimeError('no table')", "sys.exit(1)"])
async def test_what_a_hook_makes_of_its_end_does_not_fail_the_start(driver, leave, bot_factory):
    """Else no ``on_shutdown`` hook would run."""
    bot = await bot_factory(WITNESS, WAITING.replace("LEAVE", leave), driver=driver, connect=False)
    await bot.wait_mark("waiting")
    bot.signal(signal.SIGINT)
    await bot.wait()
    assert_orderly(bot)
    assert bot.find("on_startup hook plugin_1.waits was ended: SIGINT"), bot.log
