"""The event loop's thread is in C code that waits without Python: no handler of Python's is called."""

import asyncio
import signal
import sys

import pytest

from .culprits import WITNESS
from .endings import APART, CLEAN, SECOND, THIRD, assert_orderly, press_again
from .harness import FASTAPI, NONE

pytestmark = pytest.mark.skipif(
    sys.platform == "win32", reason="Windows' loops have that for themselves"
)

LOCKED = """
import signal
import sqlite3
import threading
import time
from pathlib import Path

from mark import mark
from nonebot import get_driver, on_command

@get_driver().on_startup
async def _():
    asyncio.get_running_loop().add_signal_handler(signal.SIGUSR2, mark, "the loop's own signal")

def hold(begun):
    first = sqlite3.connect("locked.db", isolation_level=None)
    first.execute("create table if not exists numbers (number)")
    first.execute("begin exclusive")
    begun.set()
    while not Path("go on").exists():
        time.sleep(0.01)
    first.rollback()

@on_command("block").handle()
async def _():
    begun = threading.Event()
    threading.Thread(target=hold, args=[begun], daemon=True).start()
    begun.wait()
    second = sqlite3.connect("locked.db", timeout=1000, isolation_level=None)
    mark("block begins")
    second.execute("insert into numbers values (1)")
    mark("block ends")
""".replace("import signal\n", "import asyncio\nimport signal\n", 1)

loops = pytest.mark.parametrize(
    ("driver", "loop"),
    [
        pytest.param(FASTAPI, "asyncio", id="fastapi"),
        pytest.param(FASTAPI, "uvloop", id="uvloop"),
        pytest.param(NONE, "asyncio", id="none"),
    ],
)


async def block(bot, onebot):
    await onebot.say(1, "/block")
    await bot.wait_mark("block begins")


@loops
async def test_the_deadline_holds(driver, loop, bot_factory, onebot):
    """One signal, and nobody gets to Python: the process is ended, with a report."""
    settings = {"graceful_deadline": 2}
    bot = await bot_factory(WITNESS, LOCKED, driver=driver, loop=loop, settings=settings)
    await block(bot, onebot)
    bot.signal(signal.SIGTERM)
    assert await bot.wait() == 128 + signal.SIGTERM, bot.log
    assert bot.find("the deadline of 2 s is over"), bot.log
    assert not bot.mark("block ends"), bot.log


@loops
async def test_a_third_press_ends_it_at_once(driver, loop, bot_factory, onebot):
    """Each is counted."""
    settings = {"graceful_deadline": 60}
    bot = await bot_factory(WITNESS, LOCKED, driver=driver, loop=loop, settings=settings)
    await block(bot, onebot)
    bot.signal(signal.SIGINT)
    await press_again(bot)
    await press_again(bot)
    assert await bot.wait() == 128 + signal.SIGINT, bot.log
    assert bot.find(THIRD), bot.log


@loops
async def test_a_press_is_one_when_the_c_code_ends(driver, loop, bot_factory, onebot):
    """Then the handler is called, late: the shutdown goes on in order, and nobody has pressed twice."""
    settings = {"graceful_deadline": 60}
    bot = await bot_factory(WITNESS, LOCKED, driver=driver, loop=loop, settings=settings)
    await block(bot, onebot)
    bot.signal(signal.SIGINT)
    await asyncio.sleep(2 * APART)
    (bot.folder / "go on").touch()
    assert await bot.wait() == CLEAN, bot.log
    assert_orderly(bot)
    assert not bot.find(SECOND), bot.log


@loops
async def test_the_loop_hears_its_own_signals(driver, loop, bot_factory):
    """As without us."""
    bot = await bot_factory(WITNESS, LOCKED, driver=driver, loop=loop)
    bot.signal(signal.SIGUSR2)
    await bot.wait_mark("the loop's own signal")


CHILDREN = """
import os
import signal
import time
from mark import mark
from nonebot import on_command

@on_command("fork").handle()
async def _():
    child = os.fork()
    if not child:
        signal.raise_signal(signal.SIGTERM)
        os._exit(0)
    os.waitpid(child, 0)
    time.sleep(0.5)  # far longer than it takes to be heard of
    mark("the child has ended")

@on_command("ping").handle()
async def _():
    mark("pong")
"""


async def test_a_signal_to_a_forked_child_is_none_to_the_bot(bot_factory, onebot):
    """They share what C writes to."""
    bot = await bot_factory(WITNESS, CHILDREN)
    await onebot.say(1, "/fork")
    await bot.wait_mark("the child has ended")
    await onebot.say(1, "/ping")
    await bot.wait_mark("pong")
    assert not bot.find("stopping what is in flight"), bot.log
