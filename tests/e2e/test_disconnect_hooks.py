"""``on_bot_disconnect`` hooks, which NoneBot shields on purpose, run whole."""

import signal

import pytest

from .culprits import WITNESS, WORK, last_shutdown, provoke
from .endings import (
    CLEAN,
    FIRST,
    FORCED,
    SECOND,
    assert_hooks_ran,
    assert_orderly,
    press_again,
    said_since,
)
from .harness import DRIVERS, FASTAPI, NONE, QUART

both = pytest.mark.parametrize("driver", [FASTAPI, NONE], ids=["fastapi", "none"])

SAVING = """
import asyncio
from mark import mark
from nonebot import get_driver
from nonebot.adapters import Bot

driver = get_driver()

@driver.on_bot_disconnect
async def saves(bot: Bot):
    mark("saving")
    await asyncio.sleep(0.4)
    await asyncio.to_thread(mark, "half saved")
    await asyncio.sleep(0.4)
    mark("saved")
"""


@both
async def test_they_run_whole(driver, bot_factory):
    """To their last line, though the server is done with everything else long before."""
    bot = await bot_factory(WITNESS, SAVING, driver=driver)
    bot.signal(signal.SIGINT)
    await bot.wait()
    assert bot.mark("saving"), bot.log
    assert bot.mark("saved"), bot.log
    assert_orderly(bot)


async def test_they_run_whole_beside_stragglers_and_after_a_second_press(bot_factory, onebot, api):
    """Only a third press, or the deadline, skips them."""
    settings = {"graceful_deadline": 30, "graceful_kinds": {"handler": {"grace": 20}}}
    bot = await bot_factory(WITNESS, SAVING, WORK, settings=settings)
    await provoke(["swallow", "task_swallow"], bot, onebot, api)
    bot.signal(signal.SIGINT)
    await press_again(bot, told=FIRST)
    assert await bot.wait() == FORCED, bot.log
    assert bot.mark("saved"), bot.log
    assert_hooks_ran(bot)


LAST_OF_ALL = """
import asyncio
from pathlib import Path
import nonebot
from mark import mark
from nonebot.adapters.onebot.v11 import Adapter, Bot

driver = nonebot.get_driver()

@driver.on_startup
async def _():
    nonebot.get_adapter(Adapter).bot_connect(Bot(nonebot.get_adapter(Adapter), "1"))
    mark("started")

async def leave():
    nonebot.get_adapter(Adapter).bot_disconnect(nonebot.get_bot("1"))

# As that of an adapter which was registered first, and disconnects its bot as its last step.
driver._lifespan._shutdown_funcs.insert(0, leave)

@driver.on_bot_disconnect
async def saves(bot: Bot):
    mark("saving")
    while not Path("go on").exists():
        await asyncio.sleep(0.01)
    mark("saved")
"""


@both
@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM])
async def test_a_second_press_within_one_that_comes_last(driver, signum, bot_factory):
    """It is ours still: the hook has its time, and nothing else ends the process."""
    settings = {"graceful_deadline": 60, "graceful_hook_timeout": 40}
    bot = await bot_factory(WITNESS, LAST_OF_ALL, driver=driver, settings=settings, connect=False)
    await bot.wait_mark("started")
    bot.signal(signum)
    await bot.wait_mark("saving")
    await press_again(bot, signum=signum)
    await bot.wait_log(SECOND)
    (bot.folder / "go on").touch()
    await bot.wait()
    assert bot.mark("saved"), bot.log
    assert_orderly(bot, codes=(CLEAN, -signum) if driver == FASTAPI else (CLEAN,))


MEANWHILE = """
import asyncio
from pathlib import Path
import nonebot
from mark import mark
from nonebot import on_command, require
from nonebot.adapters.onebot.v11 import Adapter, Bot

require("nonebot_plugin_graceful")
from nonebot_plugin_graceful import on_shutting_down

driver = nonebot.get_driver()
told = asyncio.Event()
on_shutting_down(told.set)

async def comes_and_goes():
    adapter = nonebot.get_adapter(Adapter)
    bot = Bot(adapter, "1")
    adapter.bot_connect(bot)
    await told.wait()
    await asyncio.sleep(0.1)  # while what is in flight is being stopped
    adapter.bot_disconnect(bot)

@driver.on_startup
async def _():
    global task
    task = asyncio.create_task(comes_and_goes())

@driver.on_bot_disconnect
async def saves(bot: Bot):
    try:
        await asyncio.sleep(1)
        mark(f"{bot.self_id} saved")
    finally:
        mark("hook over")

@on_command("stay").handle()
async def _():
    mark("stays")
    while not Path("go on").exists():
        try:
            await asyncio.sleep(0.01)
        except asyncio.CancelledError:
            pass
"""


@both
async def test_one_that_runs_while_work_is_stopped(driver, bot_factory, onebot):
    """It is none of what is stopped."""
    settings = {"graceful_deadline": 60, "graceful_cancel_timeout": 20}
    bot = await bot_factory(WITNESS, MEANWHILE, driver=driver, settings=settings)
    await onebot.say(1, "/stay")
    await bot.wait_mark("stays")
    bot.signal(signal.SIGINT)
    await bot.wait_mark("hook over")
    (bot.folder / "go on").touch()
    await bot.wait()
    assert bot.mark("1 saved"), bot.log
    assert bot.mark(f"{onebot.self_id} saved"), bot.log
    assert_orderly(bot)


HANGING = """
import asyncio
from mark import mark
from nonebot import get_driver
from nonebot.adapters import Bot

@get_driver().on_bot_disconnect
async def hangs(bot: Bot):
    mark("hangs begins")
    await asyncio.sleep(1000)
"""
DEADLINE = 3
SLOW_MACHINE = 15
"""Seconds: what is not cut goes on for a thousand."""


@both
async def test_one_that_hangs_is_named_and_held_to_the_deadline(driver, bot_factory):
    """The ``on_shutdown`` hooks run all the same."""
    settings = {"graceful_deadline": DEADLINE}
    bot = await bot_factory(WITNESS, HANGING, driver=driver, settings=settings)
    signalled = bot.signal(signal.SIGINT)
    await bot.wait()
    assert not bot.killed, bot.log
    assert bot.seconds_to_exit < DEADLINE + SLOW_MACHINE, bot.log
    assert bot.mark("hangs begins")
    assert said_since(bot, signalled, "plugin_1"), bot.log
    assert_hooks_ran(bot)


RAISING = """
import asyncio
from asyncio import CancelledError
from exceptiongroup import BaseExceptionGroup
from mark import mark
from nonebot import get_driver
from nonebot.adapters import Bot

driver = get_driver()
began, raised = asyncio.Event(), asyncio.Event()

class PanicException(BaseException):
    "As pyo3 raises it."

@driver.on_bot_disconnect
async def slow(bot: Bot):
    began.set()
    await raised.wait()
    await asyncio.sleep(0.2)
    mark("slow one ended")

@driver.on_bot_disconnect
async def raises(bot: Bot):
    await began.wait()
    raised.set()
    raise ERROR
"""
ERRORS = {
    "ValueError('no')": "failed: ValueError: no",
    "CancelledError()": "",
    "PanicException('lost it')": "failed: PanicException: lost it",
    "SystemExit(3)": "called sys.exit(3)",
    "KeyboardInterrupt()": "failed: KeyboardInterrupt",
    "BaseExceptionGroup('all', [CancelledError()])": "failed: CancelledError",
}


@pytest.mark.parametrize(
    ("driver", "error"),
    [
        *((FASTAPI, error) for error in ERRORS),
        *((driver, "PanicException('lost it')") for driver in (NONE, QUART)),
        *((driver, "SystemExit(3)") for driver in (NONE, QUART)),
    ],
    ids=lambda value: next((name for name in DRIVERS if DRIVERS[name] == value), value),
)
async def test_one_that_raises_costs_no_other_hook(driver, error, bot_factory, tmp_path):
    """Those of ``on_shutdown`` neither; what it raised is told in one line, and in the report."""
    bot = await bot_factory(WITNESS, RAISING.replace("ERROR", error), driver=driver)
    signalled = bot.signal(signal.SIGINT)
    await bot.wait()
    assert bot.mark("slow one ended"), bot.log
    assert_orderly(bot, codes=(CLEAN,))
    told, report = ERRORS[error], last_shutdown(tmp_path)
    if told:
        line = f"on_bot_disconnect hook plugin_1.raises {told}"
        assert said_since(bot, signalled, line), bot.log
        assert f"(on_bot_disconnect) {told}" in report["hooks"]["plugin_1.raises"]
    else:  # worker.cancel(); await worker
        assert report["hooks"] == {}
    assert not bot.find("in raises"), bot.log  # no traceback of it
