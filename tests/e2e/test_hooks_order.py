"""Every plugin's ``on_shutdown`` hook has its turn, in NoneBot's order while there is time."""

import signal

import pytest

from .culprits import WITNESS, last_shutdown
from .endings import (
    CLEAN,
    FORCED,
    SECOND,
    assert_hooks_ran,
    assert_orderly,
    press_again,
    said_since,
)
from .harness import DRIVERS, NONE, RUN

LEAVING = """
import asyncio
import sys
from mark import mark
from nonebot import get_driver

driver = get_driver()

@driver.on_startup
async def _():
    global worker
    worker = asyncio.create_task(asyncio.sleep(1000))

@driver.on_shutdown
async def _():
    mark("after all of them")

@driver.on_shutdown
def exits_in_a_thread():
    mark("exits in a thread")
    sys.exit(0)

@driver.on_shutdown
async def panics():
    mark("panics")
    raise type("PanicException", (BaseException,), {})("lost it")  # as pyo3 does

@driver.on_shutdown
async def exits():
    mark("exits")
    sys.exit(0)

@driver.on_shutdown
async def _():
    mark("between them")

@driver.on_shutdown
async def ends_its_worker():
    mark("ends its worker")
    worker.cancel()
    await worker
"""

HANDLERS_AFTERWARDS = """
import signal
from mark import mark

usual = signal.getsignal(signal.SIGINT) is signal.default_int_handler
usual = usual and signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
mark("handlers as usual" if usual else "handlers left behind")
"""


@pytest.mark.parametrize("driver", DRIVERS.values(), ids=DRIVERS)
async def test_hooks_that_are_left_by_no_exception_cost_no_other_hook(
    driver, bot_factory, tmp_path
):
    """``worker.cancel(); await worker`` and ``sys.exit(0)``: later hooks, report and clean-up."""
    bot = await bot_factory(WITNESS, LEAVING, driver=driver, run=RUN + HANDLERS_AFTERWARDS)
    bot.signal(signal.SIGINT)
    await bot.wait()
    assert_orderly(bot)
    assert [line.text for line in bot.marks()] == [
        "ends its worker",
        "between them",
        "exits",
        "panics",
        "exits in a thread",
        "after all of them",
        "sync hook ran",
        "async hook ran",
        "handlers as usual",
    ]
    report = last_shutdown(tmp_path)
    assert (report["reason"], report["forced"]) == ("SIGINT", "")
    assert report["hooks"]["plugin_1.panics"] == "failed: PanicException: lost it"


SAVING = """
import asyncio
from mark import mark
from nonebot import get_driver

driver = get_driver()

@driver.on_shutdown
async def closes_the_database():
    mark("database closed")

@driver.on_shutdown
async def saves():
    mark("saving")
    await asyncio.sleep(2.8)
    mark("saved")
"""


async def test_a_slow_hook_is_not_overtaken_while_there_is_time(bot_factory):
    """Whoever closes the database waits for whoever saves into it."""
    bot = await bot_factory(WITNESS, SAVING, settings={"graceful_deadline": 30})
    bot.signal(signal.SIGINT)
    await bot.wait()
    assert_orderly(bot)
    order = [line.text for line in bot.marks()]
    assert order[:3] == ["saving", "saved", "database closed"], bot.log


HANGING = """
import asyncio
from mark import mark
from nonebot import get_driver

driver = get_driver()

@driver.on_shutdown
async def _():
    mark("later hook ran")

@driver.on_shutdown
async def hangs():
    mark("hangs begins")
    try:
        await asyncio.sleep(1000)
    finally:
        mark("hangs ends")
"""


async def test_the_log_says_which_hook_is_overtaken(bot_factory):
    """When what is left is needed for the others they run beside it, before it is cut."""
    bot = await bot_factory(WITNESS, HANGING, settings={"graceful_deadline": 60})
    bot.signal(signal.SIGINT)
    await bot.wait_mark("hangs begins")
    await press_again(bot)
    await bot.wait()
    assert_orderly(bot)
    begins, later, ends = (
        bot.mark(name) for name in ("hangs begins", "later hook ran", "hangs ends")
    )
    assert begins.index < later.index < ends.index, bot.log
    warning = bot.find("plugin_1.hangs", after=begins)
    assert begins.index < warning.index < later.index, bot.log


SLOW_MACHINE = 15
"""Seconds: what is not cut goes on for a thousand."""

USING_IT_UP = """
import asyncio
from mark import mark
from nonebot import get_driver, on_command

@get_driver().on_shutdown
async def saves():
    mark("saving")
    try:
        await asyncio.sleep(1000)
    finally:
        mark("cut")

@on_command("stay").handle()
async def _():
    mark("stays")
    while True:
        try:
            await asyncio.sleep(1000)
        except asyncio.CancelledError:
            pass
"""


@pytest.mark.parametrize("straggler", [False, True], ids=["idle", "straggler"])
async def test_a_hook_may_use_the_deadline_up(straggler, bot_factory, onebot, tmp_path):
    """It is cut when there is just time for what comes after it, and the report says so."""
    deadline = 5
    bot = await bot_factory(WITNESS, USING_IT_UP, settings={"graceful_deadline": deadline})
    if straggler:
        await onebot.say(1, "/stay")
        await bot.wait_mark("stays")
    bot.signal(signal.SIGINT)
    await bot.wait()
    assert not bot.killed, bot.log
    # On a slow machine it comes to no cut.
    cut = cut.time if (cut := bot.mark("cut")) else bot.exited
    assert cut - bot.signalled >= deadline - 0.6, bot.log
    assert bot.seconds_to_exit < deadline + SLOW_MACHINE, bot.log
    assert_hooks_ran(bot)
    assert last_shutdown(tmp_path)["hooks"]["plugin_1.saves"].startswith("was "), bot.log


EXITING = (
    HANGING
    + """
from nonebot import on_command

@driver.on_startup
async def _():
    @driver.on_shutdown
    async def _():
        mark("hook of the start-up ran")

@on_command("exit").handle()
async def _():
    driver.exit()
"""
)


async def test_each_hook_has_one_turn(onebot, bot_factory):
    """One that was registered at start-up too, when no signal came and another one hangs."""
    bot = await bot_factory(WITNESS, EXITING, driver=NONE, settings={"graceful_deadline": 4})
    await onebot.say(1, "/exit")
    assert await bot.wait() == CLEAN, bot.log
    names = {"later hook ran", "hook of the start-up ran", "sync hook ran", "async hook ran"}
    ran = sorted(line.text for line in bot.marks() if line.text in names)
    assert ran == sorted(names), bot.log


async def test_a_hook_that_runs_at_a_third_press_is_named(bot_factory, tmp_path):
    """As those are that it costs their turn."""
    settings = {"graceful_deadline": 60, "graceful_hook_timeout": 50}
    bot = await bot_factory(HANGING, settings=settings)
    bot.signal(signal.SIGINT)
    await bot.wait_mark("hangs begins")
    await press_again(bot)
    await press_again(bot, told=SECOND)
    assert await bot.wait() == FORCED, bot.log
    hooks = last_shutdown(tmp_path)["hooks"]
    assert hooks.pop("plugin_0.hangs").startswith("was still running after "), bot.log
    assert set(hooks.values()) == {"was not run"}


SKIPPED = """
import time
from contextlib import suppress
from mark import mark
from nonebot import get_driver, on_command

@get_driver().on_shutdown
async def saves():
    mark("saving")

@on_command("block").handle()
async def _():
    mark("block begins")
    while True:
        with suppress(BaseException):
            time.sleep(1000)
"""


@pytest.mark.parametrize("presses", [1, 3], ids=["deadline", "third-press"])
async def test_a_hook_that_is_skipped_is_named(presses, onebot, bot_factory):
    """There is no turn for it when the loop is blocked for good: that is told, not hidden."""
    settings = {"graceful_deadline": 3 if presses == 1 else 60}
    bot = await bot_factory(SKIPPED, settings=settings)
    await onebot.say(1, "/block")
    await bot.wait_mark("block begins")
    signalled = bot.signal(signal.SIGINT)
    for _ in range(presses - 1):
        await press_again(bot)
    assert await bot.wait() == FORCED, bot.log
    assert not bot.mark("saving")
    assert said_since(bot, signalled, "plugin_0.saves"), bot.log
