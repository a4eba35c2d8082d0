"""``/graceful restart`` and ``restart()``: the same process, the same command, another life."""

import signal
import sys

import pytest

from examples.sandbox.api import HANG

from .culprits import WITNESS, WORK, provoke
from .endings import CLEAN, press_again
from .harness import FASTAPI, NONE, QUART

OPERATOR = 999
SETTINGS = {"superusers": [str(OPERATOR)], "graceful_back_notice": "回来了：{reason}"}
TEMPORARY_FAILURE = 75

posix = pytest.mark.skipif(sys.platform == "win32", reason="there is no exec there")

LIVES = """
import os

from mark import mark
from nonebot import get_driver, on_command, require

require("nonebot_plugin_graceful")
from nonebot_plugin_graceful import restart

@get_driver().on_startup
def _():
    mark(f"alive {os.getpid()}")

@on_command("anew").handle()
async def _():
    restart("the author's")
"""


async def life(number, bot, onebot, *, server=True):
    """Wait until the bot lives for the nth time, in its first process, and is connected."""
    await bot.wait_marks(f"alive {bot.pid}", number)
    if server and number > 1:
        onebot.dial(f"ws://127.0.0.1:{bot.port}/onebot/v11/ws")
    await onebot.wait_for_connection(number)


async def end(bot):
    bot.signal(signal.SIGINT)
    return await bot.wait()


@posix
@pytest.mark.parametrize("driver", [FASTAPI, QUART, NONE], ids=["fastapi", "quart", "none"])
async def test_the_bot_is_back_in_the_same_process(driver, bot_factory, onebot):
    """The hooks have run, the chat that asked hears of it, once, though there are more lives."""
    bot = await bot_factory(WITNESS, LIVES, driver=driver, settings=SETTINGS)
    await onebot.say(OPERATOR, "/graceful restart 升级", group=7)
    server = driver != NONE
    await life(2, bot, onebot, server=server)
    back = await onebot.wait_for_message("回来了：升级")
    assert back.chat == ("group", 7)
    assert bot.mark("sync hook ran").index < bot.marks("alive")[1].index
    await onebot.say(1, "/anew")
    await life(3, bot, onebot, server=server)
    back = await onebot.wait_for_message("回来了：the author's")
    assert back.chat == ("private", 1)
    assert await end(bot) == CLEAN, bot.log
    said = [call.text.removeprefix("[reply]") for call in onebot.sent]
    assert said == ["开始重启：升级", "回来了：升级", "回来了：the author's"]
    assert not list(bot.folder.rglob("restart.json"))


WHILE_IMPORTING = """
import os
import threading
from pathlib import Path

from nonebot import require

require("nonebot_plugin_graceful")
from nonebot_plugin_graceful import restart

def ask():
    restart("while importing")

first = not Path("lived").exists()
Path("lived").touch()
if first and {threaded}:
    thread = threading.Thread(target=ask)
    thread.start()
    thread.join()
elif first:
    ask()
"""


@posix
@pytest.mark.parametrize("driver", [FASTAPI, NONE], ids=["fastapi", "none"])
@pytest.mark.parametrize("threaded", [False, True], ids=["directly", "from a thread"])
async def test_asked_for_while_plugins_are_imported(threaded, driver, bot_factory):
    """It ends in order and is back, as when a start-up hook asks."""
    asking = WHILE_IMPORTING.format(threaded=threaded)
    bot = await bot_factory(WITNESS, LIVES, asking, driver=driver, settings=SETTINGS, connect=False)
    alive = await bot.wait_mark(f"alive {bot.pid}")  # the first life has left out this hook
    assert bot.find("Restarting").index < alive.index
    assert bot.mark("sync hook ran").index < alive.index
    assert await end(bot) == CLEAN, bot.log


@posix
@pytest.mark.parametrize(
    "arguments",
    [("-X", "utf8", "-m", "bot"), ("-c", "import sys; sys.path.insert(0, '.'); import bot")],
    ids=["-m", "-c"],
)
async def test_whatever_command_it_was(arguments, bot_factory, onebot):
    """A module, a text, with the interpreter's own options; also from another working directory."""
    moves = "import os, tempfile; os.chdir(tempfile.gettempdir())"
    bot = await bot_factory(LIVES, moves, arguments=arguments, settings=SETTINGS)
    await onebot.say(1, "/anew")
    await life(2, bot, onebot)
    await onebot.wait_for_message("回来了：the author's")
    assert await end(bot) == CLEAN, bot.log


async def test_by_an_exit_code_where_that_is_wanted(bot_factory, onebot):
    """It ends with 75; whoever starts it again has the chat told."""
    bot = await bot_factory(WITNESS, LIVES, settings={**SETTINGS, "graceful_restart": "exit"})
    await onebot.say(OPERATOR, "/停机管理 重启")
    assert await bot.wait() == TEMPORARY_FAILURE, bot.log
    assert bot.mark("sync hook ran"), bot.log
    (mark,) = bot.folder.rglob("restart.json")
    assert '"bot"' in mark.read_text(encoding="utf-8")


@posix
async def test_also_when_the_end_had_to_be_forced(bot_factory, onebot, api):
    """A thread that does not end is no reason to be gone for good."""
    bot = await bot_factory(WITNESS, WORK, LIVES, settings=SETTINGS)
    await provoke(["thread_handler"], bot, onebot, api)
    await onebot.say(1, "/anew")
    await bot.wait_log("threads are still at work")
    await life(2, bot, onebot)
    await onebot.wait_for_message("回来了")
    assert await end(bot) == CLEAN, bot.log


WAITING = """
import httpx
from nonebot import get_driver, on_command

@on_command("wait").handle()
async def _():
    async with httpx.AsyncClient(trust_env=False, timeout=None) as client:
        await client.post(f"{get_driver().config.ai_base_url}/wait")
"""


@pytest.mark.parametrize("driver", [FASTAPI, NONE], ids=["fastapi", "none"])
async def test_a_signal_on_the_way_says_to_end(driver, bot_factory, onebot, api):
    """Docker's or the operator's: the bot does not come back, and nobody waits for it."""
    settings = {**SETTINGS, "graceful_deadline": 60, "graceful_kinds": {"handler": {"grace": 40}}}
    api.on("/v1/wait", HANG)
    bot = await bot_factory(WITNESS, LIVES, WAITING, driver=driver, settings=settings)
    await onebot.say(2, "/wait")
    await api.wait_for_requests(1, "/v1/wait")
    await onebot.say(1, "/anew")
    await bot.wait_log("Waiting for 1")
    bot.signal(signal.SIGINT)
    await press_again(bot)
    await bot.wait()
    assert not bot.killed, bot.log
    assert bot.exit_code != TEMPORARY_FAILURE
    assert not bot.find("Restarting"), bot.log
    assert not list(bot.folder.rglob("restart.json"))
