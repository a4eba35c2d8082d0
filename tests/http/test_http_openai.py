"""The real OpenAI SDK on top of http_client, and ``@retry`` around it."""

import asyncio
import importlib

import openai
import pytest

from examples.sandbox import HANG, Rule
from examples.sandbox.api import CHAT, IMAGES
from nonebot_plugin_graceful.core.api import cancel, tasks, track
from nonebot_plugin_graceful.core.errors import Interrupted
from nonebot_plugin_graceful.http import http_client
from nonebot_plugin_graceful.retry import is_transient, retry

QUESTION = {"model": "sandbox", "messages": [{"role": "user", "content": "hello"}]}


@pytest.fixture
async def make_ai(api, library):
    """Make the SDK's client with the keywords of http_client; from version 3 on it takes either's."""
    clients = []

    def make(**keywords):
        http = http_client(**{"kind": "llm", "library": library, "trust_env": False, **keywords})
        clients.append(http)
        return openai.AsyncOpenAI(
            base_url=f"{api.url}/v1", api_key="sandbox", http_client=http, max_retries=0
        )

    yield make
    for client in clients:
        await client.aclose()


async def test_an_answer(make_ai):
    """The SDK works as ever, and the request is over when it returns."""
    reply = await make_ai().chat.completions.create(**QUESTION)
    assert "hello" in reply.choices[0].message.content
    assert tasks() == []


async def test_a_picture(make_ai):
    """Also through the kind with another total."""
    reply = await make_ai(kind="image").images.generate(prompt="cat", response_format="b64_json")
    assert reply.data[0].b64_json


async def test_a_stream_is_tracked_to_its_end(make_ai):
    """While it is read it is in flight, and then no more."""
    seen = set()
    text = ""
    stream = await make_ai().chat.completions.create(**QUESTION, stream=True)
    async for chunk in stream:
        seen |= {(info.kind, info.name.partition("http")[0]) for info in tasks()}
        text += (chunk.choices[0].delta.content or "") if chunk.choices else ""
    assert "hello" in text
    assert seen == {("llm", "POST ")}
    assert tasks() == []


async def test_a_stream_left_early(make_ai):
    """As soon as it is closed."""
    async with await make_ai().chat.completions.create(**QUESTION, stream=True) as stream:
        async for _ in stream:
            break
        assert len(tasks()) == 1
    assert tasks() == []


@pytest.mark.parametrize("status", [429, 500, 504])
async def test_retries_below_the_sdk(status, api, make_ai):
    """The SDK sees the answer that came in the end."""
    api.on(CHAT, Rule(status), Rule(status), Rule())
    reply = await make_ai(retries=2).chat.completions.create(**QUESTION)
    assert "hello" in reply.choices[0].message.content
    assert api.count(CHAT) == 3


async def test_the_last_answer_becomes_the_sdks_own_error(api, make_ai):
    """With the provider's message."""
    api.on(CHAT, Rule(429))
    with pytest.raises(openai.RateLimitError, match="sandbox says 429"):
        await make_ai(retries=1).chat.completions.create(**QUESTION)
    assert api.count(CHAT) == 2


async def test_retry_around_the_sdk(api, make_ai):
    """``@retry`` knows the SDK's errors: 503 is tried again, 401 is not."""
    ai = make_ai()

    @retry(reraise=True)
    async def ask():
        return await ai.chat.completions.create(**QUESTION)

    api.on(CHAT, Rule(503), Rule())
    await ask()
    assert api.count(CHAT) == 2
    api.on(CHAT, Rule(401))
    with pytest.raises(openai.AuthenticationError):
        await ask()
    assert api.count(CHAT) == 3


async def test_time_outs_are_the_sdks_own(api, make_ai):
    """The total time-out is an APITimeoutError, and worth another attempt."""
    api.on(CHAT, HANG)
    with pytest.raises(openai.APITimeoutError) as raised:
        await make_ai(timeout=0.2).chat.completions.create(**QUESTION)
    assert is_transient(raised.value)
    assert "no complete answer within 0.2 s" in str(raised.value.__cause__)


async def test_a_calls_own_time_out(api, make_ai):
    """Goes before the client's, be it shorter or longer, and whether it is the SDK's or the call's."""
    api.on(CHAT, HANG)
    with pytest.raises(openai.APITimeoutError):
        await make_ai().chat.completions.create(**QUESTION, timeout=0.2)
    with pytest.raises(openai.APITimeoutError):
        await make_ai().with_options(timeout=0.2).chat.completions.create(**QUESTION)
    api.on(CHAT, Rule(latency=0.6))
    reply = await make_ai(timeout=0.2).chat.completions.create(**QUESTION, timeout=20)
    assert "hello" in reply.choices[0].message.content


async def test_a_calls_own_time_out_of_a_stream(api, make_ai, library):
    """Is for each piece, too."""
    # older SDKs leave through what happens while a stream is read
    errors = (openai.APITimeoutError, importlib.import_module(library).TimeoutException)
    api.on(CHAT, Rule(chunk_latency=None))
    with pytest.raises(errors):
        async for _ in await make_ai().chat.completions.create(
            **QUESTION, stream=True, timeout=0.5
        ):
            pass
    assert tasks() == []


async def test_raw_and_streaming_responses(make_ai):
    """Are over when they are read, or left."""
    ai = make_ai()
    raw = await ai.chat.completions.with_raw_response.create(**QUESTION)
    assert "hello" in raw.parse().choices[0].message.content
    assert tasks() == []
    async with ai.chat.completions.with_streaming_response.create(**QUESTION) as response:
        assert len(tasks()) == 1
        assert b"hello" in await response.read()
    assert tasks() == []


async def test_refused_connections_are_the_sdks_own(make_ai):
    """And worth another attempt."""
    ai = make_ai().copy(base_url="http://127.0.0.1:9/v1")
    with pytest.raises(openai.APIConnectionError) as raised:
        await ai.chat.completions.create(**QUESTION)
    assert is_transient(raised.value)


@pytest.mark.parametrize("path", [CHAT, IMAGES])
async def test_cancelling_hangs_up(path, api, make_ai, result_of):
    """Interrupted comes through the SDK, and the server sees the client hang up."""
    api.on(path, HANG)
    ai = make_ai()

    async def work():
        async with track("handler"):
            if path == CHAT:
                return await ai.chat.completions.create(**QUESTION)
            return await ai.images.generate(prompt="cat")

    task = asyncio.create_task(work())
    await api.wait_for_requests(1, path)
    cancel(kind="llm", reason="enough")
    with pytest.raises(Interrupted, match="enough"):
        await result_of(task)
    assert len(await api.wait_for_disconnects(1, path)) == 1


async def test_cancelling_in_the_middle_of_a_stream(api, make_ai, result_of):
    """The same, between two pieces that the server never sends."""
    api.on(CHAT, Rule(chunk_latency=None))
    ai = make_ai()
    begun = asyncio.Event()

    async def work():
        async for _ in await ai.chat.completions.create(**QUESTION, stream=True):
            begun.set()

    task = asyncio.create_task(work())
    await begun.wait()
    cancel(kind="llm", reason="enough")
    with pytest.raises(Interrupted, match="enough"):
        await result_of(task)
    assert len(await api.wait_for_disconnects(1, CHAT)) == 1
    assert tasks() == []


async def test_a_stream_that_stalls_is_bounded(api, make_ai, library):
    """The total time-out holds to the last piece."""
    api.on(CHAT, Rule(chunk_latency=None))
    with pytest.raises((openai.APITimeoutError, importlib.import_module(library).ReadTimeout)):
        async for _ in await make_ai(timeout=0.3).chat.completions.create(**QUESTION, stream=True):
            pass


async def test_refused_while_stopping(api, make_ai, shutdown):
    """Nothing reaches the server, and the SDK makes no error of it."""
    ai = make_ai(retries=3)
    shutdown("SIGTERM")
    with pytest.raises(Interrupted, match="SIGTERM"):
        await ai.chat.completions.create(**QUESTION)
    assert api.count() == 0
