"""Cancelling one thing while the bot runs on, by an operator, by a plugin, or by a time-out.

Decided: what a handler has made ends with it while it lives, tracked or not; what it has made and
left behind goes on. Who refuses to end is named in the log, with his line, within
``GRACEFUL_CANCEL_TIMEOUT``. What is not listed is not cut by "all".
"""

import asyncio
import contextlib
from contextlib import asynccontextmanager

import anyio
import httpx
import nonebot
import pytest
from nonebot.message import run_postprocessor
from nonebot.params import Depends

from nonebot_plugin_graceful import cancel, tasks, track

WAYS = pytest.mark.parametrize("way", ["cancel(id)", "/graceful cancel", "recall", "time-out"])


@pytest.fixture
def end(chat, kinds, time_is_up):
    """End one handler's run; ``time-out`` has to be prepared."""

    async def end(way, event):
        runs = [info for info in tasks() if info.kind == "handler" and info.user == "1"]
        if way == "recall":
            await chat.recall(event)
        elif way == "cancel(id)":
            assert runs[0].id in [info.id for info in cancel(runs[0].id)]
        elif way == "/graceful cancel":
            assert "已取消" in await chat.command(f"/graceful cancel {runs[0].id}")
        else:
            time_is_up("handler")

    def prepare(way):
        if way == "time-out":
            kinds(handler={"timeout": 1000})

    end.prepare = prepare
    return end


class Hanging:
    """Hangs until it is cancelled, as often as it is asked to; tells who has begun and ended."""

    def __init__(self):
        self.begun = []
        self.ended = []
        self.tasks = []

    async def hang(self, name):
        self.tasks.append(asyncio.current_task())
        self.begun.append(name)
        try:
            await asyncio.Event().wait()
        finally:
            self.ended.append(name)

    async def draw(self, name="child"):
        async with track("image"):
            await self.hang(name)

    async def ask(self, name="child"):
        async with track("llm"):
            await self.draw(name)


@pytest.fixture
def hanging():
    """Work that hangs."""
    return Hanging()


# -- what it has made


@WAYS
async def test_a_tracked_child_ends_with_the_handler_that_made_it(
    way, chat, end, ended, hanging, on, until
):
    """A task made by ``create_task`` that is in a section of its own does not go on paying."""
    end.prepare(way)

    async def handler():
        child = asyncio.create_task(hanging.draw())
        await hanging.hang("handler")
        await child

    on(handler, text="draw")
    event = chat.message("draw", user=1)
    handling = chat.hear(event)
    await until(lambda: len(hanging.begun) == 2)
    await end(way, event)
    await ended(handling, *hanging.tasks)
    assert sorted(hanging.ended) == ["child", "handler"]
    assert tasks() == []


@WAYS
async def test_a_request_in_a_child_ends_with_the_handler_that_made_it(
    way, chat, clients, end, ended, hanging, on, service, within
):
    """``http_client`` in a task of the handler's making: the service sees it hang up."""
    end.prepare(way)
    client = clients("image")
    children = []

    async def handler():
        children.append(asyncio.create_task(client.get(f"{service.url}/draw")))
        await hanging.hang("handler")

    on(handler, text="draw")
    event = chat.message("draw", user=1)
    handling = chat.hear(event)
    await within(service.arrived(1))
    await end(way, event)
    await ended(handling, *children)
    assert children[0].cancelled()
    assert tasks() == []


@pytest.mark.parametrize("rounds", range(12))
async def test_a_cancellation_as_an_answer_comes_costs_no_connection(
    rounds, chat, clients, ended, on, service, within
):
    """At whatever step of its way through the library, be it while that closes the answer."""
    client = clients("image", limits=httpx.Limits(max_connections=1))

    async def handler():
        await client.get(f"{service.url}/draw")

    on(handler, text="draw")
    handling = chat.hear(chat.message("draw", user=1))
    await within(service.arrived(1))
    service.answer()
    for _ in range(rounds):
        await asyncio.sleep(0)
    cancel(user="1")
    await ended(handling)
    again = chat.hear(chat.message("draw", user=2))
    await within(service.arrived(2))
    service.answer()
    await ended(again)
    assert tasks() == []


async def test_a_tracked_grandchild_ends_with_the_handler(chat, end, ended, hanging, on, until):
    """However deep: a tracked child's tracked child."""

    async def child():
        async with track("llm"):
            grandchild = asyncio.create_task(hanging.draw("grandchild"))
            await hanging.hang("child")
            await grandchild

    async def handler():
        asyncio.create_task(child()).add_done_callback(lambda _: None)
        await hanging.hang("handler")

    on(handler, text="draw")
    event = chat.message("draw", user=1)
    handling = chat.hear(event)
    await until(lambda: len(hanging.begun) == 3)
    await end("cancel(id)", event)
    await ended(handling, *hanging.tasks)
    assert sorted(hanging.ended) == ["child", "grandchild", "handler"]


async def test_a_tracked_child_of_a_dependency_ends_with_the_run(
    chat, end, ended, hanging, on, until
):
    """It was made in a task of the solver's that has long ended."""
    children = []

    async def dependency():
        children.append(asyncio.create_task(hanging.draw("child")))
        return "value"

    async def handler(value: str = Depends(dependency)):
        await hanging.hang(value)

    on(handler, text="draw")
    event = chat.message("draw", user=1)
    handling = chat.hear(event)
    await until(lambda: len(hanging.begun) == 2)
    await end("cancel(id)", event)
    await ended(handling, *children)
    assert sorted(hanging.ended) == ["child", "value"]


async def test_a_tracked_child_made_by_a_pure_python_task_ends_with_the_handler(
    chat, end, ended, hanging, on, until
):
    """Before 3.12 such a task does not tell its context; its family is its own all the same."""
    PyTask = asyncio.tasks._PyTask  # noqa: N806 - it is a class
    loop = asyncio.get_running_loop()
    children = []

    async def handler():
        children.append(PyTask(hanging.hang("untracked"), loop=loop))
        children.append(PyTask(hanging.draw("tracked"), loop=loop))
        await asyncio.wait([children[0]])

    on(handler, text="draw")
    event = chat.message("draw", user=1)
    handling = chat.hear(event)
    await until(lambda: len(hanging.begun) == 2)
    await end("cancel(id)", event)
    await ended(handling, *children)
    assert sorted(hanging.ended) == ["tracked", "untracked"]


async def test_a_child_knows_its_parent(chat, ended, hanging, on, until):
    """``TaskInfo.parent`` is the id of what it ends with; for a run, which has none, it is None."""

    async def handler():
        asyncio.create_task(hanging.draw()).add_done_callback(lambda _: None)
        await hanging.hang("handler")

    on(handler, text="draw")
    handling = chat.hear(chat.message("draw", user=1))
    await until(lambda: len(hanging.begun) == 2)
    (run,) = [info for info in tasks() if info.kind == "handler"]
    (child,) = [info for info in tasks() if info.kind == "image"]
    parents = {info.id: info.parent for info in tasks()}
    ancestors, ancestor = [], parents[child.id]
    while ancestor is not None:
        ancestors.append(ancestor)
        ancestor = parents[ancestor]
    assert ancestors != []
    assert ancestors[-1] == run.id
    assert child.user == "1"
    cancel(run.id)
    await ended(handling, *hanging.tasks)


async def test_a_child_may_be_cancelled_and_its_handler_goes_on(chat, ended, hanging, on, until):
    """The other way round: who made it and does not await it is left alone."""
    go, done = asyncio.Event(), []

    async def handler():
        child = asyncio.create_task(hanging.draw())
        await go.wait()
        done.append(child.cancelled())

    on(handler, text="draw")
    handling = chat.hear(chat.message("draw", user=1))
    await until(lambda: hanging.begun)
    (child,) = [info for info in tasks() if info.kind == "image"]
    assert [info.id for info in cancel(child.id)] == [child.id]
    await ended(*hanging.tasks)
    go.set()
    await ended(handling)
    assert done == [True]


async def test_siblings_of_a_cancelled_child_go_on(chat, ended, hanging, on, until):
    """Two pictures at once: one is cancelled by its number, the other is drawn."""
    go, drawn = asyncio.Event(), []

    async def draw(name):
        async with track("image", name=name):
            await go.wait()
            drawn.append(name)

    async def handler():
        results = await asyncio.gather(draw("a"), draw("b"), return_exceptions=True)
        drawn.append([type(result).__name__ for result in results])

    on(handler, text="draw")
    handling = chat.hear(chat.message("draw", user=1))
    await until(lambda: {info.name for info in tasks()} >= {"a", "b"})
    cancel(next(info.id for info in tasks() if info.name == "a"))
    go.set()
    await ended(handling)
    assert drawn[0] == "b"
    assert drawn[1][1] == "NoneType"


async def test_what_outlives_its_handler_is_not_cancelled_with_the_next(
    chat, ended, hanging, on, until
):
    """Left behind by a handler that has ended by itself, it goes on when another run is cancelled."""

    async def leaves():
        hanging.left = asyncio.create_task(hanging.draw("left"))

    async def handler():
        await hanging.hang("handler")

    on(leaves, text="leave")
    on(handler, text="draw")
    await ended(chat.hear(chat.message("leave", user=1)))
    handling = chat.hear(chat.message("draw", user=1))
    await until(lambda: len(hanging.begun) == 2)
    (run,) = [info for info in tasks() if info.kind == "handler"]
    cancel(run.id)
    await ended(handling)
    assert hanging.ended == ["handler"]
    assert not hanging.left.done()


# -- who refuses


@pytest.fixture
def stubborn(chat, on, until):
    """A matcher that swallows its cancellation; let go after the test."""
    free = asyncio.Event()

    async def swallows():
        begun.append(1)
        while not free.is_set():
            with contextlib.suppress(asyncio.CancelledError):
                await free.wait()

    begun = []
    on(swallows, text="draw", plugin="stubborn_plugin")

    async def begin():
        chat.stubborn = chat.hear(chat.message("draw", user=1))
        await until(lambda: begun)
        (run,) = [info for info in tasks() if info.plugin == "stubborn_plugin"]
        return run

    yield begin
    free.set()


@pytest.mark.parametrize("way", ["cancel()", "/graceful cancel", "time-out"])
async def test_who_refuses_to_end_is_named_with_his_line(
    way, chat, kinds, log, patience, stubborn, time_is_up, within
):
    """A warning: the plugin, and ``file:line`` where it stands; after the cancel time-out."""
    if way == "time-out":
        kinds(handler={"timeout": 1000})
    patience(0.1)
    run = await stubborn()
    if way == "cancel()":
        cancel(run.id)
    elif way == "/graceful cancel":
        await chat.command(f"/graceful cancel {run.id}")
    else:
        time_is_up("handler")
    line = await within(log.wait_for("Does not stop", "stubborn_plugin"))
    assert line.level in ("WARNING", "ERROR")
    assert "test_cancel.py:" in line.text
    assert not chat.stubborn.done()


async def test_who_refuses_is_named_once(chat, log, patience, settle, stubborn, within):
    """Not with every further cancellation."""
    patience(0.05)
    run = await stubborn()
    cancel(run.id)
    await within(log.wait_for("Does not stop"))
    await settle(0.2)
    assert len(log.having("Does not stop")) == 1


async def test_who_ends_in_time_is_not_named(
    chat, ended, hanging, log, on, patience, settle, until
):
    """Cleaning up for a while is no refusal."""
    patience(60)

    async def handler():
        try:
            await hanging.hang("handler")
        finally:
            await asyncio.sleep(0.1)

    on(handler, text="draw")
    handling = chat.hear(chat.message("draw", user=1))
    await until(lambda: hanging.begun)
    cancel(user="1")
    await ended(handling)
    await settle(0.1)
    assert log.having("Does not stop") == []


# -- what is not listed


@asynccontextmanager
async def connected(bot):
    """Have a bot connect, with the hooks of ``on_bot_connect``, as its adapter does."""
    driver = nonebot.get_driver()
    async with anyio.create_task_group() as group:
        driver._lifespan._task_group = group  # as a driver has it that was started
        try:
            driver._bot_connect(bot)
            yield
        finally:
            driver._lifespan._task_group = None
            driver._bots.pop(bot.self_id, None)
            group.cancel_scope.cancel()


@pytest.mark.parametrize(
    "what", ["all", "全部", "handler"], ids=["all", "all in Chinese", "the kind it has inside"]
)
async def test_connect_hooks_that_are_not_listed_are_not_cut(what, chat, ended, hanging, on, until):
    """``/graceful cancel all``: they prepare the bot for all that is to come."""
    go, done = asyncio.Event(), []

    async def prepare(bot):
        done.append("begun")
        try:
            await go.wait()
        except asyncio.CancelledError:
            done.append("cut")
            raise
        done.append("prepared")

    async def handler():
        await hanging.hang("handler")

    nonebot.get_driver().on_bot_connect(prepare)
    on(handler, text="draw")
    async with connected(chat.bot):
        await until(lambda: done)
        handling = chat.hear(chat.message("draw", user=1))
        await until(lambda: hanging.begun)
        assert [info.kind for info in tasks()] == ["handler"]
        await chat.command(f"/graceful cancel {what}")
        await ended(handling)
        go.set()
        await until(lambda: len(done) == 2)
    assert done == ["begun", "prepared"]


async def test_the_list_and_all_mean_the_same(chat, ended, hanging, on, until):
    """What ``/graceful`` shows, ``/graceful cancel all`` cancels, and nothing else."""

    async def handler():
        await hanging.hang("handler")

    on(handler, text="draw")
    handling = [chat.hear(chat.message("draw", user)) for user in (1, 2)]
    await until(lambda: len(hanging.begun) == 2)
    assert "进行中 2 项" in await chat.command("/graceful")
    assert "已取消 2 项" in await chat.command("/graceful cancel all")
    await ended(*handling)


# -- other plugins' hooks


@WAYS
async def test_run_postprocessors_of_others_run_after_a_handler_was_ended(
    way, chat, end, ended, hanging, on, until
):
    """They give back locks and start cool-downs: the next request would wait for ever."""
    end.prepare(way)
    ran = []

    @run_postprocessor
    async def unlock(event, matcher):
        if matcher.plugin_id == "drawing":
            await asyncio.sleep(0)
            ran.append(event.message_id)

    async def handler():
        await hanging.hang("handler")

    on(handler, text="draw", plugin="drawing")
    event = chat.message("draw", user=1)
    handling = chat.hear(event)
    await until(lambda: hanging.begun)
    await end(way, event)
    await ended(handling)
    assert hanging.ended == ["handler"]
    assert ran == [event.message_id]
    assert tasks() == []


async def test_a_handler_that_timed_out_blocks_as_it_would_have(
    chat, ended, hanging, kinds, on, time_is_up, until
):
    """``block=True``: nobody of lower priority answers in its place."""
    kinds(handler={"timeout": 1000})
    ran = []

    async def handler():
        await hanging.hang("handler")

    async def stand_in():
        ran.append(1)

    on(handler, text="draw", block=True)
    on(stand_in, text="draw", priority=6)
    handling = chat.hear(chat.message("draw", user=1))
    await until(lambda: hanging.begun)
    time_is_up("handler")
    await ended(handling)
    assert hanging.ended == ["handler"]
    assert ran == []


async def test_a_time_out_ends_what_the_handler_made(
    chat, ended, hanging, kinds, on, time_is_up, until
):
    """And leaves another member's run alone."""
    kinds(handler={"timeout": 1000})
    go, done = asyncio.Event(), []

    async def handler():
        child = asyncio.create_task(hanging.draw("child"))
        await hanging.hang("handler")
        await child

    async def quick():
        await go.wait()
        done.append(1)

    on(handler, text="draw")
    on(quick, text="quick")
    slow = chat.hear(chat.message("draw", user=1))
    fast = chat.hear(chat.message("quick", user=2))
    await until(lambda: len(hanging.begun) == 2)
    time_is_up("handler", user="1")
    await ended(slow, *hanging.tasks)
    go.set()
    await ended(fast)
    assert sorted(hanging.ended) == ["child", "handler"]
    assert done == [1]


@pytest.mark.parametrize("way", ["recall", "cancel(user)", "cancel(kind)"])
async def test_a_cancelled_child_of_a_plugins_own_group_costs_the_group_nothing(
    way, chat, ended, hanging, on, until
):
    """Made at the start, for all that runs in the background; anyio would cancel all of it."""
    group, stop, done = [], asyncio.Event(), []

    async def keep():
        async with anyio.create_task_group() as own:
            group.append(own)
            await stop.wait()
        done.append("keeper")

    async def others():
        await stop.wait()
        done.append("others")

    async def handler():
        group[0].start_soon(hanging.draw)
        await asyncio.Event().wait()

    keeper = asyncio.create_task(keep())
    await until(lambda: group)
    group[0].start_soon(others)
    on(handler, text="draw")
    event = chat.message("draw", user=1)
    handling = chat.hear(event)
    await until(lambda: hanging.begun)
    if way == "recall":
        await chat.recall(event)
    else:
        assert cancel(**({"user": "1"} if way == "cancel(user)" else {"kind": "image"})) != []
    await ended(*hanging.tasks)
    cancel(user="1")
    await ended(handling)
    assert not keeper.done()
    stop.set()
    await ended(keeper)
    assert sorted(done) == ["keeper", "others"]
    assert tasks() == []
