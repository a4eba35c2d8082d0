"""A process that can start no more threads is stopped like any other."""

import signal
import sys

import pytest

from examples.sandbox import HANG

from .endings import CLEAN

LIMITED = """
import resource
import threading
from pathlib import Path

import httpx
from mark import mark
from nonebot import get_driver, on_command

driver = get_driver()

@driver.on_shutdown
async def _():
    mark("async hook ran")

def no_more_threads():
    # Each thread is to have a stack for which there is no room; everything else finds some.
    threading.stack_size(1 << 30)
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    most = pages * resource.getpagesize() + (1 << 28)
    resource.setrlimit(resource.RLIMIT_AS, (most, most))
    try:
        threading.Thread(target=print).start()
    except RuntimeError as error:
        mark(f"limited: {error}")

@on_command("work").handle()
async def _():
    async with httpx.AsyncClient(trust_env=False, timeout=None) as client:
        no_more_threads()
        try:
            await client.post(f"{driver.config.ai_base_url}/paid")
        finally:
            mark("work stopped")
"""


@pytest.mark.skipif(sys.platform != "linux", reason="only there is the limit enforced like this")
async def test_without_a_watchdog_the_shutdown_goes_on(bot_factory, onebot, api):
    """Nothing is raised into the code that the signal interrupted, and the log says so."""
    bot = await bot_factory(LIMITED)
    api.on("/v1/paid", HANG)
    await onebot.say(1, "/work")
    await bot.wait_mark("limited: can't start new thread")
    await api.wait_for_requests(1, "/v1/paid")
    bot.signal(signal.SIGINT)
    assert await bot.wait() == CLEAN, bot.log
    assert bot.mark("work stopped"), bot.log
    assert bot.mark("async hook ran"), bot.log
    assert bot.find("Stopped (SIGINT)"), bot.log
    lines = [line.text for line in bot.lines if "WARNING" in line.text or "ERROR" in line.text]
    assert any("watchdog" in line.lower() for line in lines), bot.log
