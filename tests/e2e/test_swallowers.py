"""A loop that swallows everything sends next to nothing after the signal."""

import signal
from collections import Counter

from examples.sandbox import HANG

from .culprits import WITNESS
from .endings import assert_before_the_deadline, paths_since

AT_MOST = 1
"""Requests a task after the signal: that of the first cancellation."""

GREEDY = """
import asyncio

import httpx
from mark import mark
from nonebot import get_driver, on_command, require

require("nonebot_plugin_apscheduler")
require("nonebot_plugin_graceful")
from nonebot_plugin_apscheduler import scheduler
from nonebot_plugin_graceful import http_client, retry, spawn, track

base = get_driver().config.ai_base_url
client = httpx.AsyncClient(trust_env=False, timeout=None)
ours = http_client(kind="image", trust_env=False, timeout=None)
background = set()

async def post(name):
    await client.post(f"{base}/{name}")

async def greedy(post, name):
    while True:
        try:
            await post(name)
        except:
            pass

def hold(coro):
    task = asyncio.create_task(coro)
    background.add(task)
"""

PLAIN = (
    GREEDY
    + """
@on_command("handler").handle()
async def _():
    await greedy(post, "handler")

@on_command("child").handle()
async def _():
    hold(greedy(post, "child"))
    await asyncio.sleep(1000)

async def with_a_timeout(name):
    await asyncio.wait_for(post(name), 1000)

@on_command("others").handle()
async def _():
    hold(greedy(post, "alone"))
    hold(greedy(with_a_timeout, "timeout"))
    hold(track("image")(greedy)(post, "tracked"))
    spawn(greedy(post, "spawned"))
    scheduler.add_job(greedy, args=[post, "job"])
"""
)
NAMES = ["handler", "child", "alone", "timeout", "tracked", "spawned", "job"]


async def test_a_cancellation_buys_no_request(bot_factory, onebot, api):
    """Cancelled so that it does not come to send the next one, or left alone until the end."""
    bot = await bot_factory(WITNESS, PLAIN)
    for name in NAMES:
        api.on(f"/v1/{name}", HANG)
    for user, command in enumerate(("handler", "child", "others")):
        await onebot.say(user + 1, f"/{command}")
    for name in NAMES:
        await api.wait_for_requests(1, f"/v1/{name}")
    signalled = bot.signal(signal.SIGINT)
    await bot.wait()
    sent = Counter(path.removeprefix("/v1/") for path in paths_since(api, signalled))
    assert {name: number for name, number in sent.items() if number > AT_MOST} == {}, bot.log
    assert_before_the_deadline(bot)


REFUSED = (
    GREEDY
    + """
async def with_our_client(name):
    await ours.post(f"{base}/{name}")

@retry()
async def retried(name):
    await post(name)

tracked = track("image")(post)
WAYS = {"with_our_client": with_our_client, "retried": retried, "tracked": tracked}

@on_command("greedy").handle()
async def _():
    for name, way in WAYS.items():
        hold(greedy(way, name))
"""
)
REFUSED_NAMES = ["with_our_client", "retried", "tracked"]


async def test_refusing_swallowers_does_not_block_the_event_loop(bot_factory, onebot, api):
    """They ask again at once, for ever: the loop has to come to do something else in between."""
    bot = await bot_factory(WITNESS, REFUSED)
    for name in REFUSED_NAMES:
        api.on(f"/v1/{name}", HANG)
    await onebot.say(1, "/greedy")
    for name in REFUSED_NAMES:
        await api.wait_for_requests(1, f"/v1/{name}")
    signalled = bot.signal(signal.SIGINT)
    await bot.wait()
    assert_before_the_deadline(bot)
    assert paths_since(api, signalled) == []
