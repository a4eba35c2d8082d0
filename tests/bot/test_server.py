"""uvicorn's server: found under any start, told to stop, and not held by an open response."""

import asyncio
import signal
import threading
from types import SimpleNamespace

import pytest
import uvicorn

from nonebot_plugin_graceful.bot import server as module
from nonebot_plugin_graceful.bot.server import RESPONSES_TIMEOUT, Server

TERM = int(signal.SIGTERM)
TIMEOUT = "timeout_graceful_shutdown"
HAS_TIMEOUT = hasattr(uvicorn.Config("no:app", log_config=None), TIMEOUT)  # from 0.22 on


@pytest.fixture(autouse=True)
def told():
    """Collect the signals that uvicorn passes on when it has ended, as it does since 0.29."""
    told = []
    before = {
        each: signal.signal(each, lambda signum, frame: told.append(signum))
        for each in (signal.SIGINT, signal.SIGTERM)
    }
    yield told
    for signum, handler in before.items():
        signal.signal(signum, handler)


class Site:
    """A uvicorn server with one page that never ends; ``hook`` runs at its start."""

    def __init__(self, hook=lambda: None, **settings):
        self.hook = hook
        self.page_ended = asyncio.Event()
        # not uvloop: older ones would set the policy of this process for good
        settings.setdefault("loop", "asyncio")
        config = uvicorn.Config(self, port=0, lifespan="on", log_config=None, **settings)
        self.uvicorn = uvicorn.Server(config)

    async def __call__(self, scope, receive, send):
        if scope["type"] == "lifespan":
            await receive()
            self.hook()
            await send({"type": "lifespan.startup.complete"})
            await receive()
            await send({"type": "lifespan.shutdown.complete"})
            return
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"data: 1\n\n", "more_body": True})
        try:
            await asyncio.Event().wait()
        finally:
            self.page_ended.set()

    async def open_page(self):
        """Give the reader of the page, once it has begun; and its writer."""
        port = self.uvicorn.servers[0].sockets[0].getsockname()[1]
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"GET / HTTP/1.1\r\nHost: here\r\n\r\n")
        await reader.readuntil(b"data: 1\n\n")
        return reader, writer


@pytest.fixture
async def serve(within):
    """Serve sites until the test is over, awaited in whatever way."""
    tasks = []

    async def serve(site, how=asyncio.create_task):
        task = how(site.uvicorn.serve())
        tasks.append((site, task))
        server = Server(SimpleNamespace())
        server._uvicorn = site.uvicorn
        await within(server.started())
        return task

    yield serve
    for site, task in tasks:
        site.uvicorn.should_exit = site.uvicorn.force_exit = True
        await within(asyncio.wait([task]))


async def _awaits(coro):
    await coro


@pytest.mark.parametrize(
    "how",
    [
        pytest.param(asyncio.create_task, id="a task"),
        pytest.param(lambda coro: asyncio.create_task(_awaits(coro)), id="a main()"),
        pytest.param(lambda coro: asyncio.create_task(asyncio.wait_for(coro, None)), id="wait_for"),
        pytest.param(lambda coro: asyncio.gather(coro, asyncio.sleep(0)), id="gather"),
    ],
)
async def test_it_is_found_by_whatever_it_is_started(how, serve):
    """At the time of the start-up hooks, from the task that runs them."""
    found = []
    server = Server(SimpleNamespace())

    def hook():
        server.find()
        found.append((server.found, server.told_to_exit, server._uvicorn))

    site = Site(hook)
    await serve(site, how)
    assert found == [(True, False, site.uvicorn)]


async def test_it_is_found_in_a_thread(within):
    """There it runs in a loop of its own."""
    server, found = Server(SimpleNamespace()), []

    def hook():
        server.find()
        found.append(server._uvicorn)
        site.uvicorn.should_exit = True

    site = Site(hook)
    thread = threading.Thread(target=site.uvicorn.run)
    thread.start()
    await within(asyncio.to_thread(thread.join))
    assert found == [site.uvicorn]


async def test_nonebots_is_told_from_a_plugins_own(serve):
    """That of a plugin's web page in the same loop listens already; ours is yet to."""
    found = []
    server = Server(SimpleNamespace())
    plugins = [Site() for _ in range(3)]
    for each in plugins:
        await serve(each)

    def hook():
        server.find()
        found.append(server._uvicorn)

    ours = Site(hook)
    await serve(ours)
    assert found == [ours.uvicorn]


async def test_without_one_there_is_none():
    """And what was found at an earlier start counts no more."""
    server = Server(SimpleNamespace())
    server._uvicorn = uvicorn.Server(uvicorn.Config("no:app"))
    server.find()
    assert not server.found
    assert not server.told_to_exit
    assert server.tasks == set()


async def test_an_old_one_is_found_too(monkeypatch, within):
    """Before 0.29 ``serve`` did all of it itself."""

    class Old:
        started = should_exit = False

        async def serve(self, sockets=None):
            await asyncio.Event().wait()

    monkeypatch.setattr(uvicorn, "Server", Old)
    old, server = Old(), Server(SimpleNamespace())
    task = asyncio.create_task(old.serve())
    await asyncio.sleep(0)
    server.find()
    task.cancel()
    await within(asyncio.wait([task]))
    assert server._uvicorn is old


def found(site):
    server = Server(SimpleNamespace())
    server._uvicorn = site.uvicorn
    return server


async def test_it_is_told_as_by_the_signal(serve, told, within):
    """It ends; it may pass the signal on then, as without us, so exit codes are the same."""
    site = Site()
    task = await serve(site)
    server = found(site)
    assert not server.told_to_exit
    assert server.exit(TERM) is True
    assert server.told_to_exit
    await within(asyncio.wait([task]))
    assert task.exception() is None
    assert told == [TERM] * hasattr(uvicorn.Server, "capture_signals")  # from 0.29 on


async def test_an_open_response_does_not_hold_it(serve, within):
    """A page of events is ended soon after; it would hold uvicorn for ever."""
    site = Site()
    task = await serve(site)
    reader, writer = await within(site.open_page())
    server = found(site)
    server.exit(TERM)
    assert getattr(site.uvicorn.config, TIMEOUT, RESPONSES_TIMEOUT) == RESPONSES_TIMEOUT
    await within(asyncio.wait([task]))
    await within(site.page_ended.wait())
    await within(reader.read())
    writer.close()
    server.restore()
    assert getattr(site.uvicorn.config, TIMEOUT, None) is None


@pytest.mark.skipif(not HAS_TIMEOUT, reason="this uvicorn knows none")
async def test_somebody_elses_bound_is_kept(serve, within):
    """An operator may have given uvicorn a time-out of his own."""
    site = Site(timeout_graceful_shutdown=7)
    task = await serve(site)
    server = found(site)
    server.exit(TERM)
    await within(asyncio.wait([task]))
    server.restore()
    assert site.uvicorn.config.timeout_graceful_shutdown == 7


@pytest.fixture
async def old(monkeypatch):
    """A server as before 0.22: it knows no time-out; with one open response."""
    monkeypatch.setattr(module, "RESPONSES_TIMEOUT", 0.01)
    task = asyncio.ensure_future(asyncio.Event().wait())
    closed = asyncio.Event()
    connection = SimpleNamespace(transport=SimpleNamespace(close=closed.set))
    state = SimpleNamespace(tasks={task}, connections=[connection, SimpleNamespace()])
    got = []
    server = Server(SimpleNamespace())
    server._uvicorn = SimpleNamespace(
        config=SimpleNamespace(),
        server_state=state,
        handle_exit=lambda signum, frame: got.append(signum),
    )
    yield SimpleNamespace(server=server, task=task, closed=closed, got=got)
    task.cancel()


async def test_an_old_ones_responses_are_ended_by_us(old, within):
    """Their tasks are cancelled, and their connections closed."""
    assert old.server.tasks == {old.task}
    assert old.server.exit(TERM)
    assert old.got == [TERM]
    await within(asyncio.wait([old.task]))
    assert old.task.cancelled()
    await within(old.closed.wait())


async def test_an_old_one_that_has_ended_is_left_alone(old):
    """When all is restored, nothing is cancelled any more."""
    old.server.exit(TERM)
    old.server.restore()
    await asyncio.sleep(0.05)
    assert not old.task.done()


async def test_without_a_server_the_drivers_exit_is_called():
    """``~none`` is told to stop by ``Driver.exit``."""
    exits = []
    assert Server(SimpleNamespace(exit=lambda: exits.append(1))).exit(TERM) is True
    assert exits == [1]


async def test_without_either_somebody_else_has_to_be_told():
    """Then the signal is delivered to whoever handled it before us."""
    server = Server(SimpleNamespace())
    assert server.exit(TERM) is False
    server.restore()


async def test_it_is_waited_for_until_it_listens(within):
    """Told before that, uvicorn may leave out the shutdown hooks; told already, it never will."""
    server = Server(SimpleNamespace())
    await within(server.started())  # there is none
    server._uvicorn = SimpleNamespace(started=False, should_exit=False)
    waiting = asyncio.ensure_future(server.started())
    await asyncio.sleep(0.03)
    assert not waiting.done()
    server._uvicorn.started = True
    await within(waiting)
    server._uvicorn = SimpleNamespace(started=False, should_exit=True)
    await within(server.started())
