"""What cancelled work does in its ``finally`` has the time for it."""

import signal

from .culprits import WITNESS
from .endings import assert_before_the_deadline, assert_orderly

CLEANING = """
import asyncio
from typing import Annotated

import anyio
from mark import mark
from nonebot import get_driver, on_command, require
from nonebot.params import Depends

require("nonebot_plugin_apscheduler")
require("nonebot_plugin_graceful")
from nonebot_plugin_apscheduler import scheduler
from nonebot_plugin_graceful import spawn, track

background = set()

async def close(name):
    await asyncio.sleep(0.2)
    mark(f"{name} closed")

# -- ways to clean up

async def directly(name):
    await close(name)

async def shielded(name):
    await asyncio.shield(close(name))

async def waited_for(name):
    await asyncio.wait_for(close(name), 10)

async def gathered(name):
    await asyncio.gather(close(name), asyncio.sleep(0.01))

async def in_a_task(name):
    await asyncio.create_task(close(name))

async def of_a_session(name):
    async def rollback():
        await asyncio.wait_for(close(name), 10)

    task = asyncio.create_task(rollback())
    await asyncio.shield(task)

async def in_a_group(name):
    async with anyio.create_task_group() as group:
        group.start_soon(close, name)

async def in_an_anyio_shield(name):
    with anyio.CancelScope(shield=True):
        await close(name)

async def in_two_steps(name):
    await asyncio.sleep(0.1)
    await asyncio.shield(close(name))

WAYS = [
    *(directly, shielded, waited_for, gathered, in_a_task, of_a_session, in_a_group),
    *(in_an_anyio_shield, in_two_steps),
]

# -- and what has to

async def work(way, name):
    mark(f"{name} begins")
    try:
        await asyncio.sleep(1000)
    finally:
        await way(name)

def hold(coro):
    task = asyncio.create_task(coro)
    background.add(task)
    return task

def command(way):
    name = way.__name__

    @on_command(f"handler_{name}").handle()
    async def _():
        await work(way, f"handler_{name}")

    @on_command(f"child_{name}").handle()
    async def _():
        hold(work(way, f"child_{name}"))
        await asyncio.sleep(1000)

    @on_command(f"others_{name}").handle()
    async def _():
        hold(work(way, f"alone_{name}"))
        hold(track("llm")(work)(way, f"tracked_{name}"))
        spawn(work(way, f"spawned_{name}"))
        scheduler.add_job(work, args=[way, f"job_{name}"])

for way in WAYS:
    command(way)

async def generating():
    try:
        yield
    finally:
        await close("dependency")

@on_command("dependency").handle()
async def _(_: Annotated[None, Depends(generating)]):
    mark("dependency begins")
    await asyncio.sleep(1000)
"""
WAYS = [
    *("directly", "shielded", "waited_for", "gathered", "in_a_task", "of_a_session", "in_a_group"),
    *("in_an_anyio_shield", "in_two_steps"),
]
WHERE = ["handler", "child", "alone", "tracked", "spawned", "job"]


async def test_clean_up_runs_to_its_end(bot_factory, onebot):
    """Whatever it awaits, be it a task of its own, and in whatever kind of work it is."""
    names = [f"{where}_{way}" for way in WAYS for where in WHERE] + ["dependency"]
    settings = {"graceful_cancel_timeout": 20, "graceful_deadline": 60}
    bot = await bot_factory(WITNESS, CLEANING, settings=settings)
    for user, name in enumerate(names):
        if name.startswith(("handler", "child", "dependency")):
            await onebot.say(user + 1, f"/{name}")
    for user, way in enumerate(WAYS):
        await onebot.say(user + 1, f"/others_{way}")
    for name in names:
        await bot.wait_mark(f"{name} begins")
    bot.signal(signal.SIGINT)
    await bot.wait()
    assert [name for name in names if not bot.mark(f"{name} closed")] == [], bot.log
    assert_orderly(bot)
    assert not bot.find("Abandoned"), bot.log


SWALLOWING = """
import asyncio
from contextlib import suppress
from mark import mark
from nonebot import on_command

@on_command("swallow").handle()
async def _():
    mark("swallow begins")
    for _ in range(8):
        with suppress(asyncio.CancelledError):
            await asyncio.sleep(1000)
    mark("swallow ends")
"""
PATIENCE = 20
"""Seconds of ``GRACEFUL_CANCEL_TIMEOUT``."""


async def test_what_visibly_swallows_is_cancelled_again_at_once(bot_factory, onebot):
    """That is no clean-up: it stands where it stood."""
    settings = {"graceful_cancel_timeout": PATIENCE, "graceful_deadline": 60}
    bot = await bot_factory(WITNESS, SWALLOWING, settings=settings)
    await onebot.say(1, "/swallow")
    await bot.wait_mark("swallow begins")
    bot.signal(signal.SIGINT)
    await bot.wait()
    assert_orderly(bot)
    assert bot.mark("swallow ends"), bot.log
    assert not bot.find("Abandoned"), bot.log
    assert bot.seconds_to_exit < PATIENCE


HANGING = """
import asyncio
from mark import mark
from nonebot import on_command

@on_command("hang").handle()
async def _():
    mark("hang begins")
    try:
        await asyncio.sleep(1000)
    finally:
        try:
            await asyncio.sleep(1000)
        finally:
            mark("hang ends")
"""


async def test_clean_up_that_hangs_is_cancelled_too(bot_factory, onebot):
    """When its ``GRACEFUL_CANCEL_TIMEOUT`` is over, and not before."""
    bot = await bot_factory(WITNESS, HANGING, settings={"graceful_cancel_timeout": 1})
    await onebot.say(1, "/hang")
    await bot.wait_mark("hang begins")
    bot.signal(signal.SIGINT)
    await bot.wait()
    assert_before_the_deadline(bot)
    assert bot.mark("hang ends"), bot.log
    assert bot.mark("hang ends").time - bot.signalled >= 1
