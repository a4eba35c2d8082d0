"""Sections and shields that are entered in one task and left in another, or out of order.

NoneBot enters a generator dependency in a child task of the solver's and leaves it when the event
has been handled, in another; an async generator that is broken out of is closed in yet another.

Decided: a section lasts at the longest as long as the task that it was opened in. Leaving it later,
or elsewhere, is no error and does nothing to anybody.
"""

import asyncio
import contextvars
import gc
from contextlib import AsyncExitStack

import pytest
from nonebot.params import Depends

from nonebot_plugin_graceful import cancel, shield, tasks, track


@pytest.fixture
def dependency(chat, ended, on):
    """A matcher with a generator dependency: ``await handled()`` one event of it."""

    class Dependency:
        def __init__(self):
            self.section = None
            """Makes what the dependency is in."""
            self.work = None
            """Awaited in the handler."""
            self.given = []
            self.left = 0

        async def handled(self, user=1):
            await ended(chat.hear(chat.message("hi", user)))

    it = Dependency()

    async def session():
        async with it.section():
            yield "session"
        it.left += 1

    async def handler(value: str = Depends(session)):
        it.given.append(value)
        if it.work is not None:
            await it.work()

    on(handler, text="hi")
    return it


async def test_a_generator_dependency_leaves_no_section_behind(dependency, log):
    """When its event has been handled there is nothing in flight, and nobody complains."""
    dependency.section = lambda: track("image")
    await dependency.handled()
    assert dependency.given == ["session"]
    assert dependency.left == 1
    assert tasks() == []
    assert log.errors == []


async def test_a_generator_dependency_gives_its_place_back(dependency, kinds, within):
    """The next events get it, and whoever else wants it."""
    kinds(image={"limit": 1})
    dependency.section = lambda: track("image")
    for user in (1, 2, 3):
        await dependency.handled(user)
    assert dependency.given == ["session"] * 3

    async def draw():
        async with track("image"):
            return "drawn"

    assert await within(asyncio.create_task(draw())) == "drawn"
    assert tasks() == []


async def test_two_events_with_a_limit_and_a_generator_dependency_are_both_handled(
    dependency, ended, chat, kinds
):
    """At the same time: neither waits for ever for the other's place."""
    kinds(image={"limit": 1})
    dependency.section = lambda: track("image")
    await ended(*[chat.hear(chat.message("hi", user)) for user in (1, 2, 3)])
    assert dependency.given == ["session"] * 3
    assert tasks() == []


async def test_the_time_out_of_a_generator_dependency_ends_nobody_else(
    dependency, kinds, log, settle
):
    """Long after its event was handled, in the very task that handled it and in others."""
    kinds(image={"timeout": 2})
    dependency.section = lambda: track("image")
    cut = []

    async def unrelated():
        try:
            await asyncio.sleep(2.2)
        except asyncio.CancelledError:
            cut.append("unrelated")
            raise

    beside = asyncio.create_task(unrelated())
    await dependency.handled()
    await settle(2.2)
    await asyncio.wait([beside])
    assert dependency.given == ["session"]
    assert dependency.left == 1
    assert cut == []
    assert log.errors == []
    assert log.having("cancel scope") == []
    assert tasks() == []


async def test_the_time_out_of_a_generator_dependency_breaks_no_other_scope(dependency, log):
    """Whatever anyio scopes NoneBot, or a handler, has entered meanwhile are left as they should."""
    import anyio

    dependency.section = lambda: track("image", timeout=300)

    async def work():
        with anyio.move_on_after(0.01) as scope:
            await asyncio.Event().wait()
        assert scope.cancelled_caught
        async with anyio.create_task_group() as group:
            group.start_soon(asyncio.sleep, 0)
        dependency.given.append("worked")

    dependency.work = work
    await dependency.handled()
    assert dependency.given == ["session", "worked"]
    assert dependency.left == 1
    assert log.errors == []


async def test_the_shield_of_a_generator_dependency_shields_nobody_afterwards(
    dependency, ended, within
):
    """The next thing to be cancelled is, at once."""
    dependency.section = shield
    await dependency.handled()
    assert dependency.left == 1
    entered, cut = asyncio.Event(), []

    async def draw():
        async with track("image"):
            entered.set()
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                cut.append(1)
                raise

    task = asyncio.create_task(draw())
    await within(entered.wait())
    assert [info.state for info in tasks()] == ["running"]
    cancel(kind="image")
    await ended(task)
    assert cut == [1]


async def test_a_handler_with_a_generator_dependency_is_cancelled_like_any_other(
    dependency, chat, ended, within
):
    """Its section, where it lasts, does not stand in the way; the dependency cleans up."""
    entered, cut = asyncio.Event(), []

    async def work():
        entered.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            cut.append(1)
            raise

    dependency.section = lambda: track("image")
    dependency.work = work
    event = chat.message("hi")
    handling = chat.hear(event)
    await within(entered.wait())
    await chat.recall(event)
    await ended(handling)
    assert cut == [1]
    assert tasks() == []


# -- generators that are broken out of


def stream(section):
    """Make a stream that holds a section until it is closed."""

    async def stream():
        async with section():
            for piece in range(3):
                yield piece
                await asyncio.sleep(0)

    return stream()


async def break_out_of(pieces):
    """Take the first piece and leave the rest."""
    async for _ in pieces:
        break


async def test_a_stream_that_is_broken_out_of_leaves_no_section_behind(settle, until):
    """Soon after, nothing is in flight: whether the task that read it goes on or not."""
    await break_out_of(stream(lambda: track("llm")))
    gc.collect()
    await settle()
    await until(lambda: tasks() == [])
    async with track("image"):
        assert [info.kind for info in tasks()] == ["image"]
    assert tasks() == []


async def test_a_stream_that_is_broken_out_of_gives_its_place_back(kinds, within):
    """The same task gets it again, and another one."""
    kinds(llm={"limit": 1})

    async def reads():
        for _ in range(3):
            await break_out_of(stream(lambda: track("llm")))
            gc.collect()
        return "read"

    assert await within(asyncio.create_task(reads())) == "read"
    assert await within(asyncio.create_task(reads())) == "read"
    assert tasks() == []


async def test_the_time_out_of_a_stream_that_is_broken_out_of_ends_nobody(log, within):
    """The task that read it goes on undisturbed when the time has come."""

    async def reads():
        await break_out_of(stream(lambda: track("llm", timeout=1)))
        await asyncio.sleep(1.2)
        return "went on"

    assert await within(asyncio.create_task(reads())) == "went on"
    assert log.errors == []
    assert log.having("cancel scope") == []


async def test_the_shield_of_a_stream_that_is_broken_out_of_ends_with_it(ended, settle, within):
    """Its reader is cancelled at once, as one that never was in a shield."""
    ready, cut = asyncio.Event(), []

    async def reads():
        async with track("llm"):
            await break_out_of(stream(shield))
            gc.collect()
            await settle()
            ready.set()
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                cut.append(1)
                raise

    task = asyncio.create_task(reads())
    await within(ready.wait())
    assert [info.state for info in tasks()] == ["running"]
    cancel(kind="llm")
    await settle()
    assert cut == [1]
    await ended(task)


async def test_a_stream_that_is_never_closed_gives_its_place_back_with_its_task(kinds, within):
    """Somebody still holds it when the task that began it has ended."""
    kinds(llm={"limit": 1})
    held = []

    async def begins():
        held.append(stream(lambda: track("llm")))
        await anext(held[0])

    await within(asyncio.create_task(begins()))
    assert tasks() == []

    async def next_one():
        async with track("llm"):
            return "in"

    assert await within(asyncio.create_task(next_one())) == "in"
    await held[0].aclose()
    assert await within(asyncio.create_task(next_one())) == "in"


async def test_a_stream_that_is_closed_elsewhere_costs_whoever_closes_it_nothing(ended, within):
    """He is in a section of his own, which stays, and is ended by its own name."""
    held, ready, cut = [], asyncio.Event(), []

    async def begins():
        held.append(stream(lambda: track("llm")))
        await anext(held[0])
        await asyncio.Event().wait()

    async def closes():
        async with track("image"):
            await held[0].aclose()
            ready.set()
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                cut.append("closer")
                raise

    beginner = asyncio.create_task(begins())
    while not held:
        await asyncio.sleep(0)
    closer = asyncio.create_task(closes())
    await within(ready.wait())
    assert [info.kind for info in tasks()] == ["image"]
    cancel(kind="llm")
    assert cut == []
    cancel(kind="image")
    await ended(closer)
    assert cut == ["closer"]
    assert not beginner.done()


@pytest.mark.parametrize("enter", ["image", "llm"])
async def test_a_stack_that_is_closed_in_another_task_gives_its_place_back(enter, kinds, within):
    """``AsyncExitStack``: entered by a child, closed by its parent, as NoneBot does."""
    kinds(image={"limit": 1}, llm={"timeout": 300})
    stack = AsyncExitStack()

    async def enters():
        await stack.enter_async_context(track(enter))

    await within(asyncio.create_task(enters()))
    await stack.aclose()
    assert tasks() == []

    async def draw():
        async with track(enter):
            return "drawn"

    assert await within(asyncio.create_task(draw())) == "drawn"


# -- sections that overlap


async def test_of_two_sections_that_overlap_the_one_that_is_left_ends():
    """Not the one that was entered last."""
    first, second = track("image", name="first"), track("llm", name="second")
    await first.__aenter__()
    await second.__aenter__()
    assert [(info.kind, info.name) for info in tasks()] == [("llm", "second")]
    await first.__aexit__(None, None, None)
    assert [(info.kind, info.name, info.tier) for info in tasks()] == [("llm", "second", 1)]
    await second.__aexit__(None, None, None)
    assert tasks() == []


async def test_of_two_streams_that_overlap_the_one_that_is_closed_gives_its_place_back(
    kinds, within
):
    """The other keeps its own."""
    kinds(image={"limit": 1}, llm={"limit": 1})
    entered = []

    async def enters(kind):
        async with track(kind):
            entered.append(kind)

    pictures, words = stream(lambda: track("image")), stream(lambda: track("llm"))
    await anext(pictures)
    await anext(words)
    await pictures.aclose()
    nobodys = contextvars.Context()  # a child of ours might use the place that we have
    await within(nobodys.run(asyncio.create_task, enters("image")))
    waiting = nobodys.run(asyncio.create_task, enters("llm"))
    for _ in range(5):
        await asyncio.sleep(0)
    assert entered == ["image"]
    await words.aclose()
    await within(waiting)
    assert entered == ["image", "llm"]
    assert tasks() == []


async def test_of_two_time_outs_that_overlap_each_ends_its_own_section(within):
    """The first is left in time; the second's time-out then says so of the second."""

    async def work():
        first, second = track("image", timeout=300), track("llm", timeout=0.05)
        await first.__aenter__()
        with pytest.raises(TimeoutError, match="llm"):
            async with second:
                await first.__aexit__(None, None, None)
                await asyncio.Event().wait()
        return "went on"

    assert await within(asyncio.create_task(work())) == "went on"
    assert tasks() == []


async def test_of_two_shields_that_overlap_the_other_still_holds(ended, settle, within):
    """Leaving the first of them does not open the second."""
    ready, go, done = asyncio.Event(), asyncio.Event(), []

    async def work():
        async with track("image"):
            first, second = shield(), shield()
            await first.__aenter__()
            await second.__aenter__()
            await first.__aexit__(None, None, None)
            ready.set()
            await go.wait()
            done.append(1)
            await second.__aexit__(None, None, None)

    task = asyncio.create_task(work())
    await within(ready.wait())
    cancel(kind="image")
    await settle()
    go.set()
    await ended(task)
    assert done == [1]


async def test_a_section_left_twice_is_left_once(within):
    """Whoever cleans up too thoroughly takes nobody else's place."""
    outer, inner = track("image"), track("llm")
    await outer.__aenter__()
    await inner.__aenter__()
    await inner.__aexit__(None, None, None)
    await inner.__aexit__(None, None, None)
    assert [info.kind for info in tasks()] == ["image"]
    await outer.__aexit__(None, None, None)
    assert tasks() == []
