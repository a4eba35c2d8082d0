"""Python 3.12's eager task factory: a task runs its first steps before ``create_task`` has returned."""

import asyncio
import sys

import pytest

from nonebot_plugin_graceful import Interrupted, cancel, spawn, tasks, track

pytestmark = pytest.mark.skipif(
    sys.version_info < (3, 12), reason="asyncio.eager_task_factory is new in Python 3.12"
)


@pytest.fixture(autouse=True)
async def eager():
    """The loop's task factory, for one test."""
    loop = asyncio.get_running_loop()
    before = loop.get_task_factory()
    loop.set_task_factory(asyncio.eager_task_factory)
    yield
    loop.set_task_factory(before)


MAKERS = pytest.mark.parametrize("make", [spawn, asyncio.create_task], ids=["spawn", "create_task"])


@MAKERS
async def test_a_section_in_a_tasks_first_step_is_seen_and_stopped(make, ended, settle):
    """``track`` registers before ``spawn`` does; neither takes the other's entry."""
    ended_by = []

    async def draw():
        try:
            async with track("image", name="a cat"):
                await asyncio.Event().wait()
        except BaseException as error:
            ended_by.append(type(error))
            raise

    task = make(draw())
    (info,) = [info for info in tasks() if info.name == "a cat"]
    assert (info.kind, info.tier, info.state) == ("image", 0, "running")
    await settle()
    assert [one.name for one in cancel(kind="image")] == ["a cat"]
    await ended(task)
    assert ended_by == [Interrupted]
    assert tasks() == []


async def test_a_spawned_task_is_seen_beside_and_after_its_section(ended, settle):
    """The section is left before its first await; the task itself goes on as what it was spawned."""
    go = asyncio.Event()

    async def work():
        async with track("image"):
            pass
        await go.wait()

    task = spawn(work(), kind="background", name="worker")
    assert [(info.kind, info.name) for info in tasks()] == [("background", "worker")]
    await settle()
    assert cancel(kind="background") != []
    await ended(task)
    assert task.cancelled()
    assert tasks() == []


async def test_a_spawned_task_that_ends_at_once_leaves_nothing_behind(ended):
    """It has ended before ``spawn`` returns."""

    async def work():
        async with track("image"):
            return "done"

    task = spawn(work(), kind="llm")
    await ended(task)
    assert task.result() == "done"
    assert tasks() == []


async def test_a_spawned_task_that_fails_at_once_is_logged(ended, log, settle):
    """As any other that nobody awaits."""

    async def work():
        raise KeyError("at once")

    task = spawn(work(), name="breaks")
    await ended(task)
    del task
    await settle()
    assert log.having("breaks") != []


async def test_who_spawns_keeps_his_own_section(ended):
    """What runs first inside ``spawn`` does not take its maker's place in the books."""
    go = asyncio.Event()

    async def child():
        async with track("llm", name="child"):
            await go.wait()

    async with track("image", name="maker"):
        task = spawn(child())
        assert {info.name for info in tasks()} >= {"maker", "child"}
        (maker,) = [info for info in tasks() if info.name == "maker"]
        assert maker.kind == "image"
    assert "maker" not in {info.name for info in tasks()}
    go.set()
    await ended(task)
    assert tasks() == []


async def test_an_eager_child_ends_with_its_handler(chat, ended, on, until):
    """Made by ``create_task`` in a handler; it was in its section before the maker went on."""
    children, begun = [], []

    async def draw():
        async with track("image"):
            begun.append(1)
            await asyncio.Event().wait()

    async def handler():
        children.append(asyncio.create_task(draw()))
        await asyncio.Event().wait()

    on(handler, text="draw")
    handling = chat.hear(chat.message("draw", user=1))
    await until(lambda: begun)
    (run,) = [info for info in tasks() if info.kind == "handler"]
    cancel(run.id)
    await ended(handling, *children)
    assert children[0].cancelled()
    assert tasks() == []


async def test_eager_tasks_keep_to_the_limit(ended, kinds, settle):
    """One at a time, in the order in which they were made."""
    kinds(image={"limit": 1})
    inside, most, order = 0, 0, []

    async def draw(name):
        nonlocal inside, most
        async with track("image"):
            inside += 1
            most = max(most, inside)
            order.append(name)
            await asyncio.sleep(0)
            inside -= 1

    await ended(*[spawn(draw(name), kind="background") for name in "abcd"])
    assert most == 1
    assert order == list("abcd")
    assert tasks() == []


async def test_a_spawned_task_of_a_limited_kind_takes_one_place(ended, kinds):
    """Not one for ``spawn`` and one for the ``track`` inside it."""
    kinds(image={"limit": 1})

    async def draw():
        async with track("image"):
            return "drawn"

    task = spawn(draw(), kind="image")
    await ended(task)
    assert task.result() == "drawn"
    assert tasks() == []


@pytest.mark.parametrize("way", ["recall", "cancel(user)", "cancel(kind)"])
async def test_a_job_in_a_spawned_tasks_first_step_is_its_members(
    way, chat, ended, kinds, on, settle
):
    """It is known, ends without the task that does it, and gives its place back."""
    kinds(image={"limit": 1})
    made, cut, left = [], [], []

    async def job(event):
        try:
            async with track("image", event=event):
                await asyncio.Event().wait()
        except Interrupted:
            cut.append(event.user_id)
        await asyncio.Event().wait()

    async def asked(event):
        made.append(spawn(job(event)))

    async def next_one():
        async with track("image"):
            left.append(True)

    on(asked, text="draw")
    event = chat.message("draw", user=1)
    await ended(chat.hear(event))
    assert ("image", "1") in [(info.kind, info.user) for info in tasks()]
    if way == "recall":
        await chat.recall(event)
    else:
        ending = {"user": "1"} if way == "cancel(user)" else {"kind": "image"}
        assert [info.kind for info in cancel(**ending)] == ["image"]
    await settle()
    assert cut == [1]
    assert [info.kind for info in tasks()] == ["background"]
    await ended(spawn(next_one()))
    assert left == [True]
    made[0].cancel()
    await ended(*made)
    assert tasks() == []
