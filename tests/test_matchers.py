"""Matcher runs: seen, refused, and cancelled without a successor."""

import asyncio

import pytest
from nonebot import on_message
from nonebot.adapters.onebot.v11 import Adapter, Bot, GroupMessageEvent, Message
from nonebot.message import handle_event

from nonebot_plugin_graceful import cancel, tasks
from nonebot_plugin_graceful.core.lifecycle import lifecycle


def event():
    return GroupMessageEvent.model_validate(
        {
            "time": 0, "self_id": 1, "post_type": "message", "sub_type": "normal",
            "user_id": 10, "message_type": "group", "group_id": 100, "message_id": 1,
            "message": Message("hi"), "original_message": Message("hi"), "raw_message": "hi",
            "font": 0, "sender": {}, "to_me": False,
        }
    )  # fmt: skip


@pytest.fixture
def two_matchers(app):
    """One that hangs, and one of lower priority: ``(entered, ran)``."""
    entered, ran = asyncio.Event(), []
    first, second = on_message(priority=1, block=False), on_message(priority=2, block=False)

    @first.handle()
    async def hang():
        entered.set()
        await asyncio.Event().wait()

    @second.handle()
    async def successor():
        ran.append(1)

    yield entered, ran
    first.destroy()
    second.destroy()


async def test_a_run_is_seen_and_cancelled_without_waking_lower_priorities(
    app, two_matchers, within
):
    """It is told of whom and where; the matcher after it does not take the event over."""
    entered, ran = two_matchers
    async with app.test_api() as ctx:
        bot = ctx.create_bot(base=Bot, adapter=ctx.create_adapter(base=Adapter), self_id="1")
        handling = asyncio.create_task(handle_event(bot, event()))
        await within(entered.wait())
        # other matchers of this priority may still be checking their rules
        (info,) = [info for info in tasks() if "test_matchers.py" in info.where]
        assert (info.kind, info.bot, info.user, info.chat) == ("handler", "1", "10", "100")
        assert cancel(user="11") == []
        assert info.id in [one.id for one in cancel(chat="100")]
        await within(asyncio.wait([handling]))
    assert ran == []
    assert tasks() == []


async def test_no_run_begins_while_stopping(app, two_matchers, within):
    """Neither handler is entered."""
    entered, ran = two_matchers
    lifecycle.begin("SIGINT")
    async with app.test_api() as ctx:
        bot = ctx.create_bot(base=Bot, adapter=ctx.create_adapter(base=Adapter), self_id="1")
        await within(handle_event(bot, event()))
    assert not entered.is_set()
    assert ran == []
