"""Who asked for a restart hears when the bot is back."""

import asyncio
import json

import pytest
from nonebot.adapters.onebot.v11 import Adapter

ANOTHER = "20000"


@pytest.fixture
def back(chat, tree, tmp_path):
    """The notice of one life, and the file it leaves."""
    from nonebot_plugin_graceful.chat.back import Back

    class Process:
        pass

    process = Process()
    process.tree = tree
    return Back("回来了：{reason}，{elapsed} 秒", process, tmp_path / "restart.json")


async def ask(chat, back, within):
    """Have a member of a group ask for a restart, in a command of some plugin."""
    from nonebot import on_command

    matcher = on_command("anew", handlers=[lambda: back.remember("升级")])
    await within(chat.say("/anew", 1, 7))
    matcher.destroy()


async def settled(tree, within):
    """Wait until it has said what there is to say."""
    while ours := [task for task in tree.internal if task.get_name() == "graceful back"]:
        await within(asyncio.wait(ours))


async def test_it_is_said_once(chat, tree, back, within):
    """In the chat, with the reason; at the next connection nothing is left to say."""
    await ask(chat, back, within)
    back.write()
    for _ in range(2):
        await back.connected(chat.bot)
        await settled(tree, within)
    ((where, text),) = chat.said
    assert (where, text.partition("，")[0]) == (7, "回来了：升级")


async def test_a_bot_that_dies_of_saying_it_says_it_no_more(chat, tree, back, within, monkeypatch):
    """The mark is gone before the message is sent."""
    there = []

    async def call(self, bot, api, **data):
        there.append(back._file.exists())
        raise RuntimeError("no network")

    monkeypatch.setattr(Adapter, "_call_api", call)
    await ask(chat, back, within)
    back.write()
    await back.connected(chat.bot)
    await settled(tree, within)
    assert there
    assert not any(there)


async def test_another_bot_does_not_say_it(chat, tree, back, within):
    """It waits for the one that was asked."""
    await ask(chat, back, within)
    back.write()
    chat.bot.self_id = ANOTHER
    await back.connected(chat.bot)
    await settled(tree, within)
    assert chat.said == []
    assert back._file.exists()


@pytest.mark.parametrize("text", ["", "{", "[]", json.dumps({"adapter": "OneBot V11"})])
async def test_a_mark_that_cannot_be_read_does_no_harm(text, chat, back, within):
    """Nothing is said."""
    back._file.write_text(text)
    await back.connected(chat.bot)
    assert chat.said == []


async def test_nobody_asked(chat, tree, back):
    """A restart from a page or a signal handler is nobody's in a chat."""
    back.remember("page")
    back.write()
    assert not back._file.exists()
