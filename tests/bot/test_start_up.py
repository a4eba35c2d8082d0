"""The plugins' start-up hooks: once the bot is to stop, they end."""

import asyncio
import sys
import threading
from types import SimpleNamespace

import pytest
from nonebot.internal.driver._lifespan import Lifespan

from nonebot_plugin_graceful.bot.hooks import StartUp
from nonebot_plugin_graceful.core.lifecycle import Lifecycle


async def ours():
    """The one that begins a run."""


@pytest.fixture
def start(within):
    """Start a driver with these hooks: ``start.up(*hooks)``; ``start.stop()`` is a signal."""
    lifespan, lifecycle = Lifespan(), Lifecycle()
    start = SimpleNamespace(lifespan=lifespan, lifecycle=lifecycle, cancelling=0)

    async def run():
        await lifespan.startup()
        if sys.version_info >= (3, 11):
            start.cancelling = asyncio.current_task().cancelling()
        await lifespan.shutdown()

    def up(*hooks, ready=()):
        lifespan._startup_funcs[:] = [ours, *hooks]
        lifespan._ready_funcs[:] = ready
        start.guards = StartUp(
            [lifespan._startup_funcs, lifespan._ready_funcs], ours=ours, lifecycle=lifecycle
        )
        start.task = asyncio.create_task(run())
        return within(asyncio.wait([start.task]))

    def stop():
        lifecycle.begin("SIGINT")
        start.guards.end()

    start.up, start.stop = up, stop
    return start


async def test_they_run_as_without_us(start):
    """In their order, sync and async, those for the start before those for when all is ready."""
    ran = []

    async def first():
        ran.append("first")

    await start.up(first, lambda: ran.append("second"), ready=[lambda: ran.append("ready")])
    assert ran == ["first", "second", "ready"]
    assert start.task.exception() is None


async def test_one_that_fails_fails_the_start_as_without_us(start):
    """It is not ours to hide."""

    async def failing():
        raise ValueError("no")

    await start.up(failing)
    assert isinstance(start.task.exception(), ValueError)


async def test_one_that_is_cancelled_while_nobody_stops_ends_the_start_as_without_us(start):
    """Whoever cancels it, means it."""

    async def cancelled():
        raise asyncio.CancelledError

    await start.up(cancelled)
    assert start.task.cancelled()


async def test_one_that_waits_is_ended_when_the_bot_is_to_stop(start, log, within):
    """It is named; those after it are left out, and named too; the start itself goes on."""
    entered, ran = asyncio.Event(), []

    async def waits_for_an_api():
        entered.set()
        try:
            await asyncio.Event().wait()
        finally:
            ran.append("cleaned up")

    def comes_later():
        ran.append("later")

    def is_ready():
        ran.append("ready")

    starting = asyncio.ensure_future(start.up(waits_for_an_api, comes_later, ready=[is_ready]))
    await within(entered.wait())
    start.stop()
    await starting
    assert ran == ["cleaned up"]
    assert start.task.exception() is None
    assert start.cancelling == 0
    told = [line.rpartition(".")[2] for line in log if "on_startup hook" in line]
    assert told == [
        "waits_for_an_api was ended: SIGINT",
        "comes_later is left out: SIGINT",
        "is_ready is left out: SIGINT",
    ]
    assert all(line.startswith("WARNING") for line in log if "on_startup hook" in line)


async def test_one_that_swallows_is_cancelled_again(start, within):
    """Until it ends; its task is as whole as before."""
    entered, swallowed = asyncio.Event(), []

    async def stubborn():
        while len(swallowed) < 3:
            try:
                entered.set()
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                swallowed.append(1)

    starting = asyncio.ensure_future(start.up(stubborn))
    await within(entered.wait())
    start.stop()
    await starting
    assert len(swallowed) == 3
    assert start.task.exception() is None
    assert start.cancelling == 0


async def test_a_sync_one_is_waited_for_no_longer(start, within):
    """Its thread is left to itself."""
    entered, leave = asyncio.Event(), threading.Event()
    loop = asyncio.get_running_loop()

    def blocks():
        loop.call_soon_threadsafe(entered.set)
        leave.wait(100)

    try:
        starting = asyncio.ensure_future(start.up(blocks))
        await within(entered.wait())
        start.stop()
        await starting
        assert start.task.exception() is None
    finally:
        leave.set()


async def test_nothing_is_cancelled_when_no_hook_runs(start):
    """The task that started the bot is NoneBot's, and goes on to run it."""
    start.guards = StartUp([[]], ours=ours, lifecycle=start.lifecycle)
    start.stop()
    await asyncio.sleep(0)
    await start.up()
    assert start.task.exception() is None


async def test_it_knows_the_task_that_runs_a_hook(start):
    """A blocking call in it may be interrupted."""
    seen = []

    async def hook():
        seen.append(start.guards.runs_in(asyncio.current_task()))
        seen.append(start.guards.runs_in(None))

    await start.up(hook)
    assert seen == [True, False]
    assert not start.guards.runs_in(start.task)


async def test_afterwards_the_lists_are_as_before(start):
    """Our own was never guarded; one that was registered during the start is kept, as without us."""

    async def late():
        pass

    def loads_a_plugin():
        start.lifespan.on_startup(late)

    await start.up(loads_a_plugin, ready=[late])
    assert start.lifespan._startup_funcs[0] is ours
    assert start.lifespan._startup_funcs[1] is not loads_a_plugin
    start.guards.restore()
    assert start.lifespan._startup_funcs == [ours, loads_a_plugin, late]
    assert start.lifespan._ready_funcs == [late]
    start.guards.restore()
    assert start.lifespan._startup_funcs == [ours, loads_a_plugin, late]
