"""The page's interface, over HTTP, with both servers that NoneBot knows."""

import asyncio
import signal
import sys
from types import SimpleNamespace

import anyio
import httpx
import pytest

from examples.sandbox import HANG

from .harness import FASTAPI, NONE, QUART, start_bot

TOKEN = "a-token-of-the-tests"
SETTINGS = {
    "graceful_page_token": TOKEN,
    "graceful_kinds": {"image": {"limit": 1}},
    "command_start": ["/"],
}
PLUGIN = """
from nonebot import get_driver, on_command
from nonebot_plugin_graceful import http_client, track

URL = get_driver().config.ai_base_url
client = http_client(kind="llm")


@on_command("draw").handle()
@track("image", name="<img src=x onerror=alert(1)>", resume=True)
async def _():
    await client.post(f"{URL}/images/generations", json={})
"""


def client_of(bot, path="/graceful", token=TOKEN):
    """Have a client that asks nobody's proxy, and gives a busy machine its time."""
    return httpx.AsyncClient(
        base_url=f"http://127.0.0.1:{bot.port}{path}",
        headers={"Authorization": f"Bearer {token}"},
        trust_env=False,
        timeout=30,
    )


both = pytest.mark.parametrize("driver", [FASTAPI, QUART], ids=["fastapi", "quart"])


@pytest.fixture
async def asking(bot_factory, onebot, api):
    """Start a bot with the page, in which one request hangs and another one is queued."""
    clients = []

    async def asking(driver=FASTAPI, token=TOKEN):
        api.on("/v1/*", HANG)
        bot = await bot_factory(PLUGIN, driver=driver, settings=SETTINGS)
        await onebot.say(7_654_321, "/draw", group=1_234_567)
        await api.wait_for_requests(1)
        await onebot.say(7_654_322, "/draw", group=1_234_567)
        client = client_of(bot, token=token)
        clients.append(client)
        return bot, client

    yield asking
    for client in clients:
        await client.aclose()


@pytest.fixture
async def lives_on(api):
    """Start a bot once more, to which no account is connected."""
    begun = []

    async def lives_on(bot):
        settings = {**SETTINGS, "ai_base_url": f"{api.url}/v1"}
        nobody = SimpleNamespace(dial=lambda url: None, connections=0)
        bot = await start_bot(bot.folder, nobody, PLUGIN, settings=settings)
        await bot.wait_log("Uvicorn running")
        client = client_of(bot)
        begun.append((bot, client))
        return bot, client

    yield lives_on
    for bot, client in begun:
        await client.aclose()
        bot.kill()
        await bot.wait()


async def state_when(client, condition):
    """Give the state as soon as it is as it is to be; nothing tells of it."""
    with anyio.fail_after(30):
        while not condition(state := (await client.get("/api/state")).json()):
            await asyncio.sleep(0.05)
    return state


@both
async def test_it_tells_what_is_in_flight_and_cancels_it(driver, asking, api):
    """For whom, what it waits for, who is queued; and the service sees its call end."""
    _, client = await asking(driver)
    state = await state_when(client, lambda state: len(state["works"]) == 2)
    first, second = state["works"]
    assert (first["user"], first["chat"], first["plugin"]) == ("7654321", "1234567", "plugin_0")
    assert first["waits_for"] == "127.0.0.1"
    assert (second["state"], second["position"]) == ("queued", 1)
    assert state["kinds"]["image"]["limit"] == 1
    answer = await client.post("/api/do", json={"action": "cancel", "id": first["id"]})
    assert answer.json() == {"cancelled": 1}
    await api.wait_for_disconnects(1)
    state = await state_when(client, lambda state: len(state["works"]) == 1)
    assert state["works"][0]["user"] == "7654322"
    answer = await client.post("/api/do", json={"action": "cancel", "kind": "image"})
    assert answer.json() == {"cancelled": 1}


@both
async def test_it_drains_resumes_and_stops(driver, asking):
    """As the command does."""
    bot, client = await asking(driver)
    await client.post("/api/do", json={"action": "drain"})
    assert (await client.get("/api/state")).json()["paused"]
    await client.post("/api/do", json={"action": "resume"})
    assert not (await client.get("/api/state")).json()["paused"]
    assert (await client.post("/api/do", json={"action": "stop"})).status_code == 200
    assert await bot.wait() in (0, -signal.SIGTERM)  # uvicorn passes it on
    assert bot.find("asked for on the page: stopping what is in flight")


@pytest.mark.skipif(sys.platform == "win32", reason="there is no exec there")
@both
async def test_it_restarts(driver, asking, onebot):
    """The same process, the same path, another life; what was in flight goes on in it."""
    bot, client = await asking(driver)
    assert "restart" in (await client.get("/api/state")).json()["actions"]
    assert (await client.post("/api/do", json={"action": "restart"})).status_code == 200
    await bot.wait_log("Restarting: the same command again")
    onebot.dial(f"ws://127.0.0.1:{bot.port}/onebot/v11/ws")
    await onebot.wait_for_connection(2)
    state = await state_when(client, lambda state: state["last"])
    assert state["phase"] == "running"
    assert state["last"]["reason"] == "asked for on the page"
    assert state["last"]["elsewhere"] == ""
    assert bot.exit_code is None


@both
async def test_nothing_is_told_without_the_token(driver, asking):
    """Nor done; the page itself, in which nothing is, may be had."""
    bot, client = await asking(driver, token="wrong-token")
    answers = [
        await client.get("/api/state", headers={"Authorization": ""}),
        await client.post("/api/do", json={"action": "stop"}),
        await client.get("/api/log"),
        await client.get("/api/last"),
    ]
    assert [answer.status_code for answer in answers] == [401] * 4
    assert [answer.text for answer in answers] == [""] * 4
    page = await client.get(f"http://127.0.0.1:{bot.port}/graceful")
    assert page.status_code == 200
    assert "default-src 'none'" in page.headers["Content-Security-Policy"]


@both
async def test_after_ten_wrong_tokens_the_address_waits(driver, asking, monkeypatch):
    """Whatever it asks for then."""
    _, client = await asking(driver, token="wrong-token")
    wrong = await asyncio.gather(*(client.get("/api/state") for _ in range(12)))
    assert sorted(answer.status_code for answer in wrong) == [401] * 10 + [429] * 2
    right = await client.get("/api/state", headers={"Authorization": f"Bearer {TOKEN}"})
    assert right.status_code == 429
    assert 1 <= int(right.headers["Retry-After"]) <= 61


@both
async def test_what_is_wrong_is_said(driver, asking):
    """With status 400."""
    _, client = await asking(driver)
    for order in ({}, {"action": "explode"}, {"action": "cancel"}, {"action": ["stop"]}, []):
        assert (await client.post("/api/do", json=order)).status_code == 400
    answer = await client.post("/api/do", content=b"nonsense")
    assert answer.status_code == 400


async def pieces():
    for _ in range(100):
        yield b"x" * 1_000_000


@both
@pytest.mark.parametrize("content", [b"x" * 5000, pieces], ids=["at once", "in pieces"])
async def test_nobody_is_heard_out_who_talks_too_long(driver, asking, content):
    """NoneBot's drivers read all that somebody brings, whoever it is, before they ask anybody."""
    _, client = await asking(driver, token="wrong-token")
    for method, path in (("POST", "/api/do"), ("GET", "/api/state"), ("GET", "/")):
        request = client.build_request(
            method, path, content=content() if content is pieces else content
        )
        try:
            assert (await client.send(request)).status_code == 413
        except (httpx.WriteError, httpx.ReadError, httpx.RemoteProtocolError):
            assert content is pieces  # the server has hung up meanwhile
    assert (await client.get("/")).status_code == 200


@both
async def test_a_slash_at_the_end_does_no_harm(driver, asking):
    """Nor does a browser lose what a proxy has put before the path, by being sent elsewhere."""
    bot, client = await asking(driver)
    for path in ("/graceful", "/graceful/"):
        assert (await client.get(f"http://127.0.0.1:{bot.port}{path}")).status_code == 200


@both
async def test_it_may_be_the_root(driver, bot_factory):
    """Of a server that is there for nothing else to be looked at."""
    bot = await bot_factory(driver=driver, settings={**SETTINGS, "graceful_page_path": "/"})
    async with client_of(bot, "") as client:
        assert "<!doctype html>" in (await client.get("/")).text
        assert (await client.get("/api/state")).json()["phase"] == "running"


async def test_the_last_shutdown_and_the_log_are_told(asking, onebot, bot_factory):
    """The picture as the width is; the log without what is said in chats."""
    bot, client = await asking()
    assert (await client.get("/api/last")).json() is None
    with anyio.fail_after(30):
        while "connected" not in (log := "\n".join((await client.get("/api/log")).json()["lines"])):
            await asyncio.sleep(0.1)
    assert "/draw" not in log
    await client.post("/api/do", json={"action": "stop"})
    await bot.wait()
    report = next(bot.folder.rglob("last_shutdown.json"))
    await onebot.wait_closed()
    again = await bot_factory(PLUGIN, settings=SETTINGS, env={"GRACEFUL_REPORT_FILE": str(report)})
    async with client_of(again) as client:
        svg = (await client.get("/api/last?width=400&lang=zh")).json()["svg"]
        assert 'width="400"' in svg and "已取消" in svg
        assert "<img" not in svg
        assert (await client.get("/api/state")).json()["last"]["clean"]


async def test_what_waits_in_the_journal_is_told_and_forgotten(asking, lives_on, api, onebot):
    """By its number; what is left is taken up when the account is there again."""
    bot, client = await asking()
    answer = await client.post("/api/do", json={"action": "forget", "id": 12345})
    assert answer.json() == {"forgotten": 0}
    await state_when(client, lambda state: len(state["works"]) == 2)
    bot.kill()
    await bot.wait()
    await onebot.wait_closed()

    bot, client = await lives_on(bot)
    first, second = (await client.get("/api/state")).json()["journal"]
    assert (first["user"], first["chat"], first["plugin"]) == ("7654321", "1234567", "plugin_0")
    assert (second["kind"], second["unfit"]) == ("image", "")
    answer = await client.post("/api/do", json={"action": "forget", "id": first["id"]})
    assert answer.json() == {"forgotten": 1}
    assert len((await client.get("/api/state")).json()["journal"]) == 1
    onebot.dial(f"ws://127.0.0.1:{bot.port}/onebot/v11/ws")
    state = await state_when(client, lambda state: state["works"])
    assert [(work["user"], work["resumed"]) for work in state["works"]] == [("7654322", True)]


async def test_it_needs_a_server(bot_factory):
    """Without one it is warned about; without a token nothing is said."""
    bot = await bot_factory(driver=NONE, settings=SETTINGS)
    assert bot.find("is no server, so /graceful is not there")


async def test_without_a_token_it_is_not_there(bot_factory):
    """No default, no page."""
    bot = await bot_factory(settings={"graceful_page_path": "/graceful"})
    async with client_of(bot, "") as client:
        assert (await client.get("/graceful")).status_code == 404
        assert (await client.get("/graceful/api/state")).status_code == 404
