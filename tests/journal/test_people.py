"""What people are told: at the shutdown, by the operator's command, and never twice."""

import asyncio
import re
import time

import nonebot
import pytest
from nonebot import on_command
from nonebot.adapters.onebot.v11 import GroupRecallNoticeEvent

from nonebot_plugin_graceful import track
from nonebot_plugin_graceful.bot.matchers import Matchers
from nonebot_plugin_graceful.chat.commands import _Commands
from nonebot_plugin_graceful.chat.notices import _Notices
from nonebot_plugin_graceful.chat.recall import _Members
from nonebot_plugin_graceful.core.drain import Drain
from nonebot_plugin_graceful.journal import codec
from nonebot_plugin_graceful.journal.replay import Replay

from .conftest import message
from .test_requests import Painter, until


@pytest.fixture
def painter(house, matcher):
    return Painter(matcher)


async def drain_with_notices(life):
    life.begin_shutdown()
    notices = _Notices(life.config, life.tree, life.requests.resumes)
    drain = Drain(life.tree, grace_cap=0.0, hook_timeout=0.1, farewells=[notices.send])
    await asyncio.wait_for(drain.run(), 10)
    await life.stop()


async def test_who_will_be_resumed_is_told_so(house, painter, matcher, within):
    """In place of ``GRACEFUL_NOTICE``, which the others are told."""
    entered = asyncio.Event()

    async def chat():
        async with track("llm"):
            entered.set()
            await asyncio.Event().wait()

    matcher(on_command("聊天", handlers=[chat]))
    life = house.life(graceful_notice="已取消", graceful_resume_notice="回来继续{kind}")
    life.say("/画图 猫", group=30001)
    await painter.begun(within)
    life.say("/聊天", group=30002)
    await within(entered.wait())
    await drain_with_notices(life)
    told = {data["group_id"]: str(data["message"]) for _, data in house.calls[1:]}
    assert {group: text.rpartition("]")[2] for group, text in told.items()} == {
        30001: "回来继续image",
        30002: "已取消",
    }


async def test_who_cannot_be_is_told_once(house, painter, within):
    """At the shutdown, if there is something to say then; else after it."""
    life = house.life(graceful_notice="已取消", graceful_resume_notice="回来继续")
    event = message("/画图 猫")
    event.sender.lock = asyncio.Lock()
    life.hear(event)
    await painter.begun(within)
    await drain_with_notices(life)
    assert house.said() == ["正在画…", "已取消"]
    assert house.life().rows == []


# who thinks better of it


def members(house, life):
    """Give what watches recalls, on this life's journal."""
    return _Members(life.tree, Matchers(life.tree), life.requests)


async def test_what_was_recalled_before_it_is_taken_up_is_not(house, painter, within, log):
    """As soon as the bot hears of it; others' requests are."""
    first = house.life()
    for user in (7, 8):
        first.say("/画图 猫", user=user)
        await painter.begun(within)
    await first.die()
    second = house.life()
    asked = [codec.load(row.event) for row in second.rows]
    for event, author in ((asked[0], 9), (asked[1], 8)):
        recall = GroupRecallNoticeEvent(
            time=0,
            self_id=10000,
            post_type="notice",
            notice_type="group_recall",
            message_id=event.message_id,
            user_id=author,
            group_id=30001,
            operator_id=author,
        )
        await members(house, second).recalled(house.bot, recall)
    assert [row.user for row in second.rows] == ["7"]
    painter.picture.set()
    await second.connect()
    await within(until(lambda: second.rows == []))
    assert painter.asked == ["猫"] * 3
    assert [line for line in log if "recalled message" in line] == [
        f"INFO Cancelled 1 tasks: 8 recalled message {asked[1].message_id}, or an admin"
    ]


# the operator


async def test_the_operator_sees_what_waits(house, painter, within, monkeypatch):
    """And what does not: what runs is in the list of what is in flight."""
    first = house.life()
    first.say("/画图 猫", user=7)
    await painter.begun(within)
    first.say("/画图 狗", user=8)
    await painter.begun(within)
    commands = object.__new__(_Commands)
    commands._requests = first.requests
    assert await commands._journal("") == "没有等待继续的请求。"
    await first.die()
    second = house.life()
    commands._requests = second.requests
    said = await commands._journal("")
    assert re.match(r"等待继续 2 项：\n#1 image｜用户 7@30001｜\d+ 秒前", said)
    assert "猫" not in said
    assert await commands._journal("forget 9") == "没有符合的请求。"
    assert await commands._journal("forget 1") == "已忘记 1 项。"
    assert [row.user for row in second.rows] == ["8"]
    assert await commands._journal("忘记 全部") == "已忘记 1 项。"
    assert (await commands._journal("nonsense")).startswith("用法")
    await second.connect()
    assert painter.asked == ["猫", "狗"]


async def test_nothing_is_taken_up_while_the_bot_is_drained(house, painter, within):
    """By the operator's command; once it is over, it is."""
    first = house.life()
    first.say("/画图 猫")
    await painter.begun(within)
    await first.die()
    second = house.life()
    second.tree.admission.refuse("maintenance")
    second.journal.connected(house.bot)
    await asyncio.sleep(0.05)
    assert painter.asked == ["猫"]
    second.tree.admission.resume()
    await painter.begun(within)


async def test_a_bot_that_has_gone_again_takes_nothing_up(house, painter, within):
    """Its requests wait for the next connection."""
    first = house.life()
    first.say("/画图 猫")
    await painter.begun(within)
    await first.die()
    bots = nonebot.get_driver()._bots
    bot = bots.pop("10000")
    second = house.life()
    await second.connect()
    assert painter.asked == ["猫"]
    bots["10000"] = bot
    await second.connect()
    await painter.begun(within)


async def test_its_attempt_is_on_disk_before_it_begins(house, painter, within, monkeypatch):
    """Else what kills the bot at once would do so for ever."""
    charged = []
    first = house.life()
    first.say("/画图 猫")
    await painter.begun(within)
    await first.die()
    take_up = Replay._take_up

    async def look(self, *arguments):
        charged.append([row.attempts for row in second.rows])
        await take_up(self, *arguments)

    monkeypatch.setattr(Replay, "_take_up", look)
    second = house.life()
    await second.connect()
    await painter.begun(within)
    assert charged == [[1]]
    assert time.time() - second.rows[0].asked < 60
