"""``on_shutting_down`` hooks that misbehave cost nobody anything."""

import signal

import pytest

from examples.sandbox import HANG

from .culprits import WITNESS
from .endings import assert_before_the_deadline, assert_orderly, said_since
from .harness import FASTAPI, NONE

both = pytest.mark.parametrize("driver", [FASTAPI, NONE], ids=["fastapi", "none"])

TELLING = """
import asyncio
import sys
import time
from contextlib import suppress

import httpx
from mark import mark
from nonebot import get_driver, on_command, require

require("nonebot_plugin_graceful")
from nonebot_plugin_graceful import on_shutting_down

config = get_driver().config

def blocks():
    mark("blocks begins")
    time.sleep(1000)

async def blocks_the_loop():
    mark("blocks_the_loop begins")
    time.sleep(1000)

async def swallows():
    mark("swallows begins")
    while True:
        with suppress(asyncio.CancelledError):
            await asyncio.sleep(1000)

def exits():
    mark("exits begins")
    sys.exit(0)

async def exits_later():
    await asyncio.sleep(0)
    mark("exits_later begins")
    sys.exit(0)

async def panics():
    mark("panics begins")
    raise type("PanicException", (BaseException,), {})("lost it")  # as pyo3 does

async def interrupts():
    mark("interrupts begins")
    raise KeyboardInterrupt

async def ends_its_worker():
    mark("ends_its_worker begins")
    worker = asyncio.create_task(asyncio.sleep(1000))
    await asyncio.sleep(0)
    worker.cancel()
    await worker

@on_shutting_down
async def first():
    mark("first told")

for name in config.telling:
    on_shutting_down(globals()[name])

@on_shutting_down
def last():
    mark("last told")

@on_command("work").handle()
async def _():
    async with httpx.AsyncClient(trust_env=False, timeout=None) as client:
        try:
            await client.post(f"{config.ai_base_url}/paid")
        finally:
            mark("work stopped")
"""
LEAVING = ["exits", "exits_later", "panics", "interrupts", "ends_its_worker"]
STAYING = ["blocks", "blocks_the_loop", "swallows"]


async def stop_with(hooks, bot_factory, onebot, api, **keywords):
    """Have a request in flight, and these hooks among those that are told of the shutdown."""
    bot = await bot_factory(WITNESS, TELLING, settings={"telling": hooks}, **keywords)
    api.on("/v1/paid", HANG)
    await onebot.say(1, "/work")
    await api.wait_for_requests(1, "/v1/paid")
    bot.signal(signal.SIGINT)
    await bot.wait()
    for hook in hooks:
        assert bot.mark(f"{hook} begins"), bot.log
    for other in ("first told", "last told"):
        assert bot.mark(other), bot.log
    closed = await onebot.wait_closed()
    assert bot.mark("work stopped").time < closed.time, bot.log
    return bot


@both
async def test_one_that_stays_costs_neither_the_deadline_nor_a_hook(
    driver, bot_factory, onebot, api
):
    """It is left behind, by name, and everything else is as ever."""
    bot = await stop_with(STAYING, bot_factory, onebot, api, driver=driver)
    assert_before_the_deadline(bot)
    for name in STAYING:
        assert said_since(bot, bot.signalled, f"plugin_1.{name}"), bot.log


@both
async def test_one_that_is_left_by_no_exception_ends_nothing_else(driver, bot_factory, onebot, api):
    """``sys.exit(0)``, or the cancellation of a worker that it awaits."""
    assert_orderly(await stop_with(LEAVING, bot_factory, onebot, api, driver=driver))
