"""``track``, ``shield``, ``run_sync`` and ``sleep``."""

import asyncio
import threading
from types import SimpleNamespace

import pytest

from nonebot_plugin_graceful.core import info
from nonebot_plugin_graceful.core.api import run_sync, shield, sleep, spawn, tasks, track
from nonebot_plugin_graceful.core.errors import Interrupted
from nonebot_plugin_graceful.core.tree import Limits
from nonebot_plugin_graceful.core.work import made_in, owner


async def test_a_section_is_seen_while_it_lasts(tree):
    """Its kind, name and place are told; afterwards nothing is left."""
    async with track("image", name="a cat"):
        (info,) = tasks()
        assert (info.kind, info.tier, info.name, info.state) == ("image", 0, "a cat", "running")
        assert info.age >= 0
    assert tasks() == []
    assert tree.works == {}


async def test_a_section_that_fails_is_left_all_the_same(tree):
    """Its exception comes through as it is."""
    with pytest.raises(KeyError):
        async with track("image"):
            raise KeyError
    assert tree.works == {}


async def test_the_innermost_section_gives_the_kind_and_the_lowest_tier_counts(tree):
    """An LLM call within a drawing is an LLM call, stopped with the drawings."""
    async with track("image", name="outer", grace=3):
        async with track("llm", grace=5):
            (info,) = tasks()
            assert (info.kind, info.tier, info.name) == ("llm", 0, "outer")
            (record,) = tree.works.values()
            assert record.grace == 5
        (info,) = tasks()
        assert info.kind == "image"
        assert record.grace == 3


async def test_what_says_nothing_of_its_grace_has_what_was_asked_for_around_it(tree):
    """As a request of a client has, be it in a task of its own; not what is spawned."""
    graces = {}

    async def note(name, section):
        async with section:
            graces[name] = tree.current().grace

    async with track("image", grace=3):
        await note("inner", track("llm"))
        await note("longer", track("handler", grace=5))
        await note("none", track("handler", grace=0))
        await asyncio.gather(note("child", track("llm")))
        await spawn(note("spawned", track("llm")))
    await note("after", track("llm"))
    assert graces == {
        "inner": 3, "longer": 5, "none": 0, "child": 3, "spawned": 0, "after": 0,
    }  # fmt: skip


async def test_a_decorated_function_is_a_section_at_each_call():
    """It keeps its name, arguments and result."""

    @track("llm")
    async def ask(question, *, loudly=False):
        """Ask."""
        (info,) = tasks()
        return info.kind, info.name, question, loudly

    assert await ask("why", loudly=True) == ("llm", "ask", "why", True)
    assert await ask("again") == ("llm", "ask", "again", False)
    assert (ask.__name__, ask.__doc__) == ("ask", "Ask.")
    assert tasks() == []


@pytest.mark.parametrize(
    ("keywords", "name"),
    [
        ({"grace": -1}, "grace"),
        ({"grace": float("nan")}, "grace"),
        ({"timeout": 0}, "timeout"),
        ({"timeout": float("nan")}, "timeout"),
    ],
)
def test_impossible_seconds_are_refused(keywords, name):
    """The message names the argument."""
    with pytest.raises(ValueError, match=name):
        track("image", **keywords)


def test_sync_functions_are_refused_as_they_are_decorated():
    """And the message names what is meant for them."""
    with pytest.raises(TypeError, match="run_sync"):
        track("image")(lambda: None)


@pytest.mark.parametrize("kind", ["", None, 3])
def test_a_kind_has_to_be_a_name(kind):
    """``@track`` without a kind is told so at once."""
    with pytest.raises(TypeError, match="kind"):
        track(kind)


async def test_a_section_takes_no_longer_than_its_timeout(within, tree):
    """``TimeoutError`` names the kind; the task goes on."""

    async def work():
        with pytest.raises(TimeoutError, match="image"):
            async with track("image", timeout=0.01):
                await asyncio.Event().wait()
        return "on"

    assert await within(work()) == "on"
    assert tree.works == {}


async def test_a_stopped_section_raises_interrupted(hang, tree, ended_by):
    """With the reason; and ``except Exception`` lets it through."""
    task = await hang("image")
    (work,) = tree.works.values()
    tree.tell(work, "SIGTERM")
    task.cancel()
    error = await ended_by(task)
    assert isinstance(error, Interrupted)
    assert error.reason == "SIGTERM"
    assert not isinstance(error, Exception)


async def test_a_cancellation_that_is_not_ours_stays_what_it_is(hang):
    """``task.cancel()`` by somebody else is no ``Interrupted``."""
    task = await hang("image")
    task.cancel()
    with pytest.raises(asyncio.CancelledError) as raised:
        await task
    assert not isinstance(raised.value, Interrupted)


async def test_nothing_begins_while_stopping(shutdown, tree):
    """Neither a section, a task of its own, nor a thread."""
    shutdown("SIGINT")
    began = []

    async def work():
        began.append(1)

    with pytest.raises(Interrupted, match="SIGINT"):
        async with track("image"):
            began.append(1)
    with pytest.raises(Interrupted, match="SIGINT"):
        await track("image")(work)()
    coro = work()
    with pytest.raises(Interrupted, match="SIGINT"):
        spawn(coro)
    assert coro.cr_frame is None, "closed, so nothing warns of it"
    with pytest.raises(Interrupted, match="SIGINT"):
        await run_sync(began.append, 1)
    assert began == []
    assert tree.works == {}


async def test_a_section_within_a_shield_begins_even_while_stopping(shutdown):
    """What must happen whole, may need a tracked helper."""
    async with shield():
        shutdown()
        async with track("llm"):
            pass


async def test_a_shield_is_not_cut_but_left_interrupted(drain, within, tree, ended_by):
    """Its stretch happens whole; what comes after it does not."""
    inside, go_on, steps = asyncio.Event(), asyncio.Event(), []

    async def work():
        async with track("image"):
            async with shield():
                inside.set()
                await go_on.wait()
                steps.append("whole")
            steps.append("beyond")

    task = asyncio.create_task(work())
    await inside.wait()
    assert tasks()[0].state == "shielded"
    draining = asyncio.create_task(drain())
    while tasks()[0].state == "shielded" and tree.works[task].ending is None:
        await asyncio.sleep(0)
    assert not task.done()
    go_on.set()
    await within(draining)
    assert isinstance(await ended_by(task), Interrupted)
    assert steps == ["whole"]
    assert tree.shields == {}


async def test_shields_nest(drain, within, tree):
    """Only the outermost one's end lets the cancellation in."""
    inside, go_on, steps = asyncio.Event(), asyncio.Event(), []

    async def work():
        async with track("image"), shield():
            async with shield():
                steps.append("inner")
            inside.set()
            await go_on.wait()
            steps.append("outer")

    task = asyncio.create_task(work())
    await inside.wait()
    draining = asyncio.create_task(drain())
    while tree.works[task].ending is None:
        await asyncio.sleep(0)
    go_on.set()
    await within(draining)
    assert task.cancelled()
    assert steps == ["inner", "outer"]


async def test_a_thread_is_seen_and_gives_its_result():
    """``run_sync`` is a section of the kind of who calls it."""
    async with track("image"):
        began, go_on = threading.Event(), threading.Event()

        def work(a, *, b):
            began.set()
            assert go_on.wait(10)
            return a + b

        waiting = asyncio.create_task(run_sync(work, 1, b=2))
        while not began.is_set():
            await asyncio.sleep(0.001)
        assert {(info.kind, "work" in info.name) for info in tasks()} == {
            ("image", True),
            ("image", False),
        }
        go_on.set()
        assert await waiting == 3


async def test_who_awaits_a_thread_is_freed_at_once(drain, ended_by):
    """The thread itself is told by ``is_shutting_down`` and by ``sleep``."""
    began, ended = threading.Event(), []

    def work():
        began.set()
        try:
            sleep(60)
        except Interrupted as error:
            ended.append(error.reason)
            raise

    task = asyncio.create_task(run_sync(work))
    while not began.is_set():
        await asyncio.sleep(0.001)
    thread = next(t for t in threading.enumerate() if t.name.startswith("AnyIO"))
    await drain()
    assert task.done()
    assert isinstance(await ended_by(task), Interrupted)
    for _ in range(1000):
        if ended:
            break
        await asyncio.sleep(0.01)
    assert ended == ["SIGINT"]
    assert thread is not None


async def test_sleep_ends_with_the_shutdown(shutdown, tree, ended_by):
    """In a coroutine; and it is not begun any more afterwards."""
    assert await sleep(0) is None
    task = asyncio.create_task(asyncio.wait_for(sleep(60), 60))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    shutdown("SIGTERM")
    error = await ended_by(task)
    assert isinstance(error, Interrupted)
    assert error.reason == "SIGTERM"
    with pytest.raises(Interrupted, match="SIGTERM"):
        await sleep(60)
    assert tree.lifecycle._waiters == set()


async def test_sleep_in_a_thread_blocks_and_ends_with_the_shutdown(shutdown, ended_by):
    """Without a loop of its own it just returns when the time is over."""
    assert await asyncio.to_thread(lambda: sleep(0.001)) is not None
    began = threading.Event()

    def work():
        began.set()
        sleep(60)

    thread = asyncio.create_task(asyncio.to_thread(work))
    while not began.is_set():
        await asyncio.sleep(0.001)
    shutdown()
    assert isinstance(await ended_by(thread), Interrupted)


async def test_sleep_in_another_loop_ends_with_the_shutdown(shutdown, ended_by):
    """A thread with a loop of its own is woken there."""
    began = threading.Event()

    async def elsewhere():
        asyncio.get_running_loop().call_soon(began.set)
        await sleep(60)

    thread = asyncio.create_task(asyncio.to_thread(asyncio.run, elsewhere()))
    while not began.is_set():
        await asyncio.sleep(0.001)
    shutdown()
    assert isinstance(await ended_by(thread), Interrupted)


async def test_a_task_goes_on_after_a_section_that_timed_out(within, tree):
    """It is no task that the section left behind, and so is not cancelled a second time."""
    tree.limits = Limits(cancel=0.05)

    async def work():
        with pytest.raises(TimeoutError):
            async with track("image", timeout=0.01):
                await asyncio.Event().wait()
        await asyncio.sleep(0.3)  # longer than a straggler is given
        return "on"

    assert await within(work()) == "on"


async def test_a_task_goes_on_after_a_time_out_around_what_it_did_for_somebody(within, tree):
    """What it did last for somebody is over, and hides nothing: the task belongs to itself again."""
    tree.limits = Limits(cancel=0.05)

    async def work():
        with pytest.raises(TimeoutError):
            async with track("image", timeout=0.01):
                async with track("llm", event=None):
                    pass
                await asyncio.Event().wait()
        await asyncio.sleep(0.3)  # longer than a straggler is given
        return made_in(owner.get())

    assert await within(asyncio.create_task(work())) is None


async def test_a_task_whose_section_was_left_elsewhere_belongs_to_itself(tree):
    """What it makes then is not part of a section that is over."""

    async def work():
        section = track("image")
        await section.__aenter__()
        await asyncio.create_task(section.__aexit__(None, None, None))
        return made_in(owner.get())

    assert await asyncio.create_task(work()) is None


async def test_the_longest_is_told_first(tree, monkeypatch, hang):
    """By when it began: its age is told a little later than that of what is described before it."""
    await hang("image", name="first")
    await hang("llm", name="second")
    clock = iter(range(10**6, 2 * 10**6, 1000))
    monkeypatch.setattr(info, "time", SimpleNamespace(monotonic=lambda: next(clock)))
    assert [each.name for each in tasks()] == ["first", "second"]
