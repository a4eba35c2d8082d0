"""http_client: httpx's own client, with our transport below all of it."""

import asyncio
import importlib

import httpx
import pytest

from examples.sandbox import HANG, Rule
from examples.sandbox.api import MODELS
from nonebot_plugin_graceful.core.api import cancel, tasks
from nonebot_plugin_graceful.core.errors import Interrupted
from nonebot_plugin_graceful.http import GracefulTransport, close_clients, configure, http_client


async def test_it_is_an_httpx_client(api):
    """It takes httpx's keywords and does what httpx's client does."""
    async with http_client(
        kind="llm", base_url=f"{api.url}/v1", headers={"x-test": "1"}, trust_env=False
    ) as client:
        assert isinstance(client, httpx.AsyncClient)
        response = await client.get("/models")
    assert response.json()["data"][0]["id"] == "sandbox"
    assert api.requests[0].headers["x-test"] == "1"
    assert tasks() == []


async def test_requests_are_sent_again(api):
    """With retries, what failed in passing is not seen by the caller."""
    api.on(MODELS, Rule(503), Rule(429, headers={"Retry-After": "0"}), Rule())
    async with http_client(kind="llm", retries=2, trust_env=False) as client:
        assert (await client.get(api.url + MODELS)).status_code == 200
    assert api.count(MODELS) == 3


async def test_every_retry_uses_a_connection_that_was_given_back(api):
    """With a single connection in the pool, an unread answer would block the next attempt."""
    api.on(MODELS, Rule(503), Rule(503), Rule())
    limits = httpx.Limits(max_connections=1)
    async with http_client(kind="llm", retries=2, limits=limits, trust_env=False) as client:
        response = await asyncio.wait_for(client.get(api.url + MODELS), 10)
    assert response.status_code == 200


@pytest.mark.parametrize(
    ("keywords", "single", "total"),
    [
        ({}, httpx.Timeout(None, connect=10), 120),
        ({"timeout": 240}, httpx.Timeout(240, connect=10), 240),
        ({"timeout": 3}, httpx.Timeout(3), 3),
        ({"timeout": httpx.Timeout(5)}, httpx.Timeout(5), 120),
        ({"timeout": httpx.Timeout(5), "total": 7}, httpx.Timeout(5), 7),
        ({"timeout": 5, "total": None}, httpx.Timeout(5), None),
        ({"timeout": None}, httpx.Timeout(None), None),
    ],
)
async def test_time_outs(keywords, single, total, monkeypatch, tree):
    """A number is for the request as a whole; httpx.Timeout holds beside the kind's total."""
    seen = {}

    async def handle(self, request):
        seen["timeout"] = request.extensions["timeout"]
        seen["total"] = next(iter(tree.works.values())).sections[-1].timeout
        return httpx.Response(200)

    monkeypatch.setattr(httpx.AsyncHTTPTransport, "handle_async_request", handle)
    async with http_client(kind="llm", **keywords) as client:
        assert client.timeout == single
        await client.get("http://h/")
    assert seen["total"] == total
    if total is None and single == httpx.Timeout(None):
        assert seen["timeout"]["connect"] is None


async def test_the_connect_time_out_is_the_operators():
    """GRACEFUL_HTTP_CONNECT_TIMEOUT."""
    configure(connect_timeout=2)
    async with http_client(kind="llm") as client:
        assert client.timeout.connect == 2


async def test_proxies_do_not_go_around_it(monkeypatch):
    """Whether they are given or come from the environment, they are below our transport."""
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:9")
    monkeypatch.setenv("NO_PROXY", "")
    for keywords in ({}, {"proxy": "http://127.0.0.1:9"}):
        async with http_client(kind="llm", **keywords) as client:
            transport = client._transport_for_url(httpx.URL("https://api.example.com"))
            assert isinstance(transport, GracefulTransport)
            assert isinstance(client._transport, GracefulTransport)
            assert "Proxy" in type(transport._transport._pool).__name__


async def test_mounts_that_are_none_stay_none():
    """It is httpx's way of saying: no special transport for these."""
    async with http_client(kind="llm", mounts={"all://intra": None}) as client:
        assert None in client._mounts.values()


async def test_clients_are_closed_with_the_bot(log):
    """Those that are still there, once; one that cannot be closed does not keep the next open."""
    first, broken, last, closed = (http_client(kind="llm") for _ in range(4))
    await closed.aclose()

    async def aclose():
        raise RuntimeError("attached to a different loop")

    broken.aclose = aclose
    await close_clients()
    assert first.is_closed
    assert last.is_closed
    (line,) = log
    assert "could not be closed: RuntimeError: attached to a different loop" in line
    await close_clients()


async def test_clients_that_nobody_holds_are_forgotten():
    """The list of clients keeps none alive."""
    from nonebot_plugin_graceful.http import client

    http_client(kind="llm")
    import gc

    gc.collect()
    assert len(client._clients) == 0


async def test_refused_while_stopping(api, shutdown):
    """Nothing reaches the server."""
    async with http_client(kind="llm", retries=3, trust_env=False) as client:
        shutdown()
        with pytest.raises(Interrupted):
            await client.get(api.url + MODELS)
    assert api.count() == 0


async def test_its_failures_are_described(api, library):
    """Whatever the library, by status, host and the provider's own words; and retried or not by them."""
    from nonebot_plugin_graceful.core.failures import describe_failure
    from nonebot_plugin_graceful.retry import is_transient

    api.on(MODELS, Rule(429))
    async with http_client(kind="llm", library=library, trust_env=False) as client:
        response = await client.get(api.url + MODELS)
        with pytest.raises(importlib.import_module(library).HTTPStatusError) as raised:
            response.raise_for_status()
        said = "429 Too Many Requests from 127.0.0.1: sandbox says 429"
        assert describe_failure(raised.value) == said
        assert is_transient(raised.value)
        with pytest.raises(importlib.import_module(library).ConnectError) as refused:
            await client.get("http://127.0.0.1:9/")
        assert is_transient(refused.value)


async def test_the_authors_line_is_found_above_both(api, library):
    """Where a request stands is told by the line that sent it, not by one of a library's."""
    api.on(MODELS, HANG)
    async with http_client(kind="llm", library=library, trust_env=False) as client:

        async def ask():
            await client.get(api.url + MODELS)  # here

        task = asyncio.create_task(ask())
        await api.wait_for_requests(1, MODELS)
        assert [__file__] == [info.where.rpartition(":")[0] for info in tasks()]
        cancel(kind="llm")
        await asyncio.wait([task])
