"""Matcher runs: seen, refused, and cancelled without a successor."""

import asyncio
import importlib
import sys
from contextlib import asynccontextmanager

import pytest
from nonebot import on_message
from nonebot.adapters.onebot.v11 import Adapter, Bot, GroupMessageEvent, Message
from nonebot.matcher import Matcher, MatcherSource, matchers
from nonebot.message import handle_event
from nonebot.params import ArgPlainText, Depends, EventPlainText

from nonebot_plugin_graceful import cancel, tasks
from nonebot_plugin_graceful.core.orders import time_out


def event(text="hi"):
    return GroupMessageEvent.model_validate(
        {
            "time": 0, "self_id": 1, "post_type": "message", "sub_type": "normal",
            "user_id": 10, "message_type": "group", "group_id": 100, "message_id": 1,
            "message": Message(text), "original_message": Message(text), "raw_message": text,
            "font": 0, "sender": {}, "to_me": False,
        }
    )  # fmt: skip


@asynccontextmanager
async def online(app):
    """Give a bot that events can be sent to."""
    async with app.test_api() as ctx:
        yield ctx.create_bot(
            base=Bot, adapter=ctx.create_adapter(base=Adapter), self_id="1", auto_connect=False
        )


def runs():
    """List the runs of this file's matchers; NoneBot may still be checking others."""
    return [info for info in tasks() if (info.matcher or "").startswith(f"{__name__}:")]


@pytest.fixture
def drawing(app, tree):
    """Give a hanging matcher of a plugin that makes images: ``(entered, go, ended)``."""
    entered, go, ended = [], asyncio.Event(), []
    source = MatcherSource(plugin_id="drawing", module_name=__name__, lineno=1)
    matcher = Matcher.new("message", source=source)
    tree.kinds.plugins["drawing"] = "image"

    @matcher.handle()
    async def draw(text: str = EventPlainText()):
        entered.append(text)
        try:
            await go.wait()
        except asyncio.CancelledError:
            ended.append(f"{text} cancelled")
            raise
        ended.append(text)

    yield entered, go, ended
    matcher.destroy()


@pytest.fixture
def two_matchers(app):
    """Make one that hangs, and one of lower priority, which tell when it was entered and how they ran."""
    made = []

    def two_matchers(*, block=False):
        entered, ran = asyncio.Event(), []
        first, second = on_message(priority=1, block=block), on_message(priority=2, block=False)
        made.extend([first, second])

        @first.handle()
        async def hang():
            entered.set()
            await asyncio.Event().wait()

        @second.handle()
        async def successor():
            ran.append(1)

        return entered, ran

    yield two_matchers
    for matcher in made:
        matcher.destroy()


@pytest.mark.parametrize("block", [True, False], ids=["blocks", "does not block"])
async def test_a_run_is_seen_and_cancelled_without_waking_lower_priorities(
    app, two_matchers, block, within
):
    """It is told of whom and where; who would not have got the event does not take it over.

    A matcher that does not block stands in nobody's way: those after it run as they would have.
    """
    entered, ran = two_matchers(block=block)
    async with online(app) as bot:
        handling = asyncio.create_task(handle_event(bot, event()))
        await within(entered.wait())
        # other matchers of this priority may still be checking their rules
        (info,) = [info for info in tasks() if "test_matchers.py" in info.where]
        assert (info.kind, info.bot, info.user, info.chat) == ("handler", "1", "10", "100")
        assert cancel(user="11") == []
        assert info.id in [one.id for one in cancel(chat="100")]
        await within(asyncio.wait([handling]))
    assert ran == ([] if block else [1])
    assert tasks() == []


async def test_no_run_begins_while_stopping(app, two_matchers, tree, within):
    """Neither handler is entered."""
    entered, ran = two_matchers()
    tree.lifecycle.begin("SIGINT")
    async with online(app) as bot:
        await within(handle_event(bot, event()))
    assert not entered.is_set()
    assert ran == []


async def test_a_conversation_goes_on_as_without_us(app, within):
    """After pause, reject and got a new run goes on where the last stopped, with its own handlers alone."""
    said, ids = [], []
    matcher = on_message(temp=True)

    def say(what):
        said.append(what)
        (run,) = runs()
        ids.append(run.id)

    @matcher.handle()
    async def begin():
        say("begun")
        await matcher.pause()

    @matcher.handle()
    async def check(text: str = EventPlainText()):
        say(f"checked {text}")
        if text != "yes":
            await matcher.reject()

    @matcher.got("name")
    async def greet(name: str = ArgPlainText()):
        say(f"hello {name}")
        if name != "Bob":
            await matcher.reject_arg("name")

    def to_come():
        mine = [one for of_priority in matchers.values() for one in of_priority]
        return [[h.call for h in one.handlers] for one in mine if one.module_name == __name__]

    left = []
    async with online(app) as bot:
        for text in ("start", "no", "yes", "Eve", "Bob", "too late"):
            await within(handle_event(bot, event(text)))
            left.append(to_come())
    assert said == ["begun", "checked no", "checked yes", "hello Eve", "hello Bob"]
    assert left == [[[check, greet]], [[check, greet]], [[greet]], [[greet]], [], []]
    assert [h.call for h in matcher.handlers] == [begin, check, greet]
    assert len(set(ids)) == len(ids)
    assert runs() == []


HANDLERS = """
from typing import Annotated
from nonebot import on_message
from nonebot.adapters.onebot.v11 import Bot, GroupMessageEvent, PrivateMessageEvent
from nonebot.params import Depends, EventPlainText
from nonebot.typing import T_State
from nonebot_plugin_graceful import tasks, track

matcher = on_message()
seen = []

def shout(text: Annotated[str, EventPlainText()]) -> str:
    return text.upper()

@matcher.handle()
@track("image")
async def not_for_groups(event: PrivateMessageEvent):
    seen.append("private")

@matcher.handle()
@track("image")
async def draw(
    bot: Bot,
    event: GroupMessageEvent,
    state: T_State,
    prompt: Annotated[str, Depends(shout)],
    size: int = 512,
):
    kinds = [info.kind for info in tasks() if (info.matcher or "").startswith(__name__ + ":")]
    seen.append((bot.self_id, event.group_id, state, prompt, size, kinds))
"""


@pytest.mark.parametrize("first_line", ["", "from __future__ import annotations"])
async def test_a_tracked_handler_is_given_what_it_asks_for(
    app, first_line, tmp_path, monkeypatch, within
):
    """By the types of its parameters, be they objects or strings; one of another event is skipped."""
    name = "handlers_as_strings" if first_line else "handlers_as_objects"
    (tmp_path / f"{name}.py").write_text(first_line + HANDLERS, encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    module = importlib.import_module(name)
    try:
        async with online(app) as bot:
            await within(handle_event(bot, event("cat")))
    finally:
        module.matcher.destroy()
        del sys.modules[name]
    ((self_id, group, state, prompt, size, kinds),) = module.seen
    assert (self_id, group, prompt, size, kinds) == ("1", 100, "CAT", 512, ["image"])
    assert isinstance(state, dict)


async def test_the_limit_of_a_plugins_kind_queues_its_next_run(app, drawing, kinds, within, until):
    """It is of the kind the operator gave its plugin, and enters when the one before it has ended."""
    entered, go, ended = drawing
    kinds(image={"limit": 1})
    async with online(app) as bot:
        first = asyncio.create_task(handle_event(bot, event("first")))
        await until(lambda: entered)
        second = asyncio.create_task(handle_event(bot, event("second")))
        await until(lambda: [info.state for info in runs()] == ["running", "queued"])
        assert [(info.kind, info.plugin) for info in runs()] == [("image", "drawing")] * 2
        assert entered == ["first"]
        go.set()
        await within(asyncio.wait([first, second]))
    assert ended == ["first", "second"]
    assert runs() == []


async def test_the_timeout_of_a_plugins_kind_stops_its_run(
    app, drawing, kinds, tree, within, until
):
    """The handler is cancelled, and its event is done with."""
    entered, _, ended = drawing
    kinds(image={"timeout": 1000})
    async with online(app) as bot:
        handling = asyncio.create_task(handle_event(bot, event("slow")))
        await until(lambda: entered)
        (section,) = [work.sections[0] for work in tree.all() if work.origin.plugin == "drawing"]
        assert 0 < section.timer.when() - asyncio.get_running_loop().time() <= 1000
        time_out(tree, section)  # now, and not before a busy machine has entered the handler
        await within(asyncio.wait([handling]))
    assert ended == ["slow cancelled"]
    assert runs() == []


@pytest.mark.parametrize("hanging", ["handler", "dependency"])
async def test_what_a_run_makes_ends_with_it(app, hanging, within, until):
    """Tasks made in its dependency and in its handler are no runs of their own, and end by its id.

    It waits for them.
    """
    begun, ended = [], []
    matcher = on_message()

    async def hang(name):
        begun.append(name)
        try:
            await asyncio.Event().wait()
        finally:
            ended.append(name)

    children = []

    async def dependency():
        children.append(asyncio.create_task(hang("made in the dependency")))
        if hanging == "dependency":
            await asyncio.wait(children)

    @matcher.handle()
    async def handler(_: None = Depends(dependency)):
        children.append(asyncio.create_task(hang("made in the handler")))
        await asyncio.wait(children)

    expected = {"made in the dependency"}
    if hanging == "handler":
        expected.add("made in the handler")
    try:
        async with online(app) as bot:
            handling = asyncio.create_task(handle_event(bot, event()))
            await until(lambda: set(begun) == expected)
            (run,) = runs()
            assert [info.id for info in cancel(id=run.id)] == [run.id]
            await within(handling)
            await until(lambda: set(ended) == expected)
    finally:
        matcher.destroy()
    assert runs() == []


@pytest.mark.parametrize("ending", [SystemExit(4), KeyboardInterrupt()], ids=["exit", "interrupt"])
async def test_who_ends_the_process_when_it_is_cancelled_does_not(ending, app, within):
    """Its clean-up would not have run by itself; the event loop, and all in it, would end with it."""
    entered = asyncio.Event()
    matcher = Matcher.new("message", source=MatcherSource(plugin_id="p", module_name=__name__))

    @matcher.handle()
    async def _():
        entered.set()
        try:
            await asyncio.Event().wait()
        finally:
            raise ending

    async with online(app) as bot:
        handling = asyncio.create_task(handle_event(bot, event()))
        await within(entered.wait())
        (run,) = tasks()
        assert cancel(run.id)
        await within(asyncio.wait([handling]))
    assert tasks() == []
    matcher.destroy()
