"""What members say on each platform: as it comes over the wire, and as the adapter hears it.

Users and chats are numbers; a chat of None is a private one. Each message has a number of its own.
"""

import itertools
import json
from types import SimpleNamespace

BOT = 10000
_numbers = itertools.count(101)


def onebot_v11(text, user, chat=None):
    kind = {"message_type": "private", "sub_type": "friend"}
    if chat is not None:
        kind = {"message_type": "group", "sub_type": "normal", "group_id": chat}
    return {
        "time": 1700000000,
        "self_id": BOT,
        "post_type": "message",
        **kind,
        "message_id": next(_numbers),
        "user_id": user,
        "message": [{"type": "text", "data": {"text": text}}],
        "raw_message": text,
        "font": 0,
        "sender": {"user_id": user},
    }


def onebot_v12(text, user, chat=None):
    kind = {"detail_type": "private"}
    if chat is not None:
        kind = {"detail_type": "group", "group_id": str(chat)}
    number = str(next(_numbers))
    return {
        "id": f"event-{number}",
        "self": {"platform": "qq", "user_id": str(BOT)},
        "time": 1632847927.599013,
        "type": "message",
        **kind,
        "sub_type": "",
        "message_id": number,
        "message": [{"type": "text", "data": {"text": text}}],
        "alt_message": text,
        "user_id": str(user),
    }


def onebot_v12_channel(text, user, chat=None):
    payload = onebot_v12(text, user)
    if chat is not None:  # a channel's number is of its guild alone
        payload |= {"detail_type": "channel", "guild_id": str(chat), "channel_id": "1"}
    return payload


def qq(text, user, chat=None):
    number = f"ROBOT1.0_{next(_numbers)}"
    common = {
        "id": number,
        "content": text,
        "timestamp": "2024-11-05T11:37:12+08:00",
    }
    if chat is None:
        author = {"id": f"AUTHOR{user}", "user_openid": f"USER{user}"}
        kind, data = "C2C_MESSAGE_CREATE", common | {"author": author}
    else:
        author = {
            "id": f"AUTHOR{user}",
            "member_openid": f"MEMBER{user}",
            "member_role": "member",
            "bot": False,
        }
        group = {"group_openid": f"GROUP{chat}", "group_id": f"GROUP{chat}"}
        kind, data = "GROUP_AT_MESSAGE_CREATE", common | group | {"author": author}
    return {"op": 0, "id": f"{kind}:{number}", "s": 3, "t": kind, "d": data}


def satori(text, user, chat=None):
    number = next(_numbers)
    if chat is None:
        where = {"channel": {"id": f"private:{user}", "type": 1}}
    else:
        where = {
            "channel": {"id": str(chat), "type": 0, "name": "cats"},
            "guild": {"id": "7001", "name": "cats"},
            "member": {"nick": "Ming", "joined_at": 1600000000000},
        }
    return {
        "sn": number,
        "id": number,
        "type": "message-created",
        "timestamp": 1700000000000,
        "login": {
            "sn": 1,
            "status": 1,
            "adapter": "kook",
            "platform": "kook",
            "user": {"id": str(BOT), "nick": "bot", "is_bot": True},
            "features": [],
        },
        "user": {"id": str(user), "name": "Ming"},
        "message": {"id": f"m{number}", "content": text},
        **where,
    }


def satori_without_guild(text, user, chat=None):
    """A group of QQ's, as some servers tell it."""
    payload = satori(text, user, chat)
    payload.pop("guild", None)
    return payload


def telegram(text, user, chat=None):
    number = next(_numbers)
    where = {"id": user, "type": "private", "first_name": "Ming"}
    if chat is not None:
        where = {"id": -chat, "type": "supergroup", "title": "cats"}
    entities = []
    if text.startswith("/"):
        length = len(text.split()[0])
        entities = [{"offset": 0, "length": length, "type": "bot_command"}]
    return {
        "update_id": number,
        "message": {
            "message_id": number,
            "from": {"id": user, "is_bot": False, "first_name": "Ming"},
            "chat": where,
            "date": 1700000000,
            "text": text,
            "entities": entities,
        },
    }


def telegram_topic(text, user, chat=None):
    """A forum's topics are chats of their own."""
    payload = telegram(text, user, 30001 if chat is not None else None)
    if chat is not None:
        payload["message"]["is_topic_message"] = True
        payload["message"]["message_thread_id"] = chat
    return payload


def discord(text, user, chat=None):
    number = next(_numbers)
    author = {
        "id": str(user),
        "username": "ming",
        "discriminator": "0",
        "avatar": None,
        "global_name": "Ming",
    }
    message = {
        "id": str(number),
        "type": 0,
        "content": text,
        "channel_id": str(chat or 900 + user),
        "author": author,
        "attachments": [],
        "embeds": [],
        "mentions": [],
        "mention_roles": [],
        "pinned": False,
        "mention_everyone": False,
        "tts": False,
        "timestamp": "2023-11-14T22:13:20.000000+00:00",
        "edited_timestamp": None,
        "flags": 0,
        "components": [],
    }
    if chat is not None:
        message |= {
            "guild_id": "7001",
            "member": {
                "roles": [],
                "joined_at": "2022-11-30T14:31:48.000000+00:00",
                "deaf": False,
                "mute": False,
                "flags": 0,
            },
        }
    return {"op": 0, "s": number, "t": "MESSAGE_CREATE", "d": message}


def milky(text, user, chat=None):
    number = next(_numbers)
    data = {
        "message_scene": "friend",
        "peer_id": user,
        "message_seq": number,
        "sender_id": user,
        "time": 1700000000,
        "segments": [{"type": "text", "data": {"text": text}}],
    }
    if chat is not None:
        data |= {
            "message_scene": "group",
            "peer_id": chat,
            "group": {
                "group_id": chat,
                "group_name": "cats",
                "member_count": 3,
                "max_member_count": 200,
            },
            "group_member": {
                "user_id": user,
                "nickname": "Ming",
                "sex": "male",
                "group_id": chat,
                "card": "",
                "title": "",
                "level": 1,
                "role": "member",
                "join_time": 1,
                "last_sent_time": 2,
            },
        }
    return {"time": 1700000000, "self_id": BOT, "event_type": "message_receive", "data": data}


def feishu(text, user, chat=None):
    number = next(_numbers)
    ids = {"open_id": f"ou_{user}", "union_id": f"on_{user}", "user_id": f"u{user}"}
    return {
        "schema": "2.0",
        "header": {
            "event_id": f"event-{number}",
            "event_type": "im.message.receive_v1",
            "create_time": "1608725989000",
            "token": "token",
            "app_id": "cli_1",
            "tenant_key": "key",
        },
        "event": {
            "sender": {"sender_id": ids, "sender_type": "user", "tenant_key": "key"},
            "message": {
                "message_id": f"om_{number}",
                "create_time": "1609073151345",
                "chat_id": f"oc_{chat or 900 + user}",
                "chat_type": "p2p" if chat is None else "group",
                "message_type": "text",
                "content": json.dumps({"text": text}),
            },
        },
    }


def kaiheila(text, user, chat=None):
    number = next(_numbers)
    extra = {
        "type": 9,
        "mention": [],
        "mention_all": False,
        "mention_roles": [],
        "mention_here": False,
        "author": {"id": str(user), "username": "ming", "online": True, "bot": False},
        "kmarkdown": {"raw_content": text, "mention_part": [], "mention_role_part": []},
    }
    if chat is None:
        extra |= {"code": f"code{user}"}
        where = {"channel_type": "PERSON", "target_id": str(BOT)}
    else:
        extra |= {"guild_id": "7001", "channel_name": "cats"}
        where = {"channel_type": "GROUP", "target_id": str(chat)}
    return {
        "s": 0,
        "sn": number,
        "d": {
            **where,
            "type": 9,
            "author_id": str(user),
            "content": text,
            "msg_id": f"m{number}",
            "msg_timestamp": 1613983120000,
            "nonce": "",
            "extra": extra,
        },
    }


def minecraft(text, user, chat=None):
    return {
        "timestamp": 1700000000,
        "post_type": "message",
        "event_name": "PlayerChatEvent",
        "server_name": f"server{chat}",
        "server_version": "1.21",
        "server_type": "paper",
        "sub_type": "player_chat",
        "message_id": str(next(_numbers)),
        "raw_message": text,
        "player": {"nickname": f"Player{user}"},
        "message": text,
    }


def console(text, user, chat=None):
    return {"text": text, "user": user, "chat": chat, "number": next(_numbers)}


# -- as the adapters hear it


def _hear_onebot_v11(payload):
    from nonebot.adapters.onebot.v11 import Adapter

    return Adapter.json_to_event(payload)


def _hear_onebot_v12(payload):
    from nonebot.adapters.onebot.v12 import Adapter

    return Adapter.json_to_event(payload, "test")


def _hear_qq(payload):
    from nonebot.adapters.qq import Adapter
    from nonebot.adapters.qq.models import Dispatch

    event = Adapter.payload_to_event(Dispatch.model_validate(payload))
    event.get_message()
    return event


def _hear_satori(payload):
    from nonebot.adapters.satori import Adapter
    from nonebot.adapters.satori.models import Event

    return Adapter.payload_to_event(Event.model_validate(payload)).convert()


def _hear_telegram(payload):
    from nonebot.adapters.telegram.event import Event

    return Event.parse_event(payload)


def _hear_discord(payload):
    from nonebot.adapters.discord import Adapter
    from nonebot.adapters.discord.payload import Dispatch

    event = Adapter.payload_to_event(Dispatch.model_validate(payload))
    event.get_message()
    return event


def _hear_milky(payload):
    from nonebot.adapters.milky.event import EVENT_CLASSES

    return EVENT_CLASSES[payload["event_type"]].model_validate(payload).convert()


def _hear_feishu(payload):
    from nonebot.adapters.feishu import Adapter

    return Adapter.json_to_event(payload)


def _hear_kaiheila(payload):
    from nonebot.adapters.kaiheila import Adapter

    config = SimpleNamespace(kaiheila_ignore_events=(), kaiheila_ignore_other_bots=False)
    return Adapter.json_to_event(payload, str(BOT), kaiheila_config=config)


def _hear_minecraft(payload):
    from nonebot.adapters.minecraft.event import PlayerChatEvent
    from nonebot.adapters.minecraft.message import Message

    return PlayerChatEvent.model_validate(payload | {"message": Message(payload["message"])})


def _hear_console(payload):
    from datetime import datetime, timezone

    from nonebot.adapters.console import Message
    from nonebot.adapters.console.event import MessageEvent
    from nonechat.model import DIRECT, Channel, User

    chat = payload["chat"]
    return MessageEvent(
        time=datetime(2024, 1, 1, tzinfo=timezone.utc),
        self_id=str(BOT),
        post_type="message",
        user=User(f"user{payload['user']}"),
        channel=DIRECT if chat is None else Channel(f"room{chat}", "cats"),
        message_id=str(payload["number"]),
        message=Message(payload["text"]),
    ).convert()


SAID = {
    "onebot_v11": (onebot_v11, _hear_onebot_v11),
    "onebot_v12": (onebot_v12, _hear_onebot_v12),
    "onebot_v12_channel": (onebot_v12_channel, _hear_onebot_v12),
    "qq": (qq, _hear_qq),
    "satori": (satori, _hear_satori),
    "satori_without_guild": (satori_without_guild, _hear_satori),
    "telegram": (telegram, _hear_telegram),
    "telegram_topic": (telegram_topic, _hear_telegram),
    "discord": (discord, _hear_discord),
    "milky": (milky, _hear_milky),
    "feishu": (feishu, _hear_feishu),
    "kaiheila": (kaiheila, _hear_kaiheila),
    "minecraft": (minecraft, _hear_minecraft),
    "console": (console, _hear_console),
}


def hear(platform, text, user, chat=None):
    """Hear what a member says: the adapter's own event."""
    say, parse = SAID[platform]
    return parse(say(text, user, chat))
