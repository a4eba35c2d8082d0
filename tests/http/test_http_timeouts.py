"""Time-outs mean what httpx means: of clients, of kinds, of single calls, over redirects and retries."""

import asyncio
import importlib
import subprocess
import sys

import pytest
from virtual_time import VirtualTime

from examples.sandbox import HANG, Rule
from examples.sandbox.api import MODELS
from nonebot_plugin_graceful.core.api import tasks
from nonebot_plugin_graceful.core.kinds import Kinds
from nonebot_plugin_graceful.http import GracefulTransport, http_client
from nonebot_plugin_graceful.http.flight import Flight
from nonebot_plugin_graceful.retry import configure

HERE = "http://here/"


@pytest.fixture
def make(library):
    """Make a client whose requests are answered by a function, and know its library."""
    module = importlib.import_module(library)

    class Answers(module.AsyncBaseTransport):
        def __init__(self, answer):
            self.answer = answer
            self.requests = []

        async def handle_async_request(self, request):
            self.requests.append(request)
            return await self.answer(request)

    def make(answer, **keywords):
        transport = Answers(answer)
        client = http_client(
            **{"kind": "llm", "library": library, "transport": transport, **keywords}
        )
        return client, transport.requests

    make.module = module
    return make


async def hang(_):
    await asyncio.Event().wait()


async def test_a_calls_own_number_may_be_longer(make):
    """The client's does not cut it."""

    async def answer(_):
        await asyncio.sleep(0.3)
        return make.module.Response(200)

    client, _ = make(answer, timeout=0.1)
    with pytest.raises(make.module.ReadTimeout, match=r"no complete answer within 0\.1 s"):
        await client.get(HERE)
    assert (await client.get(HERE, timeout=30)).status_code == 200


@pytest.mark.parametrize("own", [0.1, 1, (0.1, 0.1, 0.1, 0.1)])
async def test_a_calls_own_number_is_for_the_call_as_a_whole(own, make):
    """Though it is httpx's number for each step, there is no waiting beyond it, whoever waits."""
    client, _ = make(hang)
    number = own if isinstance(own, float | int) else own[0]
    with pytest.raises(make.module.ReadTimeout, match=f"no complete answer within {number:g} s"):
        await client.get(HERE, timeout=own)


@pytest.mark.parametrize("own", [(5, 300), {"connect": 5, "read": 300, "write": 1, "pool": 1}])
async def test_a_calls_own_steps_are_httpxs(own, make, tree):
    """A tuple or a Timeout is handed on as it is, and there is no total any more."""
    seen = []

    async def answer(request):
        (work,) = tree.works.values()
        seen.append((work.sections[-1].own_timeout, request.extensions["timeout"]["read"]))
        return make.module.Response(200)

    client, _ = make(answer)
    own = make.module.Timeout(**own) if isinstance(own, dict) else own
    await client.get(HERE, timeout=own)
    await client.get(HERE)
    assert seen == [(None, 300), (120, None)]


async def test_none_says_nothing(make, tree):
    """A call's own None leaves the client's total: some SDKs send it where nobody asked for it."""
    tree.kinds = Kinds({"llm": {"timeout": 0.1}})
    client, _ = make(hang)
    with pytest.raises(make.module.ReadTimeout, match=r"no complete answer within 0\.1 s"):
        await client.get(HERE, timeout=None)
    with pytest.raises(make.module.ReadTimeout, match=r"no complete answer within 0\.1 s"):
        await client.get(HERE, timeout=make.module.Timeout(None, connect=3))


@pytest.mark.parametrize("timeout", [(5, 10), (5, 10, 15, 20)])
async def test_a_client_takes_tuples(timeout, make):
    """As httpx's does."""
    client, _ = make(hang, timeout=timeout)
    assert client.timeout == make.module.Timeout(timeout)


async def test_a_client_takes_the_other_librarys_time_out(make):
    """It says the same."""
    import httpx

    client, _ = make(hang, timeout=httpx.Timeout(5, connect=2))
    assert client.timeout == make.module.Timeout(5, connect=2)


@pytest.mark.parametrize("own", [False, True])
async def test_redirects_share_the_total(own, make):
    """However many there are, the call as a whole is over in time."""

    async def answer(request):
        await asyncio.sleep(0.05)
        return make.module.Response(302, headers={"location": f"{request.url}x"})

    client, requests = make(
        answer, follow_redirects=True, max_redirects=1000, timeout=60 if own else 0.4
    )
    with pytest.raises(make.module.ReadTimeout, match=r"no complete answer within 0\.4 s"):
        await client.get(HERE, **({"timeout": 0.4} if own else {}))
    assert 1 <= len(requests) <= 8
    assert tasks() == []


async def test_each_call_has_its_own_total(make):
    """Also if the same request is sent again, or a redirect is followed by hand."""

    async def answer(request):
        await asyncio.sleep(0.2)
        return make.module.Response(302, headers={"location": "/there"})

    client, requests = make(answer, timeout=5)
    request = client.build_request("GET", HERE)
    seen = []
    for _ in range(2):
        response = await client.send(request)
        seen.append(requests[-1].extensions["graceful"])
    await client.send(response.next_request)
    seen.append(requests[-1].extensions["graceful"])
    assert len(set(seen)) == 3


async def test_retries_share_the_total(make):
    """The attempts are over when the call is."""
    configure(max_wait=0.01)

    async def answer(_):
        await asyncio.sleep(0.1)
        return make.module.Response(503)

    client, requests = make(answer, retries=100, timeout=0.5)
    with pytest.raises(make.module.ReadTimeout, match=r"no complete answer within 0\.5 s"):
        await client.get(HERE)
    assert len(requests) <= 5


def test_a_streams_total(make):
    """The client's is for all of it; a call's own for what comes before it, and then each piece."""

    async def main():
        begun = asyncio.get_running_loop().time

        class Slow(make.module.AsyncByteStream):
            async def __aiter__(self):
                until = begun() + 1.5
                while begun() < until:
                    await asyncio.sleep(0.1)
                    yield b"piece"

        async def answer(_):
            return make.module.Response(200, stream=Slow())

        client, _ = make(answer, timeout=1)
        with pytest.raises(make.module.ReadTimeout):
            async with client.stream("GET", HERE) as response:
                async for _ in response.aiter_raw():
                    pass
        client, _ = make(answer)
        async with client.stream("GET", HERE, timeout=1) as response:
            assert len([piece async for piece in response.aiter_raw()]) > 1
        with pytest.raises(make.module.ReadTimeout):  # what is not streamed is one call
            await client.get(HERE, timeout=1)
        assert tasks() == []

    VirtualTime().run(main())


async def test_time_that_runs_out_between_two_pieces(make):
    """Is noticed when the next one is asked for; nobody is cancelled who does something else."""

    class Pieces(make.module.AsyncByteStream):
        closed = False

        async def __aiter__(self):
            while True:
                yield b"piece"

        async def aclose(self):
            self.closed = True

    stream = Pieces()

    async def answer(_):
        return make.module.Response(200, stream=stream)

    client, _ = make(answer, timeout=0.2)
    response = await client.send(client.build_request("GET", HERE), stream=True)
    pieces = response.aiter_raw()
    await anext(pieces)
    await asyncio.sleep(0.3)
    with pytest.raises(make.module.ReadTimeout):
        await anext(pieces)
    assert stream.closed
    assert tasks() == []


async def test_a_time_out_is_nobodys_cancellation(make):
    """A task whose request took too long is as whole as before."""
    client, _ = make(hang, timeout=0.05)
    with pytest.raises(make.module.ReadTimeout):
        await client.get(HERE)
    if sys.version_info >= (3, 11):
        assert asyncio.current_task().cancelling() == 0
    await asyncio.wait_for(asyncio.sleep(0.01), 5)


@pytest.mark.parametrize("first", ["total", "cancel"])
async def test_a_cancellation_beside_the_time_out(first, make, monkeypatch):
    """In the same iteration: the request is cancelled, as its author asked."""
    flights = asyncio.Queue()
    expire = Flight._expire
    monkeypatch.setattr(Flight, "_expire", lambda self: flights.put_nowait((self,)))
    client, _ = make(hang, timeout=0.001)
    task = asyncio.create_task(client.get(HERE))
    (flight,) = await asyncio.wait_for(flights.get(), 10)
    orders = [lambda: expire(flight), task.cancel]
    for order in orders if first == "total" else reversed(orders):
        order()
    await asyncio.wait([task], timeout=10)
    assert task.cancelled()


async def test_a_transport_alone_bounds_each_request(make):
    """Under somebody's own client, whose call it cannot know."""

    class Answer(make.module.AsyncBaseTransport):
        async def handle_async_request(self, request):
            await hang(request)

    transport = GracefulTransport(Answer(), kind="llm", total=0.1)
    async with make.module.AsyncClient(transport=transport) as client:
        with pytest.raises(make.module.ReadTimeout, match=r"no complete answer within 0\.1 s"):
            await client.get(HERE)


async def test_a_transport_finds_its_library(library, api):
    """Without a transport of its own it is given that of the client's library."""
    module = importlib.import_module(library)
    transport = GracefulTransport(kind="llm")
    async with module.AsyncClient(transport=transport, trust_env=False) as client:
        assert (await client.get(api.url + MODELS)).status_code == 200
    assert isinstance(transport._transport, module.AsyncHTTPTransport)
    assert transport._transport._pool.connections == []


@pytest.mark.usefixtures("total_ends_once_asked")
async def test_over_the_wire(library, api):
    """The server sees each client hang up when its time is over."""
    api.on(MODELS, HANG)
    async with http_client(kind="llm", library=library, total=0.01, trust_env=False) as client:
        with pytest.raises(importlib.import_module(library).ReadTimeout):
            await client.get(api.url + MODELS)
        assert client._transport._transport._pool.connections == []
        api.on(MODELS, Rule())
        assert (await client.get(api.url + MODELS, timeout=30)).status_code == 200
    assert len(await api.wait_for_disconnects(1, MODELS)) == 1


def test_wrong_libraries():
    """Are refused with what they may be."""
    with pytest.raises(ValueError, match="library has to be one of httpx, httpx2"):
        http_client(kind="llm", library="aiohttp")


def test_missing_libraries(monkeypatch):
    """Are named with what asked for them."""
    monkeypatch.setitem(sys.modules, "httpx2", None)
    with pytest.raises(ImportError, match="library='httpx2' needs the package httpx2"):
        http_client(kind="llm", library="httpx2")


def test_neither_library_is_imported_before_it_is_asked_for():
    """Who sends no requests pays for neither; who asks for one gets no other."""
    script = (
        "import sys\n"
        "import nonebot_plugin_graceful as graceful\n"
        "graceful.GracefulTransport(kind='llm')\n"
        "assert not {'httpx', 'httpx2', 'httpcore'} & sys.modules.keys()\n"
        "graceful.http_client(kind='llm')\n"
        "assert 'httpx' in sys.modules and 'httpx2' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", script], check=True, timeout=60)
