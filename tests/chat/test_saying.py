"""What is said is a reply to what was asked, where the adapter can."""

import json
from types import SimpleNamespace

import pytest

from nonebot_plugin_graceful.chat.saying import say
from tests.platforms import BOT, hear


class Wire:
    """Stands where an adapter's connection would be."""

    def __init__(self, name):
        self._name = name
        self.calls = []

    def get_name(self):
        return self._name

    async def _call_api(self, bot, api, **data):
        self.calls.append((api, data))
        return {"message_id": 1}


def onebot_v11(wire):
    from nonebot.adapters.onebot.v11 import Bot

    return Bot(wire, str(BOT))


def onebot_v12(wire):
    from nonebot.adapters.onebot.v12 import Adapter, Bot

    wire.get_send = Adapter.get_send
    return Bot(wire, str(BOT), "test", "qq")


def discord(wire):
    from nonebot.adapters.discord import Bot
    from nonebot.adapters.discord.config import BotInfo

    return Bot(wire, str(BOT), BotInfo(token="t"))


def telegram(wire):
    from nonebot.adapters.telegram import Bot
    from nonebot.adapters.telegram.config import BotConfig

    class Plain(Bot):
        async def call_api(self, api, **data):  # the adapter's own wants a whole message back
            return await self.adapter._call_api(self, api, **data)

    return Plain(wire, str(BOT), config=BotConfig(token="1:t"))


def milky(wire):
    from nonebot.adapters.milky import Bot
    from nonebot.adapters.milky.config import ClientInfo

    return Bot(wire, str(BOT), ClientInfo(host="127.0.0.1", port=1))


def kaiheila(wire):
    from nonebot.adapters.kaiheila import Bot

    return Bot(wire, str(BOT), "bot", "token")


def feishu(wire):
    from nonebot.adapters.feishu import Bot

    return Bot(wire, str(BOT), bot_config=SimpleNamespace(), bot_info=SimpleNamespace())


def satori(wire):
    from nonebot.adapters.satori import Bot

    class Plain(Bot):
        def __init__(self):  # the adapter's own opens an HTTP session
            self.adapter = wire

    return Plain()


def _onebot_reply(data):
    head, text = data["message"]
    assert str(text) == "stopped"
    return head.type, head.data.get("id") or head.data.get("message_id")


def _kind(data):
    return json.loads(data["json"]["content"])["text"]


@pytest.mark.parametrize("chat", [None, 30001], ids=["private", "group"])
@pytest.mark.parametrize(
    ("make", "number", "quoted"),
    [
        (onebot_v11, lambda event: str(event.message_id), lambda api, data: _onebot_reply(data)[1]),
        (onebot_v12, lambda event: event.message_id, lambda api, data: _onebot_reply(data)[1]),
        (discord, lambda event: event.id, lambda api, data: data["message_reference"].message_id),
        (
            telegram,
            lambda event: (event.message_id, True),
            lambda api, data: (
                data["reply_parameters"].message_id,
                data["reply_parameters"].allow_sending_without_reply,
            ),
        ),
        (
            milky,
            lambda event: event.data.message_seq,
            lambda api, data: data["message"]["reply", 0].data["message_seq"],
        ),
        (kaiheila, lambda event: event.msg_id, lambda api, data: data["quote"]),
        (
            feishu,
            lambda event: (f"im/v1/messages/{event.event.message.message_id}/reply", "stopped"),
            lambda api, data: (api, _kind(data)),
        ),
        (
            satori,
            lambda event: f'<quote id="{event.msg_id}"/>stopped',
            lambda api, data: data["content"],
        ),
    ],
    ids=lambda value: value.__name__ if value.__name__ != "<lambda>" else "",
)
async def test_it_quotes_what_was_asked(make, number, quoted, chat, app):
    """In a group nobody else takes it for an answer to him."""
    wire = Wire(make.__name__)
    event = hear(make.__name__, "/draw", 1, chat)
    await say(make(wire), event, "stopped")
    ((api, data),) = wire.calls
    assert quoted(api, data) == number(event)


async def test_without_anything_to_quote_it_is_said_plainly(app):
    """Minecraft's chat knows no replies."""
    from nonebot.adapters.minecraft import Bot

    wire = Wire("Minecraft")
    await say(Bot(wire, "server"), hear("minecraft", "/draw", 1, 7), "stopped")
    ((api, data),) = wire.calls
    assert (api, data) == ("send_msg", {"message": "stopped"})
