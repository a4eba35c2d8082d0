"""Bots of other adapters stop as one of OneBot V11 does: in order, with a word to whoever asked."""

import signal

import pytest

from .servers import PLATFORMS

IN_TIME = 30
SLOW_MACHINE = 15
"""Seconds: what waits for something that does not come waits for the deadline."""

PAINTER = """
import asyncio
from mark import mark
from nonebot import get_driver, on_command
from nonebot.adapters import Bot

driver = get_driver()

@driver.on_bot_connect
async def _(bot: Bot):
    mark("connected")

@driver.on_bot_disconnect
async def _(bot: Bot):
    mark("disconnecting")
    await asyncio.sleep(0.3)
    await asyncio.to_thread(mark, "disconnected")

@driver.on_shutdown
async def _():
    mark("shut down")

@on_command("draw", force_whitespace=True).handle()
async def _():
    mark("drawing")
    try:
        await asyncio.sleep(1000)
    finally:
        mark("draw ended")
"""

BUSY = (
    PAINTER
    + """
from pathlib import Path
from nonebot import require
require("nonebot_plugin_graceful")
from nonebot_plugin_graceful import shield, track

@on_command("busy", force_whitespace=True).handle()
async def _():
    async with track("image", notice=False), shield():
        mark("busy")
        while not Path("go on").exists():
            await asyncio.sleep(0.01)
"""
)
# A client for each message, as some adapters make one, takes a busy machine more than the second there is by default.
NOTICE = {
    "graceful_notice": "stopped ({reason})",
    "graceful_notice_timeout": 15,
    "graceful_shield_timeout": 20,
    "graceful_deadline": 60,
}


def on(*names):
    """Run a test on these platforms."""
    return pytest.mark.parametrize("platform", names, indirect=True)


@on(*PLATFORMS)
async def test_a_request_in_flight(platform, start):
    """It ends, its chat gets one notice that quotes it, every hook runs to its end."""
    bot = await start(PAINTER, **NOTICE)
    await bot.wait_mark("connected")
    said = await platform.say("/draw", 1, 30001)
    await bot.wait_mark("drawing")
    bot.signal(signal.SIGINT)
    code = await bot.wait(IN_TIME)
    assert (code, bot.killed) == (0, False), bot.log
    marks = [mark.text for mark in bot.marks()]
    assert marks[:3] == ["connected", "drawing", "draw ended"]
    # Telegram's adapter never tells that a bot has gone.
    disconnection = [] if "telegram" in platform.adapter else ["disconnected", "disconnecting"]
    assert sorted(marks[3:]) == [*disconnection, "shut down"], bot.log
    (notice,) = platform.sent
    assert (notice.text, notice.quotes) == ("stopped (SIGINT)", platform.number_of(said)), bot.log
    assert notice.chat.lstrip("-") == "30001"
    assert not bot.find("Does not stop"), bot.log


@on(*PLATFORMS)
async def test_five_requests_of_four_chats(platform, start):
    """Each chat is told once."""
    bot = await start(PAINTER, **NOTICE)
    await bot.wait_mark("connected")
    for user, chat in ((1, 30001), (2, 30001), (1, 30002), (1, None), (2, None)):
        await platform.say("/draw", user, chat)
    await bot.wait_marks("drawing", 5)
    bot.signal(signal.SIGINT)
    await bot.wait(IN_TIME)
    assert len(platform.sent) == len({sent.chat for sent in platform.sent}) == 4, bot.log


@on(*PLATFORMS)
async def test_an_idle_bot_ends_as_without_the_plugin(platform, start):
    """With the same exit code and the same hooks, and nothing that would take its time."""
    ended = []
    for graceful in (False, True):
        bot = await start(PAINTER, graceful=graceful, graceful_deadline=60)
        await bot.wait_mark("connected")
        bot.signal(signal.SIGINT)
        code = await bot.wait(IN_TIME)
        ended.append((code, [mark.text for mark in bot.marks()], bot.seconds_to_exit))
    (code, marks, seconds), (our_code, our_marks, our_seconds) = ended
    assert (code, bot.killed) == (our_code, False) == (0, False), bot.log
    assert set(marks) <= set(our_marks), bot.log
    assert our_seconds < seconds + SLOW_MACHINE, bot.log


@on("onebotv12")
async def test_who_speaks_to_a_bot_that_stops_is_told(platform, start):
    """What nobody will handle any more: a command, and what is said in private; no other word."""
    bot = await start(BUSY, **NOTICE)
    await bot.wait_mark("connected")
    await platform.say("/busy", 1, 30001)
    await bot.wait_mark("busy")
    bot.signal(signal.SIGINT)
    await bot.wait_log("stopping what is in flight")
    for text, user, chat in (("/draw", 2, 30002), ("hello", 3, None), ("a word", 4, 30003)):
        await platform.say(text, user, chat)
    await platform.wait_for_message(2)
    (bot.folder / "go on").touch()
    await bot.wait(IN_TIME)
    assert not bot.mark("drawing"), bot.log
    assert {sent.chat for sent in platform.sent} == {"30002", "3"}, bot.log
    assert {sent.text for sent in platform.sent} == {"stopped (SIGINT)"}


@on("telegram")
async def test_what_telegram_keeps_is_left_with_it(platform, start):
    """An update that comes while the bot stops is not confirmed: the next life answers it."""
    bot = await start(BUSY, **NOTICE)
    await bot.wait_mark("connected")
    await platform.say("/busy", 1, 30001)
    await bot.wait_mark("busy")
    bot.signal(signal.SIGINT)
    await bot.wait_log("stopping what is in flight")
    late = await platform.say("/draw", 2, 30002)
    await platform.wait_until_offered(late)
    (bot.folder / "go on").touch()
    await bot.wait(IN_TIME)
    assert not bot.killed, bot.log
    assert platform.confirmed < late["update_id"], bot.log
    assert platform.sent == [], bot.log
    bot = await start(BUSY)
    await bot.wait_mark("drawing")


@on("telegramwebhook")
async def test_what_is_pushed_to_a_bot_that_stops_is_not_taken(platform, start):
    """The platform gets a 503, and pushes it again later."""
    bot = await start(BUSY, **NOTICE)
    await bot.wait_mark("connected")
    assert await platform.say("/busy", 1, 30001)
    await bot.wait_mark("busy")
    bot.signal(signal.SIGINT)
    await bot.wait_log("stopping what is in flight")
    await platform.say("/draw", 2, 30002)
    (bot.folder / "go on").touch()
    await bot.wait(IN_TIME)
    assert platform.answers == [204, 503], bot.log
    assert not bot.mark("drawing"), bot.log
    assert platform.sent == [], bot.log


@on("telegram")
async def test_an_operator_uses_the_menu_of_telegram(platform, start):
    """It sends the bot's name behind the command."""
    bot = await start(PAINTER, superusers=["1"])
    await bot.wait_mark("connected")
    await platform.say("/draw", 2, 30001)
    await bot.wait_mark("drawing")
    await platform.say("/graceful@cat_bot", 1, 30001)
    await platform.wait_for_message()
    assert platform.sent[0].text.startswith("进行中 1 项"), bot.log
    await platform.say("/graceful@cat_bot cancel all", 1, 30001)
    await bot.wait_mark("draw ended")


@on("onebotv12")
async def test_who_speaks_too_late_is_told_that_he_will_be_answered(platform, start):
    """If the journal keeps the message for the next life."""
    settings = {"graceful_resume": ["llm"], "graceful_resume_notice": "back soon"}
    bot = await start(BUSY, **NOTICE, **settings)
    await bot.wait_mark("connected")
    await platform.say("/busy", 1, 30001)
    await bot.wait_mark("busy")
    bot.signal(signal.SIGINT)
    await bot.wait_log("stopping what is in flight")
    await platform.say("/draw", 2, 30002)
    await platform.wait_for_message()
    (bot.folder / "go on").touch()
    await bot.wait(IN_TIME)
    assert [(sent.chat, sent.text) for sent in platform.sent] == [("30002", "back soon")], bot.log
    bot = await start(BUSY, folder="bot0", **settings)
    await bot.wait_mark("drawing")


@on("telegram", "satori", "milky", "kaiheila", "discord")
async def test_a_member_cancels_what_he_asked_for_here(platform, start):
    """Not what he asked for in another group, nor in private, nor what others did."""
    bot = await start(PAINTER, graceful_cancel_command="nvm")
    await bot.wait_mark("connected")
    for user, chat in ((1, 30001), (2, 30001), (1, 30002), (1, None)):
        await platform.say("/draw", user, chat)
    await bot.wait_marks("drawing", 4)
    await platform.say("/nvm", 1, 30001)
    await platform.wait_for_message()
    assert platform.sent[0].chat.lstrip("-") == "30001"
    assert platform.sent[0].text == "已取消你的请求。", bot.log
    await platform.say("/nvm", 1, 30001)
    await platform.wait_for_message(2)
    assert platform.sent[1].text == "你在这里没有进行中的请求。", bot.log
    assert len(bot.marks("draw ended")) == 1, bot.log
