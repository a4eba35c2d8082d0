"""A queue worker does one member's job after the other's, and outlives each of them.

Decided: a worker belongs to nobody once the handler that started it has ended; a job belongs to
whoever ``track(event=…)`` says. Cancelling the job ends the section, not the worker: who catches
``Interrupted`` (or ``CancelledError``) around it goes on as if nothing had been.
"""

import asyncio
import functools
import sys

import anyio
import pytest

from nonebot_plugin_graceful import Interrupted, cancel, shield, spawn, tasks, track

STARTERS = pytest.mark.parametrize(
    "start", [asyncio.create_task, spawn], ids=["create_task", "spawn"]
)
WAYS = pytest.mark.parametrize(
    "way", ["recall", "cancel(user)", "cancel(id)", "cancel(kind)", "graceful cancel"]
)
needs_cancelling = pytest.mark.skipif(
    sys.version_info < (3, 11), reason="Task.cancelling() is new in Python 3.11"
)


class Painter:
    """A plugin whose handler queues; its one worker is started by whoever asks first."""

    def __init__(self, start, *, caught=Interrupted, tells=True):
        self.start = start
        self.caught = caught
        self.tells = tells
        """Whether it tells whose job it does."""
        self.jobs = asyncio.Queue()
        self.worker = None
        self.busy = False
        self.begun = asyncio.Event()
        self.go = asyncio.Event()
        """Set: what is begun is drawn at once."""
        self.drawn = []
        self.cut = []
        self.cancelling = []
        """What ``Task.cancelling()`` was after each cut."""
        self.between = None
        """Awaited after each cut."""

    async def handler(self, event):
        if self.worker is None:
            self.worker = self.start(self.work())
        self.jobs.put_nowait(event)

    async def work(self):
        while True:
            event = await self.jobs.get()
            keywords = {"event": event} if self.tells else {}
            try:
                async with track("image", **keywords):
                    self.busy = True
                    self.begun.set()
                    await self.go.wait()
                    self.drawn.append(event.user_id)
            except self.caught:
                self.cut.append(event.user_id)
                if sys.version_info >= (3, 11):
                    self.cancelling.append(asyncio.current_task().cancelling())
                if self.between is not None:
                    await self.between()
            finally:
                self.busy = False


class Pairs(Painter):
    """The same, but its worker does two jobs at a time, each in a task of its own."""

    def __init__(self, start, waits):
        super().__init__(start)
        self.waits = waits
        self.lets_out = False
        self.begun = []

    async def work(self):
        while True:
            two = [asyncio.ensure_future(self.draw(await self.jobs.get())) for _ in range(2)]
            await self.waits(*two)

    async def draw(self, event):
        try:
            async with track("image", event=event):
                self.begun.append(event.user_id)
                await self.go.wait()
                self.drawn.append(event.user_id)
        except Interrupted:
            self.cut.append(event.user_id)
            if self.lets_out:
                raise


async def in_anyios_group(painter):
    """Do two jobs at a time in a group of anyio's."""
    while True:
        async with anyio.create_task_group() as group:
            for _ in range(2):
                group.start_soon(painter.draw, await painter.jobs.get())


async def in_asyncios_group(painter):
    """The same in one of asyncio's."""
    while True:
        async with asyncio.TaskGroup() as group:
            for _ in range(2):
                group.create_task(painter.draw(await painter.jobs.get()))


GROUPS = {"anyio": in_anyios_group}
if sys.version_info >= (3, 11):
    GROUPS["asyncio"] = in_asyncios_group


async def wait(*jobs):
    """Wait as ``asyncio.wait`` does."""
    await asyncio.wait(jobs)


async def one_by_one(*jobs):
    """Await each."""
    for each in jobs:
        await each


@pytest.fixture
def painter(chat, ended, on, until):
    """Make a :class:`Painter` that hears ``draw``."""

    def painter(start, **keywords):
        painter = Painter(start, **keywords)
        on(painter.handler, text="draw")

        async def ask(user, group=None):
            """Ask for a picture, and wait until it is begun or queued."""
            busy = painter.busy
            painter.begun.clear()
            event = chat.message("draw", user, group)
            await ended(chat.hear(event))
            if not busy:
                await works_until(painter.begun.is_set)
            return event

        async def works_until(condition):
            await until(lambda: condition() or painter.worker.done())
            assert not painter.worker.done(), f"it has ended: {painter.worker}"

        async def finish(count):
            """Have all drawn at once from now on; wait for so many."""
            painter.go.set()
            await works_until(lambda: len(painter.drawn) >= count)

        painter.works_until = works_until
        painter.ask = ask
        painter.finish = finish
        return painter

    return painter


async def end(way, chat, event, user=None):
    """End one member's job; the only one, or that member's."""
    (info,) = [info for info in tasks() if info.kind == "image" and user in (None, info.user)]
    if way == "recall":
        await chat.recall(event)
    elif way == "cancel(user)":
        assert cancel(user=str(event.user_id)) != []
    elif way == "cancel(id)":
        assert cancel(info.id) != []
    elif way == "cancel(kind)":
        assert cancel(kind="image") != []
    else:
        assert "已取消" in await chat.command(f"/graceful cancel {info.id}")


@STARTERS
@pytest.mark.parametrize("tells", [True, False], ids=["event", "no event"])
async def test_a_worker_survives_the_recall_of_whoever_started_it(tells, start, chat, painter):
    """The message was answered long ago; the worker does another member's job by now."""
    painter = painter(start, tells=tells)
    painter.go.set()
    first = await painter.ask(1)
    await painter.finish(1)
    painter.go.clear()
    await painter.ask(2)
    await chat.recall(first)
    await painter.finish(2)
    await painter.ask(3)
    await painter.finish(3)
    assert painter.drawn == [1, 2, 3]
    assert painter.cut == []
    assert not painter.worker.done()


@STARTERS
async def test_a_worker_that_waits_for_jobs_survives_the_recall_of_whoever_started_it(
    start, chat, painter
):
    """It does nobody's job at the moment."""
    painter = painter(start)
    painter.go.set()
    first = await painter.ask(1)
    await painter.finish(1)
    await chat.recall(first)
    await painter.ask(2)
    await painter.finish(2)
    assert not painter.worker.done()


async def test_a_spawned_worker_survives_the_recall_of_a_request_that_is_not_answered_yet(
    chat, ended, on, painter, within
):
    """The handler that started it still waits for something; the worker is not a part of it."""
    painter = painter(spawn)
    waiting, left = asyncio.Event(), []

    async def waits(event):
        await painter.handler(event)
        waiting.set()
        try:
            await asyncio.Event().wait()
        finally:
            left.append(event.user_id)

    on(waits, text="draw and wait")
    painter.go.set()
    first = chat.message("draw and wait", 1)
    handling = chat.hear(first)
    await within(waiting.wait())
    await painter.works_until(lambda: painter.drawn == [1])
    painter.go.clear()
    await painter.ask(2)
    await chat.recall(first)
    await ended(handling)
    assert left == [1]
    await painter.finish(2)
    assert painter.drawn == [1, 2]


@STARTERS
@pytest.mark.parametrize("how", ["recall", "timeout"])
async def test_another_ones_job_survives_who_started_the_worker_and_still_waits(
    how, start, chat, ended, kinds, on, painter, time_is_up, tree, until
):
    """His own job is done; he waits for something else as his message is recalled, or takes too long.

    The worker is left to the hooks at the shutdown, then, and is no leftover of his request.
    """
    from nonebot_plugin_graceful.core.discovery import branches

    kinds(handler={"timeout": 1000})
    painter = painter(start)
    left = []

    async def waits(event):
        await painter.handler(event)
        try:
            await asyncio.Event().wait()
        finally:
            left.append(event.user_id)

    on(waits, text="draw and wait")
    painter.go.set()
    first = chat.message("draw and wait", 1)
    handling = chat.hear(first)
    await until(lambda: painter.drawn == [1])
    painter.go.clear()
    await painter.ask(2)
    if how == "recall":
        await chat.recall(first)
    else:
        time_is_up("handler", user="1")
    await ended(handling)
    assert left == [1]
    await painter.finish(2)
    assert {branch.task for branch in branches(tree)} <= {painter.worker}
    await painter.ask(3)
    await painter.finish(3)
    assert painter.drawn == [1, 2, 3]
    assert painter.cut == []


@STARTERS
async def test_a_job_ends_with_the_handler_that_waits_for_it(start, chat, ended, on, painter):
    """It is a part of that request, whoever started the worker."""
    painter = painter(start)
    painter.go.set()
    await painter.ask(1)
    await painter.finish(1)
    painter.go.clear()

    async def waits(event):
        await painter.handler(event)
        await asyncio.Event().wait()

    on(waits, text="draw and wait")
    painter.begun.clear()
    event = chat.message("draw and wait", 2)
    handling = chat.hear(event)
    await painter.works_until(painter.begun.is_set)
    await chat.recall(event)
    await ended(handling)
    await painter.works_until(lambda: painter.cut == [2])
    await painter.ask(3)
    await painter.finish(2)
    assert painter.drawn == [1, 3]


@STARTERS
@pytest.mark.parametrize("starts", ["himself", "another"])
async def test_a_handler_in_a_place_lends_it_to_the_job_that_it_waits_for(
    starts, start, chat, ended, kinds, on, painter
):
    """Neither waits for the other for ever, whoever started the worker."""
    kinds(image={"limit": 1})
    painter = painter(start)
    painter.go.set()
    if starts == "another":
        await painter.ask(1)
        await painter.finish(1)

    async def waits(event):
        async with track("image"):
            await painter.handler(event)
            while event.user_id not in painter.drawn:
                await asyncio.sleep(0)

    on(waits, text="draw and wait")
    await ended(chat.hear(chat.message("draw and wait", 2)))
    assert painter.drawn[-1] == 2


async def test_who_started_the_worker_lends_his_place_to_nobody_elses_job(
    chat, ended, kinds, on, painter, settle, until
):
    """He works himself: with another one's job there would be one more than the limit."""
    kinds(image={"limit": 1})
    painter = painter(spawn)
    painter.go.set()
    entered, go = asyncio.Event(), asyncio.Event()

    async def works(event):
        async with track("image"):
            if painter.worker is None:
                painter.worker = spawn(painter.work())
            entered.set()
            await go.wait()

    on(works, text="work")
    handling = chat.hear(chat.message("work", 1))
    await until(entered.is_set)
    await painter.handler(chat.message("draw", 2))
    await settle()
    assert painter.drawn == []
    go.set()
    await ended(handling)
    await painter.finish(1)
    assert painter.drawn == [2]


@STARTERS
async def test_a_job_is_its_members(start, chat, painter):
    """``tasks()`` tells for whom it is done, not who started the worker; then it is nobody's."""
    painter = painter(start)
    painter.go.set()
    await painter.ask(1)
    await painter.finish(1)
    painter.go.clear()
    await painter.ask(2, group=7)
    (info,) = [info for info in tasks() if info.kind == "image"]
    assert (info.user, info.chat, info.state) == ("2", "7", "running")
    assert cancel(user="1") == []
    await painter.finish(2)
    assert "image" not in [info.kind for info in tasks()]
    assert {info.user for info in tasks()} <= {None}
    assert "用户" not in await chat.command("/graceful")


@STARTERS
@WAYS
async def test_a_cancelled_job_costs_the_worker_nothing(way, start, chat, painter, settle):
    """It goes on with the next, and is not cancelled again while it does."""
    painter = painter(start)
    event = await painter.ask(1)
    await painter.ask(2)
    await painter.ask(3)
    painter.begun.clear()
    await end(way, chat, event)
    await painter.works_until(painter.begun.is_set)
    await settle(0.15)  # who swallows is cancelled again, at once and every 0.05 s
    await painter.finish(2)
    assert painter.cut == [1]
    assert painter.drawn == [2, 3]
    assert not painter.worker.done()


@pytest.fixture
def end_the_first_of_four(chat, ended, on, until):
    """Have two members' jobs begun, end the first one, and let the other and two more be done."""

    async def end_it(painter, way):
        on(painter.handler, text="draw")
        events = [chat.message("draw", user) for user in (1, 2, 3, 4)]
        for event in events[:2]:
            await ended(chat.hear(event))
        await until(lambda: len(painter.begun) == 2)
        await end(way, chat, events[0], user="1")
        await until(lambda: painter.cut)
        painter.go.set()
        for event in events[2:]:
            await ended(chat.hear(event))

    return end_it


@STARTERS
@pytest.mark.parametrize("way", ["recall", "cancel(user)", "cancel(id)"])
@pytest.mark.parametrize("waits", [wait, asyncio.gather, one_by_one])
async def test_a_job_in_a_task_that_the_worker_waits_for_is_its_members(
    waits, way, start, until, end_the_first_of_four
):
    """Two jobs at a time, each in a task of its own: the one ends, the other and the worker go on."""
    painter = Pairs(start, waits)
    await end_the_first_of_four(painter, way)
    await until(lambda: len(painter.drawn) == 3)
    assert painter.cut == [1]
    assert sorted(painter.drawn) == [2, 3, 4]
    assert not painter.worker.done()


@STARTERS
@pytest.mark.parametrize("way", ["recall", "cancel(user)", "cancel(id)"])
@pytest.mark.parametrize("group", GROUPS)
async def test_a_job_that_lets_its_end_out_ends_alone_in_its_group(
    group, way, start, until, end_the_first_of_four
):
    """Whoever hosts the group does the others' jobs, and the next ones."""
    painter = Pairs(start, wait)
    painter.lets_out, painter.work = True, functools.partial(GROUPS[group], painter)
    await end_the_first_of_four(painter, way)
    await until(lambda: len(painter.drawn) == 3 or painter.worker.done())
    assert sorted(painter.drawn) == [2, 3, 4]
    assert not painter.worker.done()
    if sys.version_info >= (3, 11):
        assert painter.worker.cancelling() == 0


async def test_a_recall_of_a_job_that_is_not_begun_costs_the_one_at_hand_nothing(chat, painter):
    """Only the plugin knows of what waits in its own queue."""
    painter = painter(spawn)
    await painter.ask(1)
    event = await painter.ask(2)
    await chat.recall(event)
    await painter.finish(2)
    assert painter.cut == []
    assert painter.drawn == [1, 2]


async def test_a_job_that_waits_for_its_place_is_recalled_without_cost(
    chat, kinds, painter, within
):
    """Its queue number goes with it; the worker takes up the next job, and that gets a place."""
    kinds(image={"limit": 1})
    entered, go = asyncio.Event(), asyncio.Event()

    async def has_the_place():
        async with track("image"):
            entered.set()
            await go.wait()

    holder = asyncio.create_task(has_the_place())
    await within(entered.wait())
    painter = painter(spawn)
    painter.busy = True  # it will queue: nothing to wait for
    event = await painter.ask(1)
    await painter.works_until(lambda: "queued" in [info.state for info in tasks()])
    await painter.ask(2)
    await chat.recall(event)
    await painter.works_until(lambda: painter.cut == [1])
    go.set()
    await within(holder)
    await painter.finish(1)
    assert painter.drawn == [2]


@pytest.mark.parametrize("caught", [Interrupted, asyncio.CancelledError])
@needs_cancelling
@WAYS
async def test_who_caught_the_interruption_is_not_cancelled_any_more(way, caught, chat, painter):
    """``Task.cancelling()`` is 0 again, or the next time-out or task group would be its end."""
    painter = painter(spawn, caught=caught)
    event = await painter.ask(1)
    await end(way, chat, event)
    await painter.works_until(lambda: painter.cut)
    assert painter.cancelling == [0]


@needs_cancelling
async def test_who_was_cancelled_many_times_over_is_not_cancelled_any_more(within):
    """He swallowed it three times before he let the section end."""
    entered, seen = asyncio.Event(), []

    async def stubborn():
        try:
            async with track("image"):
                for _ in range(3):
                    try:
                        entered.set()
                        await asyncio.Event().wait()
                    except asyncio.CancelledError:
                        pass
                await asyncio.Event().wait()
        except Interrupted:
            seen.append(asyncio.current_task().cancelling())

    task = asyncio.create_task(stubborn())
    await within(entered.wait())
    cancel(kind="image")
    await within(asyncio.wait([task]))
    assert seen == [0]


async def time_out():
    """Leave an anyio scope by its deadline."""
    with anyio.move_on_after(0.01) as scope:
        await asyncio.Event().wait()
    assert scope.cancelled_caught


async def anyio_group():
    """Run two tasks in an anyio task group."""
    async with anyio.create_task_group() as group:
        group.start_soon(asyncio.sleep, 0)
        group.start_soon(asyncio.sleep, 0)


async def asyncio_group():
    """Run two tasks in an asyncio task group."""
    async with asyncio.TaskGroup() as group:
        group.create_task(asyncio.sleep(0))
        group.create_task(asyncio.sleep(0))


async def asyncio_timeout():
    """Leave an asyncio time-out by its deadline."""
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.01):
            await asyncio.Event().wait()


async def wait_for():
    """Run into the time-out of ``asyncio.wait_for``."""
    with pytest.raises(asyncio.TimeoutError):
        await asyncio.wait_for(asyncio.Event().wait(), 0.01)


@pytest.mark.parametrize(
    "use",
    [
        time_out,
        anyio_group,
        wait_for,
        pytest.param(asyncio_group, marks=needs_cancelling),
        pytest.param(asyncio_timeout, marks=needs_cancelling),
    ],
    ids=lambda use: use.__name__,
)
async def test_a_worker_may_use_time_outs_and_task_groups_after_a_cancelled_job(use, chat, painter):
    """They work as in a task that was never cancelled."""
    painter = painter(spawn)
    used = []

    async def between():
        await use()
        used.append(1)

    painter.between = between
    event = await painter.ask(1)
    await painter.ask(2)
    await chat.recall(event)
    await painter.finish(1)
    assert used == [1]
    assert painter.drawn == [2]
    assert not painter.worker.done()


@needs_cancelling
async def test_a_cancellation_that_is_somebody_elses_stays(within):
    """Only our own are taken back: the task of one that was cancelled by others too knows of it."""
    entered, seen = asyncio.Event(), []

    async def work():
        try:
            async with track("image"):
                entered.set()
                await asyncio.Event().wait()
        except asyncio.CancelledError:
            seen.append(asyncio.current_task().cancelling())
            raise

    task = asyncio.create_task(work())
    await within(entered.wait())
    task.cancel("somebody else's")
    cancel(kind="image")
    await within(asyncio.wait([task]))
    assert seen == [1]
    assert task.cancelled()


async def test_a_job_that_times_out_costs_the_worker_nothing(chat, kinds, painter):
    """``TimeoutError``, which is no cancellation; the next job has its full time."""
    kinds(image={"timeout": 0.01})
    painter = painter(spawn, caught=TimeoutError)
    painter.busy = True  # it is over too soon to be waited for
    await painter.ask(1)
    await painter.works_until(lambda: painter.cut == [1])
    painter.go.set()
    await painter.ask(2)
    await painter.finish(1)
    assert painter.drawn == [2]
    assert painter.cancelling in ([], [0])


# -- the shutdown


@STARTERS
async def test_at_the_shutdown_the_job_is_known_for_its_members(start, begin_shutdown, painter):
    """What was stopped, was stopped for whoever it was done for."""
    painter = painter(start)
    painter.go.set()
    await painter.ask(1)
    await painter.finish(1)
    painter.go.clear()
    await painter.ask(2, group=7)
    outcome = await begin_shutdown()
    (info,) = [info for info in outcome.stopped if info.kind == "image"]
    assert (info.user, info.chat) == ("2", "7")
    assert "1" not in [info.user for info in outcome.stopped]


@STARTERS
async def test_the_notice_goes_to_the_member_whose_job_was_stopped(
    start, chat, painter, stop_with_notices
):
    """And not to whoever started the worker."""
    painter = painter(start)
    painter.go.set()
    await painter.ask(1)
    await painter.finish(1)
    painter.go.clear()
    await painter.ask(2, group=7)
    await stop_with_notices("stopped")
    assert chat.said == [(7, "stopped")]


@STARTERS
async def test_no_notice_goes_to_who_started_a_worker_of_unknown_jobs(
    start, chat, painter, stop_with_notices
):
    """Without ``event=`` nobody knows whose job it is; his own was answered long ago."""
    painter = painter(start, tells=False)
    painter.go.set()
    await painter.ask(1)
    await painter.finish(1)
    painter.go.clear()
    await painter.ask(2)
    await stop_with_notices("stopped")
    assert chat.said == []


async def test_a_worker_is_not_told_what_its_starter_is(chat, ended, on, until):
    """Whoever started it was told to end, and has something to finish; the worker goes on."""
    told, done, worked = asyncio.Event(), asyncio.Event(), []

    async def work():
        await told.wait()
        async with shield():
            await asyncio.sleep(0)
        async with track("image", event=None):
            worked.append(True)
        done.set()

    async def handler():
        async with shield():
            spawn(work())
            await done.wait()

    on(handler, text="ask")
    handling = chat.hear(chat.message("ask", 2))
    await until(lambda: any(info.kind == "handler" for info in tasks()))
    cancel(kind="handler")
    told.set()
    await ended(handling)
    assert worked == [True]
