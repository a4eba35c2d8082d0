"""Before a driver runs and after it has: signals mean what they meant, and nothing is left."""

import signal
import sys
from itertools import pairwise

import pytest
import uvicorn

from .culprits import WITNESS
from .endings import assert_hooks_ran
from .harness import FASTAPI, NONE, RUN

both = pytest.mark.parametrize("driver", [FASTAPI, NONE], ids=["fastapi", "none"])

AFTERWARDS = """
import signal
import time
from mark import mark

try:
    mark("the script goes on")
    time.sleep(1000)
except BaseException as error:
    mark("it hears " + type(error).__name__)
"""

FAILING = """
from nonebot import get_driver, require

require("nonebot_plugin_graceful")

@get_driver().on_startup
async def _():
    raise RuntimeError("no database")
"""


def guarded(run):
    """Whatever a server makes of its end, the script goes on."""
    return "\ntry:\n    " + run.strip() + "\nexcept BaseException:\n    pass\n"


@both
async def test_a_signal_after_a_start_that_failed(driver, bot_factory):
    """The event loop is closed, so there is nobody to stop: it is the script's."""
    run = guarded(RUN) + AFTERWARDS
    bot = await bot_factory(FAILING, driver=driver, run=run, connect=False)
    await bot.wait_mark("the script goes on")
    bot.signal(signal.SIGINT)
    assert await bot.wait() == 0, bot.log
    assert bot.mark("it hears KeyboardInterrupt"), bot.log


@both
async def test_a_signal_after_a_run(driver, bot_factory):
    """And the shutdown that is over does not end a process that goes on."""
    run = guarded(RUN) + AFTERWARDS.replace(
        "time.sleep(1000)", "time.sleep(4)\n    time.sleep(1000)"
    )
    settings = {"graceful_deadline": 3}
    bot = await bot_factory(WITNESS, driver=driver, run=run, settings=settings)
    bot.signal(signal.SIGINT)
    await bot.wait_mark("the script goes on")
    bot.signal(signal.SIGINT)
    assert await bot.wait() == 0, bot.log
    assert_hooks_ran(bot)
    assert bot.mark("it hears KeyboardInterrupt"), bot.log


CHAINED = """
import signal
from mark import mark

def go_in_front():
    before = signal.getsignal(signal.SIGTERM)

    def handle(signum, frame):
        mark("somebody in front heard it")
        if callable(before):
            before(signum, frame)

    signal.signal(signal.SIGTERM, handle)
"""
IMPORTING = (
    CHAINED
    + """
go_in_front()
signal.raise_signal(signal.SIGTERM)
mark("the imports go on")
"""
)
STARTING = (
    CHAINED
    + """
from nonebot import get_driver

@get_driver().on_startup
async def _():
    go_in_front()
"""
)
RAISES_AGAIN = hasattr(uvicorn.Server, "capture_signals")
"""Whether uvicorn raises the signal that ended it once more, as it does from 0.29 on."""
posix = pytest.mark.skipif(sys.platform == "win32", reason="nobody sends SIGTERM there")


@posix
@both
async def test_who_came_in_front_during_the_imports_hears_what_he_would_without_us(
    driver, bot_factory
):
    """Then, and when the server has ended; and the exit code is the bare bot's."""
    seen = {}
    for graceful in (False, True):
        bot = await bot_factory(WITNESS, IMPORTING, driver=driver, graceful=graceful)
        bot.signal(signal.SIGTERM)
        code = await bot.wait()
        seen[graceful] = code, [line.text for line in bot.marks()]
        assert_hooks_ran(bot)
    assert seen[True] == seen[False], bot.log
    assert seen[True][1].index("the imports go on") == 1, bot.log


@posix
@pytest.mark.parametrize(
    ("driver", "stop"),
    [(FASTAPI, signal.SIGTERM), (FASTAPI, signal.SIGINT), (NONE, signal.SIGINT)],
    ids=["fastapi", "fastapi-later", "none-later"],
)
async def test_who_came_in_front_during_the_start_does_not_keep_the_process(
    driver, stop, bot_factory
):
    """A SIGTERM after the run ends it, as without us."""
    run, codes = guarded(RUN) + AFTERWARDS, {}
    for graceful in (False, True):
        bot = await bot_factory(WITNESS, STARTING, driver=driver, run=run, graceful=graceful)
        bot.signal(stop)
        if stop != signal.SIGTERM or not RAISES_AGAIN:
            await bot.wait_mark("the script goes on")
            bot.signal(signal.SIGTERM)
        codes[graceful] = await bot.wait()
        assert_hooks_ran(bot)
    assert codes == {False: -signal.SIGTERM, True: -signal.SIGTERM}, bot.log


ROUNDS = """
import anyio
from mark import mark
from nonebot.adapters import Bot

driver = nonebot.get_driver()
lifespan = driver._lifespan
for number in range(3):
    mark(f"round {{number}}")
    lists = (lifespan._startup_funcs, lifespan._ready_funcs, lifespan._shutdown_funcs)
    sets = (Bot._calling_api_hook, Bot._called_api_hook)
    mark(f"hooks {{[len(each) for each in (*lists, *sets)]}}")
    driver.should_exit, driver.force_exit = anyio.Event(), anyio.Event()
    nonebot.run()
"""

RESTARTED = """
import asyncio
from mark import mark
from nonebot import get_driver

driver = get_driver()
tasks = set()

@driver.on_startup
async def _():
    @driver.on_shutdown
    async def _():
        mark("hook of a start-up")

    async def soon():
        await asyncio.sleep(0.1)
        driver.exit()

    tasks.add(asyncio.create_task(soon()))
"""


def growth(bot):
    """How many hooks each round had more than the one before."""
    counts = [eval(line.text.removeprefix("hooks ")) for line in bot.marks("hooks ")]
    return [
        [after - before for before, after in zip(earlier, later, strict=True)]
        for earlier, later in pairwise(counts)
    ]


async def test_a_driver_that_is_restarted_runs_each_hook_as_often_as_without(bot_factory):
    """Those of the plugins' start-up hooks grow by one a round, as they do without the plugin."""
    seen = {}
    for graceful in (False, True):
        bot = await bot_factory(
            RESTARTED, driver=NONE, run=ROUNDS, graceful=graceful, connect=False
        )
        assert await bot.wait() == 0, bot.log
        marks = [line.text for line in bot.marks() if not line.text.startswith("hooks ")]
        seen[graceful] = growth(bot), marks
    assert seen[True] == seen[False], bot.log


TOLD = (
    RESTARTED
    + """
from nonebot import require

require("nonebot_plugin_graceful")
from nonebot_plugin_graceful import on_shutting_down

def tell():
    mark("told")

@driver.on_startup
async def _():
    on_shutting_down(tell)
"""
)


async def test_what_a_start_up_hook_asks_to_be_told_is_told_once_a_round(bot_factory):
    """However often the driver has been started before."""
    bot = await bot_factory(TOLD, driver=NONE, run=ROUNDS, connect=False)
    assert await bot.wait() == 0, bot.log
    marks = [line.text for line in bot.marks() if line.text.startswith(("round", "told"))]
    assert marks == ["round 0", "told", "round 1", "told", "round 2", "told"], bot.log
