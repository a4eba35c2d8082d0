"""Requests over real restarts: Ctrl+C, SIGTERM, kill -9, and what people and providers see of it."""

import signal
import sqlite3
import sys

import pytest

from examples.sandbox import HANG, Answer, Rule
from examples.sandbox.api import CHAT, IMAGES

pytestmark = pytest.mark.skipif(
    sys.platform == "win32", reason="a process can only be ended there, not killed in order"
)


async def end(bot, onebot, how):
    bot.signal(getattr(signal, how))
    await bot.wait()
    await onebot.wait_closed()


@pytest.mark.parametrize("how", ["SIGINT", "SIGTERM", "SIGKILL"])
async def test_a_picture_arrives_after_a_restart(api, onebot, lives, how):
    """Asked for once, answered once; the provider is asked again for what it had not given."""
    api.on(IMAGES, HANG)
    bot = await lives()
    await onebot.say(1, "/画图 猫", group=30001)
    (first,) = await api.wait_for_requests(1, IMAGES)
    await end(bot, onebot, how)
    api.on(IMAGES, Rule(latency=0.1))
    bot = await lives()
    sent = await onebot.wait_for_message("[image]")
    assert sent.chat == ("group", 30001)
    assert api.count(IMAGES) == 2
    again = api.requests[-1]
    assert again.headers["idempotency-key"] == first.headers["idempotency-key"]
    await end(bot, onebot, "SIGINT")
    await lives()
    assert len(onebot.sent) == 1
    assert api.count(IMAGES) == 2


@pytest.mark.parametrize("how", ["SIGINT", "SIGKILL"])
async def test_what_was_paid_is_not_paid_again(api, onebot, lives, how):
    """The picture had come, and could not be sent any more."""
    onebot.on("send_msg", Answer(latency=None))
    bot = await lives()
    await onebot.say(1, "/画图 猫")
    await onebot.wait_for_call("send_msg")
    bot.kill() if how == "SIGKILL" else bot.signal(signal.SIGINT)
    await bot.wait(15)
    await onebot.wait_closed()
    sent = len(onebot.sent)
    onebot.on("send_msg", None)
    bot = await lives()
    await onebot.wait_for_messages(sent + 1)
    await bot.wait_log("whose result was kept")
    assert api.count(IMAGES) == 1


async def test_a_strangers_plugin_is_resumed_by_its_name(api, onebot, lives):
    """Its operator names it; its author has never heard of us."""
    plugin = """
import asyncio
from pathlib import Path
from nonebot import on_command

draw = on_command("draw")

@draw.handle()
async def _():
    await draw.send("begun")
    if not Path("go").exists():
        await asyncio.sleep(1000)
    await draw.finish("done")
"""
    settings = {"graceful_resume": ["plugin_0"]}
    bot = await lives(plugin, settings=settings)
    await onebot.say(1, "/draw")
    await onebot.wait_for_message("begun")
    (bot.folder / "go").touch()
    await end(bot, onebot, "SIGINT")
    await lives(plugin, settings=settings)
    await onebot.wait_for_message("done")
    assert [sent.text for sent in onebot.sent] == ["begun", "done"]


async def test_a_message_that_comes_while_the_bot_stops_is_answered_after_it(api, onebot, lives):
    """The platform has given it away, and does not give it again."""
    settings = {"graceful_resume": ["image", "llm"], "graceful_kinds": {"image": {"grace": 40}}}
    settings["graceful_deadline"] = 60
    api.on(IMAGES, HANG)
    bot = await lives(settings=settings)
    await onebot.say(1, "/画图 猫")
    await api.wait_for_requests(1, IMAGES)
    bot.signal(signal.SIGINT)
    await bot.wait_log("stopping what is in flight")
    await onebot.say(2, "/聊天 还在吗")
    await bot.wait_log("Kept")
    api.let_go(IMAGES)
    await bot.wait()
    await onebot.wait_closed()
    assert [sent.text for sent in onebot.sent] == ["[image]"]
    await lives(settings=settings)
    assert (await onebot.wait_for_message("还在吗")).chat == ("private", 2)
    assert api.count(IMAGES) == 1
    assert api.count(CHAT) == 1


@pytest.mark.parametrize("command", ["stop", "restart"])
async def test_a_command_that_ends_the_bot_ends_the_one_it_was_said_to(onebot, lives, command):
    """Said while that one stops already, it does not end the next one as well."""
    plugin = """
import asyncio
from pathlib import Path
from nonebot import on_command

@on_command("wait").handle()
async def _():
    while not Path("go").exists():
        await asyncio.sleep(0.01)
"""
    settings = {"graceful_resume": ["image"], "graceful_kinds": {"handler": {"grace": 40}}}
    settings |= {"graceful_deadline": 60, "superusers": ["999"]}
    bot = await lives(plugin, settings=settings)
    await onebot.say(1, "/wait")
    await bot.wait_log("Event will be handled")
    bot.signal(signal.SIGINT)
    await bot.wait_log("stopping what is in flight")
    await onebot.say(999, f"/graceful {command}")
    await bot.wait_log("Kept")
    (bot.folder / "go").touch()
    await bot.wait()
    await onebot.wait_closed()
    bot = await lives(plugin, settings=settings)
    dropped = await bot.wait_log("was meant for the process before")
    await bot.wait_log("running complete", after=dropped)
    await onebot.say(999, "/graceful")
    await onebot.wait_for_message("没有进行中的任务")
    assert [sent.text for sent in onebot.sent] == ["没有进行中的任务。"]


async def test_a_message_withdrawn_while_the_bot_is_down_is_not_answered(api, onebot, lives):
    """The platform knows."""
    api.on(IMAGES, HANG)
    bot = await lives()
    message = await onebot.say(1, "/画图 猫")
    await api.wait_for_requests(1, IMAGES)
    await end(bot, onebot, "SIGKILL")
    with pytest.raises(ConnectionError):  # nobody to tell
        await onebot.recall(message)
    bot = await lives()
    await bot.wait_log("its message was withdrawn")
    assert api.count(IMAGES) == 1


async def test_what_kills_the_bot_again_and_again_is_given_up(api, onebot, lives):
    """Twice in a row at once after its replay, and the third life takes nothing up."""
    plugin = """
import os
from nonebot import on_command
from nonebot_plugin_graceful import track

draw = on_command("draw")

@draw.handle()
@track("image", resume=True)
async def _():
    os._exit(9)
"""
    bot = await lives(plugin)
    await onebot.say(1, "/draw")
    for _ in range(3):
        await bot.wait(20)
        await onebot.wait_closed()
        bot = await lives(plugin)
    await bot.wait_log("died 2 times in a row")
    await onebot.wait_for_message("没能继续")
    assert bot.exit_code is None


async def test_the_journal_is_empty_when_all_is_answered(api, onebot, lives):
    """And closed, so that its folder can be copied."""
    bot = await lives()
    await onebot.say(1, "/画图 猫")
    await onebot.wait_for_message("[image]")
    await bot.wait_log("running complete")
    await end(bot, onebot, "SIGINT")
    (file,) = bot.folder.rglob("journal*")
    assert file.name == "journal.sqlite3"
    with sqlite3.connect(file) as connection:
        assert connection.execute("SELECT count(*) FROM requests").fetchall() == [(0,)]
        assert connection.execute("SELECT count(*) FROM done").fetchall() == [(1,)]
    connection.close()
