"""Members and operators who say something to a bot."""

import asyncio
import itertools

import pytest
from nonebot import on_command
from nonebot.adapters.onebot.v11 import (
    Adapter,
    Bot,
    GroupMessageEvent,
    Message,
    PrivateMessageEvent,
)
from nonebot.message import handle_event

OPERATOR = "999"
_ids = itertools.count(1)


def event(text, user=1, group=None):
    """Make what the bot hears when somebody says something."""
    values = {
        "time": 0,
        "self_id": 10000,
        "post_type": "message",
        "message_id": next(_ids),
        "user_id": int(user),
        "message": Message(text),
        "original_message": Message(text),
        "raw_message": text,
        "font": 0,
        "sender": {"user_id": int(user)},
    }
    if group is None:
        return PrivateMessageEvent(**values, message_type="private", sub_type="friend")
    return GroupMessageEvent(**values, message_type="group", sub_type="normal", group_id=group)


@pytest.fixture
def tree():
    """Give the plugin's tree of work."""
    from nonebot_plugin_graceful.core import installed

    return installed.tree


@pytest.fixture
def chat(app, monkeypatch):
    """A bot whose API calls are collected in ``said``; ``await chat.say(text, user, group)``."""
    import nonebot

    class Chat:
        def __init__(self):
            self.calls = []
            self.bot = Bot(nonebot.get_adapter(Adapter), "10000")

        @property
        def said(self):
            """What the bot has said: ``(chat, text)``."""
            return [
                (
                    data.get("group_id") or data["user_id"],
                    data["message"].extract_plain_text(),
                )
                for api, data in self.calls
                if api == "send_msg"
            ]

        async def say(self, text, user=1, group=None):
            return await self.hear(event(text, user, group))

        async def hear(self, event):
            await handle_event(self.bot, event)
            return event

    chat = Chat()

    async def call(self, bot, api, **data):
        chat.calls.append((api, data))
        return {"message_id": next(_ids)}

    monkeypatch.setattr(Adapter, "_call_api", call)
    monkeypatch.setattr(nonebot.get_driver().config, "superusers", {OPERATOR})
    monkeypatch.setattr(nonebot.get_driver().config, "command_start", {"/"})
    return chat


@pytest.fixture
async def painter(app, within):
    """A plugin that draws until it is stopped: ``/draw``. Its events."""
    from nonebot_plugin_graceful import track

    class Painter:
        def __init__(self):
            self.drawing = 0
            self.stopped = 0
            self._changed = asyncio.Event()
            self.running = set()

        async def draw(self):
            async with track("image"):
                self.drawing += 1
                self._changed.set()
                try:
                    await asyncio.sleep(1000)
                finally:
                    self.stopped += 1

        async def start(self, chat, *users, group=None):
            for user in users:
                self._changed.clear()
                task = asyncio.create_task(chat.say("/draw", user, group))
                self.running.add(task)
                await within(self._changed.wait())

        async def ended(self):
            await within(asyncio.wait(self.running))

    painter = Painter()
    matcher = on_command("draw", handlers=[painter.draw], force_whitespace=True)
    yield painter
    from nonebot_plugin_graceful import cancel

    if painter.drawing > painter.stopped:
        cancel(kind="image")
        await painter.ended()
    matcher.destroy()
