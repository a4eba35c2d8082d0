"""Messages as nine adapters hear them: each parsed by the adapter, from what its platform sends."""

import json
from copy import deepcopy
from types import SimpleNamespace


def onebot_v11():
    from nonebot.adapters.onebot.v11 import Adapter

    event = Adapter.json_to_event(
        {
            "time": 1700000000,
            "self_id": 10000,
            "post_type": "message",
            "message_type": "group",
            "sub_type": "normal",
            "message_id": -7,
            "group_id": 30001,
            "user_id": 20001,
            "anonymous": None,
            "message": [
                {"type": "at", "data": {"qq": "10000"}},
                {"type": "text", "data": {"text": " /画图 一只猫"}},
                {"type": "image", "data": {"file": "a.png", "url": "http://127.0.0.1/a.png"}},
            ],
            "raw_message": "[CQ:at,qq=10000] /画图 一只猫",
            "font": 0,
            "sender": {"user_id": 20001, "nickname": "小明", "role": "member", "title_expire": 0},
            "message_seq": 12,  # what NapCat adds
        }
    )
    event.message.pop(0)  # as the adapter does with a mention of the bot
    event.message[0].data["text"] = "/画图 一只猫"
    event.to_me = True
    return event


def onebot_v11_reply():
    from nonebot.adapters.onebot.v11.event import Reply

    event = onebot_v11()
    event.reply = Reply.model_validate(
        {
            "time": 1,
            "message_type": "group",
            "message_id": 6,
            "real_id": 6,
            "sender": {"user_id": 5},
            "message": [{"type": "image", "data": {"file": "b.png"}}],
        }
    )
    return event


def onebot_v12():
    from nonebot.adapters.onebot.v12 import Adapter

    event = Adapter.json_to_event(
        {
            "id": "b6e65187",
            "self": {"platform": "qq", "user_id": "123234"},
            "time": 1632847927.599013,
            "type": "message",
            "detail_type": "group",
            "sub_type": "",
            "message_id": "6283",
            "message": [
                {"type": "mention", "data": {"user_id": "123234"}},
                {"type": "text", "data": {"text": "OneBot is not a bot"}},
            ],
            "alt_message": "OneBot is not a bot",
            "user_id": "123456788",
            "group_id": "87654321",
            "qq.nickname": "海阔天空",
        },
        "test",
    )
    event.message.pop(0)
    event.to_me = True
    return event


def qq():
    from nonebot.adapters.qq import Adapter
    from nonebot.adapters.qq.models import Dispatch

    payload = Dispatch.model_validate(
        {
            "op": 0,
            "id": "GROUP_AT_MESSAGE_CREATE:evt",
            "s": 3,
            "t": "GROUP_AT_MESSAGE_CREATE",
            "d": {
                "id": "ROBOT1.0_msg",
                "author": {
                    "id": "AUTHOR",
                    "member_openid": "MEMBER",
                    "member_role": "member",
                    "bot": False,
                },
                "content": " /画图 猫",
                "group_openid": "GROUP",
                "group_id": "GROUP",
                "timestamp": "2024-11-05T11:37:12+08:00",
                "attachments": [
                    {"content_type": "image/png", "filename": "a.png", "url": "http://127.0.0.1/a"}
                ],
            },
        }
    )
    event = Adapter.payload_to_event(payload)
    event.get_message()
    event.to_me = True
    return event


def milky():
    from nonebot.adapters.milky.event import EVENT_CLASSES

    event = EVENT_CLASSES["message_receive"].model_validate(
        {
            "time": 1700000000,
            "self_id": 10000,
            "event_type": "message_receive",
            "data": {
                "message_scene": "group",
                "peer_id": 30001,
                "message_seq": 23,
                "sender_id": 20001,
                "time": 1700000000,
                "segments": [
                    {"type": "mention", "data": {"user_id": 10000}},
                    {"type": "text", "data": {"text": "/画图 猫"}},
                ],
                "group": {
                    "group_id": 30001,
                    "group_name": "猫",
                    "member_count": 3,
                    "max_member_count": 200,
                },
                "group_member": {
                    "user_id": 20001,
                    "nickname": "小明",
                    "sex": "male",
                    "group_id": 30001,
                    "card": "",
                    "title": "",
                    "level": 1,
                    "role": "member",
                    "join_time": 1,
                    "last_sent_time": 2,
                },
            },
        }
    )
    event = event.convert()
    event.message.pop(0)
    event.to_me = True
    return event


def feishu():
    from nonebot.adapters.feishu import Adapter

    ids = {"open_id": "ou_1", "union_id": "on_1", "user_id": "u1"}
    event = Adapter.json_to_event(
        {
            "schema": "2.0",
            "header": {
                "event_id": "5e3702a8",
                "event_type": "im.message.receive_v1",
                "create_time": "1608725989000",
                "token": "token",
                "app_id": "cli_1",
                "tenant_key": "key",
            },
            "event": {
                "sender": {"sender_id": ids, "sender_type": "user", "tenant_key": "key"},
                "message": {
                    "message_id": "om_1",
                    "create_time": "1609073151345",
                    "chat_id": "oc_1",
                    "chat_type": "group",
                    "message_type": "text",
                    "content": json.dumps({"text": "@_user_1 /画图 猫"}),
                    "mentions": [
                        {"key": "@_user_1", "id": ids, "name": "Tom", "tenant_key": "key"}
                    ],
                },
            },
        }
    )
    event.get_message().pop(0)
    event.to_me = True
    return event


def satori():
    from nonebot.adapters.satori import Adapter
    from nonebot.adapters.satori.models import Event

    payload = Event.model_validate(
        {
            "sn": 5,
            "id": 5,
            "type": "message-created",
            "timestamp": 1700000000000,
            "login": {
                "sn": 1,
                "status": 1,
                "adapter": "kook",
                "platform": "kook",
                "user": {"id": "10000", "nick": "bot", "is_bot": True},
                "features": ["message.delete"],
            },
            "channel": {"id": "6009", "type": 0, "name": "文字频道"},
            "guild": {"id": "7001", "name": "猫"},
            "member": {"nick": "小明", "joined_at": 1600000000000},
            "user": {"id": "20001", "name": "小明"},
            "message": {
                "id": "56163f81-30f6",
                "content": '<quote id="1">旧的</quote><at id="10000"/> /画图 <b>猫</b><img src="http://127.0.0.1/a.png"/>',
            },
        }
    )
    event = Adapter.payload_to_event(payload).convert()
    event._message.pop(1)
    event.to_me = True
    return event


def discord():
    from nonebot.adapters.discord import Adapter
    from nonebot.adapters.discord.payload import Dispatch

    user = {
        "id": "20001",
        "username": "ming",
        "discriminator": "0",
        "avatar": None,
        "global_name": "小明",
    }
    message = {
        "id": "1234567890",
        "type": 0,
        "content": "<@10000> /画图 猫",
        "channel_id": "6009",
        "guild_id": "7001",
        "author": user,
        "member": {
            "roles": ["1"],
            "joined_at": "2022-11-30T14:31:48.000000+00:00",
            "deaf": False,
            "mute": False,
            "flags": 0,
            "nick": "明",
        },
        "attachments": [
            {
                "id": "9",
                "filename": "a.png",
                "size": 3,
                "url": "http://127.0.0.1/a.png",
                "proxy_url": "http://127.0.0.1/a.png",
            }
        ],
        "embeds": [],
        "mentions": [{**user, "id": "10000", "username": "bot"}],
        "mention_roles": [],
        "pinned": False,
        "mention_everyone": False,
        "tts": False,
        "timestamp": "2023-11-14T22:13:20.000000+00:00",
        "edited_timestamp": None,
        "flags": 0,
        "nonce": "n",
        "components": [],
    }
    payload = Dispatch.model_validate({"op": 0, "s": 2, "t": "MESSAGE_CREATE", "d": message})
    event = Adapter.payload_to_event(payload)
    event.get_message().pop(0)
    event.to_me = True
    return event


def telegram():
    from nonebot.adapters.telegram.event import Event

    user = {"id": 20001, "is_bot": False, "first_name": "Ming", "language_code": "zh"}
    chat = {"id": -30001, "title": "cats", "type": "supergroup"}
    update = {
        "update_id": 77,
        "message": {
            "message_id": 8,
            "from": user,
            "chat": chat,
            "date": 1700000000,
            "text": "/draw@bot a cat",
            "entities": [{"offset": 0, "length": 9, "type": "bot_command"}],
            "reply_to_message": {
                "message_id": 7,
                "from": user,
                "chat": chat,
                "date": 1699999999,
                "photo": [{"file_id": "f", "file_unique_id": "u", "width": 9, "height": 9}],
                "caption": "this one",
            },
        },
    }
    event = Event.parse_event(deepcopy(update))
    event.message[0].data["text"] = "/draw"
    return event


def kaiheila():
    from nonebot.adapters.kaiheila import Adapter

    event = Adapter.json_to_event(
        {
            "s": 0,
            "sn": 1,
            "d": {
                "channel_type": "GROUP",
                "type": 9,
                "target_id": "6009",
                "author_id": "20001",
                "content": "(met)10000(met) /画图 猫",
                "msg_id": "67a36e5e",
                "msg_timestamp": 1613983120000,
                "nonce": "",
                "extra": {
                    "type": 9,
                    "guild_id": "7001",
                    "channel_name": "chat",
                    "mention": ["10000"],
                    "mention_all": False,
                    "mention_roles": [],
                    "mention_here": False,
                    "author": {"id": "20001", "username": "ming", "online": True, "bot": False},
                    "kmarkdown": {
                        "raw_content": "@bot /画图 猫",
                        "mention_part": [{"id": "10000", "username": "bot"}],
                        "mention_role_part": [],
                    },
                },
            },
        },
        "10000",
        kaiheila_config=SimpleNamespace(kaiheila_ignore_events=()),
    )
    event.to_me = True
    return event


EVENTS = {
    make.__name__: make
    for make in (
        onebot_v11,
        onebot_v11_reply,
        onebot_v12,
        qq,
        milky,
        feishu,
        satori,
        discord,
        telegram,
        kaiheila,
    )
}
