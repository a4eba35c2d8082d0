"""What the tests of the promises share: a chat, a scheduler, a service that takes its time.

The only module here that knows the plugin's insides. The tests use its public names, and NoneBot.
"""

import asyncio
import contextlib
import gc
import itertools
from collections import deque
from dataclasses import dataclass

import nonebot
import pytest
from loguru import logger
from nonebot.adapters.onebot.v11 import (
    Adapter,
    Bot,
    FriendRecallNoticeEvent,
    GroupMessageEvent,
    GroupRecallNoticeEvent,
    Message,
    PrivateMessageEvent,
)
from nonebot.drivers import Driver
from nonebot.matcher import Matcher, MatcherSource
from nonebot.message import (
    _event_preprocessors,
    _run_postprocessors,
    _run_preprocessors,
    handle_event,
)
from nonebot.rule import Rule

from nonebot_plugin_graceful import testing

BOT = 10000
OPERATOR = 999
BOUND = 30
"""Seconds for what has to happen soon."""

begin_shutdown = testing.begin_shutdown


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport():
    """Collect no garbage while pytest parses the source of a test that has failed.

    asyncio logs what nobody has retrieved when it is collected, with a traceback, for which CPython
    parses as well; and in 3.11 a parser within a parser ends the whole session by a SystemError.
    """
    gc.disable()
    try:
        return (yield)
    finally:
        gc.enable()


# -- the plugin's insides


@pytest.fixture
def tree():
    """Give the plugin's tree of work."""
    from nonebot_plugin_graceful.core import installed

    return installed.tree


@pytest.fixture
def kinds(tree):
    """Set what ``GRACEFUL_KINDS`` would: ``kinds(image={"limit": 1})``. Before anything runs."""
    from nonebot_plugin_graceful.core.kinds import Kinds

    def kinds(**overrides):
        tree.kinds = Kinds(overrides)

    return kinds


@pytest.fixture
def patience(monkeypatch, tree):
    """Set ``GRACEFUL_CANCEL_TIMEOUT``: seconds until who does not end is named."""
    from nonebot_plugin_graceful.core.tree import Limits

    def patience(seconds):
        monkeypatch.setattr(tree, "limits", Limits(cancel=seconds))

    return patience


@pytest.fixture
def time_is_up(tree):
    """Have the time run out of what is of a kind that has a time-out: when a test says so.

    Seconds that are few enough to be waited for may be over before a busy machine has begun.
    """
    from nonebot_plugin_graceful.core.orders import time_out

    def time_is_up(kind, user=None):
        bounded = [
            section
            for work in tree.all()
            if user is None or work.origin.user == user
            for section in work.sections
            if section.kind.name == kind and section.timer is not None
        ]
        assert bounded, f"nothing of {kind} has a time-out"
        for section in bounded:
            time_out(tree, section)

    return time_is_up


@pytest.fixture
async def stop_with_notices(tree):
    """Stop what is in flight as a shutdown does, with ``GRACEFUL_NOTICE`` set to a text."""
    from nonebot_plugin_graceful.chat.notices import _Notices
    from nonebot_plugin_graceful.config import Config
    from nonebot_plugin_graceful.core.drain import Drain

    ours = []

    async def stop_with_notices(text):
        ours.append(asyncio.current_task())
        tree.internal.update(ours)
        tree.lifecycle.begin("test")
        config = Config(graceful_notice=text, graceful_notice_timeout=60, graceful_deadline=600)
        notices = _Notices(config, tree, resumes=lambda _: False)
        await Drain(tree, grace_cap=0, hook_timeout=1, farewells=[notices.send]).run()

    yield stop_with_notices
    tree.internal.difference_update(ours)


# -- waiting


@pytest.fixture
def ended():
    """Give a function that waits until tasks have ended, however they did."""

    async def ended(*tasks):
        # wait(), because wait_for() would itself wait for who swallows its cancellation
        done, pending = await asyncio.wait(tasks, timeout=BOUND)
        for task in done:
            if not task.cancelled():
                task.exception()  # it was looked at: asyncio need not complain
        assert not pending, f"has not ended: {pending}"

    return ended


@pytest.fixture
def until(within):
    """Give a function that waits for what no event tells of."""

    async def wait(condition):
        while not condition():
            await asyncio.sleep(0.001)

    async def until(condition):
        await within(wait(condition))

    return until


@pytest.fixture
def settle():
    """Give what should not happen the time to happen: a few rounds of the loop, or seconds."""

    async def settle(seconds=0.0):
        await asyncio.sleep(seconds)
        for _ in range(20):
            await asyncio.sleep(0)

    return settle


@pytest.fixture(autouse=True)
async def nothing_outlives_the_test():
    """End every task that a test has left, be it ever so stubborn."""
    before = asyncio.all_tasks()
    yield
    for _ in range(200):
        left = asyncio.all_tasks() - before - {asyncio.current_task()}
        if not left:
            break
        for task in left:
            task.cancel()
        await asyncio.wait(left, timeout=0.05)


# -- the log


@dataclass(frozen=True, slots=True)
class Line:
    """One line of the log."""

    level: str
    text: str
    has_traceback: bool


class Log:
    """All that was logged, oldest first."""

    def __init__(self):
        self.lines = []
        self._loop = asyncio.get_running_loop()
        self._changed = asyncio.Event()

    def write(self, message):
        record = message.record
        self.lines.append(
            Line(record["level"].name, record["message"], record["exception"] is not None)
        )
        with contextlib.suppress(RuntimeError):  # after the loop's end
            self._loop.call_soon_threadsafe(self._changed.set)

    def having(self, *words):
        """The lines that contain all the words."""
        return [line for line in self.lines if all(word in line.text for word in words)]

    @property
    def errors(self):
        """Lines of level ERROR and above, and whatever comes with a traceback."""
        return [
            line for line in self.lines if line.level in ("ERROR", "CRITICAL") or line.has_traceback
        ]

    async def wait_for(self, *words):
        """Wait for a line that contains all the words."""
        while not (lines := self.having(*words)):
            self._changed.clear()
            await self._changed.wait()
        return lines[0]


@pytest.fixture
async def log():
    """Collect what is logged."""
    log = Log()
    sink = logger.add(log.write, level=0, format="{message}")
    yield log
    logger.remove(sink)


# -- chats


class Chat:
    """A bot, what people say to it, and what it says."""

    def __init__(self):
        self.bot = Bot(nonebot.get_adapter(Adapter), str(BOT))
        self.calls = []
        self._ids = itertools.count(1)

    @property
    def said(self):
        """What the bot has said: ``(chat, text)``."""
        return [
            (data.get("group_id") or data["user_id"], data["message"].extract_plain_text())
            for api, data in self.calls
            if api == "send_msg"
        ]

    def message(self, text, user=1, group=None):
        """Make what the bot hears when somebody says something."""
        values = {
            "time": 0,
            "self_id": BOT,
            "post_type": "message",
            "message_id": next(self._ids),
            "user_id": user,
            "message": Message(text),
            "original_message": Message(text),
            "raw_message": text,
            "font": 0,
            "sender": {"user_id": user},
        }
        if group is None:
            return PrivateMessageEvent(**values, message_type="private", sub_type="friend")
        return GroupMessageEvent(**values, message_type="group", sub_type="normal", group_id=group)

    def recall_of(self, event):
        """Make what the bot hears when the author recalls a message."""
        values = {
            "time": 0,
            "self_id": BOT,
            "post_type": "notice",
            "message_id": event.message_id,
            "user_id": event.user_id,
        }
        if not isinstance(event, GroupMessageEvent):
            return FriendRecallNoticeEvent(**values, notice_type="friend_recall")
        return GroupRecallNoticeEvent(
            **values,
            notice_type="group_recall",
            group_id=event.group_id,
            operator_id=event.user_id,
        )

    def hear(self, event):
        """Have the bot handle an event, in a task, as its adapter does."""
        return asyncio.create_task(handle_event(self.bot, event))


@pytest.fixture
def chat(app, ended, monkeypatch):
    """A bot whose calls are collected. See :class:`Chat`."""
    chat = Chat()

    async def call(self, bot, api, **data):
        chat.calls.append((api, data))
        return {"message_id": 0}

    async def recall(event):
        await ended(chat.hear(chat.recall_of(event)))

    async def command(text):
        before = len(chat.said)
        await ended(chat.hear(chat.message(text, OPERATOR)))
        (answer,) = [text for whom, text in chat.said[before:] if whom == OPERATOR]
        return answer

    chat.recall = recall
    chat.command = command
    monkeypatch.setattr(Adapter, "_call_api", call)
    monkeypatch.setattr(nonebot.get_driver().config, "superusers", {str(OPERATOR)})
    monkeypatch.setattr(nonebot.get_driver().config, "command_start", {"/"})
    return chat


@pytest.fixture
def drain(chat):
    """The operator's ``/graceful drain``."""

    async def drain():
        assert "不再接新的 AI 任务" in await chat.command("/graceful drain")

    return drain


@pytest.fixture
def resume(chat):
    """The operator's ``/graceful resume``."""

    async def resume():
        assert "重新开始接 AI 任务" in await chat.command("/graceful resume")

    return resume


@pytest.fixture
def on(app):
    """Make matchers that are gone after the test; by default they come after ``/graceful``."""
    made = []

    def on(
        *handlers,
        text=None,
        rule=None,
        permission=None,
        priority=5,
        block=False,
        plugin=None,
        type_="message",
    ):
        async def says(event):
            return text is None or event.get_plaintext() == text

        matcher = Matcher.new(
            type_,
            Rule(says) & rule,
            permission,
            handlers=list(handlers),
            priority=priority,
            block=block,
            source=MatcherSource(plugin_id=plugin, module_name=__name__, lineno=1),
        )
        made.append(matcher)
        return matcher

    yield on
    for matcher in made:
        with contextlib.suppress(ValueError):  # a temporary one has gone by itself
            matcher.destroy()


@pytest.fixture(autouse=True)
def nonebots_hooks():
    """Whatever hooks a test gives NoneBot, are gone after it."""
    sets = (
        _event_preprocessors,
        _run_preprocessors,
        _run_postprocessors,
        Driver._bot_connection_hook,
        Driver._bot_disconnection_hook,
    )
    before = [set(hooks) for hooks in sets]
    yield
    for hooks, old in zip(sets, before, strict=True):
        hooks.clear()
        hooks.update(old)


# -- jobs


@pytest.fixture
async def scheduler():
    """APScheduler itself, running for one test."""
    from apscheduler.schedulers.base import STATE_PAUSED
    from nonebot_plugin_apscheduler import scheduler

    scheduler.start()
    yield scheduler
    scheduler.remove_all_jobs()
    if scheduler.state == STATE_PAUSED:
        scheduler.resume()
    scheduler.shutdown(wait=False)
    while scheduler.running:  # it stops in a callback of the loop
        await asyncio.sleep(0)


# -- HTTP


class Service:
    """An HTTP server on loopback that holds each request until it is told to answer."""

    def __init__(self):
        self.received = []
        """The paths, oldest first."""
        self.inside = 0
        """How many requests it holds."""
        self.most = 0
        """How many it has held at once at the most."""
        self.url = ""
        self._held = deque()
        self._changed = asyncio.Event()
        self._tasks = set()

    async def arrived(self, count):
        """Wait until so many requests have come."""
        while len(self.received) < count:
            self._changed.clear()
            await self._changed.wait()

    def answer(self):
        """Answer the request that has waited longest."""
        while self._held:
            waiter = self._held.popleft()
            if not waiter.done():
                waiter.set_result(None)
                return
        raise AssertionError("there is no request to answer")

    async def serve(self, reader, writer):
        """Serve one connection."""
        self._tasks.add(asyncio.current_task())
        with contextlib.suppress(OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode()
                self._changed.set()
                await self._hold(head.split()[1], reader)
                writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
        writer.close()

    async def _hold(self, path, reader):
        waiter = asyncio.get_running_loop().create_future()
        gone = asyncio.ensure_future(reader.read(1))
        gone.add_done_callback(lambda _: waiter.cancel())
        self._held.append(waiter)
        self.inside += 1
        self.most = max(self.most, self.inside)
        self.received.append(path)
        try:
            await waiter
        finally:
            self.inside -= 1
            gone.cancel()
            await asyncio.wait([gone])

    def close(self):
        """Hang up on everybody."""
        for task in self._tasks:
            task.cancel()


@pytest.fixture
async def service():
    """A service that answers GET requests when it is told to."""
    service = Service()
    server = await asyncio.start_server(service.serve, "127.0.0.1", 0)
    service.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    yield service
    server.close()
    service.close()


@pytest.fixture
async def clients():
    """Make clients as plugins do: ``clients("image")``; closed after the test."""
    from nonebot_plugin_graceful import http_client

    made = []

    def clients(kind, **keywords):
        # Whatever proxies this machine has: none of its own.
        made.append(http_client(kind=kind, trust_env=False, **keywords))
        return made[-1]

    yield clients
    for client in made:
        await client.aclose()
