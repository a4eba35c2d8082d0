"""What the tests of HTTP ask for."""

import asyncio
import dataclasses

import pytest
from loguru import logger

from examples.sandbox import FakeOpenAI
from nonebot_plugin_graceful.core import installed
from nonebot_plugin_graceful.core.tree import Tree
from nonebot_plugin_graceful.core.work import owner


@pytest.fixture(params=["httpx", "httpx2"])
def library(request):
    """Name each library; httpx2 fits no anyio as old as ours may be."""
    pytest.importorskip(request.param)
    return request.param


@pytest.fixture(autouse=True)
def tree():
    """Install a tree of the test's own, in which nothing is left."""
    tree = Tree()
    restore = installed.install(tree)
    yield tree
    restore()
    assert tree.works == {}
    assert tree.places.taken() == {}
    assert tree.places.queued() == {}
    work = owner.get()
    assert work is None or work.ended


@pytest.fixture
def within():
    """Bound what has to happen soon. The bound is far below for ever."""

    async def within(awaitable, seconds=30):
        return await asyncio.wait_for(awaitable, seconds)

    return within


@pytest.fixture(autouse=True)
def fresh_http(monkeypatch):
    """The default settings but short waits, full buckets, and nobody warned."""
    from nonebot_plugin_graceful.http import client, transport
    from nonebot_plugin_graceful.http.settings import settings
    from nonebot_plugin_graceful.retry import configure, throttle
    from nonebot_plugin_graceful.retry.settings import Settings
    from nonebot_plugin_graceful.retry.settings import settings as retry_settings

    monkeypatch.setattr(settings, "connect_timeout", 10.0)
    monkeypatch.setattr(transport, "_warned", set())
    monkeypatch.setattr(client, "_clients", type(client._clients)())
    configure(max_wait=0.01)
    throttle.reset()
    yield
    for field in dataclasses.fields(Settings):
        setattr(retry_settings, field.name, field.default)


@pytest.fixture
def log():
    """Collect ``LEVEL message`` of every line."""
    lines = []
    sink = logger.add(
        lambda m: lines.append(f"{m.record['level'].name} {m.record['message']}"), level="INFO"
    )
    yield lines
    logger.remove(sink)


@pytest.fixture
def shutdown(tree):
    """Begin a shutdown, as the plugin does: ``shutdown()``. In the event loop."""

    def shutdown(reason="SIGINT"):
        tree.lifecycle.begin(reason)
        tree.lifecycle.announce()

    return shutdown


@pytest.fixture
async def api():
    """An AI service."""
    async with FakeOpenAI() as api:
        yield api


@pytest.fixture
def total_ends_once_asked(api, monkeypatch):
    """Have no request's total end before the service was asked: few seconds may be over by then."""
    from nonebot_plugin_graceful.http.flight import Flight

    expire, ending = Flight._expire, []

    async def once_asked(flight):
        await api.wait_for_requests(1)
        expire(flight)

    def later(flight):
        ending.append(asyncio.create_task(once_asked(flight)))

    monkeypatch.setattr(Flight, "_expire", later)


@pytest.fixture
def result_of():
    """Return or raise what a task ended with.

    Before Python 3.11 ``await task`` raises a CancelledError of its own, with it as the context.
    """

    async def result_of(task):
        try:
            return await task
        except asyncio.CancelledError as error:
            inner = error.__context__
            if type(error) is not asyncio.CancelledError or inner is None:
                raise
        raise inner from inner.__cause__

    return result_of
