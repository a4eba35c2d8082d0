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
            """Block until it is named, which it may be already: a busy machine blocks, too."""
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


async def test_it_is_counted_once_however_long_it_lasts(named, lookout, within):
    """And again when the event loop has been somebody else's meanwhile."""
    counted = []
    changed = threading.Semaphore(0)  # which forgets none that comes before it is waited for

    def count(plugin):
        counted.append(plugin)
        changed.release()

    def block():
        assert changed.acquire(timeout=LONG_ENOUGH)
        time.sleep(5 * SOON)

    lookout(plugin_of=lambda task: "painter", count=count)
    block()
    assert counted == ["painter"]
    await asyncio.sleep(0.01)  # it answers
    block()
    assert counted == ["painter", "painter"]
    assert len(named) <= 3  # of either line


class Scripted(Lookout):
    """A lookout with a clock and a loop of the test's own; it looks until the script is over."""

    def __init__(self, monkeypatch, script):
        super().__init__(1.0, over=lambda: False)
        self.now = 100.0
        self.questions = []
        self.named = []
        self.running = None
        self._script = iter(script)
        self._loop, self._ended = self, self
        monkeypatch.setattr("nonebot_plugin_graceful.core.lookout.asyncio", self)
        monkeypatch.setattr("nonebot_plugin_graceful.core.lookout.time", self)
        self._look()

    def wait(self, seconds):
        """The time between two looks: who runs then, and whether the loop answers."""
        self.now += seconds
        self.running, answers = next(self._script, (None, None))
        if answers:
            for question in self.questions:
                question()
            self.questions.clear()
        return answers is None

    def monotonic(self):
        return self.now

    def current_task(self, loop):
        return self.running

    def call_soon_threadsafe(self, question):
        self.questions.append(question)

    def _name(self, task, now):
        self.named.append((task, now - 100))


def test_a_busy_loop_that_answers_is_not_named(monkeypatch):
    """The same task has it at every look, and lets the others have their turns."""
    assert Scripted(monkeypatch, [("busy", True)] * 50).named == []


def test_many_that_have_it_for_a_moment_are_not_named(monkeypatch):
    """The loop has not come to answer, but goes on from one to the next."""
    script = [(f"task {number}", False) for number in range(50)]
    assert Scripted(monkeypatch, script).named == []


def test_an_idle_loop_is_not_even_asked(monkeypatch):
    """So an idle bot's event loop is not woken."""
    lookout = Scripted(monkeypatch, [(None, False)] * 50)
    assert (lookout.named, lookout.questions) == ([], [])


def test_who_does_not_answer_is_named_after_the_seconds_and_not_much_later(monkeypatch):
    """Never sooner than it has been asked for so long."""
    ((task, when),) = Scripted(monkeypatch, [("stuck", False)] * 6).named
    assert task == "stuck"
    assert 1.0 <= when <= 1.3


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
