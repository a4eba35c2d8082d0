"""What is not to be cut is not cut, in whichever task it is and whoever awaits that one."""

import signal

import pytest

from examples.sandbox.onebot import Answer

from .culprits import WITNESS
from .endings import assert_orderly, paths_since
from .harness import FASTAPI, NONE

both = pytest.mark.parametrize("driver", [FASTAPI, NONE], ids=["fastapi", "none"])

NO_GRACE = {
    "graceful_kinds": {"handler": {"grace": 0}},
    "graceful_shield_timeout": 30,
    "graceful_deadline": 60,
}

WAYS = """
import asyncio
from contextlib import asynccontextmanager

import anyio
import httpx
from mark import mark
from nonebot import get_driver, on_command, require
from nonebot.adapters import Bot, Event

require("nonebot_plugin_graceful")
from nonebot_plugin_graceful import is_shutting_down, shield, spawn, track

base = get_driver().config.ai_base_url
client = httpx.AsyncClient(trust_env=False, timeout=None)

async def pay():
    await client.post(f"{base}/paid")

async def directly(work):
    await work

async def in_a_child(work):
    await asyncio.create_task(work)

async def in_a_tracked_child(work):
    await asyncio.create_task(track("image")(directly)(work))

async def in_a_spawned_child(work):
    await spawn(work)

async def in_a_grandchild(work):
    await spawn(in_a_tracked_child(work))

async def gathered(work):
    await asyncio.gather(in_a_tracked_child(work), asyncio.sleep(1000))

async def waited_for(work):
    await asyncio.wait_for(track("image")(directly)(work), 1000)

async def in_a_group(work):
    async with anyio.create_task_group() as group:
        group.start_soon(track("image")(directly), work)
        await asyncio.sleep(1000)

@asynccontextmanager
async def entering(work):
    await work
    yield

async def in_a_context_manager(work):
    async with entering(work):
        await pay()

async def generating(work):
    yield await work

async def in_a_generator(work):
    async for _ in generating(work):
        await pay()

async def in_a_generator_of_a_child(work):
    await spawn(in_a_generator(in_a_context_manager(work)))

WAYS = [
    *(directly, in_a_child, in_a_tracked_child, in_a_spawned_child, in_a_grandchild),
    *(gathered, waited_for, in_a_group),
    *(in_a_context_manager, in_a_generator, in_a_generator_of_a_child),
]

def command(way):
    @on_command(way.__name__).handle()
    async def _(bot: Bot, event: Event):
        await way(work(way.__name__, bot, event))
        await pay()

for way in WAYS:
    command(way)
"""
NAMES = [
    *("directly", "in_a_child", "in_a_tracked_child", "in_a_spawned_child", "in_a_grandchild"),
    *("gathered", "waited_for", "in_a_group"),
    *("in_a_context_manager", "in_a_generator", "in_a_generator_of_a_child"),
]


async def say_all(onebot, names=NAMES):
    """Have each way be gone by a user of its own."""
    for user, name in enumerate(names):
        await onebot.say(user + 1, f"/{name}")


SHIELDING = (
    WAYS
    + """
async def work(name, bot, event):
    async with shield():
        mark(f"{name} begins")
        while not is_shutting_down():
            await asyncio.sleep(0.01)
        await asyncio.sleep(0.8)
        mark(f"{name} whole")
    await pay()
"""
)


async def test_a_shield_is_not_cut_through_whoever_awaits_it(bot_factory, onebot, api):
    """And when it is over nothing goes on to the next paid request."""
    bot = await bot_factory(WITNESS, SHIELDING, settings=NO_GRACE)
    await say_all(onebot)
    for name in NAMES:
        await bot.wait_mark(f"{name} begins")
    bot.signal(signal.SIGINT)
    await bot.wait()
    assert [name for name in NAMES if not bot.mark(f"{name} whole")] == [], bot.log
    assert api.requests == []
    assert_orderly(bot)


REPLYING = (
    WAYS
    + """
async def work(name, bot, event):
    try:
        await bot.send(event, name)
    finally:
        mark(f"{name} over")
    await pay()
"""
)
LATENCY = 3.0
"""Seconds: the signal comes before the first of them is over."""


@both
async def test_a_reply_is_not_cut_through_whoever_awaits_it(driver, bot_factory, onebot, api):
    """Nor in a generator; and when it is sent nothing goes on to the next paid request."""
    bot = await bot_factory(WITNESS, REPLYING, driver=driver, settings=NO_GRACE)
    onebot.on("send_msg", Answer(latency=LATENCY))
    await say_all(onebot)
    calls = await onebot.wait_for_messages(len(NAMES))
    signalled = bot.signal(signal.SIGINT)
    await bot.wait()
    over = {call.text: bot.mark(f"{call.text} over").time - call.received for call in calls}
    assert sorted(over) == sorted(NAMES)
    assert [name for name in NAMES if over[name] < 0.9 * LATENCY] == [], bot.log
    assert paths_since(api, signalled) == []
    assert_orderly(bot)


RECORDING = """
import asyncio
from mark import mark
from nonebot.adapters import Bot

@Bot.on_called_api
async def record(bot, exception, api, data, result):
    mark(f"recording {data['message']}")
    await asyncio.sleep(0.7)
    mark(f"recorded {data['message']}")
"""


@pytest.mark.parametrize("reply", ["being sent", "sent"])
async def test_other_plugins_on_called_api_hooks_run_whole(reply, bot_factory, onebot, api):
    """Whether a signal comes while the platform takes its time, or while they do."""
    names = ["directly", "in_a_tracked_child", "in_a_spawned_child", "in_a_context_manager"]
    bot = await bot_factory(WITNESS, RECORDING, REPLYING, settings=NO_GRACE)
    if reply == "being sent":
        onebot.on("send_msg", Answer(latency=0.5))
    await say_all(onebot, names)
    await onebot.wait_for_messages(len(names))
    if reply == "sent":
        for name in names:
            await bot.wait_mark(f"recording {name}")
    signalled = bot.signal(signal.SIGINT)
    await bot.wait()
    assert [name for name in names if not bot.mark(f"recorded {name}")] == [], bot.log
    assert paths_since(api, signalled) == []
    assert_orderly(bot)
