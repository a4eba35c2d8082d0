"""Tiers, graces, and cancelling again."""

import asyncio
import contextlib
import gc
import time

import pytest
from virtual_time import VirtualTime

from nonebot_plugin_graceful.core.api import cancel, shield, spawn, tasks, track
from nonebot_plugin_graceful.core.discovery import branches
from nonebot_plugin_graceful.core.stopping import Stopping
from nonebot_plugin_graceful.core.tree import Limits


async def test_tiers_are_stopped_in_order(drain):
    """Whatever the order in which they began."""
    order, entered = [], []

    async def work(kind):
        async with track(kind):
            entered.append(kind)
            try:
                await asyncio.Event().wait()
            finally:
                await asyncio.sleep(0)
                order.append(kind)

    kinds = ["background", "job", "handler", "llm", "image"]
    working = [asyncio.create_task(work(kind)) for kind in kinds]
    await asyncio.sleep(0)
    assert entered == kinds
    stopping = await drain()
    assert all(task.cancelled() for task in working)
    assert order == kinds[::-1]
    assert len(stopping.outcomes().cancelled) == 5


async def test_within_its_grace_a_task_ends_by_itself(drain, hang):
    """It is counted as finished, while one without a grace is cancelled."""
    go_on, entered = asyncio.Event(), asyncio.Event()

    async def work():
        async with track("image", grace=60):
            entered.set()
            await go_on.wait()
            return "picture"

    task = asyncio.create_task(work())
    await entered.wait()
    other = await hang("llm")
    other.add_done_callback(lambda _: go_on.set())
    began = time.monotonic()
    stopping = await drain(due=lambda work: began + work.grace)
    assert await task == "picture"
    assert other.cancelled()
    outcomes = stopping.outcomes()
    assert [stopping.kind_of(work).name for work in outcomes.finished] == ["image"]
    assert [stopping.kind_of(work).name for work in outcomes.cancelled] == ["llm"]


async def test_after_its_grace_a_task_is_cancelled(drain, hang):
    """Not before."""
    task = await hang("image", grace=0.2)
    began = time.monotonic()
    await drain(due=lambda work: began + work.grace)
    assert task.cancelled()
    assert time.monotonic() - began >= 0.2


async def test_hurrying_ends_all_graces(within, hang, tree):
    """A second Ctrl+C waits for nothing."""
    task = await hang("image", grace=60)
    stopping = Stopping(tree, lambda: branches(tree), "SIGINT", due=lambda _: time.monotonic() + 60)
    running = asyncio.create_task(stopping.run())
    for _ in range(20):
        await asyncio.sleep(0)
    assert not task.done()
    stopping.hurry()
    await within(running)
    assert task.cancelled()


async def test_who_waits_for_a_task_with_a_grace_is_held_too(within, tree):
    """A handler that gathers a drawing is not cut while the drawing may finish."""
    go_on, entered = asyncio.Event(), asyncio.Event()

    async def draw():
        async with track("image", grace=60):
            entered.set()
            await go_on.wait()
            return "picture"

    async def handler():
        async with track("handler", grace=0):
            return await asyncio.create_task(draw())

    task = asyncio.create_task(handler())
    await entered.wait()
    now = time.monotonic()
    stopping = Stopping(tree, lambda: branches(tree), "SIGINT", due=lambda work: now + work.grace)
    stopping.step()
    assert [work.ending for work in tree.works.values()] == [None, None]
    go_on.set()
    assert await within(task) == "picture"


async def test_cleaning_up_is_not_cut_by_cancelling_again(drain):
    """A ``finally`` that awaits for a moment gets to its end."""
    entered, steps = asyncio.Event(), []

    async def work():
        async with track("image"):
            try:
                entered.set()
                await asyncio.Event().wait()
            finally:
                for step in range(20):  # more rounds than stopping takes without a pause
                    await asyncio.sleep(0)
                    steps.append(step)

    task = asyncio.create_task(work())
    await entered.wait()
    await drain()
    assert task.cancelled()
    assert steps == list(range(20))


def test_who_swallows_and_loops_is_cancelled_again_at_once(tree):
    """Ten retries with a bare ``except`` do not take ten pauses."""
    attempts = []

    async def work(entered):
        async with track("image"):
            for attempt in range(50):
                try:
                    entered.set()
                    await asyncio.Event().wait()
                except BaseException:
                    attempts.append(attempt)

    async def main():
        entered = asyncio.Event()
        task = asyncio.create_task(work(entered))
        await entered.wait()
        began = time.monotonic()
        stopping = Stopping(tree, lambda: branches(tree), "SIGINT")
        await stopping.run()
        took = time.monotonic() - began
        await asyncio.wait([task])
        return took, stopping.outcomes().stragglers

    took, stragglers = VirtualTime().run(main())
    assert len(attempts) == 50
    assert took < 1.0  # 50 pauses would be 2.5 s
    assert stragglers == []


async def test_who_swallows_thousands_of_times_comes_no_further(drain):
    """However fast the machine is: what takes him some loop iterations, such as a request, is not done."""
    entered, done = asyncio.Event(), []

    async def request(iterations):
        entered.set()
        for _ in range(iterations):
            await _next_iteration()
        done.append(True)

    async def work():
        async with track("image"):
            for number in range(3000):
                with contextlib.suppress(asyncio.CancelledError):
                    await request(50 if number else 10**9)

    task = asyncio.create_task(work())
    await entered.wait()
    await drain(limits=Limits(cancel=60))
    await asyncio.wait([task])
    assert done == []


async def _next_iteration():
    future = asyncio.get_running_loop().create_future()
    asyncio.get_running_loop().call_soon(future.set_result, None)
    await future


def test_who_never_ends_is_a_straggler(tree):
    """Stopping goes on without him after the cancel timeout."""
    clock, let_go = VirtualTime(), []

    async def work(entered):
        async with track("image"):
            while not let_go:
                try:
                    entered.set()
                    await asyncio.sleep(3600)
                except asyncio.CancelledError:
                    clock.now += 0.05
                    await asyncio.sleep(0)

    async def main():
        entered = asyncio.Event()
        task = asyncio.create_task(work(entered))
        await entered.wait()
        tree.limits = Limits(cancel=0.2)
        stopping = Stopping(tree, lambda: branches(tree), "SIGINT")
        await stopping.run()
        assert not task.done()
        assert [work.task for work in stopping.outcomes().stragglers] == [task]
        assert stopping.cancelling.attempts[task].count > 1
        let_go.append(True)
        task.cancel()
        await asyncio.wait([task])

    clock.run(main())


@pytest.mark.parametrize("collects", [True, False], ids=["on", "off"])
async def test_the_garbage_collector_is_as_it_was(collects, tree):
    """Also when a round fails: it is only left out of that."""

    def select():
        assert not gc.isenabled()
        raise KeyError

    (gc.enable if collects else gc.disable)()
    try:
        with pytest.raises(KeyError):
            Stopping(tree, select, "enough").step()
        assert gc.isenabled() is collects
    finally:
        gc.enable()


async def test_a_shield_does_not_hold_for_ever(drain, tree):
    """After the shield timeout it is cut."""
    entered = asyncio.Event()

    async def work():
        async with track("image"):
            tree.shields[asyncio.current_task()] = 1
            entered.set()
            await asyncio.Event().wait()

    task = asyncio.create_task(work())
    await entered.wait()
    await drain(limits=Limits(cancel=1, shield=0.1))
    assert task.cancelled()
    tree.shields.clear()


async def test_what_must_be_finished_is_not_cut(drain, tree):
    """A reply under way holds the cancellation back like a shield."""
    sending, sent, entered, steps = asyncio.Event(), asyncio.Event(), asyncio.Event(), []
    tree.world.must_finish = lambda _: [] if sending.is_set() else None

    async def work():
        async with track("image"):
            sending.set()
            entered.set()
            await sent.wait()
            steps.append("sent")
            sending.clear()
            await asyncio.Event().wait()

    task = asyncio.create_task(work())
    await entered.wait()
    asyncio.get_running_loop().call_later(0.1, sent.set)
    await drain()
    assert task.cancelled()
    assert steps == ["sent"]


@pytest.mark.parametrize("protects", ["a shield", "a reply"])
@pytest.mark.parametrize("way", ["an order", "the shutdown"])
def test_who_apologizes_slowly_does_not_refuse_to_end(way, protects, log, tree):
    """A reply that takes longer than the cancel timeout is waited for, and is no refusal."""
    clock, replying, said = VirtualTime(), [], []
    tree.limits = Limits(cancel=1, shield=3)
    if protects == "a reply":
        tree.world.must_finish = lambda task: [] if task in replying else None

    async def work():
        async with track("image"):
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                replying.append(asyncio.current_task())
                async with shield() if protects == "a shield" else contextlib.nullcontext():
                    await asyncio.sleep(1.8)
                    said.append("sorry")
                replying.clear()
                raise

    async def main():
        task = asyncio.create_task(work())
        await asyncio.sleep(0)
        if way == "an order":
            cancel(kind="image")
            await asyncio.wait([task])
            await asyncio.sleep(1)
        else:
            stopping = Stopping(tree, lambda: branches(tree), "SIGINT")
            await stopping.run()
            assert stopping.stuck() == []
        assert task.cancelled()

    clock.run(main())
    assert said == ["sorry"]
    assert not any("Does not stop" in line for line in log)


@pytest.mark.parametrize("ends", [True, False], ids=["ends", "goes on"])
def test_who_apologizes_for_ever_is_cut_before_it_is_a_straggler(ends, tree):
    """After the shield timeout it is cancelled, and has a moment to end by that."""
    clock = VirtualTime()
    tree.limits = Limits(cancel=1, shield=3)

    async def work():
        async with track("image"):
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.sleep(3600)
            tree.world.must_finish = lambda task: [] if task is apologizing else None
            try:
                await asyncio.sleep(3600)
            except asyncio.CancelledError:
                await asyncio.sleep(0.05 if ends else 3600)

    async def main():
        nonlocal apologizing
        apologizing = asyncio.create_task(work())
        await asyncio.sleep(0)
        began = time.monotonic()
        stopping = Stopping(tree, lambda: branches(tree), "SIGINT")
        await stopping.run()
        stuck = [task for _, task, _ in stopping.stuck()]
        assert 3 <= time.monotonic() - began < 4
        return stuck

    apologizing = None
    assert clock.run(main()) == ([] if ends else [apologizing])


async def test_what_a_stopped_task_starts_is_stopped_too(drain):
    """A ``finally`` that makes another task does not get away with it."""
    entered, late = asyncio.Event(), []

    async def work():
        async with track("image"):
            try:
                entered.set()
                await asyncio.Event().wait()
            finally:
                late.append(asyncio.create_task(asyncio.Event().wait()))
                await asyncio.sleep(0)

    task = asyncio.create_task(work())
    await entered.wait()
    await drain()
    assert task.cancelled()
    assert late[0].cancelled()


async def test_shielded_and_gathered_children_end_with_their_section(drain):
    """``asyncio.shield`` and ``gather`` make tasks that belong to the section."""
    children, entered = [], asyncio.Event()

    async def child():
        children.append(asyncio.current_task())
        if len(children) == 3:
            entered.set()
        await asyncio.Event().wait()

    async def work():
        async with track("image"):
            await asyncio.gather(child(), child(), asyncio.shield(child()))

    task = asyncio.create_task(work())
    await entered.wait()
    await drain()
    assert task.cancelled()
    assert [child.cancelled() for child in children] == [True] * 3


async def test_our_own_tasks_are_left_alone(drain, tree):
    """Those the plugin runs itself are never stopped."""
    inner = tree.run_internal(asyncio.Event().wait(), "test")
    await asyncio.sleep(0)
    await drain()
    assert not inner.done()
    inner.cancel()
    with pytest.raises(asyncio.CancelledError):
        await inner


async def test_a_thousand_and_more_are_stopped(drain):
    """Beyond the number up to which each one's place is looked at."""
    working = [spawn(asyncio.Event().wait(), kind="image") for _ in range(1500)]
    await asyncio.sleep(0)
    stopping = await drain()
    assert all(task.cancelled() for task in working)
    assert len(stopping.outcomes().cancelled) == 1500


async def test_nothing_in_flight_takes_no_time(drain, tree):
    """Not one turn of the loop."""
    turns = []
    asyncio.get_running_loop().call_soon(turns.append, 1)
    tree.lifecycle.begin("SIGINT")
    await Stopping(tree, lambda: branches(tree), "SIGINT").run()
    assert turns == []
    await drain()


@pytest.mark.parametrize("way", ["awaited", "gathered", "given time"])
async def test_a_child_that_nobody_registered_is_cancelled_once(way, within):
    """By whoever waits for it: a second time would cut its clean-up."""
    entered, steps = asyncio.Event(), []

    async def child():
        try:
            entered.set()
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(0.05)
            steps.append("clean")

    async def work():
        task = asyncio.create_task(child())
        if way == "awaited":
            await task
        elif way == "gathered":
            await asyncio.gather(task)
        else:
            await asyncio.wait_for(task, 60)

    task = spawn(work(), kind="image")
    await within(entered.wait())
    cancel(kind="image")
    await within(asyncio.wait([task]))
    assert steps == ["clean"]


@pytest.mark.parametrize("again", ["cancel", "the shutdown"])
async def test_a_second_order_does_not_cut_what_an_earlier_one_cleans_up(again, drain):
    """Recalled, and a moment later cancelled, or the bot stopped: it is one ending, told once."""
    cleaning, enough = asyncio.Event(), asyncio.Event()
    cleaned = []

    async def work():
        async with track("image"):
            try:
                await asyncio.Event().wait()
            finally:
                cleaning.set()
                await enough.wait()
                cleaned.append(1)

    task = asyncio.create_task(work())
    await asyncio.sleep(0)
    cancel(kind="image", reason="recalled")
    await cleaning.wait()
    if again == "cancel":
        cancel(kind="image", reason="enough")
    else:
        stopping = asyncio.create_task(drain())
    for _ in range(3):
        await asyncio.sleep(0)
    enough.set()
    await asyncio.wait([task])
    if again != "cancel":
        await stopping
    assert cleaned == [1]
    assert task.cancelled()


async def test_what_went_on_may_be_cancelled_anew():
    """An ending that is over does not protect what its task does next."""

    async def work():
        for _ in range(2):
            with contextlib.suppress(asyncio.CancelledError):
                async with track("image", event=None):
                    await asyncio.Event().wait()
            done.append(1)

    done = []
    task = asyncio.create_task(work())
    for n in range(2):
        while not tasks():
            await asyncio.sleep(0)
        cancel(kind="image")
        while len(done) == n:
            await asyncio.sleep(0)
    await asyncio.wait([task])
    assert not task.cancelled()


def test_who_had_no_turn_since_its_cancellation_is_no_straggler(tree):
    """On a slow machine with many tasks one round may take longer than a task is given."""
    clock = VirtualTime()

    class SlowlyCancelled(asyncio.tasks._PyTask):
        def cancel(self, msg=None):
            clock.now += 2
            return super().cancel(msg)

    async def main():
        loop = asyncio.get_running_loop()
        loop.set_task_factory(lambda loop, coro, **_: SlowlyCancelled(coro, loop=loop))
        task = spawn(asyncio.Event().wait())
        await asyncio.sleep(0)
        await Stopping(tree, lambda: branches(tree), "SIGINT").run()
        loop.set_task_factory(None)
        return task.cancelled()

    assert clock.run(main())


async def _gathers(coros):
    await asyncio.gather(*coros)


async def _gathers_exceptions(coros):
    await asyncio.gather(*coros, return_exceptions=True)


async def _gathers_twice(coros):
    first, *others = coros
    await asyncio.gather(first, asyncio.gather(*others))


async def _waits(coros):
    await asyncio.wait([asyncio.create_task(coro) for coro in coros])


@pytest.mark.parametrize("how", [_gathers, _gathers_exceptions, _gathers_twice, _waits])
@pytest.mark.parametrize("tracked", [False, True], ids=["in a plain task", "in a section"])
async def test_all_of_a_kind_that_are_waited_for_together_end_at_once(how, tracked, tree, within):
    """The one that ends first ends who waits for it, but not the others."""
    tree.limits = Limits(cancel=1000)
    begun, ended, children = asyncio.Semaphore(0), [], []

    async def draw(name):
        children.append(asyncio.current_task())
        async with track("image"):
            begun.release()
            try:
                await asyncio.Event().wait()
            finally:
                await asyncio.sleep(0)  # cleaning up, which a second cancellation would cut
                ended.append(name)

    async def waits():
        async with track("llm") if tracked else contextlib.nullcontext():
            await how([draw(name) for name in range(4)])

    waiting = asyncio.create_task(waits())
    for _ in range(4):
        await within(begun.acquire())
    assert len(cancel(kind="image")) == 4
    await within(asyncio.wait([waiting, *children]))
    assert sorted(ended) == [0, 1, 2, 3]
