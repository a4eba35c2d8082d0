"""Programs that have asked the event loop for our signals: told after the drain, they end as without us."""

import signal
import sys

import pytest

from examples.sandbox import HANG

from .culprits import WITNESS
from .endings import assert_orderly
from .harness import FASTAPI, QUART
from .other_bots import OWN_SIGNALS, UNDER_HYPERCORN

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="its loops have no signals")

talking = sys.version_info < (3, 12)
"""Whether hypercorn ends while somebody is connected: from 3.12 on servers wait until nobody is."""
OWN = [
    pytest.param(FASTAPI, OWN_SIGNALS.replace("when", "before"), id="asked before"),
    pytest.param(FASTAPI, OWN_SIGNALS.replace("when", "after"), id="asked after"),
]
HYPERCORN = [
    pytest.param(FASTAPI, UNDER_HYPERCORN, id="hypercorn"),
    pytest.param(QUART, UNDER_HYPERCORN, id="hypercorn-quart"),
]
programs = pytest.mark.parametrize(("driver", "run"), OWN + HYPERCORN)
talking_programs = pytest.mark.parametrize(("driver", "run"), OWN + (HYPERCORN if talking else []))
each_signal = pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM])
REQUESTING = """
import httpx
from mark import mark
from nonebot import get_driver, on_command

@on_command("request").handle()
async def _():
    try:
        async with httpx.AsyncClient(trust_env=False, timeout=None) as client:
            await client.post(f"{get_driver().config.ai_base_url}/paid")
    finally:
        mark("asked in vain")
"""
LEAVES = """
from nonebot import on_command, require

require("nonebot_plugin_graceful")
from nonebot_plugin_graceful import shutdown

@on_command("leave").handle()
async def _():
    shutdown("somebody asked")
"""


ALONE = {"onebot_access_token": "which the platform does not know"}
STARTED = """
from mark import mark
from nonebot import get_driver

@get_driver().on_startup
async def _():
    mark("started")
"""


@programs
@each_signal
async def test_one_that_nobody_is_connected_to(driver, run, signum, bot_factory):
    """It ends with its own exit code, and what comes after its loop runs."""
    bot = await bot_factory(WITNESS, STARTED, driver=driver, run=run, settings=ALONE, connect=False)
    await bot.wait_mark("started")
    if run != UNDER_HYPERCORN:
        await bot.wait_mark("has asked")
    bot.signal(signum)
    await bot.wait()
    assert_orderly(bot)
    assert bot.marks()[-1].text == "after its loop", bot.log


@talking_programs
@each_signal
async def test_it_goes_on_after_its_loop(driver, run, signum, bot_factory, onebot, api):
    """The handler's request has ended while the bot could talk; hooks run; the exit code is its own."""
    bot = await bot_factory(WITNESS, REQUESTING, driver=driver, run=run)
    api.on("/v1/paid", HANG)
    await onebot.say(1, "/request")
    await api.wait_for_requests(1, "/v1/paid")
    bot.signal(signum)
    await bot.wait()
    assert_orderly(bot)
    assert bot.marks()[-1].text == "after its loop", bot.log
    assert bot.find(f"Stopped ({signal.Signals(signum).name})"), bot.log
    closed = await onebot.wait_closed()
    assert bot.mark("asked in vain").time < closed.time, bot.log


@talking_programs
async def test_shutdown_is_as_a_signal(driver, run, bot_factory, onebot):
    """It waits for nothing else."""
    bot = await bot_factory(WITNESS, LEAVES, driver=driver, run=run)
    await onebot.say(1, "/leave")
    await bot.wait()
    assert_orderly(bot)
    assert bot.marks()[-1].text == "after its loop", bot.log


@each_signal
@pytest.mark.parametrize(
    "run", [OWN_SIGNALS.replace("when", "before"), UNDER_HYPERCORN], ids=["own", "hypercorn"]
)
async def test_with_a_loop_that_does_not_tell_who_asked(run, signum, bot_factory):
    """With uvloop it is left to the program, as it would be without us, and the log says so."""
    bot = await bot_factory(
        WITNESS,
        STARTED,
        run="import uvloop; uvloop.install()\n" + run,
        settings=ALONE,
        connect=False,
    )
    await bot.wait_mark("started")
    assert bot.find("so the bot cannot drain first"), bot.log
    bot.signal(signum)
    await bot.wait()
    assert_orderly(bot)
    assert bot.marks()[-1].text == "after its loop", bot.log


@pytest.mark.skipif(not talking, reason="hypercorn would wait for the chat platform")
async def test_shutdown_with_a_loop_that_does_not_tell(bot_factory, onebot):
    """There the signal itself is raised."""
    bot = await bot_factory(
        WITNESS, LEAVES, run="import uvloop; uvloop.install()\n" + UNDER_HYPERCORN
    )
    await onebot.say(1, "/leave")
    await bot.wait()
    assert_orderly(bot)
    assert bot.marks()[-1].text == "after its loop", bot.log
