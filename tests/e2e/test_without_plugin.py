"""The problem itself: what a bot without the plugin does when it is told to stop."""

import signal

import pytest

from examples.sandbox import Rule
from examples.sandbox.api import IMAGES

from .harness import DRIVERS

PATIENCE = 6
"""Seconds after which a bot counts as one that does not stop."""

RETRYING = """
import asyncio
import httpx
from nonebot import get_driver, on_command
from mark import mark

url = get_driver().config.ai_base_url + "/images/generations"
draw = on_command("画图")

@draw.handle()
async def _():
    async with httpx.AsyncClient(timeout=60, trust_env=False) as client:
        for attempt in range(10):
            try:
                response = await client.post(url, json={"prompt": "猫"})
                response.raise_for_status()
            except Exception:
                mark("retry")
                await asyncio.sleep(1)
"""


@pytest.mark.parametrize("driver", DRIVERS)
async def test_without_the_plugin_a_retrying_handler_keeps_the_bot_alive(
    driver, api, onebot, bot_factory
):
    """Ctrl+C does not end a bot whose handler retries: it has to be killed."""
    api.on(IMAGES, Rule(504), Rule(504, latency=20))
    bot = await bot_factory(RETRYING, driver=DRIVERS[driver], graceful=False)
    await onebot.say(1, "/画图")
    await api.wait_for_requests(2)
    await bot.wait_mark("retry")
    bot.signal(signal.SIGINT)
    await bot.wait(timeout=PATIENCE)
    assert bot.killed
    # the request outlived the signal, and ended with the process only
    [request] = await api.wait_for_disconnects(1)
    assert request.disconnected - bot.signalled >= PATIENCE


@pytest.mark.parametrize("driver", DRIVERS)
async def test_without_the_plugin_an_idle_bot_stops_at_once(driver, bot_factory):
    """It is the work in flight that keeps the bot alive, and nothing else."""
    bot = await bot_factory(RETRYING, driver=DRIVERS[driver], graceful=False)
    bot.signal(signal.SIGINT)
    assert await bot.wait() == 0
    assert not bot.killed
    assert not bot.left_behind
