"""Who blocks the event loop is named while it does."""

import asyncio
import threading
import time

import pytest
from loguru import logger

from nonebot_plugin_graceful.core.lookout import Lookout

SOON = 0.05
LONG_ENOUGH = 10


@pytest.fixture
def named():
    """The lines, and an event that is set by each."""

    class Named(list):
        event = threading.Event()

        def hear(self, message):
            self.append(message.record["message"])
            self.event.set()

        def block(self):
            """Block until it is named."""
            self.event.clear()
            assert self.event.wait(LONG_ENOUGH)

    named = Named()
    sink = logger.add(named.hear, level="WARNING", filter=lambda r: "blocked" in r["message"])
    yield named
    logger.remove(sink)


@pytest.fixture
async def lookout():
    """Look from now on."""
    begun = []

    def lookout(**keywords):
        begun.append(Lookout(SOON, **{"over": lambda: False, **keywords}))
        begun[-1].begin()
        return begun[-1]

    yield lookout
    for each in begun:
        each.end()


def lookouts():
    return [each for each in threading.enumerate() if each.name == "graceful lookout"]


async def test_it_is_named_at_once_with_plugin_and_line(named, lookout):
    """While it blocks: it goes on only when it has been named."""

    def whose(module):
        return "painter" if module == __name__ else None

    lookout(whose_code=whose)
    named.block()
    (line,) = named
    assert line.startswith(f"painter has blocked the event loop for {SOON:g} s, is at {__file__}:")


async def test_a_library_of_nobody_is_named_by_whose_task_it_is(named, lookout):
    """Where no plugin's code is on the stack, the work tells."""
    lookout(plugin_of=lambda task: "painter")
    named.block()
    assert named[0].startswith("painter has blocked")


async def test_a_busy_loop_that_answers_is_not_named(named, lookout):
    """One task has it at every look, and lets the others have their turns."""
    lookout()
    until = time.monotonic() + 6 * SOON
    while time.monotonic() < until:
        await asyncio.sleep(0)
    await asyncio.sleep(6 * SOON)
    assert named == []


async def test_the_same_place_is_named_once_a_minute(named):
    """However often it blocks the event loop."""
    lookout = Lookout(SOON, over=lambda: False)
    lookout._thread_id = threading.get_ident()
    for now in (0, 1, 59, 61, 62):
        lookout._name(asyncio.current_task(), now)
    assert len(named) == 2


async def test_it_ends_with_the_run_and_at_the_shutdown(lookout, within):
    """No thread is left."""

    async def gone():
        while lookouts():
            await asyncio.sleep(0.001)

    lookout().end()
    await within(gone())
    lookout(over=lambda: True)
    await within(gone())


async def test_a_loop_that_was_closed_ends_it(within):
    """Whether or not anybody says so."""

    def run():
        async def begin():
            Lookout(SOON, over=lambda: False).begin()
            time.sleep(SOON)  # let it look at a loop that is somebody's

        asyncio.run(begin())

    await within(asyncio.to_thread(run))
