"""Members who think better of it."""

import asyncio
from types import SimpleNamespace

import pytest
from nonebot.adapters.onebot.v11 import FriendRecallNoticeEvent, GroupRecallNoticeEvent

from tests.platforms import hear

BOT = 10000
ADMIN = 50


def recalled(message_id, user, group=None, operator=None):
    values = {"time": 0, "self_id": BOT, "post_type": "notice", "message_id": message_id}
    if group is None:
        return FriendRecallNoticeEvent(**values, notice_type="friend_recall", user_id=user)
    return GroupRecallNoticeEvent(
        **values,
        notice_type="group_recall",
        user_id=user,
        group_id=group,
        operator_id=operator or user,
    )


def numbers():
    """The users and message ids of what is in flight."""
    from nonebot_plugin_graceful.core import installed

    origins = [work.origin for work in installed.tree.all() if work.begun]
    return {origin.user: origin.event.message_id for origin in origins}


@pytest.mark.parametrize("operator", [None, ADMIN])
@pytest.mark.parametrize("group", [None, 7])
async def test_a_recalled_request_is_cancelled_and_no_other(group, operator, chat, painter, within):
    """The author's own recall, or an admin's."""
    await painter.start(chat, 1, 2, group=group)
    await chat.hear(recalled(numbers()["1"], 1, group, operator))
    await within(asyncio.wait(painter.running, return_when=asyncio.FIRST_COMPLETED))
    assert list(numbers()) == ["2"]
    assert chat.said == []


@pytest.mark.parametrize(
    ("user", "group", "operator", "what"),
    [
        (1, 7, BOT, "the bot's own recall"),
        (2, 7, 2, "another member's message"),
        (1, 8, 1, "another group"),
        (1, None, None, "another kind of chat"),
    ],
)
async def test_a_recall_that_is_none_of_ours(user, group, operator, what, chat, painter):
    """Nothing is cancelled."""
    await painter.start(chat, 1, group=7)
    await chat.hear(recalled(numbers()["1"], user, group, operator))
    await asyncio.sleep(0)
    assert painter.stopped == 0, what


@pytest.fixture
def cancel_command():
    """``GRACEFUL_CANCEL_COMMAND=算了``."""
    from nonebot.matcher import matchers

    from nonebot_plugin_graceful.bot.matchers import Matchers
    from nonebot_plugin_graceful.chat import recall
    from nonebot_plugin_graceful.config import Config
    from nonebot_plugin_graceful.core import installed
    from nonebot_plugin_graceful.journal import installed as journal

    before = set(matchers[1])
    config = Config(graceful_cancel_command="算了", graceful_cancel_on_recall=False)
    recall.install(config, installed.tree, Matchers(installed.tree), journal.requests)
    (matcher,) = set(matchers[1]) - before
    yield
    matcher.destroy()


async def test_a_member_cancels_his_own_in_this_chat(chat, painter, cancel_command, within):
    """Not others', not those elsewhere."""
    await painter.start(chat, 1, 2, group=7)
    await painter.start(chat, 1, group=8)
    await painter.start(chat, 1)
    await chat.say("/算了", 1, 7)
    await within(asyncio.wait(painter.running, return_when=asyncio.FIRST_COMPLETED))
    assert (painter.drawing, painter.stopped) == (4, 1)
    assert chat.said == [(7, "已取消你的请求。")]
    await chat.say("/算了", 1, 7)
    assert chat.said[-1] == (7, "你在这里没有进行中的请求。")


async def test_the_cancel_command_takes_no_arguments(chat, painter, cancel_command):
    """Who gives some is told, and nothing is cancelled."""
    await painter.start(chat, 1)
    await chat.say("/算了 全部", 1)
    assert chat.said == [(1, "单独发送这条命令，就会取消你在这里的全部请求。")]
    assert painter.stopped == 0


async def test_there_is_no_cancel_command_by_default(chat, painter):
    """It is opt-in."""
    await painter.start(chat, 1)
    await chat.say("/取消", 1)
    assert chat.said == []
    assert painter.stopped == 0


async def test_a_recall_of_onebot_v12(chat, painter):
    """Its ``group_message_delete`` does the same."""
    from nonebot.adapters.onebot.v12 import GroupMessageDeleteEvent

    await painter.start(chat, 1, group=7)
    event = GroupMessageDeleteEvent(
        id="1",
        time=0,
        type="notice",
        detail_type="group_message_delete",
        sub_type="recall",
        self={"platform": "qq", "user_id": str(BOT)},
        group_id="7",
        message_id=str(numbers()["1"]),
        user_id="1",
        operator_id="1",
    )
    await chat.hear(event)
    await painter.ended()
    assert painter.stopped == 1


def _milky(asked, operator):
    from nonebot.adapters.milky.event import MessageRecallEvent

    data = asked.data
    return MessageRecallEvent.model_validate(
        {
            "time": 1,
            "self_id": BOT,
            "data": {
                "message_scene": data.message_scene,
                "peer_id": data.peer_id,
                "message_seq": data.message_seq,
                "sender_id": data.sender_id,
                "operator_id": operator or data.sender_id,
                "display_suffix": "",
            },
        }
    )


def _kaiheila(asked, operator):
    from nonebot.adapters.kaiheila import Adapter

    body = {"msg_id": asked.msg_id, "author_id": asked.user_id, "target_id": str(BOT)}
    payload = {
        "channel_type": "PERSON",
        "type": 255,
        "target_id": str(BOT),
        "author_id": "1",
        "content": "[系统消息]",
        "msg_id": "notice",
        "msg_timestamp": 1,
        "nonce": "",
        "extra": {"type": "deleted_private_message", "body": body},
    }
    config = SimpleNamespace(kaiheila_ignore_events=(), kaiheila_ignore_other_bots=False)
    return Adapter.json_to_event({"s": 0, "sn": 1, "d": payload}, str(BOT), kaiheila_config=config)


def _discord(asked, operator):
    from nonebot.adapters.discord.event import DirectMessageDeleteEvent

    return DirectMessageDeleteEvent.model_validate(
        {"id": str(asked.id), "channel_id": str(asked.channel_id)}
    )


@pytest.mark.parametrize(
    ("platform", "recall", "group"),
    [
        ("milky", _milky, 30001),
        ("milky", _milky, None),
        ("kaiheila", _kaiheila, None),
        ("discord", _discord, None),
    ],
)
async def test_recalls_of_other_platforms(platform, recall, group, chat, painter, within):
    """Where it is known that the bot has not done it itself."""
    asked, other = (hear(platform, "/draw", user, group) for user in (20001, 20002))
    for event in (asked, other):
        painter.running.add(asyncio.create_task(chat.hear(event)))
    while painter.drawing < 2:
        await asyncio.sleep(0)
    await chat.hear(recall(asked, None))
    await within(asyncio.wait(painter.running, return_when=asyncio.FIRST_COMPLETED))
    await asyncio.sleep(0.05)
    assert painter.stopped == 1


async def test_a_bot_that_tidies_up_on_milky(chat, painter):
    """Its own recall cancels nothing."""
    asked = hear("milky", "/draw", 20001, 30001)
    painter.running.add(asyncio.create_task(chat.hear(asked)))
    while not painter.drawing:
        await asyncio.sleep(0)
    await chat.hear(_milky(asked, BOT))
    await asyncio.sleep(0.05)
    assert painter.stopped == 0
