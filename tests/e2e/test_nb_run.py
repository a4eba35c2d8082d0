"""``nb run``: a parent that sends SIGTERM on top of the SIGINT that the terminal sends to all."""

import asyncio
import os
import signal
import sys
import time

import pytest

from examples.sandbox.api import HANG

from .culprits import WITNESS
from .endings import assert_hooks_ran
from .harness import FASTAPI, NONE

pytest.importorskip("nb_cli")
pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="no terminal sends signals there")

RUN = ("-m", "nb_cli", "run")
GRACE = 1.5
SETTINGS = {"superusers": ["999"], "graceful_kinds": {"handler": {"grace": GRACE}}}
SECOND = "Waiting no longer"

WAITING = """
import httpx
import os
from mark import mark
from nonebot import get_driver, on_command, require

require("nonebot_plugin_graceful")
mark(f"alive {os.getpid()}")

@on_command("wait").handle()
async def _():
    async with httpx.AsyncClient(trust_env=False, timeout=None) as client:
        await client.post(f"{get_driver().config.ai_base_url}/wait")
"""


@pytest.fixture(autouse=True)
def project(tmp_path):
    """What makes a folder a project for it."""
    folder = tmp_path / "bot0"
    folder.mkdir()
    (folder / "pyproject.toml").write_text('[project]\nname = "bot"\n[tool.nonebot]\n')


def press(bot):
    """Press Ctrl+C: the terminal signals everybody in the foreground."""
    bot.signals.append((signal.SIGINT, time.monotonic()))
    os.killpg(bot.pid, signal.SIGINT)


@pytest.mark.parametrize("driver", [FASTAPI, NONE], ids=["fastapi", "none"])
async def test_ctrl_c_is_one_press(driver, bot_factory, onebot, api):
    """Graces are kept, hooks run, and nothing is left behind."""
    api.on("/v1/wait", HANG)
    bot = await bot_factory(WITNESS, WAITING, driver=driver, settings=SETTINGS, arguments=RUN)
    await onebot.say(1, "/wait")
    await api.wait_for_requests(1, "/v1/wait")
    press(bot)
    await bot.wait(20)
    assert not bot.killed, bot.log
    assert bot.seconds_to_exit >= GRACE
    assert bot.find("Stopped (SIG"), bot.log
    assert not bot.find(SECOND), bot.log
    assert_hooks_ran(bot)
    assert not bot.left_behind


async def another_alive(bot):
    """Wait until another bot has begun, where there was one."""
    while len(bot.marks("alive")) < 2:
        await asyncio.sleep(0.02)


async def test_a_restart_is_none_of_its_business(bot_factory, onebot):
    """The same process begins anew beneath it, and Ctrl+C still ends both."""
    bot = await bot_factory(WITNESS, WAITING, settings=SETTINGS, arguments=RUN)
    await onebot.say(999, "/graceful restart")
    await bot.wait_log("Restarting: the same command again")
    await another_alive(bot)
    onebot.dial(f"ws://127.0.0.1:{bot.port}/onebot/v11/ws")
    await onebot.wait_for_message("重启好了")
    first, second = [line.text for line in bot.marks("alive")]
    assert first == second
    press(bot)
    await bot.wait(20)
    assert not bot.killed, bot.log
    assert not bot.left_behind


async def test_a_reload_drains_as_ever(bot_factory, onebot, api):
    """A file is changed: the old bot ends in order, after its graces, and a new one begins."""
    api.on("/v1/wait", HANG)
    bot = await bot_factory(WITNESS, WAITING, settings=SETTINGS, arguments=(*RUN, "--reload"))
    await onebot.say(1, "/wait")
    await api.wait_for_requests(1, "/v1/wait")
    with (bot.folder / "plugin_1.py").open("a") as plugin:
        plugin.write("\nchanged = True\n")
    await bot.wait_log("Stopped (SIG")
    await another_alive(bot)
    onebot.dial(f"ws://127.0.0.1:{bot.port}/onebot/v11/ws")
    await onebot.wait_for_connection(2)
    assert not bot.find(SECOND), bot.log
    assert not bot.find("Ending the process"), bot.log
    first, second = [line.text for line in bot.marks("alive")]
    assert first != second
    press(bot)
    await bot.wait(20)
    assert not bot.killed, bot.log
    assert not bot.left_behind
