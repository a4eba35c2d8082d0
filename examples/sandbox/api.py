"""An HTTP API as OpenAI's, Anthropic's and Google's are, whose latency and status can be set per path."""

import asyncio
import base64
import contextlib
import json
import socket
import struct
import threading
import time
import zlib
from collections.abc import Awaitable, Callable, Coroutine, Generator, Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Any, TypeVar

import uvicorn
from typing_extensions import Self

from .changes import Changes

__all__ = ["HANG", "FakeOpenAI", "Received", "Rule", "png"]

T = TypeVar("T")
Message = dict[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]

CHAT = "/v1/chat/completions"
IMAGES = "/v1/images/generations"
MESSAGES = "/v1/messages"
"""Anthropic's."""
GEMINI = "/v1*/models/*enerateContent"
"""Google's ``generateContent`` and ``streamGenerateContent``."""
MODELS = "/v1/models"
FILES = "/files/*"
LISTS = {
    MODELS: {
        "object": "list",
        "data": [{"id": "sandbox", "object": "model", "created": 0, "owned_by": "sandbox"}],
    }
}


@dataclass(frozen=True, slots=True)
class Rule:
    """How one request is answered."""

    status: int = 200
    latency: float | None = 0.0
    """Seconds before the answer begins. None: it does when it is let go."""
    headers: Mapping[str, str] = field(default_factory=dict[str, str])
    """Sent besides the usual ones, such as Retry-After."""
    body: bytes | None = None
    """Sent instead of the usual body."""
    chunk_latency: float | None = 0.0
    """Seconds between the pieces of a stream. None: it stalls after the first one."""


HANG = Rule(latency=None)
"""Accepts the request and does not answer, unless it is let go."""


@dataclass(slots=True)
class Received:
    """One request, and what became of it. All times are of ``time.monotonic``."""

    method: str
    path: str
    headers: dict[str, str]
    body: Any
    received: float
    status: int | None = None
    """None until the answer begins."""
    answered: float | None = None
    """When the last byte was sent. None: not (yet)."""
    disconnected: float | None = None
    """When the client hung up before it had its answer. None: it did not (yet)."""

    @property
    def in_flight(self) -> bool:
        """Whether the client still waits."""
        return self.answered is None and self.disconnected is None


@dataclass(frozen=True, slots=True)
class _Answer:
    content_type: str
    chunks: list[bytes]


class FakeOpenAI:
    """The API: chat (of three makers, also streamed), image generations, models, pictures to load.

    Use it as an async context manager in a loop of yours, or as a plain one to have it in a
    thread of its own. Rules may be changed at any time, from anywhere.
    """

    def __init__(self) -> None:
        self.requests: list[Received] = []
        """Every request so far, oldest first."""
        self._rules: dict[str, list[Rule]] = {}
        self._hanging: list[tuple[Received, asyncio.Event]] = []
        self._changes = Changes()
        self._thread: threading.Thread | None = None

    # rules

    def on(self, path: str, *rules: Rule) -> None:
        """Say how requests to a path are answered from now on.

        Args:
            path: A path, or a pattern such as ``/files/*``. Of several that fit, the one that was
                set last decides. A path the API does not know is one it knows from now on.
            rules: Each but the last answers one request; the last one stays. None at all: as at
                the beginning, 200 at once.

        """
        self._rules.pop(path, None)
        if rules:
            self._rules[path] = list(rules)

    def let_go(self, path: str = "*") -> None:
        """Answer those requests to a path (or pattern) that hang. In the API's loop."""
        for request, answer in self._hanging:
            if fnmatchcase(request.path, path):
                answer.set()

    def _rule(self, path: str) -> Rule:
        for pattern, rules in reversed(self._rules.items()):
            if fnmatchcase(path, pattern):
                return rules.pop(0) if len(rules) > 1 else rules[0]
        known = any(fnmatchcase(path, each) for each in (*_CHATS, IMAGES, *LISTS, FILES))
        return Rule() if known else Rule(404)

    # looking

    def count(self, path: str = "*") -> int:
        """Return how many requests to a path (or pattern) have been received."""
        return len(self._received(path))

    @property
    def in_flight(self) -> list[Received]:
        """The requests whose clients still wait."""
        return [request for request in self.requests if request.in_flight]

    async def wait_for_requests(
        self, n: int, path: str = "*", *, timeout: float = 30
    ) -> list[Received]:
        """Wait until ``n`` requests to a path (or pattern) have been received, and return them."""
        return await self._changes.until(
            lambda: received if len(received := self._received(path)) >= n else None,
            f"{n} requests to {path}",
            timeout,
        )

    async def wait_for_disconnects(
        self, n: int, path: str = "*", *, timeout: float = 30
    ) -> list[Received]:
        """Wait until the clients of ``n`` requests have hung up without an answer."""

        def hung_up() -> list[Received] | None:
            gone = [r for r in self._received(path) if r.disconnected is not None]
            return gone if len(gone) >= n else None

        return await self._changes.until(hung_up, f"{n} disconnects from {path}", timeout)

    def _received(self, pattern: str) -> list[Received]:
        return [request for request in self.requests if fnmatchcase(request.path, pattern)]

    # life

    async def start(self) -> None:
        """Listen on a free port of 127.0.0.1. Connections are accepted when this returns."""
        listener = socket.create_server(("127.0.0.1", 0), backlog=2048)
        self.url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        self._closing: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._server = _Server(
            uvicorn.Config(
                self._app,
                interface="asgi3",
                lifespan="off",
                ws="none",
                log_config=None,
                access_log=False,
            )
        )
        self._serving = asyncio.create_task(self._server.serve(sockets=[listener]))

    async def close(self) -> None:
        """Send away those who still wait, and stop listening."""
        self._closing.set_result(None)
        self._server.should_exit = True
        await self._serving

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    def __enter__(self) -> Self:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="FakeOpenAI")
        self._thread.start()
        self.run(self.start())
        return self

    def __exit__(self, *_: object) -> None:
        assert self._thread is not None
        self.run(self.close())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def run(self, coroutine: Coroutine[Any, Any, T]) -> T:
        """Run one of the coroutines above when the API is in a thread of its own."""
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result()

    # answering

    async def _app(self, scope: Message, receive: Receive, send: Send) -> None:
        """Answer one request: a plain ASGI application, since it has to see clients hang up."""
        request = Received(
            method=scope["method"],
            path=scope["path"],
            headers={name.decode(): value.decode("latin-1") for name, value in scope["headers"]},
            body=_json(await _body(receive)),
            received=time.monotonic(),
        )
        self.requests.append(request)
        self._changes.tell()
        gone = asyncio.create_task(_disconnect(receive))
        try:
            await self._respond(request, send, gone)
        finally:
            gone.cancel()
            self._changes.tell()

    async def _respond(self, request: Received, send: Send, gone: "asyncio.Task[None]") -> None:
        rule = self._rule(request.path)
        if not await self._may_answer(request, rule, gone):
            if gone.done():
                request.disconnected = time.monotonic()
                return
            rule = Rule(503)  # the API is closing
        answer = self._answer(request, rule)
        request.status = rule.status
        headers = {"content-type": answer.content_type, **rule.headers}
        await send(
            {
                "type": "http.response.start",
                "status": rule.status,
                "headers": [(k.lower().encode(), v.encode()) for k, v in headers.items()],
            }
        )
        for number, chunk in enumerate(answer.chunks):
            if number and not await self._pause(rule.chunk_latency, gone):
                break
            await send({"type": "http.response.body", "body": chunk, "more_body": True})
        if gone.done():
            request.disconnected = time.monotonic()
            return
        request.answered = time.monotonic()
        await send({"type": "http.response.body"})

    async def _may_answer(self, request: Received, rule: Rule, gone: "asyncio.Task[None]") -> bool:
        """Wait until the answer begins; False if it is not to."""
        if rule.latency is not None:
            return await self._pause(rule.latency, gone)
        hanging = request, asyncio.Event()
        self._hanging.append(hanging)
        let_go = asyncio.create_task(hanging[1].wait())
        try:
            await asyncio.wait({gone, self._closing, let_go}, return_when=asyncio.FIRST_COMPLETED)
            return hanging[1].is_set() and not gone.done()
        finally:
            let_go.cancel()
            self._hanging.remove(hanging)

    async def _pause(self, seconds: float | None, gone: "asyncio.Task[None]") -> bool:
        """Wait; False if the client hung up or the API is closing."""
        if seconds == 0:
            return not gone.done()
        done, _ = await asyncio.wait(
            {gone, self._closing}, timeout=seconds, return_when=asyncio.FIRST_COMPLETED
        )
        return not done

    def _answer(self, request: Received, rule: Rule) -> _Answer:
        if rule.body is not None:
            return _Answer("text/plain; charset=utf-8", [rule.body])
        if rule.status >= 400:
            return _error(rule.status)
        for pattern, chat in _CHATS.items():
            if fnmatchcase(request.path, pattern):
                return chat(request.path, request.body)
        if request.path == IMAGES:
            return self._image(request.body)
        if fnmatchcase(request.path, FILES):
            return _Answer("image/png", [png()])
        return _as_json(LISTS.get(request.path, {}))

    def _image(self, body: Any) -> _Answer:
        if body.get("response_format") == "url":
            picture = {"url": f"{self.url}/files/{len(self.requests)}.png"}
        else:
            picture = {"b64_json": base64.b64encode(png()).decode()}
        return _as_json({"created": int(time.time()), "data": [picture]})


class _Server(uvicorn.Server):
    """uvicorn that leaves the signals to the process it is a guest in."""

    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None, None, None]:
        yield


async def _body(receive: Receive) -> bytes:
    body = b""
    while True:
        message = await receive()
        body += message.get("body", b"")
        if not message.get("more_body"):
            return body


async def _disconnect(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


def _json(body: bytes) -> Any:
    try:
        return json.loads(body)
    except ValueError:
        return None


def _as_json(value: Any) -> _Answer:
    return _Answer("application/json", [json.dumps(value, ensure_ascii=False).encode()])


def _error(status: int) -> _Answer:
    reasons = {429: "rate_limit_exceeded", 504: "upstream_timeout"}
    error = {"message": f"sandbox says {status}", "type": "sandbox", "code": reasons.get(status)}
    return _as_json({"error": error})


def _chat(_: str, body: Any) -> _Answer:
    text = _reply_to(body["messages"][-1]["content"])
    reply = {
        "id": "chatcmpl-sandbox",
        "object": "chat.completion",
        "created": int(time.time()),
        "model": body.get("model", "sandbox"),
    }
    if not body.get("stream"):
        message = {"role": "assistant", "content": text}
        choice = {"index": 0, "message": message, "finish_reason": "stop"}
        usage = {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2}
        return _as_json({**reply, "choices": [choice], "usage": usage})
    deltas: list[tuple[dict[str, str], str | None]] = [
        ({"role": "assistant", "content": ""}, None),
        *(({"content": character}, None) for character in text),
        ({}, "stop"),
    ]
    reply["object"] = "chat.completion.chunk"
    events = [
        json.dumps({**reply, "choices": [{"index": 0, "delta": delta, "finish_reason": finish}]})
        for delta, finish in deltas
    ]
    return _Answer(
        "text/event-stream", [f"data: {event}\n\n".encode() for event in [*events, "[DONE]"]]
    )


def _message(_: str, body: Any) -> _Answer:
    """Answer as Anthropic does."""
    text = _reply_to(body["messages"][-1]["content"])
    message: dict[str, Any] = {
        "id": "msg_sandbox",
        "type": "message",
        "role": "assistant",
        "model": body.get("model", "sandbox"),
        "content": [{"type": "text", "text": text}],
        "stop_reason": "end_turn",
        "stop_sequence": None,
        "usage": {"input_tokens": 1, "output_tokens": 1},
    }
    if not body.get("stream"):
        return _as_json(message)
    begun: dict[str, Any] = {**message, "content": [], "stop_reason": None}
    events: list[dict[str, Any]] = [
        {"type": "message_start", "message": begun},
        {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}},
        *(
            {
                "type": "content_block_delta",
                "index": 0,
                "delta": {"type": "text_delta", "text": character},
            }
            for character in text
        ),
        {"type": "content_block_stop", "index": 0},
        {
            "type": "message_delta",
            "delta": {"stop_reason": "end_turn", "stop_sequence": None},
            "usage": {"output_tokens": 1},
        },
        {"type": "message_stop"},
    ]
    return _Answer(
        "text/event-stream",
        [f"event: {event['type']}\ndata: {json.dumps(event)}\n\n".encode() for event in events],
    )


def _content(path: str, body: Any) -> _Answer:
    """Answer as Google does."""
    text = _reply_to("".join(part["text"] for part in body["contents"][-1]["parts"]))

    def piece(text: str) -> dict[str, Any]:
        content = {"role": "model", "parts": [{"text": text}]}
        return {"candidates": [{"index": 0, "content": content, "finishReason": "STOP"}]}

    if ":stream" not in path:
        return _as_json(piece(text))
    return _Answer(
        "text/event-stream",
        [f"data: {json.dumps(piece(character))}\n\n".encode() for character in text],
    )


_CHATS = {CHAT: _chat, MESSAGES: _message, GEMINI: _content}


def _reply_to(content: str | list[dict[str, Any]]) -> str:
    """Answer a question with itself, and one about a picture with the picture's size."""
    if isinstance(content, str):
        return f"你说的是“{content}”，我记下了。"
    for part in content:
        if part["type"] == "image_url":
            picture = base64.b64decode(part["image_url"]["url"].partition("base64,")[2])
            width, height = struct.unpack(">II", picture[16:24])
            return f"这是一张 {width}×{height} 的图片。"
    return _reply_to("".join(part["text"] for part in content))


def png(width: int = 64, height: int = 64) -> bytes:
    """Draw a real picture: a blue sky that gets lighter towards the ground."""
    rows = (
        b"\0" + bytes((64, 96 + 128 * y // height, 224)) * width  # filter "none", then RGB
        for y in range(height)
    )
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    chunks = ((b"IHDR", header), (b"IDAT", zlib.compress(b"".join(rows))), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        for kind, data in chunks
    )
