"""Closing the bot's window on Windows; elsewhere its handler is called as Windows would call it."""

import subprocess
import sys

import pytest

from examples.sandbox.api import HANG

from .culprits import HOOKS, WITNESS
from .endings import assert_hooks_ran
from .harness import FASTAPI, NONE

DEADLINE = "the deadline of 4 s is over"
"""Windows ends the process after 5 s, and our handler lets it after 4.5 s."""
SOON = 15
"""Seconds: far below the deadline and the graces that these bots have otherwise."""

CLOSING = """
import threading
from mark import mark
from nonebot import on_command
from nonebot_plugin_graceful import _process

def close():
    mark("closing")
    _process.console.handle(2)

@on_command("close").handle()
async def _():
    threading.Thread(target=close, daemon=True).start()
"""

WAITING = """
import httpx
from nonebot import get_driver, on_command

@on_command("wait").handle()
async def _():
    async with httpx.AsyncClient(trust_env=False, timeout=None) as client:
        await client.post(f"{get_driver().config.ai_base_url}/wait")
"""


@pytest.mark.parametrize("driver", [FASTAPI, NONE], ids=["fastapi", "none"])
async def test_the_bot_ends_in_order_within_what_is_granted(driver, bot_factory, onebot, api):
    """However long its graces and its deadline are."""
    settings = {"graceful_deadline": 60, "graceful_kinds": {"handler": {"grace": 40}}}
    api.on("/v1/wait", HANG)
    bot = await bot_factory(WITNESS, WAITING, CLOSING, driver=driver, settings=settings)
    await onebot.say(1, "/wait")
    await api.wait_for_requests(1, "/v1/wait")
    await onebot.say(2, "/close")
    await bot.wait()
    closing = bot.mark("closing")
    assert bot.exited - closing.time < SOON, bot.log
    assert bot.find("Stopped (CTRL_CLOSE_EVENT): "), bot.log
    assert not bot.find("Ending the process"), bot.log
    assert_hooks_ran(bot)


async def test_it_ends_by_force_within_what_is_granted(bot_factory, onebot):
    """With a report of who held it, which Windows would not write."""
    settings = {"graceful_deadline": 60, "culprit_hooks": ["hook_swallows"]}
    bot = await bot_factory(WITNESS, HOOKS, CLOSING, settings=settings)
    await onebot.say(2, "/close")
    await bot.wait()
    assert bot.exited - bot.mark("closing").time < SOON, bot.log
    assert bot.find(f"Ending the process: {DEADLINE}"), bot.log
    assert bot.find("hook_swallows"), bot.log


WINDOW = """
import ctypes
from mark import mark
from nonebot import on_command

@on_command("window").handle()
async def _():
    window = ctypes.windll.kernel32.GetConsoleWindow()
    mark(f"window {bool(window)}")
    if window:
        ctypes.windll.user32.PostMessageW(window, 0x0010, 0, 0)  # WM_CLOSE
"""


@pytest.mark.skipif(sys.platform != "win32", reason="Windows' consoles")
async def test_a_real_window_that_is_closed(bot_factory, onebot):
    """The event itself, where there is a window that can be closed."""
    group = {"creationflags": getattr(subprocess, "CREATE_NEW_CONSOLE", 0)}
    bot = await bot_factory(WITNESS, WINDOW, group=group)
    await onebot.say(1, "/window")
    mark = await bot.wait_log("window ")
    if not mark.text.endswith("True"):
        pytest.skip("no console has a window here")
    await bot.wait()
    assert not bot.killed, bot.log
    assert bot.find("Stopped (CTRL_CLOSE_EVENT): "), bot.log
    assert_hooks_ran(bot)
