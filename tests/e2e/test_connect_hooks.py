"""``on_bot_connect`` hooks that are at it when the bot is to stop end, and nothing else does."""

import signal

import pytest

from .culprits import WITNESS
from .endings import assert_orderly
from .harness import DRIVERS

CONNECTING = """
import asyncio
from mark import mark
from nonebot import get_driver
from nonebot.adapters import Bot

class PanicException(BaseException):
    "As pyo3 raises it."

@get_driver().on_bot_connect
async def waits(bot: Bot):
    mark("waiting")
    try:
        await asyncio.sleep(1000)
    finally:
        raise ERROR

@get_driver().on_shutdown
async def saves():
    await asyncio.sleep(0.1)
    mark("saved")
"""


@pytest.mark.parametrize("driver", DRIVERS.values(), ids=DRIVERS)
@pytest.mark.parametrize("error", ["PanicException('lost it')", "SystemExit(3)"])
async def test_what_one_makes_of_its_end_costs_no_other_hook(driver, error, bot_factory):
    """Nor the event loop: NoneBot runs them in the same group as everything."""
    bot = await bot_factory(WITNESS, CONNECTING.replace("ERROR", error), driver=driver)
    await bot.wait_mark("waiting")
    bot.signal(signal.SIGINT)
    await bot.wait()
    assert bot.mark("saved"), bot.log
    assert_orderly(bot)
    assert bot.find("on_bot_connect hook plugin_1.waits was ended: SIGINT; it "), bot.log
    assert not bot.find("in waits"), bot.log  # no traceback of it
