"""Lives of one bot, one after the other, over the same folder."""

import asyncio
import contextlib
import functools
import itertools
from types import SimpleNamespace

import nonebot
import pytest
from loguru import logger
from nonebot.adapters.onebot.v11 import (
    ActionFailed,
    Adapter,
    Bot,
    GroupMessageEvent,
    Message,
    PrivateMessageEvent,
)
from nonebot.message import handle_event

from nonebot_plugin_graceful.bot.adapters import cut_after_replies
from nonebot_plugin_graceful.bot.matchers import refuse_events
from nonebot_plugin_graceful.chat.saying import say
from nonebot_plugin_graceful.config import Config
from nonebot_plugin_graceful.core import installed
from nonebot_plugin_graceful.core.drain import Drain
from nonebot_plugin_graceful.journal import replay
from nonebot_plugin_graceful.journal.journal import Journal

_ids = itertools.count(1)


def message(text, user=1, group=30001, **values):
    """Make what the bot hears when somebody says something."""
    values = {
        "time": 1700000000,
        "self_id": 10000,
        "post_type": "message",
        "message_id": next(_ids),
        "user_id": user,
        "message": Message(text),
        "original_message": Message(text),
        "raw_message": text,
        "font": 0,
        "sender": {"user_id": user},
        **values,
    }
    if group is None:
        return PrivateMessageEvent(**values, message_type="private", sub_type="friend")
    return GroupMessageEvent(**values, message_type="group", sub_type="normal", group_id=group)


class Life:
    """One life of a bot, from its start to its death or its orderly stop."""

    def __init__(self, house, **settings):
        self.house = house
        self.tree = installed.tree
        self.config = Config(**{"graceful_resume": ["image"], **settings})
        self.journal = Journal(self.config, self.tree, house.folder, say)
        self.requests = self.journal.requests
        self.storage = self.journal.storage
        self._restore = self.journal.listen(self.tree.world)
        self._tasks = set()
        self._undo = []
        self.over = False

    # what happens to it

    def hear(self, event):
        """Let a message come; the bot handles it in a task of its own, as adapters do."""
        task = asyncio.create_task(handle_event(self.house.bot, event))
        self._tasks.add(task)
        return task

    def say(self, text, user=1, group=30001, **values):
        """Let somebody say something."""
        return self.hear(message(text, user, group, **values))

    async def connect(self):
        """Have the account connected, and wait until all that is to be resumed has begun."""
        before = set(self.tree.internal)
        self.journal.connected(self.house.bot)
        taking_up = set(self.tree.internal) - before
        if taking_up:
            await asyncio.wait(taking_up, timeout=10)

    def begin_shutdown(self, reason="SIGINT"):
        """Be told to stop; new messages are refused from now on."""
        self.tree.lifecycle.begin(reason)
        self._undo += [
            refuse_events(self.tree),
            cut_after_replies(self.tree),
            self.journal.shutdown_begins(),
        ]

    async def drain(self):
        """Stop what is in flight."""
        drain = Drain(self.tree, grace_cap=0.0, hook_timeout=0.1)
        await asyncio.wait_for(drain.run(), 10)
        await self.ended()

    async def stop(self):
        """Be stopped in order, as by Ctrl+C."""
        if not self.tree.lifecycle.stopping:
            self.begin_shutdown()
        await self.drain()
        self._end()

    async def die(self):
        """End as by SIGKILL: nothing more is written."""
        self._restore()
        self.journal.replies.stop()
        self.journal.lives.end()
        self.over = True
        for task in asyncio.all_tasks() - {asyncio.current_task()}:
            if task in self.tree.works or task in self._tasks or task in self.tree.internal:
                task.cancel()
        await asyncio.sleep(0.01)
        self.storage.close()

    async def ended(self):
        """Wait until every message has been handled."""
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=10)
        await asyncio.sleep(0)

    def _end(self):
        for undo in self._undo:
            undo()
        self._undo.clear()
        self.tree.lifecycle.reopen()
        self._restore()
        self.over = True

    @property
    def rows(self):
        return self.storage.rows()


async def get_msg(house, *, message_id):
    """Tell of a message, as the platform does that a house lies at."""
    if message_id in house.withdrawn:
        raise ActionFailed(status="failed", retcode=1200, wording="消息已撤回")
    return {}


@pytest.fixture
async def house(app, tmp_path, monkeypatch):
    """A folder, an account, and what it says; ``house.life()`` begins a life of the bot."""
    monkeypatch.setattr(replay, "SETTLING", 0.0)
    monkeypatch.setattr(replay, "SOON", 0.0)
    monkeypatch.setattr(replay, "PACE", 0.01)
    monkeypatch.setattr(nonebot.get_driver().config, "command_start", {"/"})
    world = installed.tree.world
    for hooks in ("on_open", "on_end", "on_refused_section", "on_refused_run", "on_refused_event"):
        monkeypatch.setattr(world, hooks, [])  # not those of the session's own journal
    house = SimpleNamespace(
        folder=tmp_path, bot=Bot(nonebot.get_adapter(Adapter), "10000"), calls=[], withdrawn=set()
    )
    house.get_msg = functools.partial(get_msg, house)
    house.answering = asyncio.Event()
    house.answering.set()
    monkeypatch.setitem(nonebot.get_driver()._bots, "10000", house.bot)

    async def call(self, bot, api, **data):
        if api == "get_msg":
            return await house.get_msg(**data)
        house.calls.append((api, data))
        await house.answering.wait()
        return {"message_id": 1000 + len(house.calls)}

    monkeypatch.setattr(Adapter, "_call_api", call)
    lives = []

    def life(**settings):
        lives.append(Life(house, **settings))
        return lives[-1]

    def said():
        return [
            data["message"].extract_plain_text() for api, data in house.calls if api == "send_msg"
        ]

    house.life, house.said = life, said
    yield house
    for each in lives:
        if not each.over:
            await each.stop()
    for task in list(installed.tree.internal):
        task.cancel()
    await asyncio.sleep(0)


@pytest.fixture
def log():
    """Collect ``LEVEL message`` of every line."""
    lines = []
    sink = logger.add(lambda m: lines.append(f"{m.record['level'].name} {m.record['message']}"))
    yield lines
    with contextlib.suppress(ValueError):
        logger.remove(sink)


@pytest.fixture
def matcher():
    """Make matchers that go with the test."""
    made = []

    def keep(matcher):
        made.append(matcher)
        return matcher

    yield keep
    for each in made:
        with contextlib.suppress(ValueError):  # the test has done so
            each.destroy()
