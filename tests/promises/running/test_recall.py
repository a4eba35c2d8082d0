"""A member recalls his message: the request that it began ends, and nothing else."""

import asyncio

import pytest

from nonebot_plugin_graceful import spawn, tasks, track


@pytest.fixture
def drawing(chat, on, within):
    """Make requests that draw until they are told to be done: their events and their tasks."""

    class Drawing:
        def __init__(self):
            self.go = asyncio.Event()
            self.drawn = []
            self.stopped = []
            self._entered = asyncio.Event()
            on(self.draw, text="draw")

        async def draw(self, event):
            async with track("image"):
                self._entered.set()
                try:
                    await self.go.wait()
                    self.drawn.append(event.message_id)
                except asyncio.CancelledError:
                    self.stopped.append(event.message_id)
                    raise

        async def __call__(self, user=1, group=None):
            self._entered.clear()
            event = chat.message("draw", user, group)
            handling = chat.hear(event)
            await within(self._entered.wait())
            return event, handling

    return Drawing()


class AntiRecall:
    """A plugin that tells what was recalled, after it has looked it up; as a notice handler."""

    def __init__(self):
        self.heard = asyncio.Event()
        self.go = asyncio.Event()
        self.told = []

    async def handler(self, bot, event):
        self.heard.set()
        try:
            await self.go.wait()
        except asyncio.CancelledError:
            self.told.append("cancelled")
            raise
        await bot.send(event, "recalled: a message")
        self.told.append(event.message_id)


@pytest.mark.parametrize("group", [None, 7])
@pytest.mark.parametrize("priority", [0, 1, 2, 10])
async def test_an_anti_recall_plugin_hears_of_the_recall_and_speaks(
    priority, group, chat, drawing, ended, on, within
):
    """Its handler of the notice itself runs to its end, before, beside or after ours."""
    anti = AntiRecall()
    on(anti.handler, type_="notice", priority=priority)
    event, handling = await drawing(1, group)
    notice = chat.hear(chat.recall_of(event))
    await within(anti.heard.wait())
    if priority > 0:  # else ours comes when it has spoken
        await ended(handling)
    anti.go.set()
    await ended(notice, handling)
    assert drawing.stopped == [event.message_id]
    assert anti.told == [event.message_id]
    assert (group or 1, "recalled: a message") in chat.said


async def test_an_anti_recall_plugin_that_is_slow_is_not_cut(chat, drawing, ended, on, within):
    """It still runs when the request has long been stopped, and goes on to its end."""
    anti = AntiRecall()
    on(anti.handler, type_="notice", priority=1)
    event, handling = await drawing()
    notice = chat.hear(chat.recall_of(event))
    await within(anti.heard.wait())
    await ended(handling)
    assert drawing.stopped == [event.message_id]
    await asyncio.sleep(0.1)  # who swallowed its cancellation would be cancelled again by now
    anti.go.set()
    await ended(notice)
    assert anti.told == [event.message_id]


async def test_an_anti_recall_plugin_may_do_ai_work_of_its_own(chat, drawing, ended, on, within):
    """What its handler of the notice does in a section is the notice's, not the request's."""
    entered, go, told = asyncio.Event(), asyncio.Event(), []

    async def handler():
        async with track("llm"):
            entered.set()
            await go.wait()
        told.append("summary")

    on(handler, type_="notice", priority=1)
    event, handling = await drawing()
    notice = chat.hear(chat.recall_of(event))
    await within(entered.wait())
    await ended(handling)
    go.set()
    await ended(notice)
    assert told == ["summary"]


async def test_every_matcher_of_the_notice_runs(chat, drawing, ended, on):
    """Those of lower priority as well, though one beside ours was busy when the request was stopped."""
    ran = []

    async def beside():
        await ended(handling)
        ran.append("beside")

    async def after():
        ran.append("after")

    on(beside, type_="notice", priority=1)
    on(after, type_="notice", priority=50)
    event, handling = await drawing()
    await chat.recall(event)
    await ended(handling)
    assert ran == ["beside", "after"]
    await chat.recall(event)  # there is nothing left to stop
    assert ran == ["beside", "after"] * 2


async def test_the_members_other_requests_go_on(chat, drawing, ended):
    """Not all that he has asked for: what the recalled message began."""
    first, first_handling = await drawing(1, 7)
    second, second_handling = await drawing(1, 7)
    other, other_handling = await drawing(2, 7)
    await chat.recall(first)
    await ended(first_handling)
    drawing.go.set()
    await ended(second_handling, other_handling)
    assert drawing.stopped == [first.message_id]
    assert sorted(drawing.drawn) == sorted([second.message_id, other.message_id])


async def test_all_runs_of_the_recalled_message_end(chat, drawing, ended, on, within):
    """Two plugins that answer the same message: both stop, and none of lower priority begins."""
    entered, ran = asyncio.Event(), []

    async def second():
        entered.set()
        try:
            await asyncio.Event().wait()
        finally:
            ran.append("second ended")

    async def after():
        ran.append("after")

    on(second, text="draw")
    on(after, text="draw", priority=9)
    event, handling = await drawing()
    await within(entered.wait())
    await chat.recall(event)
    await ended(handling)
    assert drawing.stopped == [event.message_id]
    assert ran == ["second ended"]
    assert tasks() == []


async def test_what_a_handler_spawned_as_ai_work_ends_with_its_recalled_message(
    chat, ended, on, within
):
    """``spawn(draw(), kind="image")`` by a handler that has answered "wait a moment" and returned."""
    entered, made = asyncio.Event(), []

    async def draw():
        entered.set()
        await asyncio.Event().wait()

    async def handler():
        made.append(spawn(draw(), kind="image"))

    on(handler, text="draw")
    event = chat.message("draw", user=1)
    await ended(chat.hear(event))
    await within(entered.wait())
    await chat.recall(chat.message("something else", user=1))
    assert not made[0].done()
    await chat.recall(event)
    await ended(made[0])
    assert made[0].cancelled()
