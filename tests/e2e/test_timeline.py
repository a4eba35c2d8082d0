"""The timeline in the report of a real shutdown."""

import itertools
import signal

from examples.sandbox import HANG

from .culprits import last_shutdown
from .endings import FIRST, SECOND, press_again
from .harness import NONE

PLUGIN = """
import asyncio
from mark import mark
from nonebot import get_driver, on_command
from nonebot_plugin_graceful import http_client, on_shutting_down, track

URL = get_driver().config.ai_base_url
client = http_client(kind="llm")


@on_command("draw").handle()
@track("image", name="draw")
async def _():
    await client.post(f"{URL}/images/generations", json={})


@on_command("deaf").handle()
async def _():
    await client.post(f"{URL}/deaf")


async def deaf():
    while True:
        try:
            await asyncio.sleep(100)
        except asyncio.CancelledError:
            await asyncio.sleep(0.01)


@on_command("stuck").handle()
async def _():
    mark("stuck")
    await deaf()


@get_driver().on_shutdown
async def save():
    await asyncio.sleep(0.1)


@get_driver().on_shutdown
async def breaks():
    raise ValueError


@on_shutting_down
async def be_told():
    await asyncio.sleep(0.01)
"""


async def test_everything_has_its_time(bot_factory, onebot, api, tmp_path):
    """Phases follow each other; work, hooks and the end have theirs; nothing ends before it begins."""
    api.on("/v1/*", HANG)
    bot = await bot_factory(PLUGIN, settings={"command_start": ["/"]})
    await onebot.say(1, "/draw", group=5)
    await onebot.say(2, "/stuck", group=5)
    await api.wait_for_requests(1)
    await bot.wait_mark("stuck")
    bot.signal(signal.SIGINT)
    await bot.wait()

    timeline = last_shutdown(tmp_path)["timeline"]
    phases = timeline["phases"]
    assert [phase["name"] for phase in phases] == ["work", "server", "hooks"]
    for before, after in itertools.pairwise(phases):
        assert 0 <= before["began"] <= before["ended"] == after["began"]
    works = {work["user"]: work for work in timeline["works"]}
    assert works["1"]["began"] < 0 <= works["1"]["told"] <= works["1"]["ended"]
    assert (works["1"]["outcome"], works["1"]["plugin"]) == ("cancelled", "plugin_0")
    assert (works["2"]["outcome"], works["2"]["ended"]) == ("abandoned", None)
    assert "plugin_0.py" in works["2"]["where"]
    hooks = {hook["name"].rpartition(".")[2]: hook for hook in timeline["hooks"]}
    assert hooks["be_told"]["event"] == "on_shutting_down"
    assert hooks["breaks"]["failure"] and not hooks["save"]["failure"]
    assert hooks["breaks"]["ended"] <= hooks["save"]["began"] < hooks["save"]["ended"]


async def test_a_shutdown_that_is_ended_by_force_tells_what_was_on(bot_factory, onebot, tmp_path):
    """The second and third press are in the timeline, and what went on is open."""
    bot = await bot_factory(
        PLUGIN, settings={"command_start": ["/"], "graceful_cancel_timeout": 20}
    )
    await onebot.say(2, "/stuck", group=5)
    await bot.wait_mark("stuck")
    bot.signal(signal.SIGINT)
    await press_again(bot, told=FIRST)
    await press_again(bot, told=SECOND)
    await bot.wait()

    timeline = last_shutdown(tmp_path)["timeline"]
    assert len(timeline["presses"]) == 1
    assert timeline["presses"][0] <= timeline["gone"]
    [phase] = timeline["phases"]
    assert (phase["name"], phase["ended"]) == ("work", None)
    [work] = timeline["works"]
    assert (work["user"], work["ended"]) == ("2", None)


async def test_who_ends_by_himself_was_not_told(bot_factory, onebot, api, tmp_path):
    """Within a grace; the process notes when it was gone."""
    source = """
from mark import mark
from nonebot import on_command
from nonebot_plugin_graceful import is_shutting_down, track
import asyncio

@on_command("short").handle()
@track("image", grace=5)
async def _():
    mark("at it")
    while not is_shutting_down():
        await asyncio.sleep(0.01)
    await asyncio.sleep(0.1)
"""
    bot = await bot_factory(source, driver=NONE, settings={"command_start": ["/"]})
    await onebot.say(1, "/short")
    await bot.wait_mark("at it")
    bot.signal(signal.SIGTERM)
    await bot.wait()
    timeline = last_shutdown(tmp_path)["timeline"]
    [work] = timeline["works"]
    assert (work["outcome"], work["told"]) == ("finished", None)
    assert 0.1 <= work["ended"] <= timeline["gone"] <= bot.seconds_to_exit + 0.001
