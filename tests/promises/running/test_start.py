"""What was begun before the plugin's own start-up hook: plugins loaded earlier start earlier."""

import asyncio
import signal

import nonebot
import pytest

from nonebot_plugin_graceful import cancel, shield, spawn, tasks, track


@pytest.fixture
def lifespan(monkeypatch):
    """The driver's; without APScheduler, which stops in a callback after the hooks."""
    lifespan = nonebot.get_driver()._lifespan
    theirs = "nonebot_plugin_apscheduler"
    for name in ("_startup_funcs", "_shutdown_funcs"):
        functions = [one for one in getattr(lifespan, name) if one.__module__ != theirs]
        monkeypatch.setattr(lifespan, name, functions)
    before = {signum: signal.getsignal(signum) for signum in (signal.SIGINT, signal.SIGTERM)}
    yield lifespan
    for signum, handler in before.items():
        signal.signal(signum, handler)


async def test_what_an_earlier_start_up_hook_spawned_is_seen_and_stopped(ended, lifespan, settle):
    """The plugin's own hook, which comes later, forgets none of it."""
    made = []

    async def hang():
        await asyncio.Event().wait()

    async def draw():
        async with track("image"):
            await hang()

    async def start():
        made.append(spawn(hang(), name="spawned"))
        made.append(asyncio.create_task(draw(), name="tracked"))
        await asyncio.sleep(0)

    lifespan._startup_funcs.insert(0, start)
    await lifespan.startup()
    try:
        assert {info.name for info in tasks()} == {"spawned", "tracked"}
        assert len(cancel(kind="background")) == 1
        await ended(made[0])
        assert len(cancel(kind="image")) == 1
        await ended(made[1])
        await settle()
        assert tasks() == []
    finally:
        await lifespan.shutdown()


async def test_a_place_taken_by_an_earlier_start_up_hook_stays_taken(ended, kinds, lifespan):
    """It is given back when its holder leaves, and to whoever waits."""
    kinds(image={"limit": 1})
    go, order = asyncio.Event(), []

    async def draw(name):
        async with track("image"):
            order.append(name)
            await go.wait()

    made = []

    async def start():
        made.append(asyncio.create_task(draw("first")))
        made.append(asyncio.create_task(draw("second")))
        await asyncio.sleep(0)
        await asyncio.sleep(0)

    lifespan._startup_funcs.insert(0, start)
    await lifespan.startup()
    try:
        assert order == ["first"]
        assert sorted(info.state for info in tasks()) == ["queued", "running"]
        go.set()
        await ended(*made)
        assert order == ["first", "second"]
    finally:
        await lifespan.shutdown()


async def test_a_shield_entered_by_an_earlier_start_up_hook_holds(ended, lifespan, settle):
    """What it protects is not cut; the task ends when it is left."""
    go, done, made = asyncio.Event(), [], []

    async def draw():
        async with track("image"), shield():
            await go.wait()
            done.append(1)

    async def start():
        made.append(asyncio.create_task(draw()))
        await asyncio.sleep(0)

    lifespan._startup_funcs.insert(0, start)
    await lifespan.startup()
    try:
        assert [info.state for info in tasks()] == ["shielded"]
        cancel(kind="image")
        await settle()
        go.set()
        await ended(*made)
        assert done == [1]
    finally:
        await lifespan.shutdown()
