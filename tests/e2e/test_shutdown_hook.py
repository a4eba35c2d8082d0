"""With ``nonebot-plugin-shutdown-hook``, which tells uvicorn of each signal twice: it then skips its own shutdown."""

import signal
import sys

import pytest

from examples.sandbox.api import HANG

from .culprits import WITNESS
from .endings import assert_before_the_deadline, paths_since
from .harness import FASTAPI, QUART

HOOKS = """
import asyncio

from mark import mark
from nonebot import get_driver, require

require("nonebot_plugin_shutdown_hook")
import nonebot_plugin_shutdown_hook as package

package.override_uvicorn_shutdown_hooks()

@package.on_shutdown_before
async def _():
    mark("before")

@get_driver().on_shutdown
async def _():
    await asyncio.sleep(0.3)
    mark("slow hook ran")
"""

ASKING = """
import httpx
from nonebot import get_driver, on_command

@on_command("ask").handle()
async def _():
    async with httpx.AsyncClient(trust_env=False, timeout=None) as client:
        for _ in range(10):
            try:
                await client.post(f"{get_driver().config.ai_base_url}/paid")
            except httpx.HTTPError:
                pass
"""


@pytest.mark.skipif(sys.platform == "win32", reason="only Ctrl+Break can be sent there")
@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM], ids=["SIGINT", "SIGTERM"])
@pytest.mark.parametrize("driver", [FASTAPI, QUART], ids=["fastapi", "quart"])
@pytest.mark.parametrize("busy", [False, True], ids=["idle", "busy"])
async def test_every_hook_runs(driver, signum, busy, bot_factory, onebot, api):
    """The package's own once, NoneBot's whole, be they slow; and no request is made any more."""
    bot = await bot_factory(WITNESS, ASKING, HOOKS, driver=driver)
    if busy:
        api.on("/v1/paid", HANG)
        await onebot.say(1, "/ask")
        await api.wait_for_requests(1, "/v1/paid")
    signalled = bot.signal(signum)
    await bot.wait()
    assert_before_the_deadline(bot)
    assert [line.text for line in bot.marks()] == [
        "before",
        "slow hook ran",
        "sync hook ran",
        "async hook ran",
    ], bot.log
    assert bot.find(f"Stopped ({signum.name}): "), bot.log
    assert paths_since(api, signalled) == []
