"""A handler that blocks the event loop of a bot that runs."""

import re

import pytest

from .harness import FASTAPI, NONE

BLOCKING = """
import time
from pathlib import Path

from mark import mark
from nonebot import on_command

def wait():
    while not Path("go on").exists():
        time.sleep(0.01)

@on_command("block").handle()
async def _():
    wait()
    mark("not interrupted")
"""


@pytest.mark.parametrize("driver", [FASTAPI, NONE], ids=["fastapi", "none"])
async def test_it_is_named_while_it_does(driver, bot_factory, onebot):
    """By plugin and the author's line, once; and it is left to go on."""
    bot = await bot_factory(BLOCKING, driver=driver, settings={"graceful_blocked": 0.2})
    await onebot.say(1, "/block")
    # of a busy machine's bot others are named, too
    line = await bot.wait_log("plugin_0 has blocked the event loop")
    assert re.search(r"\[WARNING\].*plugin_0 has blocked .*plugin_0\.py:(9|10):", line.text)
    (bot.folder / "go on").touch()
    await bot.wait_mark("not interrupted")
    assert bot.log.count("plugin_0 has blocked the event loop") <= 2  # of either line


async def test_not_if_nobody_wants_to_know(bot_factory, onebot):
    """0 is no thread at all."""
    threads = "import threading\n" + BLOCKING.replace(
        "    wait()\n", "    mark(str([each.name for each in threading.enumerate()]))\n"
    )
    bot = await bot_factory(threads, settings={"graceful_blocked": 0})
    await onebot.say(1, "/block")
    await bot.wait_mark("not interrupted")
    assert "graceful lookout" not in bot.marks("[")[0].text
