"""What may begin while the bot runs, is drained, or is stopped."""

import asyncio
import contextlib

import pytest

from nonebot_plugin_graceful.core.admission import INHERITED
from nonebot_plugin_graceful.core.api import run_sync, shield, spawn, track
from nonebot_plugin_graceful.core.errors import Interrupted, Refused
from nonebot_plugin_graceful.core.kinds import ORDINARY
from nonebot_plugin_graceful.core.work import Section
from nonebot_plugin_graceful.core.world import PluginOrigin


@pytest.fixture
def refused(tree):
    """Drain until the block is left."""

    @contextlib.contextmanager
    def refused():
        tree.admission.refuse("drained")
        try:
            yield
        finally:
            tree.admission.resume()

    return refused


async def begins(kind, **keywords):
    """Whether a section may begin here and now."""
    try:
        async with track(kind, **keywords):
            return True
    except Refused:
        return False


async def in_a_task(coro):
    return await asyncio.create_task(coro)


async def test_everything_begins_while_the_bot_runs(tree):
    """Of whatever kind, for whoever."""
    assert await begins("image")
    assert await begins("image", event=None)
    assert tree.admission.refusing == ""


async def test_while_drained_no_new_work_begins_but_ordinary_work(refused):
    """Handlers, jobs and background tasks are what a bot is made of."""
    with refused():
        assert not await begins("image")
        assert not await begins("a kind of somebody's own")
        for kind in sorted(ORDINARY):
            assert await begins(kind)
    assert await begins("image")


async def test_a_refusal_says_why_and_is_an_ordinary_exception(refused, tree):
    """So that a worker's ``except Exception`` catches it."""
    with refused(), pytest.raises(Refused, match="drained") as raised:
        async with track("image"):
            pass
    assert raised.value.reason == "drained"
    assert isinstance(raised.value, Exception)
    assert tree.works == {}


async def test_a_refused_coroutine_is_closed(refused):
    """Nothing warns that it was never awaited."""
    coro = asyncio.sleep(0)
    with refused(), pytest.raises(Refused):
        spawn(coro, kind="image")
    assert coro.cr_frame is None


async def test_what_is_ai_work_already_may_go_on_to_its_end(refused):
    """And do more of it, in tasks of its own as well."""
    async with track("image"):
        with refused():
            assert await begins("llm")
            assert await in_a_task(begins("llm"))
            assert await spawn(begins("llm"))


async def test_a_request_that_began_before_goes_on_to_its_end(refused, tree):
    """It has been admitted, though it comes to its AI work only now."""

    async def run():
        task = asyncio.current_task()
        tree.open_work(Section(tree.kinds["handler"]), task, PluginOrigin("p", user="1"), root=True)
        with refused():
            return await begins("image"), await in_a_task(begins("image"))

    assert await in_a_task(run()) == (True, True)


async def test_a_request_that_begins_later_does_no_ai_work(refused, tree):
    """It is new."""

    async def run():
        with refused():
            task = asyncio.current_task()
            origin = PluginOrigin("p", user="1")
            tree.open_work(Section(tree.kinds["handler"]), task, origin, root=True)
            return await begins("image")

    assert not await in_a_task(run())


async def test_a_worker_that_began_before_takes_on_no_next_job(refused):
    """It is nobody's request, and its next job is new."""

    async def worker():
        with refused():
            return await begins("image"), await begins("image", event=None)

    assert await spawn(worker()) == (False, False)


async def test_a_job_for_a_request_goes_by_when_that_began(refused, tree):
    """Not by what the worker is in."""
    requests = {}
    tree.world.request_of = requests.get

    async def request(event, go):
        task = asyncio.current_task()
        origin = PluginOrigin("p", user=event)
        requests[event] = tree.open_work(Section(tree.kinds["handler"]), task, origin, root=True)
        await go.wait()

    go = asyncio.Event()
    early = asyncio.create_task(request("early", go))
    await asyncio.sleep(0)
    with refused():
        late = asyncio.create_task(request("late", go))
        await asyncio.sleep(0)
        assert await begins("image", event="early")
        assert not await begins("image", event="late")
        assert not await begins("image", event="unknown")
    go.set()
    await asyncio.gather(early, late)


async def test_a_thread_of_ai_work_is_ai_work(refused):
    """``run_sync`` begins work of the kind of who calls it."""
    async with track("image"):
        with refused():
            assert await run_sync(int, "3") == 3


async def test_nothing_at_all_begins_while_stopping(shutdown):
    """Not even ordinary work."""
    shutdown("SIGTERM")
    for kind in ("image", "handler", "background"):
        with pytest.raises(Interrupted, match="SIGTERM"):
            await begins(kind)


async def test_a_shield_lets_work_begin_while_stopping(shutdown, tree):
    """It is not to be cut; for as long as it lasts, and in its own task."""
    async with shield():
        shutdown()
        assert await begins("image")
        with pytest.raises(asyncio.CancelledError):  # of 3.10's tasks no more is known
            await in_a_task(begins("image"))
    with pytest.raises(Interrupted):
        await begins("image")


async def test_stopping_goes_before_draining(refused, shutdown):
    """Who is to end is not told to come back later."""
    with refused():
        shutdown()
        with pytest.raises(Interrupted):
            await begins("image")


def test_the_event_that_is_inherited_says_so():
    """In signatures that a help page shows."""
    assert repr(INHERITED) == "INHERITED"
