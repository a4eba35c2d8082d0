"""The chat platform and the AI service that the other tests rely on."""

import asyncio
import base64
import json
import time

import httpx
import pytest
from websockets.asyncio.client import connect
from websockets.asyncio.server import serve

from examples.sandbox import HANG, Answer, FakeOneBot, FakeOpenAI, Rule, free_port
from examples.sandbox.api import CHAT, IMAGES, png
from examples.sandbox.changes import Changes


@pytest.fixture
async def api():
    async with FakeOpenAI() as api:
        yield api


@pytest.fixture
async def client(api):
    async with httpx.AsyncClient(base_url=api.url, trust_env=False, timeout=30) as client:
        yield client


def question(text="你好", **more):
    return {"model": "m", "messages": [{"role": "user", "content": text}], **more}


async def test_changes_are_told_across_threads():
    """Who waits in a loop is woken by who tells in a thread."""
    changes, seen = Changes(), []

    def tell():
        seen.append(1)
        changes.tell()

    waiting = asyncio.create_task(changes.until(lambda: seen, "something", timeout=10))
    await asyncio.sleep(0)
    await asyncio.to_thread(tell)
    assert await waiting == [1]


async def test_waiting_in_vain_says_for_what():
    """What does not come true in time is named."""
    with pytest.raises(TimeoutError, match="rain: not within"):
        await Changes().until(lambda: False, "rain", timeout=0.01)


async def test_chat_completion(client):
    """A question is answered in the shape the OpenAI API has."""
    reply = (await client.post(CHAT, json=question())).json()
    assert "你好" in reply["choices"][0]["message"]["content"]


async def test_streamed_chat_completion(client):
    """A streamed answer comes in pieces and says when it ends."""
    text = ""
    async with client.stream("POST", CHAT, json=question(stream=True)) as response:
        events = [line[6:] async for line in response.aiter_lines() if line]
    for event in events[:-1]:
        text += json.loads(event)["choices"][0]["delta"].get("content", "")
    assert events[-1] == "[DONE]"
    assert "你好" in text


async def test_vision(client):
    """A question about a picture is answered from the picture itself."""
    data = "data:image/png;base64," + base64.b64encode(png(3, 5)).decode()
    content = [{"type": "text", "text": "?"}, {"type": "image_url", "image_url": {"url": data}}]
    reply = (await client.post(CHAT, json=question(content))).json()
    assert "3×5" in reply["choices"][0]["message"]["content"]


async def test_image_generation(client):
    """A generated picture comes as base64, or as a URL from where it can be loaded."""
    first = (await client.post(IMAGES, json={"prompt": "猫"})).json()["data"][0]
    body = {"prompt": "猫", "response_format": "url"}
    second = (await client.post(IMAGES, json=body)).json()["data"][0]
    loaded = await client.get(second["url"])
    assert base64.b64decode(first["b64_json"]) == loaded.content == png()
    assert loaded.headers["content-type"] == "image/png"


async def test_rules_are_used_in_order_and_the_last_one_stays(api, client):
    """504, 504, then 200 for ever."""
    api.on(CHAT, Rule(504), Rule(504), Rule())
    codes = [(await client.post(CHAT, json=question())).status_code for _ in range(4)]
    assert codes == [504, 504, 200, 200]
    assert [request.status for request in api.requests] == codes


async def test_the_rule_set_last_decides(api, client):
    """A pattern can be overruled, and the rule taken back."""
    api.on("/v1/*", Rule(500))
    api.on("/v1/models", Rule(429, headers={"Retry-After": "7"}))
    limited = await client.get("/v1/models")
    assert (limited.status_code, limited.headers["retry-after"]) == (429, "7")
    api.on("/v1/models")
    assert (await client.get("/v1/models")).status_code == 500
    api.on("/v1/*")
    assert (await client.get("/v1/models")).status_code == 200


async def test_unknown_paths_are_404_until_they_have_a_rule(api, client):
    """A rule makes a path known."""
    assert (await client.get("/elsewhere")).status_code == 404
    api.on("/elsewhere", Rule(body=b"<html>"))
    assert (await client.get("/elsewhere")).text == "<html>"


async def test_latency(api, client):
    """An answer takes as long as it was told to."""
    api.on("/v1/models", Rule(504, latency=0.05))
    await client.get("/v1/models")
    request = api.requests[0]
    assert request.answered - request.received >= 0.05
    assert not request.in_flight


async def test_a_client_that_hangs_up_is_noticed_while_the_answer_is_pending(api, client):
    """The disconnect is recorded when it happens, not when the answer would have been due."""
    api.on(CHAT, HANG)
    asking = asyncio.create_task(client.post(CHAT, json=question()))
    await api.wait_for_requests(1, CHAT)
    assert len(api.in_flight) == 1
    hung_up = time.monotonic()
    asking.cancel()
    [request] = await api.wait_for_disconnects(1)
    assert request.disconnected >= hung_up
    assert request.answered is None
    assert not api.in_flight


async def test_what_hangs_is_answered_when_it_is_let_go(api, client):
    """Whoever hangs then, and nobody later."""
    api.on(CHAT, HANG)
    asking = asyncio.create_task(client.post(CHAT, json=question()))
    await api.wait_for_requests(1, CHAT)
    api.let_go(IMAGES)
    assert len(api.in_flight) == 1
    api.let_go(CHAT)
    assert "你好" in (await asking).json()["choices"][0]["message"]["content"]
    asking = asyncio.create_task(client.post(CHAT, json=question()))
    await api.wait_for_requests(2, CHAT)
    asking.cancel()
    [request] = await api.wait_for_disconnects(1)
    assert request.answered is None


async def test_a_stream_can_stall(api, client):
    """A stalled stream has begun, is not answered, and its disconnect is noticed too."""
    api.on(CHAT, Rule(chunk_latency=None))
    async with client.stream("POST", CHAT, json=question(stream=True)) as response:
        lines = response.aiter_lines()
        assert (await anext(lines)).startswith("data: ")
    [request] = await api.wait_for_disconnects(1)
    assert (request.status, request.answered) == (200, None)


async def test_closing_sends_waiting_clients_away():
    """A hanging request does not keep the API from closing."""
    async with httpx.AsyncClient(trust_env=False) as client:
        async with FakeOpenAI() as api:
            api.on("*", HANG)
            asking = asyncio.create_task(client.get(api.url + "/v1/models"))
            await api.wait_for_requests(1)
        assert (await asking).status_code == 503


def test_the_api_can_live_in_a_thread():
    """Synchronous code has it as a plain context manager."""
    with FakeOpenAI() as api:
        httpx.get(api.url + "/v1/models", trust_env=False, timeout=30).raise_for_status()
        assert len(api.run(api.wait_for_requests(1, "/v1/models"))) == api.count() == 1


@pytest.fixture
async def onebot():
    async with FakeOneBot(heartbeat=0.01) as onebot:
        yield onebot


@pytest.fixture
async def bot(onebot):
    """The bot's end of a connection to ``onebot``."""
    async with connect(await onebot.listen(), proxy=None) as bot:
        await onebot.wait_for_connection()
        yield bot


async def heard(bot, post_type):
    """Return the next event of a type."""
    while (event := json.loads(await bot.recv())).get("post_type") != post_type:
        pass
    return event


async def call(bot, action, **params):
    """Call an action and return the whole answer."""
    await bot.send(json.dumps({"action": action, "params": params, "echo": "1"}))
    while "echo" not in (answer := json.loads(await bot.recv())):
        pass
    return answer


async def test_the_bot_hears_of_the_connection_and_of_life(bot):
    """First the lifecycle event, then heartbeats."""
    assert (await heard(bot, "meta_event"))["sub_type"] == "connect"
    assert (await heard(bot, "meta_event"))["meta_event_type"] == "heartbeat"


async def test_dialling_waits_for_the_bot_and_says_who_calls(onebot):
    """A bot that comes up later is reached; the headers are those of OneBot V11."""
    port = free_port()
    onebot.dial(f"ws://127.0.0.1:{port}/onebot/v11/ws")
    await asyncio.sleep(0)
    seen = asyncio.get_running_loop().create_future()

    async def accept(connection):
        seen.set_result(connection.request)
        await connection.close(1012, "restart")

    async with serve(accept, "127.0.0.1", port):
        closed = await onebot.wait_closed()
    assert (await seen).headers["X-Self-ID"] == "10000"
    assert (closed.code, closed.reason) == (1012, "restart")


async def test_users_talk_in_groups_and_in_private(onebot, bot):
    """A message reaches the bot with its sender, its place, and its picture."""
    message_id = await onebot.say(1, "/识图", group=2, image_url="http://host/cat.png")
    event = await heard(bot, "message")
    assert (event["message_type"], event["group_id"], event["user_id"]) == ("group", 2, 1)
    assert event["message_id"] == message_id
    assert event["message"][1]["data"]["url"] == "http://host/cat.png"
    await onebot.say(1, "你好")
    assert (await heard(bot, "message"))["message_type"] == "private"


async def test_messages_can_be_asked_for_deleted_and_recalled(onebot, bot):
    """Messages of both sides are remembered."""
    said = await onebot.say(1, "你好", group=2)
    sent = (await call(bot, "send_msg", group_id=2, message="在"))["data"]["message_id"]
    assert (await call(bot, "get_msg", message_id=said))["data"]["raw_message"] == "你好"
    assert (await call(bot, "get_msg", message_id=sent))["data"]["user_id"] == 10000
    await onebot.recall(said, operator=3)
    notice = await heard(bot, "notice")
    assert (notice["notice_type"], notice["operator_id"]) == ("group_recall", 3)
    await onebot.recall(await onebot.say(1, "算了"))
    assert (await heard(bot, "notice"))["notice_type"] == "friend_recall"
    assert (await call(bot, "delete_msg", message_id=sent))["status"] == "ok"
    assert (await call(bot, "get_msg", message_id=sent))["retcode"] == 1404


async def test_what_the_bot_sends_can_be_waited_for(onebot, bot):
    """By its words, by a predicate, by number."""
    waiting = asyncio.create_task(onebot.wait_for_message("二"))
    await call(bot, "send_private_msg", user_id=1, message="一")
    await call(
        bot, "send_group_msg", group_id=2, message=[{"type": "text", "data": {"text": "二"}}]
    )
    assert (await waiting).chat == ("group", 2)
    assert (await onebot.wait_for_message(lambda sent: sent.chat == ("private", 1))).text == "一"
    assert [sent.text for sent in await onebot.wait_for_messages(2)] == ["一", "二"]


async def test_answers_can_be_late_missing_or_wrong(onebot, bot):
    """Each action can be told how to behave."""
    onebot.on("get_status", Answer(latency=None))
    await bot.send(json.dumps({"action": "get_status", "params": {}, "echo": "0"}))
    hanging = await onebot.wait_for_call("get_status")
    onebot.on("send_msg", Answer(retcode=100))
    assert (await call(bot, "send_msg", user_id=1, message="一"))["retcode"] == 100
    onebot.on("send_msg", Answer(latency=0.05))
    assert (await call(bot, "send_msg", user_id=1, message="一"))["retcode"] == 0
    late = onebot.sent[1]
    assert late.answered - late.received >= 0.05
    assert hanging.answered is None
    onebot.on("send_msg", None)
    assert (await call(bot, "no_such_action"))["retcode"] == 1404


async def test_the_end_of_a_connection_is_recorded(onebot, bot):
    """With its code, its reason and its time."""
    before = time.monotonic()
    await bot.close(1012, "bye")
    closed = await onebot.wait_closed()
    assert (closed.code, closed.reason) == (1012, "bye")
    assert closed.time >= before
    with pytest.raises(ConnectionError):
        await onebot.say(1, "?")
