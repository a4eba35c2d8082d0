"""Threads with event loops of their own: their work is woken, not blamed."""

import signal

import pytest

from examples.sandbox import HANG

from .culprits import WITNESS, last_shutdown
from .endings import CLEAN, assert_hooks_ran, assert_orderly, paths_since
from .harness import FASTAPI, NONE, RUN

LOOPS = """
import asyncio
import threading

import httpx
from mark import mark
from nonebot import get_driver, on_command, require

require("nonebot_plugin_graceful")
from nonebot_plugin_graceful import spawn, track

base = get_driver().config.ai_base_url

async def wait(name):
    mark(f"{name} begins")
    try:
        await asyncio.sleep(1000)
    finally:
        mark(f"{name} stopped")

@track("image")
async def tracked(name):
    await wait(name)

@track("image")
async def requesting(name):
    async with httpx.AsyncClient(trust_env=False, timeout=None) as client:
        try:
            for _ in range(10):
                try:
                    await client.post(f"{base}/{name}")
                except Exception:
                    pass
        finally:
            mark(f"{name} stopped")

async def spawning(name):
    await asyncio.wait([spawn(wait(name), kind="llm")])

async def in_a_child(name):
    await asyncio.wait([asyncio.create_task(tracked(name))])

def run(work, name):
    def target():
        try:
            asyncio.run(work(name))
        except asyncio.CancelledError:
            pass

    threading.Thread(target=target, name=name).start()

@on_command("threads").handle()
async def _():
    run(tracked, "tracked")
    run(requesting, "requesting")
    run(spawning, "spawned")
    run(in_a_child, "child")

@on_command("to_thread").handle()
async def _():
    await asyncio.to_thread(asyncio.run, tracked("to_thread"))
"""
PATIENT = {"graceful_thread_timeout": 20, "graceful_deadline": 60}
"""With threads, which end by themselves: a busy machine may need more than the second there is."""
NAMES = ["tracked", "requesting", "spawned", "child", "to_thread"]


async def test_work_in_a_threads_own_loop_is_stopped_and_not_blamed(
    bot_factory, onebot, api, tmp_path
):
    """It never swallowed anything: it only has to be woken in the loop it is in."""
    bot = await bot_factory(WITNESS, LOOPS, settings=PATIENT)
    api.on("/v1/requesting", HANG)
    await onebot.say(1, "/threads")
    await onebot.say(2, "/to_thread")
    await api.wait_for_requests(1, "/v1/requesting")
    for name in set(NAMES) - {"requesting"}:
        await bot.wait_mark(f"{name} begins")
    signalled = bot.signal(signal.SIGINT)
    await bot.wait()
    assert [name for name in NAMES if not bot.mark(f"{name} stopped")] == [], bot.log
    assert_orderly(bot)
    report = last_shutdown(tmp_path)
    assert report["stragglers"] == []
    assert report["kinds"]["image"] == {"cancelled": 4}
    assert not bot.find("catches CancelledError")
    assert paths_since(api, signalled) == []


WAITS = """
import asyncio
import threading
import time
from contextlib import suppress
from pathlib import Path

from mark import mark
from nonebot import on_command, require

require("nonebot_plugin_graceful")
from nonebot_plugin_graceful import is_shutting_down, sleep

async def wait():
    await sleep(1000)  # awaited in a loop; called outside of one it would block the thread

def long_before():
    mark("long_before begins")
    asyncio.run(wait())

async def again_and_again():
    mark("again_and_again begins")
    while True:
        await sleep(0.0005)

def always():
    asyncio.run(again_and_again())

def once_told():
    while not is_shutting_down():
        time.sleep(0.001)
    mark("once_told begins")
    asyncio.run(wait())

def once_told_without_a_loop():
    while not is_shutting_down():
        time.sleep(0.001)
    mark("once_told_without_a_loop begins")
    sleep(1000)

def start(name, function):
    def target():
        try:
            function()
        except asyncio.CancelledError:  # Interrupted; on 3.10 asyncio.run() makes it a plain one
            mark(f"{name} interrupted")

    threading.Thread(target=target, name=name).start()

@on_command("wait").handle()
async def _():
    for function in (long_before, once_told, once_told_without_a_loop):
        start(function.__name__, function)
    for number in range(4):
        start(f"always {number}", always)

@on_command("block").handle()
async def _():
    mark("block begins")
    while not Path("go on").exists():
        with suppress(BaseException):
            time.sleep(0.01)
"""


async def test_no_wait_in_a_thread_outlasts_the_shutdown(bot_factory, onebot):
    """Be it begun before the signal, or after it but before the loop can tell anybody."""
    bot = await bot_factory(WITNESS, WAITS, settings=PATIENT)
    await onebot.say(1, "/wait")
    for name in ("long_before", "again_and_again"):
        await bot.wait_mark(f"{name} begins")
    await onebot.say(2, "/block")
    await bot.wait_mark("block begins")
    bot.signal(signal.SIGINT)
    late = ["once_told", "once_told_without_a_loop"]
    for name in late:
        await bot.wait_mark(f"{name} begins")
    (bot.folder / "go on").touch()
    await bot.wait()
    names = [*late, "long_before", *(f"always {number}" for number in range(4))]
    assert [name for name in names if not bot.mark(f"{name} interrupted")] == [], bot.log
    assert_orderly(bot)


BUSY = """
import sys
import threading
from mark import mark
from nonebot import get_driver, on_command

mark(f"interval before: {sys.getswitchinterval()}")

def works():
    while True:
        pass

@on_command("work").handle()
async def _():
    mark("at work")
    for _ in range(8):
        threading.Thread(target=works, daemon=True).start()

@get_driver().on_shutdown
async def _():
    mark(f"it is short: {sys.getswitchinterval() < 0.001}")
"""

INTERVAL_AFTERWARDS = """
import sys
from mark import mark
mark(f"interval after: {{sys.getswitchinterval()}}")
"""


@pytest.mark.parametrize("driver", [FASTAPI, NONE], ids=["fastapi", "none"])
async def test_threads_that_never_wait_leave_the_shutdown_its_turns(driver, bot_factory, onebot):
    """With the interpreter's usual 5 ms for each they would use the usual deadline up."""
    run = RUN + INTERVAL_AFTERWARDS
    bot = await bot_factory(WITNESS, BUSY, driver=driver, run=run, settings=PATIENT)
    await onebot.say(1, "/work")
    await bot.wait_mark("at work")
    bot.signal(signal.SIGINT)
    assert await bot.wait() == CLEAN, bot.log
    assert_hooks_ran(bot)
    assert bot.mark("it is short: True"), bot.log
    (before,), (after,) = bot.marks("interval before: "), bot.marks("interval after: ")
    assert before.text.split()[-1] == after.text.split()[-1]
