"""The plugins' ``on_shutdown`` hooks: each gets its turn, and the right task."""

import asyncio
import time

import anyio
import nonebot
import pytest
from nonebot.internal.driver._lifespan import Lifespan

from nonebot_plugin_graceful.hooks import Turns


@pytest.fixture
def run_hooks(within):
    """Run hooks as NoneBot does, with ``seconds`` for them; gives the turns."""

    async def run_hooks(*hooks, seconds=0.4):
        hooks = list(hooks)
        before = list(hooks)
        ends = time.monotonic() + seconds
        turns = Turns(hooks, ours=(), time_left=lambda: ends - time.monotonic())

        async def run():
            await Lifespan._run_lifespan_func(reversed(hooks))
            await turns.finish()

        await within(run())
        turns.restore()
        assert hooks == before
        return turns

    return run_hooks


async def test_one_that_raises_does_not_stop_the_next(run_hooks):
    """Sync or async; and what it raised is kept for the report."""
    ran = []

    async def failing():
        raise ValueError("no")

    def failing_too():
        raise KeyError("neither")

    turns = await run_hooks(lambda: ran.append(1), failing, failing_too, lambda: ran.append(2))
    assert ran == [2, 1]
    assert [what.split(":")[0] for what in turns.failures.values()] == ["failed", "failed"]
    assert len(turns.failures) == 2


async def test_one_that_hangs_is_overtaken_and_cancelled(run_hooks):
    """The others go on beside it before its time is up."""
    order = []

    async def hanging():
        try:
            await asyncio.Event().wait()
        finally:
            order.append("cancelled")

    async def other():
        order.append("other")

    turns = await run_hooks(other, hanging)
    assert order == ["other", "cancelled"]
    (what,) = turns.failures.values()
    assert what.startswith("was cancelled after")


async def test_one_that_swallows_its_cancellation_is_cancelled_again(run_hooks):
    """Until it ends."""
    swallowed = []

    async def swallowing():
        while len(swallowed) < 3:
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                swallowed.append(1)
        await asyncio.Event().wait()

    turns = await run_hooks(swallowing, seconds=0.1)
    assert len(swallowed) == 3
    assert len(turns.failures) == 1


async def test_what_start_up_entered_is_left_in_the_same_task(within):
    """An anyio task group may only be left by the task that entered it."""
    lifespan, left = Lifespan(), []
    group = anyio.create_task_group()

    @lifespan.on_startup
    async def enter():
        await group.__aenter__()
        group.start_soon(asyncio.Event().wait)

    @lifespan.on_shutdown
    async def leave():
        group.cancel_scope.cancel()
        await group.__aexit__(None, None, None)
        left.append(True)

    async def run():
        await lifespan.startup()
        turns = Turns(lifespan._shutdown_funcs, ours=(), time_left=lambda: 5.0)
        await lifespan.shutdown()
        await turns.finish()
        return turns

    turns = await within(asyncio.create_task(run()))
    assert turns.failures == {}
    assert left == [True]


def test_the_driver_still_has_what_the_hooks_rest_on():
    """NoneBot's list of hooks is no public name; a release that renames it is seen here."""
    assert isinstance(nonebot.get_driver()._lifespan._shutdown_funcs, list)
