"""GracefulTransport: tracked, bounded, refused, sent again."""

import asyncio
import gc
import io
import json
import re

import httpx
import pytest
from tenacity import retry_if_exception_type, retry_if_result, stop_after_attempt, wait_none

from examples.sandbox import Rule
from nonebot_plugin_graceful.core.api import cancel, shield, tasks, track
from nonebot_plugin_graceful.core.errors import Interrupted
from nonebot_plugin_graceful.core.kinds import Kinds
from nonebot_plugin_graceful.http import GracefulTransport
from nonebot_plugin_graceful.retry import AsyncRetrying, configure

URL = "https://api.example.com/v1/images"
EVENTS = "/v1/events"


class Script(httpx.AsyncBaseTransport):
    """Answers in turn with what it is told to: a status, a response, an error to raise."""

    def __init__(self, *answers):
        self.answers = list(answers)
        self.requests = []
        self.bodies = []
        self.given = []
        self.seen = []
        self.closed = False

    async def handle_async_request(self, request):
        self.requests.append(request)
        self.seen = tasks()
        self.bodies.append(b"".join([chunk async for chunk in request.stream]))
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, BaseException):
            raise answer
        if callable(answer):
            answer = await answer()
        if isinstance(answer, int):
            answer = httpx.Response(answer, stream=Chunks(b"{}"))
        self.given.append(answer)
        return answer

    async def aclose(self):
        self.closed = True


class Chunks(httpx.AsyncByteStream):
    """A body that comes piece by piece."""

    def __init__(self, *chunks):
        self._chunks = chunks
        self.closed = False

    async def __aiter__(self):
        for chunk in self._chunks:
            if isinstance(chunk, BaseException):
                raise chunk
            if chunk is None:
                await asyncio.Event().wait()
            yield chunk

    async def aclose(self):
        self.closed = True


async def never():
    await asyncio.Event().wait()


def client_of(*answers, **keywords):
    script = Script(*answers)
    transport = GracefulTransport(script, **{"kind": "llm", **keywords})
    return httpx.AsyncClient(transport=transport), script


# tracked


async def test_a_request_is_a_section():
    """Of its kind, by method and URL without query and credentials; and it ends with the answer."""
    client, script = client_of(200)
    await client.post("https://user:secret@api.example.com:8443/v1/chat?key=secret#part")
    (info,) = script.seen
    assert (info.kind, info.tier) == ("llm", 1)
    assert info.name == "POST https://api.example.com:8443/v1/chat"
    assert tasks() == []


async def test_a_name_instead():
    """What is given is used."""
    client, script = client_of(200, name="drawing")
    await client.get(URL)
    assert script.seen[0].name == "drawing"


async def test_inside_other_work():
    """The task that draws is the one that is shown, with the request's kind and the lowest tier."""
    client, script = client_of(200, kind="image")
    async with track("handler", name="draw"):
        (before,) = tasks()
        await client.get(URL)
        (after,) = tasks()
    (during,) = script.seen
    assert during.id == before.id == after.id
    assert (before.kind, during.kind, after.kind) == ("handler", "image", "handler")
    assert (before.tier, during.tier, after.tier) == (2, 0, 2)


async def test_answers_that_are_read_already_are_over():
    """A transport may give an answer whose body is there at once."""
    transport = httpx.MockTransport(lambda _: httpx.Response(200, json={}))
    client = httpx.AsyncClient(transport=GracefulTransport(transport, kind="llm"))
    response = await client.send(client.build_request("GET", URL), stream=True)
    assert tasks() == []
    assert response.json() == {}


@pytest.mark.parametrize("answer", [httpx.ConnectError(""), asyncio.CancelledError()])
async def test_failed_requests_end_too(answer):
    """Nothing is left in the registry."""
    client, _ = client_of(answer)
    with pytest.raises(type(answer)):
        await client.get(URL)
    assert tasks() == []


async def test_streamed_answers_are_tracked_until_they_are_closed(tree):
    """Also between two pieces, and no longer than that."""
    client, _ = client_of(httpx.Response(200, stream=Chunks(b"a", b"b", b"c")))
    async with client.stream("GET", URL) as response:
        async for chunk in response.aiter_raw():
            assert [info.kind for info in tasks()] == ["llm"]
            if chunk == b"b":
                break
        assert len(tasks()) == 1
    assert tasks() == []
    assert tree.works == {}


async def test_a_stream_read_to_its_end_is_over():
    """Whether or not anybody closes it."""
    client, _ = client_of(httpx.Response(200, stream=Chunks(b"a", b"b")))
    response = await client.send(client.build_request("GET", URL), stream=True)
    assert len(tasks()) == 1
    assert [chunk async for chunk in response.aiter_raw()] == [b"a", b"b"]
    assert tasks() == []


async def test_a_stream_that_breaks_off_is_over():
    """Its error is the reader's."""
    client, _ = client_of(httpx.Response(200, stream=Chunks(b"a", httpx.ReadError(""))))
    response = await client.send(client.build_request("GET", URL), stream=True)
    with pytest.raises(httpx.ReadError):
        await response.aread()
    assert tasks() == []


async def test_a_stream_may_be_closed_by_another_task(tree):
    """Or be dropped, or outlive the task that opened it: nothing stays behind."""
    client, script = client_of(200)

    async def open_stream():
        return await client.send(client.build_request("GET", URL), stream=True)

    # closed by another task, while the first goes on
    response = await open_stream()
    assert len(tasks()) == 1
    await asyncio.create_task(response.aclose())
    assert tasks() == []

    # closed when its task has ended
    response = await asyncio.create_task(open_stream())
    await asyncio.sleep(0)
    assert tree.works == {}
    await response.aclose()

    # never closed
    response = await open_stream()
    assert len(tasks()) == 1
    del response
    script.given.clear()
    gc.collect()
    await asyncio.sleep(0)
    assert tasks() == []
    assert tree.works == {}


async def test_two_streams_closed_in_the_order_in_which_they_were_opened():
    """Sections need not be left in the reverse order."""
    client, _ = client_of(
        httpx.Response(200, stream=Chunks(b"a")), httpx.Response(200, stream=Chunks(b"a"))
    )
    first, second = [
        await client.send(client.build_request("GET", f"{URL}/{n}"), stream=True) for n in (1, 2)
    ]
    await first.aclose()
    assert [info.name for info in tasks()] == [f"GET {URL}/2"]
    await second.aclose()
    assert tasks() == []


async def test_long_lived_tasks_do_not_collect_callbacks():
    """A worker that sends requests for ever stays as small as it was."""
    client, _ = client_of(200)

    async def work():
        for _ in range(50):
            await client.get(URL)
        return len(asyncio.current_task()._callbacks or ())

    task = asyncio.create_task(work())
    # one is the awaiting task's
    assert await task <= 1


async def test_a_limit_is_kept_until_the_answer_is_closed(within, tree):
    """With one place, the second request waits for the end of the first answer's body."""
    tree.kinds = Kinds({"llm": {"limit": 1}})
    client, script = client_of(200)
    begun, enough = asyncio.Event(), asyncio.Event()

    async def stream():
        async with client.stream("GET", URL):
            begun.set()
            await enough.wait()

    first = asyncio.create_task(stream())
    await begun.wait()
    second = asyncio.create_task(client.get(URL))
    while not any(info.state == "queued" for info in tasks()):
        await asyncio.sleep(0)
    assert len(script.requests) == 1
    enough.set()
    assert (await within(second)).status_code == 200
    await first


async def test_a_request_inside_its_own_kind_needs_no_second_place(within, tree):
    """It would wait for the work that waits for it."""
    tree.kinds = Kinds({"llm": {"limit": 1}})
    client, _ = client_of(200)

    async def work():
        async with track("llm"):
            return await client.get(URL)

    assert (await within(work())).status_code == 200


async def test_work_may_be_left_before_a_stream_it_opened(tree):
    """Sections that are still open are what the task does then."""
    client, _ = client_of(200)
    async with track("handler", name="outer"):
        async with track("background", name="asking"):
            response = await client.send(client.build_request("GET", URL), stream=True)
        assert [(info.kind, info.name) for info in tasks()] == [("llm", f"GET {URL}")]
        await response.aclose()
        assert [(info.kind, info.name) for info in tasks()] == [("handler", "outer")]
    assert tree.works == {}


# stopped


async def test_new_requests_are_refused_while_stopping(shutdown):
    """With the reason, before anything is sent."""
    shutdown("SIGTERM")
    client, script = client_of(200)
    with pytest.raises(Interrupted, match="SIGTERM"):
        await client.get(URL)
    assert script.requests == []


async def test_a_shielded_stretch_may_send(shutdown):
    """What is not to be cut is not refused either."""
    shutdown()
    client, _ = client_of(200, retries=2)
    async with shield():
        assert (await client.get(URL)).status_code == 200


@pytest.mark.parametrize("body", ["headers", "body"])
async def test_a_stopped_request_raises_interrupted(body, result_of, tree):
    """Be it before the answer or in the middle of it."""
    client, _ = client_of(
        never if body == "headers" else httpx.Response(200, stream=Chunks(b"a", None))
    )
    task = asyncio.create_task(client.get(URL))
    while not tasks():
        await asyncio.sleep(0)
    await asyncio.sleep(0)
    cancel(kind="llm", reason="enough")
    with pytest.raises(Interrupted, match="enough"):
        await result_of(task)
    assert tree.works == {}


# bounded


@pytest.mark.parametrize(
    "answer", [never, httpx.Response(200, stream=Chunks(b"a", None))], ids=["headers", "body"]
)
async def test_total_time_out(answer):
    """It holds for the answer's headers and for every piece of its body."""
    client, _ = client_of(answer, total=0.05)
    with pytest.raises(httpx.ReadTimeout, match=r"no complete answer within 0\.05 s") as raised:
        await client.get(URL)
    assert raised.value.request.url == URL
    assert tasks() == []


async def test_the_body_may_be_read_in_another_task():
    """No cancel scope is entered in one task and left in another."""
    client, _ = client_of(httpx.Response(200, stream=Chunks(b"a", b"b", None)), total=0.2)
    response = await client.send(client.build_request("GET", URL), stream=True)

    async def read():
        return [chunk async for chunk in response.aiter_raw()]

    with pytest.raises(httpx.ReadTimeout):
        await asyncio.create_task(read())


@pytest.mark.parametrize(
    ("kind", "seconds"), [("image", 180), ("llm", 120), ("handler", 60), ("mine", 60)]
)
async def test_totals_by_kind(kind, seconds, tree):
    """Each kind has its own, which the operator may change at any time."""
    client, _ = client_of(never, kind=kind)
    task = asyncio.create_task(client.get(URL))
    while not tree.works:
        await asyncio.sleep(0)
    assert tree.works[task].sections[-1].timeout == seconds
    task.cancel()
    tree.kinds = Kinds({kind: {"timeout": 0.05}})
    with pytest.raises(httpx.ReadTimeout):
        await client.get(URL)


async def test_connect_time_out():
    """Ten seconds, where the client has none."""
    client, script = client_of(200)
    await client.get(URL, timeout=None)
    await client.get(URL, timeout=httpx.Timeout(7, connect=3))
    assert [request.extensions["timeout"]["connect"] for request in script.requests] == [10, 3]


async def test_no_time_out_at_all_is_warned_of_once(log):
    """With the line that sends it; nothing is said where there is any."""
    client, _ = client_of(200, total=None)
    await client.get(URL)  # the client's own five seconds
    assert log == []
    for _ in range(3):
        await client.get(f"{URL}?key=secret", timeout=None)
    (line,) = log
    assert line.startswith(f"WARNING {__file__}:")
    assert line.endswith(
        f" sends requests without any time-out; GET {URL} may wait for ever."
        " Leave timeout= out, or say how many seconds"
    )


async def test_the_plugin_is_named(log, tree):
    """Where a handler sends it, its plugin is known."""

    class Origin:
        plugin = "nonebot_plugin_draw"
        matcher = bot = user = chat = None

    client, _ = client_of(200, total=None)
    async with track("handler"):
        tree.current().origin = Origin
        await client.get(URL, timeout=None)
    assert log[0].startswith("WARNING nonebot_plugin_draw sends requests without any time-out")


# sent again


async def test_sent_again_until_it_succeeds():
    """Connection errors and transient statuses; every answer but the last is closed."""
    client, script = client_of(503, httpx.ConnectError(""), 429, 200, retries=3)
    response = await client.post(URL, json={"prompt": "cat"})
    assert response.status_code == 200
    assert [json.loads(body) for body in script.bodies] == [{"prompt": "cat"}] * 4
    assert [answer.stream.closed for answer in script.given[:-1]] == [True, True]


async def test_the_last_answer_is_given_whatever_its_status():
    """As without retries: it is the caller's to look at the status, and to read the body."""
    client, script = client_of(503, retries=2)
    response = await client.get(URL)
    assert response.status_code == 503
    assert response.json() == {}
    assert len(script.requests) == 3
    async with client.stream("GET", URL) as response:
        assert [chunk async for chunk in response.aiter_raw()] == [b"{}"]
    assert tasks() == []


async def test_the_last_error_is_itself():
    """No RetryError comes out of a transport."""
    client, script = client_of(httpx.ConnectError("down"), retries=1)
    with pytest.raises(httpx.ConnectError, match="down"):
        await client.get(URL)
    assert len(script.requests) == 2


@pytest.mark.parametrize("status", [400, 401, 404])
async def test_lasting_statuses_are_not_sent_again(status):
    """The first answer is the answer."""
    client, script = client_of(status, retries=3)
    assert (await client.get(URL)).status_code == status
    assert len(script.requests) == 1


async def test_no_retries_by_default():
    """Who retries around the client does not want them squared."""
    client, script = client_of(503)
    assert (await client.get(URL)).status_code == 503
    assert len(script.requests) == 1


async def one_shot():
    yield b"once"


async def test_bodies_that_are_gone_are_not_sent_again():
    """A generator can be read but once."""
    client, script = client_of(503, retries=3)
    assert (await client.post(URL, content=one_shot())).status_code == 503
    assert script.bodies == [b"once"]


async def test_files_are_sent_again_if_they_can_be_rewound():
    """A multipart form is whole each time, or sent once."""
    client, script = client_of(503, 503, 200, retries=3)
    await client.post(URL, data={"n": "1"}, files={"image": io.BytesIO(b"picture")})
    assert len(script.bodies) == 3
    assert all(b"picture" in body for body in script.bodies)

    class Pipe(io.RawIOBase):
        data = b"once"

        def readable(self):
            return True

        def readinto(self, buffer):
            data, self.data = self.data, b""
            buffer[: len(data)] = data
            return len(data)

    client, script = client_of(503, retries=3)
    await client.post(URL, files={"image": Pipe()})
    assert len(script.bodies) == 1

    class Reader:
        """All that httpx asks of a file."""

        def __init__(self):
            self.read = io.BytesIO(b"once").read

    client, script = client_of(503, retries=3)
    assert (await client.post(URL, files={"image": Reader()})).status_code == 503
    (body,) = script.bodies
    assert b"once" in body


async def test_a_loop_of_ones_own():
    """With its own strategies, and its own hook before each wait."""
    told = []

    async def before_sleep(state):
        told.append(state.outcome.exception().response.status_code)

    client, script = client_of(
        404,
        retries=AsyncRetrying(
            retry=retry_if_exception_type(httpx.HTTPStatusError),
            stop=stop_after_attempt(2),
            wait=wait_none(),
            before_sleep=before_sleep,
        ),
    )
    assert (await client.get(URL)).status_code == 404
    assert len(script.requests) == 2
    assert told == [404]


@pytest.mark.parametrize("retries", [-1, "3", None])
def test_wrong_retries(retries):
    """Are refused with what they may be."""
    with pytest.raises(ValueError, match="AsyncRetrying"):
        GracefulTransport(kind="llm", retries=retries)


def test_wrong_kind():
    """Is refused where it is written, not at the first request."""
    with pytest.raises(TypeError, match="a kind has to be a name"):
        GracefulTransport(kind=3)


async def test_one_line_a_retry(log):
    """Method and URL, and what the server said."""
    body = b'{"error": {"message": "quota exceeded"}}'
    client, _ = client_of(httpx.Response(429, stream=Chunks(body)), 200, retries=1)
    await client.post(f"{URL}?key=secret")
    (line,) = log
    assert line == (
        f"WARNING Retrying POST {URL}, attempt 2 of 2, in 0.0 s:"
        " 429 Too Many Requests from api.example.com: quota exceeded"
    )


async def test_the_shutdown_ends_a_waiting_request(shutdown, result_of, tree):
    """It is not sent again, its answer is closed, and its failure is the cause."""
    configure(max_wait=60)
    response = httpx.Response(503, stream=Chunks(b"{}"), headers={"retry-after": "60"})
    client, script = client_of(response, retries=3)
    task = asyncio.create_task(client.get(URL))
    while not (tasks() and tasks()[0].note):
        await asyncio.sleep(0)
    assert tasks()[0].note == "attempt 2 of 4, waits 60.0 s"
    work = tree.works[task]
    shutdown()
    with pytest.raises(Interrupted) as raised:
        await result_of(task)
    assert raised.value.__cause__.response.status_code == 503
    assert work.outcome == "SIGINT"
    assert len(script.requests) == 1
    assert response.stream.closed
    assert tree.works == {}


async def test_an_answer_in_flight_when_the_shutdown_began_is_closed(shutdown):
    """Although it comes to no wait."""

    async def answer():
        shutdown()
        return 503

    client, script = client_of(answer, retries=3)
    with pytest.raises(Interrupted):
        await client.get(URL)
    assert script.given[0].stream.closed


async def test_no_retry_outlasts_the_total(log):
    """The answer in hand is given rather than lost in a time-out, and what it says is logged."""
    configure(max_wait=20)
    body = b'{"error": {"message": "quota exceeded"}}'
    client, script = client_of(
        httpx.Response(429, stream=Chunks(body), headers={"retry-after": "20"}),
        retries=3,
        total=3,
    )
    async with client.stream("POST", URL) as response:
        assert response.status_code == 429
        assert b"".join([chunk async for chunk in response.aiter_raw()]) == body
    assert len(script.requests) == 1
    assert tasks() == []
    (line,) = log
    begun, _, said = line.partition(": ")
    assert begun == f"WARNING Not retrying POST {URL}"
    assert re.fullmatch(
        r"it is to wait 2\d s and has [0-3] s left:"
        r" 429 Too Many Requests from api\.example\.com: quota exceeded",
        said,
    )


async def test_retries_go_on_while_there_is_time():
    """A deadline that is far off changes nothing."""
    client, script = client_of(503, 503, 200, retries=3, total=60)
    assert (await client.get(URL)).status_code == 200
    assert len(script.requests) == 3


async def test_retry_if_result():
    """A strategy may go by the answer, and what its body says; the last answer is the client's."""
    busy = lambda: httpx.Response(200, stream=Chunks(b'{"status": "busy"}'))  # noqa: E731
    retrying = AsyncRetrying(
        retry=retry_if_result(lambda response: response.json()["status"] == "busy"),
        stop=stop_after_attempt(3),
        wait=wait_none(),
    )
    first, second = busy(), busy()
    done = httpx.Response(200, stream=Chunks(b'{"status": "done"}'))
    client, script = client_of(first, second, done, retries=retrying)
    assert (await client.get(URL)).json() == {"status": "done"}
    assert len(script.requests) == 3

    client, script = client_of(busy(), busy(), busy(), retries=retrying)
    async with client.stream("GET", URL) as response:
        assert [chunk async for chunk in response.aiter_raw()] == [b'{"status": "busy"}']
    assert len(script.requests) == 3
    assert tasks() == []


async def test_rejected_answers_are_closed():
    """Each gives its connection back before the next attempt."""
    streams = [Chunks(b"busy"), Chunks(b"busy"), Chunks(b"done")]
    client, _ = client_of(
        *(httpx.Response(202 if n < 2 else 200, stream=each) for n, each in enumerate(streams)),
        retries=AsyncRetrying(
            retry=retry_if_result(lambda response: response.status_code == 202),
            stop=stop_after_attempt(3),
            wait=wait_none(),
        ),
    )
    async with client.stream("GET", URL) as response:
        assert [stream.closed for stream in streams] == [True, True, False]
        assert response.status_code == 200
    assert streams[2].closed


async def test_retry_error_callback():
    """Its answer is the client's; what it does not give is closed."""
    instead = httpx.Response(200, json={"instead": True})

    def callback(state):
        return instead if state.outcome.exception().response.status_code == 503 else None

    def retrying():
        return AsyncRetrying(
            stop=stop_after_attempt(2),
            wait=wait_none(),
            retry_error_callback=callback,
            retry=retry_if_exception_type(httpx.HTTPStatusError),
        )

    client, script = client_of(503, retries=retrying())
    assert (await client.get(URL)).json() == {"instead": True}
    assert [answer.stream.closed for answer in script.given] == [True, True]
    client, script = client_of(404, retries=retrying())
    with pytest.raises(TypeError, match="retry_error_callback has to give the client a response"):
        await client.get(URL)
    assert [answer.stream.closed for answer in script.given] == [True, True]

    client, script = client_of(
        503,
        retries=AsyncRetrying(
            stop=stop_after_attempt(2),
            wait=wait_none(),
            retry=retry_if_exception_type(httpx.HTTPStatusError),
            retry_error_callback=lambda state: state.outcome.exception().response,
        ),
    )
    assert (await client.get(URL)).json() == {}
    assert tasks() == []


async def test_closing():
    """Closes what it wraps."""
    client, script = client_of(200)
    await client.aclose()
    assert script.closed


async def test_entering_and_leaving():
    """Are the wrapped transport's to know of, with what was raised."""
    told = []

    class Pool(Script):
        async def __aenter__(self):
            told.append("entered")
            return self

        async def __aexit__(self, *raised):
            told.append(raised[0])

    with pytest.raises(ZeroDivisionError):
        async with GracefulTransport(Pool(200), kind="llm") as transport:
            assert isinstance(transport, GracefulTransport)
            raise ZeroDivisionError
    assert told == ["entered", ZeroDivisionError]
    async with httpx.AsyncClient(transport=GracefulTransport(Pool(200), kind="llm")) as client:
        await client.get(URL)
    assert told[2:] == ["entered", None]


@pytest.mark.usefixtures("total_ends_once_asked")
async def test_over_the_wire(api):
    """With httpx's own transport: the server sees one request, and the client hanging up."""
    api.on(EVENTS, Rule(latency=None))
    async with httpx.AsyncClient(
        transport=GracefulTransport(kind="llm", total=0.01), timeout=60, trust_env=False
    ) as client:
        with pytest.raises(httpx.ReadTimeout):
            await client.get(api.url + EVENTS)
    assert len(await api.wait_for_disconnects(1, EVENTS)) == 1
