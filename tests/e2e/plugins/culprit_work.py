"""Work that does not stop for being asked: one command for each way.

A command marks ``<name> begins`` right before it does what it is here for.
"""

import asyncio
import contextlib
import re
import threading
import time

import httpx
from mark import mark
from nonebot import get_driver, on_command, require
from nonebot.utils import run_sync

require("nonebot_plugin_apscheduler")

from nonebot_plugin_apscheduler import scheduler  # noqa: E402

FOR_EVER = 1000
driver = get_driver()
background = set()


async def request(name):
    """Ask an API that never answers."""
    async with httpx.AsyncClient(trust_env=False, timeout=None) as client:
        await client.post(f"{driver.config.ai_base_url}/{name}")


def sync_request(name):
    """The same, blocked in a socket."""
    httpx.post(f"{driver.config.ai_base_url}/{name}", trust_env=False, timeout=None)


def sleep(name):
    mark(f"{name} begins")
    time.sleep(FOR_EVER)


def start(coro):
    task = asyncio.create_task(coro)
    background.add(task)
    task.add_done_callback(background.discard)
    return task


# -- swallowed cancellations


@on_command("swallow_some").handle()
async def _():
    mark("swallow_some begins")
    # Each new client costs tens of milliseconds of CPU, so more often would measure the machine.
    for _ in range(5):
        try:
            await request("swallow_some")
        except:  # noqa: E722 - that is what he is here for
            mark("swallow_some swallows")


async def swallow(name):
    mark(f"{name} begins")
    while True:
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.sleep(FOR_EVER)


@on_command("swallow").handle()
async def _():
    await swallow("swallow")


@on_command("task_swallow").handle()
async def _():
    start(swallow("task_swallow"))


# -- threads


@on_command("thread_handler").handle()
def _():
    sleep("thread_handler")


@on_command("thread_run_sync").handle()
async def _():
    await run_sync(sleep)("thread_run_sync")


@on_command("thread_socket").handle()
async def _():
    mark("thread_socket begins")
    await asyncio.to_thread(sync_request, "thread_socket")


@on_command("thread_job").handle()
async def _():
    scheduler.add_job(sleep, args=["thread_job"], misfire_grace_time=None)


@on_command("thread_loop").handle()
async def _():
    mark("thread_loop begins")
    threading.Thread(target=lambda: asyncio.run(request("thread_loop"))).start()


# -- the event loop blocked


async def block_in_sleep():
    sleep("loop_sleep")


async def block_in_recv():
    mark("loop_recv begins")
    sync_request("loop_recv")


async def block_in_retries():
    mark("loop_retry begins")
    for _ in range(10):
        try:
            raise ConnectionError
        except Exception:
            time.sleep(FOR_EVER)


@on_command("loop_sleep").handle()
async def _():
    await block_in_sleep()


@on_command("loop_recv").handle()
async def _():
    await block_in_recv()


@on_command("loop_retry").handle()
async def _():
    await block_in_retries()


@on_command("loop_several").handle()
async def _():
    mark("loop_several begins")
    await asyncio.gather(block_in_recv(), block_in_sleep(), block_in_retries())


@on_command("loop_swallow").handle()
async def _():
    mark("loop_swallow begins")
    while True:
        with contextlib.suppress(BaseException):
            time.sleep(FOR_EVER)


@on_command("gil").handle()
async def _():
    mark("gil begins")
    try:
        await asyncio.sleep(FOR_EVER)
    except asyncio.CancelledError:
        re.match(r"(a+)+$", "a" * 60 + "b")


# -- work that makes more work

closing = asyncio.Event()


async def worker(name):
    """Goes on as long as its queue is not empty, which it never is."""
    try:
        await request(name)
    finally:
        if not closing.is_set():
            mark(f"{name} restarts")
            start(worker(name))


@driver.on_shutdown
async def _():
    closing.set()


@on_command("restart").handle()
async def _():
    mark("restart begins")
    start(worker("restart"))


@on_command("child_restart").handle()
async def _():
    mark("child_restart begins")
    start(worker("child_restart"))
    await asyncio.sleep(FOR_EVER)


lock = asyncio.Lock()


def one_of_a_queue(name):
    async def handle():
        mark(f"{name} begins")
        async with lock:
            await request(name)

    on_command(name).handle()(handle)


for number in range(5):
    one_of_a_queue(f"locked_{number}")


@on_command("late").handle()
async def _():
    mark("late begins")
