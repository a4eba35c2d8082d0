"""The plugins' ``on_shutdown`` hooks: each gets its turn, and the right task."""

import asyncio
import sys
import time

import anyio
import nonebot
import pytest
from exceptiongroup import BaseExceptionGroup
from nonebot.internal.driver._lifespan import Lifespan

from nonebot_plugin_graceful.bot.hooks import Turns
from nonebot_plugin_graceful.core import installed


@pytest.fixture
def run_hooks(within):
    """Run hooks as NoneBot does, with ``seconds`` for them; gives the turns.

    By default they are more than any hook takes that ends by itself, however busy the machine is.
    """

    async def run_hooks(*hooks, seconds=60):
        hooks = list(hooks)
        before = list(hooks)
        ends = time.monotonic() + seconds
        turns = Turns(installed.tree, hooks, time_left=lambda: ends - time.monotonic())

        async def run():
            await Lifespan._run_lifespan_func(reversed(hooks))
            await turns.finish()

        await within(asyncio.create_task(run()))
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


async def test_their_order_is_kept_while_there_is_time(run_hooks):
    """A slow one is waited for: a later one may close the very database it is saving to."""
    order = []

    async def closing():
        order.append("closed")

    async def saving():
        await asyncio.sleep(0.2)  # some looks at the clock long
        order.append("saved")

    turns = await run_hooks(closing, saving)
    assert order == ["saved", "closed"]
    assert turns.failures == {}
    assert [name.rpartition(".")[2] for name, _, _ in turns.spans()] == ["saving", "closing"]
    (_, _, saved), (_, closes, _) = turns.spans()
    assert saved <= closes


async def test_one_that_hangs_is_overtaken_and_cancelled(run_hooks, log):
    """What is left would not be enough for the others: they go on beside it, and the log says so."""
    order = []

    async def hanging():
        try:
            await asyncio.Event().wait()
        finally:
            order.append("cancelled")

    async def other():
        order.append("other")

    turns = await run_hooks(other, hanging, seconds=0.4)
    assert order == ["other", "cancelled"]
    (what,) = turns.failures.values()
    assert what.startswith("was cancelled after")
    (line,) = [line for line in log if "go on beside it" in line]
    assert line.startswith("WARNING on_shutdown hook ")
    assert "hanging" in line
    assert "the other 1" in line


async def test_the_most_written_hook_skips_no_other(run_hooks):
    """``worker.cancel(); await worker`` raises ``CancelledError``; it is nobody's failure."""
    ran = []

    async def stops_its_worker():
        worker = asyncio.create_task(asyncio.Event().wait())
        await asyncio.sleep(0)
        worker.cancel()
        await worker

    async def other():
        ran.append("other")

    turns = await run_hooks(other, stops_its_worker)
    assert ran == ["other"]
    assert turns.failures == {}


@pytest.mark.parametrize("sync", [False, True], ids=["async", "sync"])
async def test_one_that_exits_skips_no_other(run_hooks, sync):
    """``sys.exit(0)`` is told in the report; the bot ends anyway."""
    ran = []

    def exits():
        sys.exit(0)

    async def exits_too():
        sys.exit(0)

    turns = await run_hooks(lambda: ran.append("other"), exits if sync else exits_too)
    assert ran == ["other"]
    (what,) = turns.failures.values()
    assert what.startswith("called sys.exit(0)")


class PanicException(BaseException):
    """As pyo3 raises it."""


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (PanicException("lost it"), "failed: PanicException: lost it"),
        (KeyboardInterrupt(), "failed: KeyboardInterrupt"),
        (GeneratorExit(), "failed: GeneratorExit"),
        (BaseExceptionGroup("all", [asyncio.CancelledError()]), "failed: CancelledError"),
    ],
    ids=lambda value: type(value).__name__,
)
async def test_one_that_raises_what_is_no_exception_skips_no_other(error, told, run_hooks, log):
    """It is told in one line, as any other failure."""
    ran = []

    async def raises():
        raise error

    turns = await run_hooks(lambda: ran.append("other"), raises)
    assert ran == ["other"]
    ((name, what),) = turns.failures.items()
    assert what == told
    assert f"ERROR on_shutdown hook {name} {told}" in log


@pytest.mark.parametrize(
    "error", [PanicException("lost it"), GeneratorExit(), StopIteration()], ids=repr
)
async def test_a_sync_one_that_raises_what_is_no_exception_skips_no_other(error, run_hooks):
    """In a thread, as NoneBot runs it."""
    ran = []

    def raises():
        raise error

    turns = await run_hooks(lambda: ran.append("other"), raises)
    assert ran == ["other"]
    (what,) = turns.failures.values()
    assert what.startswith("failed: ")
    assert type(error).__name__ in what


async def test_one_that_is_thrown_away_with_its_task_has_not_failed():
    """Then the others are not begun."""
    ran = []

    async def hanging():
        await asyncio.Event().wait()

    async def begin():
        running.send(None)

    hooks = [lambda: ran.append("other"), hanging]
    turns = Turns(installed.tree, hooks, time_left=lambda: 5.0)
    running = Lifespan._run_lifespan_func(reversed(hooks))
    await asyncio.create_task(begin())  # a task that ends
    running.close()
    turns.restore()
    assert (ran, turns.failures) == ([], {})


@pytest.mark.parametrize("waits", [True, False], ids=["before its end", "at its end"])
async def test_one_that_cancels_its_own_task_leaves_it_whole(waits, run_hooks):
    """What an outer scope or the next hook waits for is not cut by it."""
    ran, counts = [], []

    async def cancels():
        counts.append(cancelling())
        asyncio.current_task().cancel()
        if waits:
            await asyncio.Event().wait()

    async def next_one():
        await asyncio.sleep(0)
        ran.append("next one")
        counts.append(cancelling())

    def cancelling():
        count = getattr(asyncio.current_task(), "cancelling", None)  # from 3.11 on
        return count() if count is not None else 0

    turns = await run_hooks(next_one, cancels)
    assert ran == ["next one"]
    assert counts == [0, 0]
    assert turns.failures == {}


async def test_one_that_was_cancelled_leaves_its_task_whole(within):
    """NoneBot's own task runs the hooks, and goes on: its count of cancellations is as before."""
    whole = []

    async def hanging():
        await asyncio.Event().wait()

    async def run():
        hooks = [hanging]
        turns = Turns(installed.tree, hooks, time_left=lambda: 0.0)
        await Lifespan._run_lifespan_func(hooks)
        await asyncio.sleep(0)
        turns.restore()
        whole.append(sys.version_info < (3, 11) or asyncio.current_task().cancelling() == 0)

    await within(asyncio.create_task(run()))
    assert whole == [True]


async def test_one_that_hangs_beside_a_slow_one_is_waited_for_no_longer_than_it_takes(run_hooks):
    """Two that hang are both cancelled, and each is told of."""

    async def hanging():
        await asyncio.Event().wait()

    async def hanging_too():
        await asyncio.Event().wait()

    turns = await run_hooks(hanging, hanging_too, seconds=0.1)
    assert sorted(name.rpartition(".")[2] for name in turns.failures) == ["hanging", "hanging_too"]


async def test_several_that_hang_cost_no_other_its_turn(until):
    """Each begins beside those before it, before the time is up: none waits for their cancellation."""
    ran, over = [], asyncio.Event()

    def one_that_hangs():
        async def hanging():
            await over.wait()

        return hanging

    async def other():
        ran.append(any(turn.cut for turn in turns._turns))

    hooks = [other, *(one_that_hangs() for _ in range(4))]
    turns = Turns(installed.tree, hooks, time_left=lambda: 0.35 if not ran else 60)
    running = asyncio.create_task(Lifespan._run_lifespan_func(reversed(hooks)))
    try:
        await until(lambda: ran)
    finally:
        over.set()
        await asyncio.wait([running, *turns._helpers])
        turns.restore()
    assert ran == [False]


async def test_a_hook_whose_blocking_call_was_interrupted_was_cut(within):
    """The watchdog says so with ``interrupt``; a task that runs no hook is not its business."""
    turns = None

    async def blocking():
        assert not turns.interrupt(other)
        assert turns.interrupt(asyncio.current_task())
        raise asyncio.CancelledError

    hooks = [blocking]
    other = asyncio.create_task(asyncio.sleep(0))
    turns = Turns(installed.tree, hooks, time_left=lambda: 5.0)
    await within(asyncio.create_task(Lifespan._run_lifespan_func(hooks)))
    turns.restore()
    (what,) = turns.failures.values()
    assert what.startswith("was cancelled after")
    await other


async def test_hooks_of_ours_are_left_alone():
    """They are neither guarded nor overtaken."""

    def ours():
        pass

    def theirs():
        pass

    hooks = [ours, theirs]
    turns = Turns(installed.tree, hooks, ours=(ours,), time_left=lambda: 5.0)
    assert hooks[0] is ours
    assert hooks[1] is not theirs
    turns.restore()
    assert hooks == [ours, theirs]


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
        turns = Turns(installed.tree, lifespan._shutdown_funcs, time_left=lambda: 5.0)
        await lifespan.shutdown()
        await turns.finish()
        return turns

    turns = await within(asyncio.create_task(run()))
    assert turns.failures == {}
    assert left == [True]


def test_the_driver_still_has_what_the_hooks_rest_on():
    """NoneBot's list of hooks is no public name; a release that renames it is seen here."""
    assert isinstance(nonebot.get_driver()._lifespan._shutdown_funcs, list)
