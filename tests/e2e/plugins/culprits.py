"""Work in flight, in every shape in which plugins have it. Each retries by hand, for ever."""

import asyncio
import sys
from typing import Annotated

import httpx
from mark import mark
from nonebot import get_driver, on_command, require
from nonebot.params import Depends

require("nonebot_plugin_apscheduler")
require("nonebot_plugin_graceful")

from nonebot_plugin_apscheduler import scheduler  # noqa: E402

from nonebot_plugin_graceful import shutdown, spawn  # noqa: E402

driver = get_driver()
background = set()


async def retry_by_hand(name):
    """What an author writes who has never heard of tenacity."""
    try:
        async with httpx.AsyncClient(trust_env=False, timeout=None) as client:
            for _ in range(1000):
                try:
                    response = await client.post(f"{driver.config.ai_base_url}/{name}")
                    response.raise_for_status()
                except Exception:
                    mark(f"{name} retries")
                    await asyncio.sleep(0.01)
    finally:
        mark(f"{name} stopped")


@on_command("handler").handle()
async def _():
    await retry_by_hand("handler")


async def drawing():
    return await retry_by_hand("depends")


@on_command("depends").handle()
async def _(_drawn: Annotated[None, Depends(drawing)]):
    mark("depends went on")


@on_command("gather").handle()
async def _():
    await asyncio.gather(retry_by_hand("gather/a"), retry_by_hand("gather/b"))


@on_command("shield").handle()
async def _():
    await asyncio.shield(retry_by_hand("shield"))


@on_command("create_task").handle()
async def _():
    """Fire and forget: the handler ends at once, the task goes on."""
    task = asyncio.create_task(retry_by_hand("create_task"))
    background.add(task)
    task.add_done_callback(background.discard)


@on_command("child").handle()
async def _():
    """The same, but the handler still runs: the task is its own."""
    task = asyncio.create_task(retry_by_hand("child"))
    background.add(task)
    task.add_done_callback(background.discard)
    await asyncio.sleep(1000)


@on_command("spawn").handle()
async def _():
    spawn(retry_by_hand("spawn"))


@on_command("job").handle()
async def _():
    scheduler.add_job(retry_by_hand, args=["job"], misfire_grace_time=None)


@on_command("please stop").handle()
async def _():
    shutdown("somebody asked")


@on_command("driver exit").handle()
async def _():
    driver.exit()


@on_command("server exit").handle()
async def _():
    sys.modules["__main__"].server.should_exit = True


@driver.on_shutdown
async def _():
    mark("async hook ran")


@driver.on_shutdown
def _():
    mark("sync hook ran")
