"""Processes of multiprocessing's are not left behind when the bot is ended by force."""

import asyncio
import signal
import subprocess
import sys

import pytest

from .culprits import WITNESS
from .endings import FIRST, FORCED, SECOND, assert_hooks_ran, press_again
from .test_restart import LIVES

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="processes are told apart by ps")

POOL = """
import asyncio
import subprocess
import time
from concurrent.futures import ProcessPoolExecutor
from contextlib import suppress

from mark import mark
from nonebot import on_command

pool = ProcessPoolExecutor(2)

@on_command("pool").handle()
async def _():
    other = subprocess.Popen(["sleep", "1000"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    work = asyncio.get_running_loop().run_in_executor(pool, time.sleep, 1000)
    asyncio.get_running_loop().run_in_executor(pool, time.sleep, 1000)
    mark(f"other {other.pid}")
    for pid in pool._processes:
        mark(f"worker {pid}")
    mark("at work")
    try:
        await work
    finally:
        while STAYS:
            with suppress(asyncio.CancelledError):
                await asyncio.sleep(1000)
"""


def is_running(pid):
    """Whether it is there, and no zombie that nobody collects."""
    told = subprocess.run(
        ["ps", "-o", "stat=", "-p", pid], capture_output=True, text=True, check=False
    )
    return told.stdout.strip()[:1] not in ("", "Z")


async def they_end(them):
    """Wait for it: a process that was killed is there for a moment longer, without a file open."""
    while any(is_running(pid) for pid in them):
        await asyncio.sleep(0.05)


def pids(bot, what):
    return [line.text.split()[1] for line in bot.marks(f"{what} ")]


async def at_work(bot, onebot):
    await onebot.say(1, "/pool")
    await bot.wait_mark("at work")


@pytest.mark.parametrize("presses", [1, 3], ids=["threads", "third-press"])
async def test_they_end_with_it(presses, bot_factory, onebot):
    """The log says so; an author's own process is none of them."""
    settings = {"graceful_deadline": 60, "graceful_cancel_timeout": 50}
    pool = POOL.replace("STAYS", str(presses == 3))
    bot = await bot_factory(WITNESS, pool, settings=settings)
    await at_work(bot, onebot)
    (other,) = pids(bot, "other")
    try:
        bot.signal(signal.SIGINT)
        for told in (FIRST, SECOND)[: presses - 1]:
            await press_again(bot, told)
        assert await bot.wait() == FORCED, bot.log
        await bot.wait_output_closed()
        assert is_running(other)
        await they_end(pids(bot, "worker"))
        assert bot.find("Ended with it, as children of multiprocessing: "), bot.log
        if presses == 1:
            assert_hooks_ran(bot)
    finally:
        subprocess.run(["kill", other], check=True)


async def test_they_do_not_live_on_under_what_takes_its_place(bot_factory, onebot):
    """The new program knows nothing of them."""
    pool = POOL.replace("STAYS", "False")
    bot = await bot_factory(WITNESS, pool, LIVES, settings={"graceful_deadline": 60})
    await at_work(bot, onebot)
    (other,) = pids(bot, "other")
    workers = pids(bot, "worker")
    try:
        await onebot.say(1, "/anew")
        await bot.wait_marks(f"alive {bot.pid}", 2)
        await they_end(workers)
        assert is_running(other)
    finally:
        subprocess.run(["kill", other], check=True)
