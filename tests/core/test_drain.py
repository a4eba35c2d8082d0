"""How long the drain waits for whom."""

import asyncio
import time

import pytest

from nonebot_plugin_graceful.core.api import track
from nonebot_plugin_graceful.core.drain import HOPELESS, Drain
from nonebot_plugin_graceful.core.work import Section


@pytest.mark.parametrize(
    ("around", "waited_for"), [({}, 0), ({"grace": 5}, 5)], ids=["no grace", "a grace around it"]
)
async def test_who_waits_without_hope_is_not_waited_for_unless_somebody_asked(
    around, waited_for, tree
):
    """As a request does in a task of its own: it says nothing of a grace, and whoever made it may."""
    began = asyncio.Event()

    async def request():
        section = Section(tree.kinds["handler"])
        work = tree.open(section, asyncio.current_task())
        work.started -= 2 * HOPELESS
        began.set()
        try:
            await asyncio.sleep(3600)
        finally:
            tree.close(section)

    async with track("llm", **around):
        requesting = asyncio.create_task(request())
        await began.wait()
        tree.lifecycle.began = time.monotonic()
        drain = Drain(tree, grace_cap=10, hook_timeout=1)
        assert drain._due(tree.works[requesting]) == tree.lifecycle.began + waited_for
        requesting.cancel()
        await asyncio.wait([requesting])
