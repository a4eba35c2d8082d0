"""Lifecycle hooks that misbehave: ``CULPRIT_HOOKS`` says which ones there are."""

import asyncio
import contextlib
import time

from mark import mark
from nonebot import get_driver

FOR_EVER = 1000
driver = get_driver()


async def hook_hangs():
    mark("hook_hangs begins")
    await asyncio.sleep(FOR_EVER)


async def hook_raises():
    raise RuntimeError("the database is gone")


async def hook_swallows():
    mark("hook_swallows begins")
    while True:
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.sleep(FOR_EVER)


async def hook_blocks():
    time.sleep(FOR_EVER)


def hook_sleeps():
    """NoneBot runs a sync hook in a thread."""
    time.sleep(FOR_EVER)


async def telling_hangs():
    mark("telling_hangs begins")
    await asyncio.sleep(FOR_EVER)


for name in getattr(driver.config, "culprit_hooks", []):
    if name == "telling_hangs":
        from nonebot_plugin_graceful import on_shutting_down

        on_shutting_down(telling_hangs)
    else:
        driver.on_shutdown(globals()[name])
