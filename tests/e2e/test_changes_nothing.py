"""Loading the plugin changes nothing of what a bot does until it is told to stop."""

import signal

ORDINARY = """
import asyncio
from contextvars import ContextVar
from typing import Annotated

import anyio
from mark import mark
from nonebot import get_driver, on_command, on_message, require
from nonebot.adapters import Bot, Event
from nonebot.exception import MockApiException
from nonebot.matcher import Matcher
from nonebot.message import event_postprocessor, event_preprocessor
from nonebot.message import run_postprocessor, run_preprocessor
from nonebot.params import ArgPlainText, Depends

require("nonebot_plugin_apscheduler")
from nonebot_plugin_apscheduler import scheduler

driver = get_driver()
whose: ContextVar[str] = ContextVar("whose", default="nobody's")

@event_preprocessor
async def _(event: Event):
    if event.get_type() == "message":
        mark(f"event: {event.get_plaintext()}")

@event_postprocessor
async def _(event: Event):
    if event.get_type() == "message":
        mark(f"over: {event.get_plaintext()}")

@run_preprocessor
async def _(matcher: Matcher):
    mark(f"run at {matcher.priority}, {len(matcher.handlers)} handlers")

@run_postprocessor
async def _(matcher: Matcher, exception: Exception | None):
    mark(f"ran at {matcher.priority}: {exception!r}")

@Bot.on_calling_api
async def _(bot, api, data):
    mark(f"calling {api}")
    if data.get("message") and "pretend" in str(data["message"]):
        raise MockApiException(result={"message_id": 0})

@Bot.on_called_api
async def _(bot, exception, api, data, result):
    mark(f"called {api}: {result}")

@on_message(priority=2, block=False).handle()
async def _(event: Event):
    mark(f"first of all: {event.get_plaintext()}")
    whose.set("mine")

name = on_command("name", priority=5, block=True)

@name.got("who", prompt="who?")
async def _(matcher: Matcher, who: str = ArgPlainText()):
    if who == "nobody":
        await matcher.reject("who really?")
    await matcher.finish(f"hello {who}")

async def inner():
    mark("inner begins")
    try:
        yield 1
    finally:
        mark("inner ends")

async def outer(number: Annotated[int, Depends(inner)]):
    mark("outer begins")
    yield number + 1
    mark("outer ends")

@on_command("depend", priority=5, block=True).handle()
async def _(number: Annotated[int, Depends(outer)], again: Annotated[int, Depends(inner)]):
    mark(f"{number} and {again}, {whose.get()}")

@on_command("fail", priority=5, block=True).handle()
async def _():
    raise ValueError("as ever")

@on_command("pretend", priority=5, block=True).handle()
async def _(bot: Bot, event: Event):
    mark(f"sent: {await bot.send(event, 'pretend')}")

@on_command("tasks", priority=5, block=True).handle()
async def _():
    worker = asyncio.create_task(asyncio.sleep(1000))
    await asyncio.sleep(0)
    worker.cancel()
    try:
        await worker
    except asyncio.CancelledError as error:
        mark(f"worker: {error!r}")
    try:
        await asyncio.wait_for(asyncio.sleep(1000), 0.01)
    except asyncio.TimeoutError:
        mark("timed out")
    with anyio.move_on_after(0.01):
        await anyio.sleep(1000)
    async with anyio.create_task_group() as group:
        group.start_soon(asyncio.sleep, 1000)
        group.cancel_scope.cancel()
    values = await asyncio.gather(asyncio.sleep(0.01, 1), asyncio.to_thread(whose.get))
    mark(f"gathered: {values}")

@on_command("job", priority=5, block=True).handle()
async def _():
    scheduler.add_job(mark, args=["job ran"])

@on_command("cut", priority=5, block=True).handle()
async def _():
    asyncio.current_task().cancel("by itself")
    await asyncio.sleep(1000)

@on_message(priority=9).handle()
async def _(event: Event):
    mark(f"last of all: {event.get_plaintext()}")

@driver.on_bot_disconnect
async def _(bot: Bot):
    mark("disconnected")

@driver.on_shutdown
async def _():
    mark("shut down")
"""
SAID = [
    *("/name", "nobody", "somebody", "hello", "/depend", "/fail", "/pretend", "/tasks"),
    *("/job", "/cut", "good bye"),
]


async def test_a_bot_does_what_it_does_without_the_plugin(bot_factory, onebot):
    """The same hooks, handlers, values, errors and messages, in the same order."""
    seen = {}
    for graceful in (False, True):
        onebot.calls.clear()
        bot = await bot_factory(ORDINARY, graceful=graceful)
        for text in SAID:
            await onebot.say(1, text)
            await bot.wait_mark(f"over: {text}")
        await bot.wait_mark("job ran")
        bot.signal(signal.SIGINT)
        assert await bot.wait() == 0, bot.log
        await onebot.wait_closed()
        marks = [line.text for line in bot.marks() if "'message_id'" not in line.text]
        marks.remove("job ran")  # whenever its thread comes to it
        seen[graceful] = marks, [call.text for call in onebot.sent]
    assert seen[True] == seen[False]
