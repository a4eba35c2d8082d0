"""What a request costs through ``http_client``, and how soon 1,000 of one client have stopped.

Run it with ``python -m benchmarks.http`` from the root of the repository. All of it is in one
process, side by side, in its processor time; the ratios are of rounds next to each other.
"""

import asyncio
import gc
import importlib
import statistics
import subprocess
import sys
import time

from loguru import logger

from nonebot_plugin_graceful.core import installed
from nonebot_plugin_graceful.core.discovery import branches
from nonebot_plugin_graceful.core.stopping import Stopping
from nonebot_plugin_graceful.core.tree import Limits, Tree
from nonebot_plugin_graceful.http import configure, http_client

LIBRARIES = ["httpx", "httpx2"]
ROUNDS = 31
CALLS = 200
IN_FLIGHT = 1000
STOPS = 5

HANG = """
import asyncio, sys
async def main():
    loop = asyncio.get_running_loop()
    server = await loop.create_server(asyncio.Protocol, "127.0.0.1", 0, backlog=2048)
    print(server.sockets[0].getsockname()[1], flush=True)
    await loop.run_in_executor(None, sys.stdin.read)
asyncio.run(main())
"""
"""A server that accepts everything and answers nothing."""


def at_once(library):
    """Make a transport that answers at once, so only what is above it is measured."""

    class AtOnce(library.AsyncBaseTransport):
        async def handle_async_request(self, _):
            await asyncio.sleep(0)  # as every request does, and the event loop tidies up
            return library.Response(200, stream=Empty())

    class Empty(library.AsyncByteStream):
        async def __aiter__(self):
            yield b"{}"

    return AtOnce()


async def per_request(library):
    """Compare a request through our client with one through the library's own."""
    module = importlib.import_module(library)
    url = "https://api.example.com/v1/chat/completions?key=value"
    clients = {
        f"{library}.AsyncClient": module.AsyncClient(transport=at_once(module)),
        "http_client": http_client(kind="llm", library=library, transport=at_once(module)),
        "http_client, with retries": http_client(
            kind="llm", library=library, transport=at_once(module), retries=2
        ),
    }
    taken = {name: [] for name in clients}
    for _ in range(ROUNDS):
        for name, client in clients.items():
            began = time.process_time()
            for _ in range(CALLS):
                await client.post(url, json={})
            taken[name].append((time.process_time() - began) / CALLS)
    bare = taken[f"{library}.AsyncClient"]
    print(f"\n{'a request':40}{'µs':>10}{'µs more':>10}{'best':>10}{'more':>10}")
    for name, seconds in taken.items():
        more = statistics.median(mine - its for mine, its in zip(seconds, bare, strict=True))
        print(
            f"{name:40}{statistics.median(seconds) * 1e6:10.1f}{more * 1e6:10.1f}"
            f"{min(seconds) * 1e6:10.1f}{(min(seconds) - min(bare)) * 1e6:10.1f}"
        )


async def stop_all(client, port, *, by_hand):
    """Seconds until so many requests in flight have ended."""
    tree = Tree(limits=Limits(cancel=60))  # none is to be taken for stuck on a busy machine
    restore = installed.install(tree)
    asking = [
        asyncio.create_task(client.get(f"http://127.0.0.1:{port}/{n}")) for n in range(IN_FLIGHT)
    ]
    pool = getattr(client._transport, "_transport", client._transport)._pool  # noqa: SLF001
    while repr(pool).count("0 queued") != 1 or len(pool.connections) < IN_FLIGHT:  # noqa: ASYNC110
        await asyncio.sleep(0.05)
    await asyncio.sleep(0.3)
    gc.collect()
    began = time.process_time()
    if by_hand:
        for task in asking:
            task.cancel()
        await asyncio.wait(asking)
    else:
        tree.lifecycle.begin("benchmark")
        tree.lifecycle.announce()
        stopping = Stopping(tree, lambda: branches(tree), "benchmark")
        stopping.hurry()
        await stopping.run()
    taken = time.process_time() - began
    assert all(task.cancelled() for task in asking)
    assert pool.connections == []
    restore()
    return taken


async def stops(library, port):
    """Compare the stopping of requests with cancelling their tasks by hand."""
    module = importlib.import_module(library)
    limits = module.Limits(max_connections=IN_FLIGHT)
    ways = {
        f"{library}.AsyncClient, task.cancel()": (
            module.AsyncClient(limits=limits, timeout=None, trust_env=False),
            True,
        ),
        "http_client, task.cancel()": (
            http_client(kind="llm", library=library, limits=limits, trust_env=False),
            True,
        ),
        "http_client, stopped": (
            http_client(kind="llm", library=library, limits=limits, trust_env=False),
            False,
        ),
    }
    taken = {name: [] for name in ways}
    for _ in range(STOPS):
        for name, (client, by_hand) in ways.items():
            taken[name].append(await stop_all(client, port, by_hand=by_hand))
    by_hand = taken["http_client, task.cancel()"]
    title = f"{IN_FLIGHT:,} requests of one client"
    print(f"\n{title:40}{'ms':>10}{'x by hand':>10}{'best':>10}{'x by hand':>10}")
    for name, seconds in taken.items():
        ratio = statistics.median(mine / its for mine, its in zip(seconds, by_hand, strict=True))
        print(
            f"{name:40}{statistics.median(seconds) * 1e3:10.1f}{ratio:10.2f}"
            f"{min(seconds) * 1e3:10.1f}{min(seconds) / min(by_hand):10.2f}"
        )


async def main():
    """Print the tables."""
    logger.remove()
    configure(connect_timeout=600)  # a thousand at once take long on a busy machine
    gc.freeze()
    with subprocess.Popen(  # noqa: ASYNC220
        [sys.executable, "-c", HANG], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as server:
        port = int(server.stdout.readline())
        for library in LIBRARIES:
            await per_request(library)
            await stops(library, port)
        server.stdin.close()


if __name__ == "__main__":
    asyncio.run(main())
