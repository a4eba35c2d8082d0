"""Requests that are cancelled while the bot runs on: their connections are given back, all of them."""

import asyncio
import contextlib
import gc
import importlib
import importlib.metadata

import httpx
import pytest

from examples.sandbox import HANG, Rule
from examples.sandbox.api import CHAT, MODELS
from nonebot_plugin_graceful.core.api import cancel, tasks, track
from nonebot_plugin_graceful.core.discovery import branches
from nonebot_plugin_graceful.core.orders import time_out
from nonebot_plugin_graceful.core.stopping import Stopping
from nonebot_plugin_graceful.core.tree import Limits
from nonebot_plugin_graceful.http import http_client

ANYIO = tuple(map(int, importlib.metadata.version("anyio").split(".")[:2]))

QUESTION = {"model": "sandbox", "messages": [{"role": "user", "content": "hello"}]}


@pytest.fixture
async def client(library):
    """A client of each library."""
    async with http_client(kind="llm", library=library, trust_env=False) as client:
        yield client


def pool_of(client):
    return client._transport._transport._pool


async def ended(*tasks):
    """Wait until they have been cancelled, and have hung up."""
    done, pending = await asyncio.wait(tasks, timeout=30)
    assert not pending
    assert all(task.cancelled() for task in done)


async def test_a_thousand_cancelled_requests(client, api, tree, monkeypatch):
    """The server sees each of them hang up, and the next request works: none is left in the pool."""
    # a hundred that hang up on a busy machine may take longer than they would be given
    monkeypatch.setattr(tree, "limits", Limits(cancel=30))
    api.on(CHAT, HANG)
    for n in range(10):
        asking = [
            asyncio.create_task(client.post(api.url + CHAT, json=QUESTION)) for _ in range(100)
        ]
        await api.wait_for_requests(100 * (n + 1), CHAT)
        assert len(cancel(kind="llm")) == 100
        await ended(*asking)
    assert len(await api.wait_for_disconnects(1000, CHAT)) == 1000
    assert pool_of(client).connections == []
    assert (await client.get(api.url + MODELS)).status_code == 200
    assert "0 active" in repr(pool_of(client)).partition("|")[2]


@pytest.mark.parametrize("iterations", range(4))
@pytest.mark.parametrize("then", ["the shutdown", "the handler"])
async def test_two_orders_at_once(then, iterations, client, api, tree):
    """A second order that comes while a request hangs up does not cut that short."""
    api.on(CHAT, HANG)

    async def work():
        async with track("handler"):
            await client.post(api.url + CHAT, json=QUESTION)

    working = [asyncio.create_task(work()) for _ in range(5)]
    await api.wait_for_requests(5, CHAT)
    cancel(kind="llm", reason="recalled")
    for _ in range(iterations):
        await asyncio.sleep(0)
    if then == "the handler":
        cancel(kind="handler", reason="enough")
    else:
        stopping = Stopping(tree, lambda: branches(tree), "SIGINT")
        stopping.hurry()
        await stopping.run()
    await ended(*working)
    assert pool_of(client).connections == []
    assert len(await api.wait_for_disconnects(5, CHAT)) == 5


async def test_a_handler_that_is_waited_for_by_another(client, api, tree):
    """Who waits for a request's task is not cancelled into its hanging up by a second order."""
    api.on(CHAT, HANG)

    async def work():
        async with track("handler"):
            await asyncio.create_task(client.post(api.url + CHAT, json=QUESTION))

    working = asyncio.create_task(work())
    await api.wait_for_requests(1, CHAT)
    cancel(kind="llm")
    await asyncio.sleep(0)
    stopping = Stopping(tree, lambda: branches(tree), "SIGINT")
    stopping.hurry()
    await stopping.run()
    await ended(working)
    assert pool_of(client).connections == []


@pytest.mark.skipif(
    ANYIO < (4, 16), reason="anyio leaves a connection without TLS open, with or without us"
)
async def test_in_the_middle_of_a_handshake(client):
    """Nothing stays in the pool, and the server sees the client hang up once that is forgotten."""
    said, gone = asyncio.Event(), asyncio.Event()

    async def accept(reader, writer):
        await reader.read(1)
        said.set()
        await reader.read()
        gone.set()
        writer.close()

    server = await asyncio.start_server(accept, "127.0.0.1", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        asking = asyncio.create_task(client.get(f"https://127.0.0.1:{port}/"))
        await said.wait()
        cancel(kind="llm")
        await ended(asking)
        del asking  # httpcore leaves it to the garbage collector to close what has no TLS yet
        gc.collect()
        await asyncio.wait_for(gone.wait(), 10)
    assert pool_of(client).connections == []


async def test_in_the_pools_queue(library, api):
    """Who waits for a connection leaves the queue, and who has it gives it back."""
    api.on(CHAT, HANG)
    limits = importlib.import_module(library).Limits(max_connections=1)
    async with http_client(kind="llm", library=library, limits=limits, trust_env=False) as client:
        asking = [asyncio.create_task(client.post(api.url + CHAT, json=QUESTION)) for _ in range(3)]
        await api.wait_for_requests(1, CHAT)
        cancel(kind="llm")
        await ended(*asking)
        assert api.count(CHAT) == 1
        assert (await client.get(api.url + MODELS)).status_code == 200


@pytest.fixture
async def silent():
    """A server that takes connections, and says nothing. Gives its URL, and who has come."""
    came, writers = asyncio.Semaphore(0), []

    async def accept(reader, writer):
        writers.append(writer)
        await reader.read(1)
        came.release()
        with contextlib.suppress(ConnectionError):
            await reader.read()
        writer.close()

    server = await asyncio.start_server(accept, "127.0.0.1", 0)
    async with server:
        yield f"https://127.0.0.1:{server.sockets[0].getsockname()[1]}/", came
        # From Python 3.12 on it waits for them, and httpcore leaves it to the garbage collector to
        # close what has no TLS yet.
        for writer in writers:
            writer.close()


@pytest.mark.parametrize("way", ["by an order", "by hand", "one after the other"])
async def test_a_handshake_and_the_pools_queue_at_once(way, library, api, silent, within):
    """Who waits is given the place of the handshake as he goes himself: he leaves it, too."""
    url, came = silent
    limits = importlib.import_module(library).Limits(max_connections=1)
    async with http_client(kind="llm", library=library, limits=limits, trust_env=False) as client:
        asking = [asyncio.create_task(client.get(url)) for _ in range(3)]
        await came.acquire()
        waiting = None
        if way == "by an order":
            cancel(kind="llm")
        else:
            waiting = asyncio.create_task(client.get(api.url + MODELS))
            await asyncio.sleep(0)
            for task in asking:
                task.cancel()
                if way == "one after the other":
                    await asyncio.sleep(0)
        await ended(*asking)
        if waiting is None:
            assert pool_of(client).connections == []
            waiting = client.get(api.url + MODELS)
        assert (await within(waiting, 10)).status_code == 200


@pytest.mark.parametrize("iterations", range(6))
async def test_cancelled_again_while_it_hangs_up(iterations, client, api):
    """By its author, say: a connection that its request could not close is closed all the same."""
    api.on(CHAT, HANG)
    asking = asyncio.create_task(client.post(api.url + CHAT, json=QUESTION))
    await api.wait_for_requests(1, CHAT)
    asking.cancel()
    for _ in range(iterations):
        await asyncio.sleep(0)
    asking.cancel()
    await ended(asking)
    assert pool_of(client).connections == []
    assert len(await api.wait_for_disconnects(1, CHAT)) == 1


async def test_a_pool_that_is_not_as_expected(api):
    """A transport of somebody else's fails as ever."""

    class Pool:
        _requests = _connections = None

    class Transport(httpx.AsyncBaseTransport):
        _pool = Pool()

        async def handle_async_request(self, request):
            raise httpx.ConnectError("no route to host")

    async with http_client(kind="llm", transport=Transport()) as client:
        with pytest.raises(httpx.ConnectError, match="no route"):
            await client.get(api.url + MODELS)


async def test_a_time_out_of_the_work_around_it(client, api, tree):
    """Hangs up as well, and the work may go on with another request."""
    api.on(CHAT, HANG)
    work = track("image", timeout=1000)

    async def once_it_is_asked():
        await api.wait_for_requests(1, CHAT)
        time_out(tree, work)

    ending = asyncio.create_task(once_it_is_asked())
    with pytest.raises(TimeoutError, match="image took longer than"):
        async with work:
            await client.post(api.url + CHAT, json=QUESTION)
    await ending
    assert pool_of(client).connections == []
    assert (await client.get(api.url + MODELS)).status_code == 200
    assert len(await api.wait_for_disconnects(1, CHAT)) == 1


async def test_a_streamed_answer_that_is_dropped(client, api):
    """Gives its connection back, though nobody has closed it."""
    api.on(CHAT, Rule(chunk_latency=None))
    request = client.build_request("POST", api.url + CHAT, json={**QUESTION, "stream": True})
    response = await client.send(request, stream=True)
    async for _ in response.aiter_raw():
        break
    assert len(tasks()) == 1
    del response
    gc.collect()
    assert len(await api.wait_for_disconnects(1, CHAT)) == 1
    assert tasks() == []
    assert pool_of(client).connections == []
