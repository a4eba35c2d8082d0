"""Bots that others wrote, with a loop, hooks and routes of their own: no edit, no setting."""

import asyncio
import signal

import httpx
import pytest
import uvicorn

from examples.sandbox.api import HANG

from .culprits import WITNESS, last_shutdown
from .endings import CLEAN, assert_before_the_deadline, assert_orderly, paths_since
from .harness import FASTAPI, NONE, QUART
from .other_bots import ASKING, OPEN_RESPONSE, OPEN_RESPONSE_OF_QUART, OWN_LOOP, SYNC, WAITING

RAISED_AGAIN = hasattr(uvicorn.Server, "capture_signals")
"""Whether uvicorn delivers a signal again when it has ended (from 0.29 on): KeyboardInterrupt."""


@pytest.mark.parametrize("busy", [False, True], ids=["idle", "busy"])
async def test_a_loop_of_its_own_ends_as_without_the_plugin(busy, bot_factory, onebot, api):
    """Whoever cancels and gathers everything at the end is not cancelled for it."""
    bot = await bot_factory(WITNESS, ASKING, run=OWN_LOOP)
    if busy:
        api.on("/v1/paid", HANG)
        await onebot.say(1, "/ask")
        await api.wait_for_requests(1, "/v1/paid")
    bot.signal(signal.SIGINT)
    assert await bot.wait() == 0, bot.log
    marks = [line.text for line in bot.marks()]
    assert marks[-1] == "after its loop", bot.log
    assert ("interrupted" in marks) == RAISED_AGAIN, bot.log
    assert "Traceback" not in bot.log
    assert bot.find("Stopped (SIGINT)"), bot.log


@pytest.mark.parametrize("driver", [FASTAPI, NONE], ids=["fastapi", "none"])
@pytest.mark.parametrize("order", ["loaded first", "loaded last"])
async def test_ctrl_c_during_the_start_ends_the_hook_that_waits(driver, order, bot_factory, api):
    """It is named; those that have not begun are left out; the shutdown hooks run."""
    api.on("/v1/paid", HANG)
    plugins = (WITNESS, ASKING, WAITING)
    late = ("from nonebot import require\nrequire('nonebot_plugin_graceful')\n",)
    bot = await bot_factory(
        *plugins,
        *(late if order == "loaded last" else ()),
        driver=driver,
        graceful=order == "loaded first",
        connect=False,
    )
    await bot.wait_mark("fetching")
    await api.wait_for_requests(1, "/v1/paid")
    signalled = bot.signal(signal.SIGINT)
    await bot.wait()
    assert_before_the_deadline(bot)
    assert bot.find("on_startup hook plugin_2.fetches_its_models was ended"), bot.log
    assert paths_since(api, signalled) == []


async def test_many_handlers_with_blocking_requests_end_in_order(
    bot_factory, onebot, api, tmp_path
):
    """After the first is interrupted no other begins; all of them are told of, and every hook runs."""
    bot = await bot_factory(WITNESS, SYNC)
    api.on("/v1/paid", HANG)
    for user in range(30):
        await onebot.say(user + 1, "/sync")
    await api.wait_for_requests(1, "/v1/paid")
    signalled = bot.signal(signal.SIGINT)
    await bot.wait()
    assert_orderly(bot)
    assert len(paths_since(api, signalled)) <= 3, bot.log
    report = last_shutdown(tmp_path)
    assert all("plugin_1.py" in place for place in report["interrupted"]), report["interrupted"]
    assert report["kinds"], report


@pytest.mark.parametrize(
    ("driver", "site"),
    [(FASTAPI, OPEN_RESPONSE), (QUART, OPEN_RESPONSE_OF_QUART)],
    ids=["fastapi", "quart"],
)
async def test_open_responses_do_not_hold_the_exit(driver, site, bot_factory, onebot):
    """A page of events and a route that takes a minute end when the server closes, and are listed."""
    bot = await bot_factory(WITNESS, site, driver=driver, settings={"superusers": ["999"]})
    port = bot.port
    async with httpx.AsyncClient(trust_env=False, timeout=None) as client:
        async with client.stream("GET", f"http://127.0.0.1:{port}/events") as events:
            texts = events.aiter_text()  # let go of, it would close the page
            await anext(texts)
            waiting = asyncio.create_task(client.get(f"http://127.0.0.1:{port}/slow"))
            await bot.wait_mark("slow begins")
            await onebot.say(999, "/graceful")
            told = await onebot.wait_for_message("进行中 2 项")
            assert "GET /events" in told.text
            assert "GET /slow" in told.text
            bot.signal(signal.SIGINT)
            await bot.wait()
        waiting.cancel()
        await asyncio.gather(waiting, return_exceptions=True)
    assert_orderly(bot)


async def test_what_outlived_its_handler_is_told_of(bot_factory, onebot, api, tmp_path):
    """Its request is in the report, by plugin, once."""
    bot = await bot_factory(WITNESS, ASKING)
    api.on("/v1/paid", HANG)
    await onebot.say(1, "/leave")
    await api.wait_for_requests(1, "/v1/paid")
    bot.signal(signal.SIGINT)
    assert await bot.wait() == CLEAN, bot.log
    assert last_shutdown(tmp_path)["plugins"] == {"plugin_1": {"cancelled": 1}}, bot.log
