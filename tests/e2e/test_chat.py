"""What the people in the chat see of it all."""

import asyncio
import signal

import httpx
import pytest

from examples.sandbox import HANG, free_port
from examples.sandbox.onebot import Answer

from .harness import FASTAPI, NONE, QUART

NOTICE = "机器人正在重启，刚才的请求已取消（{kind}，{reason}）。"
SAID = "机器人正在重启，刚才的请求已取消（image，SIGINT）。"
LONG = {"graceful_notice": NOTICE, "graceful_deadline": 60}
SOON = 15
"""Seconds: far below what these bots would wait for what does not come."""

PAINTER = """
import asyncio
import httpx
from mark import mark
from nonebot import get_driver, on_command, require
require("nonebot_plugin_graceful")
from nonebot_plugin_graceful import Interrupted, http_client, track

base = get_driver().config.ai_base_url

async def ask(path):
    try:
        async with httpx.AsyncClient(trust_env=False, timeout=None) as client:
            await client.post(f"{base}/{path}")
    finally:
        mark(f"{path} stopped")

@on_command("draw", force_whitespace=True).handle()
async def _():
    async with track("image"):
        await ask("draw")

@on_command("own", force_whitespace=True).handle()
async def _():
    async with track("image", notice="画笔收走了"):
        await ask("own")

@on_command("quiet", force_whitespace=True).handle()
async def _():
    async with track("image", notice=False):
        await ask("quiet")

client = http_client(kind="image", trust_env=False, timeout=60)

@on_command("client", force_whitespace=True).handle()
async def _():
    await client.post(f"{base}/client")

stranger = on_command("stranger", force_whitespace=True)

@stranger.handle()
async def _():
    try:
        await ask("stranger")
    except asyncio.CancelledError:
        await stranger.finish("已被管理员终止")

friend = on_command("friend", force_whitespace=True)

@friend.handle()
async def _():
    try:
        async with track("image", notice=False):
            await ask("friend")
    except Interrupted as stop:
        await friend.send(f"画到一半停了：{stop.reason}")
        raise
"""


async def in_flight(api, onebot, *commands):
    """Have these commands wait for the AI service."""
    for path in {command for command, _, _ in commands}:
        api.on(f"/v1/{path}", HANG)
    ids = [await onebot.say(user, f"/{command}", group) for command, user, group in commands]
    for path in {command for command, _, _ in commands}:
        wanted = sum(command == path for command, _, _ in commands)
        await api.wait_for_requests(wanted, f"/v1/{path}")
    return ids


@pytest.mark.parametrize("driver", [FASTAPI, NONE], ids=["fastapi", "none"])
async def test_each_chat_gets_one_notice_before_the_line_closes(driver, api, onebot, bot_factory):
    """Three members in two groups: two notices, replies to what was asked, and then the end."""
    bot = await bot_factory(PAINTER, driver=driver, settings=LONG)
    ids = await in_flight(api, onebot, ("draw", 1, 100), ("draw", 2, 100), ("draw", 3, 200))
    bot.signal(signal.SIGINT)
    await bot.wait()
    closed = await onebot.wait_closed()
    assert sorted(call.chat for call in onebot.sent) == [("group", 100), ("group", 200)], bot.log
    assert {call.text.removeprefix("[reply]") for call in onebot.sent} == {SAID}
    replied = {call.params["message"][0]["data"]["id"] for call in onebot.sent}
    assert replied <= {str(i) for i in ids}
    assert all(call.received < closed.time for call in onebot.sent)
    assert bot.seconds_to_exit < SOON


async def test_no_notice_by_default(api, onebot, bot_factory):
    """The bot says nothing that nobody asked it to say."""
    bot = await bot_factory(PAINTER)
    await in_flight(api, onebot, ("draw", 1, 100))
    bot.signal(signal.SIGINT)
    await bot.wait()
    assert onebot.sent == []


async def test_a_section_has_the_last_word_on_its_notice(api, onebot, bot_factory):
    """``notice="…"`` replaces the text, ``notice=False`` silences it."""
    bot = await bot_factory(PAINTER, settings={"graceful_notice": NOTICE})
    await in_flight(api, onebot, ("own", 1, 100), ("quiet", 2, 200), ("client", 3, 300))
    bot.signal(signal.SIGINT)
    await bot.wait()
    said = {call.chat: call.text.removeprefix("[reply]") for call in onebot.sent}
    assert said == {("group", 100): "画笔收走了", ("group", 300): SAID}, bot.log


async def test_notices_have_a_limit(api, onebot, bot_factory):
    """No more chats than ``GRACEFUL_NOTICE_LIMIT``, and the log says that there were more."""
    settings = {"graceful_notice": NOTICE, "graceful_notice_limit": 1}
    bot = await bot_factory(PAINTER, settings=settings)
    await in_flight(api, onebot, ("draw", 1, 100), ("draw", 2, 200), ("draw", 3, 300))
    bot.signal(signal.SIGINT)
    await bot.wait()
    assert len(onebot.sent) == 1
    assert bot.find("Notices go to 1 chats of 3")


async def test_a_chat_client_that_hangs_costs_its_second(api, onebot, bot_factory):
    """A notice that is not taken is given up, logged, and not tried again."""
    bot = await bot_factory(PAINTER, settings=LONG)
    await in_flight(api, onebot, ("draw", 1, 100))
    onebot.on("send_msg", Answer(latency=None))
    bot.signal(signal.SIGINT)
    await bot.wait()
    closed = await onebot.wait_closed()
    assert len(onebot.sent) == 1
    assert bot.find("The notice to 100 was not confirmed within 1.0 s"), bot.log
    assert closed.time - bot.signalled < SOON


async def test_a_stranger_cries_no_wolf(api, onebot, bot_factory):
    """What a handler says of being cancelled is muted and logged; who uses track() may speak."""
    bot = await bot_factory(PAINTER)
    await in_flight(api, onebot, ("stranger", 1, 100), ("friend", 2, 200))
    bot.signal(signal.SIGINT)
    await bot.wait()
    assert [(call.chat, call.text) for call in onebot.sent] == [
        (("group", 200), "画到一半停了：SIGINT")
    ], bot.log
    assert bot.find("Muted what plugin_0 says of being cancelled: send_msg")


ANSWERS = """
import asyncio
import time
import httpx
from mark import mark
from nonebot import get_driver, on_command

base = get_driver().config.ai_base_url

async def ask(path):
    async with httpx.AsyncClient(trust_env=False, timeout=None) as client:
        return (await client.post(f"{base}/{path}")).text

answers = on_command("answers", force_whitespace=True)

@answers.handle()
async def _():
    await answers.finish("the answer")

counts = on_command("counts", force_whitespace=True)

@counts.handle()
async def _():
    await counts.send("the answer")
    mark("counted")

waits = on_command("waits", force_whitespace=True)

@waits.handle()
async def _():
    await waits.send("one moment")
    await ask("draw")

blocks = on_command("blocks", force_whitespace=True)

@blocks.handle()
async def _():
    try:
        mark("blocks")
        time.sleep(30)
    finally:
        await blocks.send("it failed")
        await asyncio.sleep(0.2)
        mark("cleaned up")
"""


AT_ONCE = {"graceful_notice": NOTICE, "graceful_kinds": {"handler": {"grace": 0}}}


@pytest.mark.parametrize("command", ["answers", "counts"])
async def test_who_was_just_being_answered_is_told_nothing_more(command, onebot, bot_factory):
    """The answer arrives, and no word that it was stopped."""
    bot = await bot_factory(ANSWERS, settings=AT_ONCE)
    onebot.on("send_msg", Answer(latency=0.5))
    await onebot.say(1, f"/{command}", 100)
    await onebot.wait_for_message("the answer")
    bot.signal(signal.SIGINT)
    await bot.wait()
    assert [call.text for call in onebot.sent] == ["the answer"], bot.log


async def test_who_was_just_asked_to_wait_is_told(onebot, bot_factory, api):
    """That was not the answer."""
    api.on("/v1/draw", HANG)
    bot = await bot_factory(ANSWERS, settings=AT_ONCE)
    onebot.on("send_msg", Answer(latency=0.5))
    await onebot.say(1, "/waits", 100)
    await onebot.wait_for_message("one moment")
    bot.signal(signal.SIGINT)
    await bot.wait()
    texts = [call.text.removeprefix("[reply]") for call in onebot.sent]
    assert texts == ["one moment", NOTICE.format(kind="handler", reason="SIGINT")], bot.log


async def test_who_blocked_the_event_loop_is_told_why_and_cleans_up(onebot, bot_factory):
    """It is the shutdown that interrupts; what the handler says of it is muted, and cuts nothing."""
    bot = await bot_factory(ANSWERS, settings=AT_ONCE)
    await onebot.say(1, "/blocks", 100)
    await bot.wait_mark("blocks")
    bot.signal(signal.SIGINT)
    await bot.wait()
    texts = [call.text.removeprefix("[reply]") for call in onebot.sent]
    assert texts == [NOTICE.format(kind="handler", reason="SIGINT")], bot.log
    assert bot.mark("cleaned up"), bot.log


async def test_a_stranger_may_be_left_to_speak(api, onebot, bot_factory):
    """``GRACEFUL_MUTE_CANCELLED=false``."""
    bot = await bot_factory(PAINTER, settings={"graceful_mute_cancelled": False})
    await in_flight(api, onebot, ("stranger", 1, 100))
    bot.signal(signal.SIGINT)
    await bot.wait()
    assert [call.text for call in onebot.sent] == ["已被管理员终止"]


async def test_a_recall_hangs_up_on_the_service(api, onebot, bot_factory):
    """The recalled request's HTTP call ends at once, and no other's."""
    await bot_factory(PAINTER)
    first, _ = await in_flight(api, onebot, ("draw", 1, 100), ("draw", 2, 100))
    await onebot.recall(first)
    await api.wait_for_disconnects(1, "/v1/draw")
    assert len(api.in_flight) == 1


async def test_an_operator_stops_the_bot_from_the_chat(api, onebot, bot_factory):
    """``/graceful stop`` answers, tells the others why, and the bot ends as by SIGTERM."""
    settings = {"graceful_notice": NOTICE, "superusers": ["999"]}
    bot = await bot_factory(PAINTER, settings=settings)
    await in_flight(api, onebot, ("draw", 1, 100))
    await onebot.say(999, "/graceful stop 换显卡")
    await bot.wait()
    assert not bot.killed
    assert [(call.chat, call.text.removeprefix("[reply]")) for call in onebot.sent] == [
        (("private", 999), "开始停机：换显卡"),
        (("group", 100), "机器人正在重启，刚才的请求已取消（image，换显卡）。"),
    ], bot.log


async def test_notices_that_arrive_take_no_time(api, onebot, bot_factory):
    """Over the same shutdown without them: nobody waits for as long as they might have taken."""
    seconds = []
    for text in ("", NOTICE):
        settings = {**LONG, "graceful_notice": text, "graceful_notice_timeout": 25}
        bot = await bot_factory(PAINTER, settings=settings)
        await in_flight(api, onebot, ("draw", 1, 100), ("draw", 2, 100), ("draw", 3, 200))
        bot.signal(signal.SIGINT)
        await bot.wait()
        await onebot.wait_closed()
        seconds.append(bot.seconds_to_exit)
        api.requests.clear()
    assert len(onebot.sent) == 2
    assert seconds[1] - seconds[0] < SOON


async def test_drain_lets_the_running_finish(api, onebot, bot_factory):
    """And refuses the next, whose service is not asked."""
    bot = await bot_factory(PAINTER, settings={"superusers": ["999"]})
    api.on("/v1/draw", HANG)
    await onebot.say(1, "/draw", 100)
    await api.wait_for_requests(1, "/v1/draw")
    await onebot.say(999, "/graceful drain")
    await onebot.wait_for_message("手上的 1 项会做完")
    await onebot.say(2, "/draw", 200)
    refusal = await onebot.wait_for_message("机器人暂时不接新的 AI 任务")
    assert refusal.chat == ("group", 200)
    api.let_go("/v1/draw")
    await bot.wait_mark("draw stopped")
    (request,) = api.requests
    assert request.disconnected is None


HEALTH = """
import asyncio
from pathlib import Path
from nonebot import on_command, require
require("nonebot_plugin_graceful")
from nonebot_plugin_graceful import shield, track

@on_command("busy").handle()
async def _():
    async with track("image"), shield():
        while not Path("go on").exists():
            await asyncio.sleep(0.01)
"""


@pytest.mark.parametrize("driver", [FASTAPI, QUART], ids=["fastapi", "quart"])
async def test_the_health_path_tells_the_phase(driver, onebot, bot_factory):
    """It lives while it drains, and is ready no more; counts by kind, nothing about users."""
    port = free_port()
    settings = {"graceful_health_path": "/healthz", "port": port, "superusers": ["999"]}
    settings |= {"graceful_deadline": 60, "graceful_shield_timeout": 50}
    bot = await bot_factory(HEALTH, driver=driver, settings=settings)
    async with httpx.AsyncClient(
        base_url=f"http://127.0.0.1:{port}", trust_env=False, timeout=30
    ) as client:
        answer = await client.get("/healthz")
        idle = {"phase": "running", "accepting": True, "in_flight": {}}
        assert (answer.status_code, answer.json()) == (200, idle)
        assert (await client.get("/healthz?ready")).status_code == 200
        await onebot.say(999, "/graceful drain")
        await onebot.wait_for_message("不再接新的 AI 任务")
        assert (await client.get("/healthz?ready")).status_code == 503
        assert (await client.get("/healthz")).status_code == 200
        await onebot.say(999, "/graceful resume")
        await onebot.wait_for_message("重新开始接")
        assert (await client.get("/healthz?ready=1")).status_code == 200
        await onebot.say(424242, "/busy")
        # for a moment there is the command's handler, and this one's before it says what it does
        while (await client.get("/healthz")).json()["in_flight"] != {"image": 1}:
            await asyncio.sleep(0.01)
        bot.signal(signal.SIGTERM)
        await bot.wait_log("SIGTERM: stopping")
        answer = await client.get("/healthz")
        draining = {"phase": "draining", "accepting": False, "in_flight": {"image": 1}}
        assert (answer.status_code, answer.json()) == (200, draining)
        answer = await client.get("/healthz?ready")
        assert (answer.status_code, answer.json()) == (503, draining)
        assert "424242" not in answer.text
    (bot.folder / "go on").touch()
    await bot.wait()
    assert not bot.killed


async def test_the_health_path_needs_a_server(bot_factory):
    """Without one it is not there, and the log says so; and the bot runs."""
    bot = await bot_factory(driver=NONE, settings={"graceful_health_path": "/healthz"})
    await bot.wait_log("is no server, so /healthz is not there")
