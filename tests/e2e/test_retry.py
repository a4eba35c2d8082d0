"""Fifty requests in back-off, and a signal: the API hears no more of them."""

import signal

import pytest

from examples.sandbox import Rule
from examples.sandbox.api import IMAGES

from .harness import DRIVERS

REQUESTS = 50
IN_TIME = 15
"""Seconds: far below the deadline, and below the time the API asks to wait."""
SETTINGS = {"graceful_deadline": 60}

HEAD = """
import httpx
from nonebot import get_driver, on_command, require
from mark import mark

URL = get_driver().config.ai_base_url + "/images/generations"
draw = on_command("画图")
"""
GRACEFUL = """
require("nonebot_plugin_graceful")
from nonebot_plugin_graceful import AsyncRetrying, Interrupted, http_client, retry

async def told(work):
    try:
        await work
    except Interrupted as error:
        mark(f"interrupted after {error.__cause__.response.status_code}")
        raise
"""
DECORATED = """
client = httpx.AsyncClient(trust_env=False, timeout=None)

@retry
async def ask():
    (await client.post(URL, json={})).raise_for_status()

@draw.handle()
async def _():
    await told(ask())
"""
ITERATED = """
client = httpx.AsyncClient(trust_env=False, timeout=None)

async def ask():
    async for attempt in AsyncRetrying(name="drawing"):
        with attempt:
            (await client.post(URL, json={})).raise_for_status()

@draw.handle()
async def _():
    await told(ask())
"""
BY_THE_TRANSPORT = """
client = http_client(kind="image", retries=5, trust_env=False)

@draw.handle()
async def _():
    await told(client.post(URL, json={}))
"""
PLAIN_TENACITY = """
import tenacity

client = httpx.AsyncClient(trust_env=False, timeout=None)

@draw.handle()
@tenacity.retry(wait=tenacity.wait_fixed(1))
async def _():
    (await client.post(URL, json={})).raise_for_status()
"""
FORMS = {"decorated": DECORATED, "iterated": ITERATED, "by the transport": BY_THE_TRANSPORT}


async def everything_waits(api, onebot, bot):
    """Fifty members ask for a picture; every request has failed once, and waits."""
    api.on(IMAGES, Rule(503, headers={"Retry-After": "20"}))
    for user in range(REQUESTS):
        await onebot.say(user + 1, "/画图")
    line = None
    for _ in range(REQUESTS):
        line = await bot.wait_log("Retrying ", after=line)
    assert api.count(IMAGES) == REQUESTS


@pytest.mark.parametrize("form", FORMS)
async def test_no_request_after_the_signal(form, api, onebot, bot_factory):
    """However a retry is written, it ends at once, with the last failure as the cause."""
    bot = await bot_factory(HEAD + GRACEFUL + FORMS[form], settings=SETTINGS)
    await everything_waits(api, onebot, bot)
    bot.signal(signal.SIGINT)
    assert await bot.wait() == 0, bot.log
    assert bot.seconds_to_exit < IN_TIME, bot.log
    assert api.count(IMAGES) == REQUESTS
    marks = [line.text for line in bot.marks("interrupted")]
    assert marks == ["interrupted after 503"] * REQUESTS


@pytest.mark.parametrize("driver", [name for name in DRIVERS if name != "fastapi"])
async def test_on_every_driver(driver, api, onebot, bot_factory):
    """The same on the others."""
    source = HEAD + GRACEFUL + DECORATED
    bot = await bot_factory(source, driver=DRIVERS[driver], settings=SETTINGS)
    await everything_waits(api, onebot, bot)
    bot.signal(signal.SIGTERM)
    await bot.wait()
    assert not bot.killed
    assert bot.seconds_to_exit < IN_TIME, bot.log
    assert api.count(IMAGES) == REQUESTS


async def test_plain_tenacity_goes_on(api, onebot, bot_factory):
    """Without the plugin the signal is no reason to stop asking."""
    api.on(IMAGES, Rule(503))
    bot = await bot_factory(HEAD + PLAIN_TENACITY, graceful=False)
    await onebot.say(1, "/画图")
    await api.wait_for_requests(1)
    before = api.count(IMAGES)
    bot.signal(signal.SIGINT)
    await api.wait_for_requests(before + 2)
