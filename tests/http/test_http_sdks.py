"""The real SDKs of Anthropic and Google on top of http_client; OpenAI's has a file of its own."""

import asyncio
import importlib

import pytest

from examples.sandbox import HANG, Rule
from examples.sandbox.api import GEMINI, MESSAGES
from nonebot_plugin_graceful.core.api import cancel, tasks
from nonebot_plugin_graceful.core.errors import Interrupted
from nonebot_plugin_graceful.http import http_client
from nonebot_plugin_graceful.retry import is_transient

anthropic = pytest.importorskip("anthropic", reason="the oldest dependencies fit no such SDK")
QUESTION = {
    "model": "sandbox",
    "max_tokens": 100,
    "messages": [{"role": "user", "content": "hello"}],
}
GOOGLES = {"model": "sandbox", "contents": "hello"}


@pytest.fixture
async def make_claude(api):
    """Make Anthropic's client with the keywords of http_client."""
    clients = []

    def make(**keywords):
        http = http_client(**{"kind": "llm", "library": "httpx2", "trust_env": False, **keywords})
        clients.append(http)
        return anthropic.AsyncAnthropic(
            base_url=api.url, api_key="sandbox", http_client=http, max_retries=0
        )

    yield make
    for client in clients:
        await client.aclose()


@pytest.fixture
async def make_gemini(api, library):
    """Make Google's client with the keywords of http_client; it takes either library's."""
    genai = pytest.importorskip("google.genai", reason="it wants a newer httpx than we do")
    clients = []

    def make(**keywords):
        http = http_client(**{"kind": "llm", "library": library, "trust_env": False, **keywords})
        clients.append(http)
        options = genai.types.HttpOptions(base_url=api.url, httpx_async_client=http)
        return genai.Client(api_key="sandbox", http_options=options).aio.models

    yield make
    for client in clients:
        await client.aclose()


async def test_anthropic_takes_no_other_client(make_claude):
    """What http_client gives by default is refused by current SDKs, at once and with a reason."""
    with pytest.raises(TypeError, match="httpx2"):
        make_claude(library="httpx")
    make_claude()


async def test_anthropic_answers(make_claude):
    """The SDK works as ever, and the request is over when it returns."""
    message = await make_claude().messages.create(**QUESTION)
    assert "hello" in message.content[0].text
    assert tasks() == []


async def test_anthropic_streams(make_claude):
    """While it is read it is in flight, and then no more; raw answers as well."""
    claude = make_claude()
    text, seen = "", set()
    async with claude.messages.stream(**QUESTION) as stream:
        async for piece in stream.text_stream:
            seen |= {info.kind for info in tasks()}
            text += piece
    assert "hello" in text
    assert seen == {"llm"}
    assert tasks() == []
    raw = await claude.messages.with_raw_response.create(**QUESTION)
    assert "hello" in (await raw.parse()).content[0].text
    async with claude.messages.with_streaming_response.create(**QUESTION) as response:
        assert len(tasks()) == 1
        assert b"hello" in await response.read()
    assert tasks() == []


async def test_anthropic_retries_are_ours(api, make_claude):
    """Below the SDK, which sees the answer that came in the end, or the last."""
    api.on(MESSAGES, Rule(529), Rule(503), Rule())
    message = await make_claude(retries=2).messages.create(**QUESTION)
    assert "hello" in message.content[0].text
    assert api.count(MESSAGES) == 3
    api.on(MESSAGES, Rule(429))
    with pytest.raises(anthropic.RateLimitError, match="sandbox says 429"):
        await make_claude(retries=1).messages.create(**QUESTION)
    assert api.count(MESSAGES) == 5


async def test_anthropic_time_outs(api, make_claude):
    """The client's and a call's own are the SDK's APITimeoutError; a call's own may be longer."""
    api.on(MESSAGES, HANG)
    with pytest.raises(anthropic.APITimeoutError) as raised:
        await make_claude(timeout=0.2).messages.create(**QUESTION)
    assert is_transient(raised.value)
    assert "no complete answer within 0.2 s" in str(raised.value.__cause__)
    with pytest.raises(anthropic.APITimeoutError):
        await make_claude().messages.create(**QUESTION, timeout=0.2)
    api.on(MESSAGES, Rule(latency=0.6))
    message = await make_claude(timeout=0.2).messages.create(**QUESTION, timeout=20)
    assert "hello" in message.content[0].text


async def test_anthropic_is_cancelled(api, make_claude, result_of):
    """Interrupted comes through the SDK, and the server sees the client hang up."""
    api.on(MESSAGES, HANG)
    task = asyncio.create_task(make_claude().messages.create(**QUESTION))
    await api.wait_for_requests(1, MESSAGES)
    cancel(kind="llm", reason="enough")
    with pytest.raises(Interrupted, match="enough"):
        await result_of(task)
    assert len(await api.wait_for_disconnects(1, MESSAGES)) == 1


async def test_anthropic_is_refused_while_stopping(api, make_claude, shutdown):
    """Nothing reaches the server, and the SDK makes no error of it."""
    claude = make_claude(retries=3)
    shutdown("SIGTERM")
    with pytest.raises(Interrupted, match="SIGTERM"):
        await claude.messages.create(**QUESTION)
    assert api.count() == 0


async def test_google_answers(make_gemini):
    """The SDK works as ever, and the request is over when it returns."""
    answer = await make_gemini().generate_content(**GOOGLES)
    assert "hello" in answer.text
    assert tasks() == []


async def test_google_streams(make_gemini):
    """While it is read it is in flight, and then no more."""
    text, seen = "", set()
    async for piece in await make_gemini().generate_content_stream(**GOOGLES):
        seen |= {info.kind for info in tasks()}
        text += piece.text or ""
    assert "hello" in text
    assert seen == {"llm"}
    assert tasks() == []


async def test_google_retries_are_ours(api, make_gemini):
    """Below the SDK, which sees the answer that came in the end, or the last."""
    from google.genai import errors

    api.on(GEMINI, Rule(503), Rule(503), Rule())
    assert "hello" in (await make_gemini(retries=2).generate_content(**GOOGLES)).text
    assert api.count(GEMINI) == 3
    api.on(GEMINI, Rule(429))
    with pytest.raises(errors.ClientError, match="sandbox says 429"):
        await make_gemini(retries=1).generate_content(**GOOGLES)
    assert api.count(GEMINI) == 5


async def test_google_time_outs(api, make_gemini, library):
    """The SDK asks for none by itself, so the client's holds; a call's own goes before it."""
    from google.genai import types

    timeout = importlib.import_module(library).ReadTimeout
    api.on(GEMINI, HANG)
    with pytest.raises(timeout, match=r"no complete answer within 0\.2 s"):
        await make_gemini(timeout=0.2).generate_content(**GOOGLES)
    api.on(GEMINI, Rule(latency=0.6))
    own = types.GenerateContentConfig(http_options=types.HttpOptions(timeout=20_000))
    answer = await make_gemini(timeout=0.2).generate_content(**GOOGLES, config=own)
    assert "hello" in answer.text


async def test_google_is_cancelled(api, make_gemini, result_of):
    """Interrupted comes through the SDK, and the server sees the client hang up."""
    api.on(GEMINI, HANG)
    task = asyncio.create_task(make_gemini().generate_content(**GOOGLES))
    await api.wait_for_requests(1, GEMINI)
    cancel(kind="llm", reason="enough")
    with pytest.raises(Interrupted, match="enough"):
        await result_of(task)
    assert len(await api.wait_for_disconnects(1, GEMINI)) == 1
