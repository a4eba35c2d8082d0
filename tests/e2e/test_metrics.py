"""Metrics of a real bot, over HTTP."""

import asyncio
import signal

import anyio
import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from examples.sandbox import Rule

from .harness import FASTAPI, NONE, QUART

PLUGIN = """
from mark import mark
from nonebot import get_driver, on_command
from nonebot_plugin_graceful import http_client, retry

URL = get_driver().config.ai_base_url
client = http_client(kind="llm", retries=1)


@on_command("talk").handle()
async def _():
    await client.post(f"{URL}/chat/completions", json={"messages": [{"content": "hi"}]})
    mark("talked")


@on_command("break").handle()
async def _():
    mark("broke")
    raise ValueError
"""


def samples(text):
    """Give every sample, by its name and the values of its labels in the order of their names."""
    return {
        (sample.name, *(value for _, value in sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
        if sample.name.startswith("graceful_")
    }


def asking(bot):
    """Have a client that asks nobody's proxy, and gives a busy machine its time."""
    url = f"http://127.0.0.1:{bot.port}"
    return httpx.AsyncClient(base_url=url, trust_env=False, timeout=30)


async def until(client, sample):
    """Wait until a sample is there; nothing tells of it."""
    with anyio.fail_after(30):
        while sample not in samples((await client.get("/metrics")).text):
            await asyncio.sleep(0.05)


@pytest.mark.parametrize("driver", [FASTAPI, QUART], ids=["fastapi", "quart"])
async def test_they_are_there_for_prometheus(driver, bot_factory, onebot, api):
    """What was done, failed, asked and tried again; in the format that it asks for."""
    api.on("/v1/chat/completions", Rule(503), Rule(200))
    settings = {"graceful_metrics_path": "/metrics", "command_start": ["/"]}
    bot = await bot_factory(PLUGIN, driver=driver, settings=settings)
    await onebot.say(7_654_321, "/talk", group=1_234_567)
    await onebot.say(7_654_321, "/break", group=1_234_567)
    await bot.wait_mark("talked")
    await bot.wait_mark("broke")
    failed = ("graceful_work_total", "handler", "failed", "plugin_0")
    async with asking(bot) as client:
        await until(client, failed)
        answer = await client.get("/metrics", headers={"Accept": "application/openmetrics-text"})

    assert answer.headers["Content-Type"].startswith("application/openmetrics-text")
    assert "7654321" not in answer.text and "1234567" not in answer.text
    found = samples((answer.text).replace("# EOF\n", ""))
    assert found["graceful_http_requests_total", "127.0.0.1", "503"] == 1
    assert found["graceful_http_requests_total", "127.0.0.1", "200"] == 1
    assert found["graceful_retries_total", "127.0.0.1", "503"] == 1
    assert found["graceful_work_total", "llm", "done", "plugin_0"] == 1
    assert found["graceful_accepting",] == 1
    assert found["graceful_phase", "running"] == 1


BLOCKING = """
import asyncio
import time
from pathlib import Path

from mark import mark
from nonebot import on_command
from nonebot_plugin_graceful import is_shutting_down, shield

@on_command("block").handle()
async def _():
    while not Path("go on").exists():
        time.sleep(0.01)
    mark("went on")

@on_command("late").handle()
async def _():
    async with shield():
        mark("waits")
        while not is_shutting_down():
            await asyncio.sleep(0.01)
        await asyncio.sleep(0.1)
        time.sleep(3)  # nothing tells that it was noticed, which takes half a second
        mark("went on late")
        while not Path("told").exists():
            await asyncio.sleep(0.01)
"""
BLOCKED = ("graceful_loop_blocked_total", "plugin_0")


async def test_who_blocks_the_loop_is_counted(bot_factory, onebot):
    """Once for a call, by the plugin whose code it is; also of a bot that is being stopped."""
    settings = {
        "graceful_metrics_path": "/metrics",
        "graceful_blocked": 0.2,
        "graceful_deadline": 30,
        "graceful_shield_timeout": 20,
    }
    bot = await bot_factory(BLOCKING, settings=settings)
    async with asking(bot) as client:
        await onebot.say(1, "/block")
        await bot.wait_log("plugin_0 has blocked the event loop")
        (bot.folder / "go on").touch()
        await bot.wait_mark("went on")
        await until(client, BLOCKED)
        assert samples((await client.get("/metrics")).text)[BLOCKED] == 1
        await onebot.say(1, "/late")
        await bot.wait_mark("waits")
        bot.signal(signal.SIGINT)
        await bot.wait_mark("went on late")
        assert samples((await client.get("/metrics")).text)[BLOCKED] == 2
        (bot.folder / "told").touch()


async def test_the_path_needs_a_server(bot_factory):
    """Without one it is warned about."""
    bot = await bot_factory(driver=NONE, settings={"graceful_metrics_path": "/metrics"})
    assert bot.find("is no server, so /metrics is not there")


async def test_a_job_that_fails_has_failed(bot_factory):
    """The scheduler keeps its exception to itself."""
    source = """
from datetime import datetime
from nonebot import require
require("nonebot_plugin_apscheduler")
from nonebot_plugin_apscheduler import scheduler

@scheduler.scheduled_job("date", run_date=datetime.now(), misfire_grace_time=None)
async def breaks():
    raise ValueError
"""
    bot = await bot_factory(source, settings={"graceful_metrics_path": "/metrics"})
    failed = ("graceful_work_total", "job", "failed", "plugin_0")
    async with asking(bot) as client:
        await until(client, failed)
