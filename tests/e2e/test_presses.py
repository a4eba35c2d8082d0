"""A second and a third Ctrl+C, in every phase of a shutdown."""

import signal

import pytest

from examples.sandbox import HANG
from examples.sandbox.onebot import Answer

from .culprits import HOOKS, QUEUED, WITNESS, WORK, last_shutdown, plugins_for, provoke
from .endings import CLEAN, FIRST, FORCED, SECOND, THIRD, assert_hooks_ran, press_again
from .harness import FASTAPI, NONE

SOON = 20
"""Seconds: far below the deadline and the graces of these bots."""
LONG = {"graceful_deadline": 60, "graceful_kinds": {"handler": {"grace": 40}}}

RETRYING = """
import httpx
from mark import mark
from nonebot import get_driver, on_command

@on_command("work").handle()
async def _():
    try:
        async with httpx.AsyncClient(trust_env=False, timeout=None) as client:
            for _ in range(10):
                try:
                    await client.post(f"{get_driver().config.ai_base_url}/paid")
                except Exception:
                    pass
    finally:
        mark("work stopped")
"""

both = pytest.mark.parametrize("driver", [FASTAPI, NONE], ids=["fastapi", "none"])


@both
async def test_while_work_has_its_grace(driver, bot_factory, onebot, api):
    """The first says what the next will do; the second grants no grace, and hooks still run."""
    bot = await bot_factory(WITNESS, WORK, driver=driver, settings=LONG)
    await provoke(QUEUED, bot, onebot, api)
    bot.signal(signal.SIGINT)
    second = await press_again(bot, told=FIRST)
    assert await bot.wait() == CLEAN, bot.log
    assert bot.exited - second < SOON
    assert bot.find(SECOND), bot.log
    assert not bot.find(THIRD)
    assert_hooks_ran(bot)


@both
async def test_while_nonebots_shutdown_hangs(driver, bot_factory, tmp_path):
    """There, too, the second has hooks run to their end, which uvicorn alone would ignore."""
    settings = {**LONG, "culprit_hooks": ["hook_hangs"]}
    bot = await bot_factory(WITNESS, HOOKS, driver=driver, settings=settings)
    bot.signal(signal.SIGINT)
    await bot.wait_mark("hook_hangs begins")
    second = await press_again(bot)
    assert await bot.wait() == CLEAN, bot.log
    assert bot.exited - second < SOON
    assert bot.find(SECOND), bot.log
    assert_hooks_ran(bot)
    assert set(last_shutdown(tmp_path)["hooks"]) == {"culprit_hooks.hook_hangs"}


@both
async def test_a_third_while_nonebots_shutdown_hangs(driver, bot_factory, tmp_path):
    """It ends the process at once, with a report of where it stood."""
    settings = {**LONG, "graceful_hook_timeout": 50, "culprit_hooks": ["hook_swallows"]}
    bot = await bot_factory(WITNESS, HOOKS, driver=driver, settings=settings)
    bot.signal(signal.SIGINT)
    await bot.wait_mark("hook_swallows begins")
    await press_again(bot)
    third = await press_again(bot, told=SECOND)
    assert await bot.wait() == FORCED, bot.log
    assert bot.exited - third < SOON
    assert bot.find(THIRD), bot.log
    assert last_shutdown(tmp_path)["forced"]


@both
async def test_while_the_event_loop_is_blocked(driver, bot_factory, onebot, api, tmp_path):
    """The third ends the process even then: the watchdog is a thread."""
    bot = await bot_factory(WITNESS, WORK, driver=driver, settings=LONG)
    await provoke(["loop_swallow"], bot, onebot, api)
    bot.signal(signal.SIGINT)
    await press_again(bot)
    third = await press_again(bot)
    assert await bot.wait() == FORCED, bot.log
    assert bot.exited - third < SOON
    assert bot.find(THIRD), bot.log
    assert "culprit_work.py" in last_shutdown(tmp_path)["threads"]["MainThread"]


BLOCKING = """
import time
from contextlib import suppress
from pathlib import Path
from mark import mark
from nonebot import on_command

@on_command("block").handle()
async def _():
    mark("block begins")
    while not Path("go on").exists():
        with suppress(BaseException):
            time.sleep(0.01)
"""


@both
async def test_a_second_while_the_event_loop_is_blocked(driver, bot_factory, onebot, api):
    """It counts once the loop goes on: no grace is granted, and the server still comes last."""
    bot = await bot_factory(WITNESS, RETRYING, BLOCKING, driver=driver, settings=LONG)
    api.on("/v1/paid", HANG)
    await onebot.say(1, "/work")
    await api.wait_for_requests(1, "/v1/paid")
    await onebot.say(2, "/block")
    await bot.wait_mark("block begins")
    bot.signal(signal.SIGINT)
    second = await press_again(bot)
    (bot.folder / "go on").touch()
    assert await bot.wait() == CLEAN, bot.log
    assert bot.exited - second < SOON, bot.log
    assert bot.find(SECOND), bot.log
    assert not bot.find(THIRD)
    assert_hooks_ran(bot)
    closed = await onebot.wait_closed()
    assert bot.mark("work stopped").time < closed.time, bot.log
    assert api.count("/v1/paid") == 1


REPLYING = """
from mark import mark
from nonebot import on_command
from nonebot.adapters import Bot, Event

@on_command("reply").handle()
async def _(bot: Bot, event: Event):
    try:
        await bot.send(event, "the answer")
    finally:
        mark("reply over")
"""
LATENCY = 5
"""Seconds: the second press comes before they are over."""


async def test_a_second_while_a_reply_is_being_sent(bot_factory, onebot):
    """It takes away graces, not the reply."""
    settings = {**LONG, "graceful_shield_timeout": 20}
    bot = await bot_factory(WITNESS, REPLYING, settings=settings)
    onebot.on("send_msg", Answer(latency=LATENCY))
    await onebot.say(1, "/reply")
    call = await onebot.wait_for_message("the answer")
    bot.signal(signal.SIGINT)
    await press_again(bot, told=FIRST)
    assert await bot.wait() == CLEAN, bot.log
    assert bot.find(SECOND), bot.log
    assert bot.mark("reply over").time - call.received >= 0.9 * LATENCY
    assert_hooks_ran(bot)


async def test_while_threads_are_waited_for(bot_factory, onebot, api):
    """The event loop has ended, its server's handler is back: the next press still ends it."""
    settings = {**LONG, "graceful_thread_timeout": 40}
    bot = await bot_factory(WITNESS, WORK, settings=settings)
    await provoke(["thread_loop"], bot, onebot, api)
    bot.signal(signal.SIGINT)
    await bot.wait_log("Finished server process")
    presses = [await press_again(bot), await press_again(bot)]
    await bot.wait()
    assert not bot.killed, bot.log
    assert bot.exited - presses[0] < SOON, bot.log
    assert_hooks_ran(bot)


async def test_with_a_second_server_in_the_loop(bot_factory, onebot, api):
    """It delivers the first press when it has ended; the second one comes to us."""
    names = ["second_server", *QUEUED]
    bot = await bot_factory(*plugins_for(names, FASTAPI), settings=LONG)
    await provoke(names, bot, onebot, api)
    bot.signal(signal.SIGINT)
    second = await press_again(bot, told=FIRST)
    assert await bot.wait() == CLEAN, bot.log
    assert bot.exited - second < SOON, bot.log
    assert_hooks_ran(bot)


async def test_presses_within_a_moment_are_one(bot_factory, onebot, api):
    """``nb run`` sends on what the terminal has sent to all: that is no second press."""
    settings = {**LONG, "graceful_kinds": {"handler": {"grace": 1.5}}}
    bot = await bot_factory(WITNESS, WORK, settings=settings)
    await provoke(QUEUED, bot, onebot, api)
    for _ in range(3):
        bot.signal(signal.SIGINT)
    assert await bot.wait() == CLEAN, bot.log
    assert bot.seconds_to_exit >= 1.5
    assert not bot.find(SECOND), bot.log
    assert_hooks_ran(bot)
