"""A test of your own plugin: ``begin_shutdown`` stops what is in flight and says what became of it.

Try it: ``uv run pytest examples/11_test.py``. The first lines belong into your ``tests/conftest.py``;
pytest needs ``asyncio_mode = "auto"``. Nothing is closed, and after the test all is as before.
"""

import asyncio

import nonebot

nonebot.init(driver="~none", localstore_use_cwd=True)
nonebot.load_plugin("nonebot_plugin_graceful")

from nonebot_plugin_graceful import shield, testing, track  # noqa: E402

begin_shutdown = testing.begin_shutdown  # a fixture


@track("image")
async def draw() -> None:
    await asyncio.sleep(1000)


@track("llm")
async def answer() -> str:
    async with shield():
        await asyncio.sleep(0.1)
        return "whole"


async def test_it_stops(begin_shutdown: testing.BeginShutdown) -> None:
    """The picture is cancelled; the answer is shielded, and comes."""
    drawing, answering = asyncio.create_task(draw()), asyncio.create_task(answer())
    await asyncio.sleep(0)
    outcome = await begin_shutdown("SIGTERM")
    assert "image" in [info.kind for info in outcome.stopped]
    assert [info.kind for info in outcome.shielded] == ["llm"]
    assert outcome.refused == []  # nobody who would not end
    assert drawing.cancelled()
    assert answering.done()
