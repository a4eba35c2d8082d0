"""Who may see the page: who has the token. Guessing it takes for ever."""

import hmac
import ipaddress
import time
from collections import OrderedDict, deque
from collections.abc import Awaitable, Callable, Collection
from contextlib import suppress
from contextvars import ContextVar
from typing import Any

from nonebot.drivers import Driver, Request, Response
from nonebot.log import logger

from nonebot_plugin_graceful.core.errors import Interrupted
from nonebot_plugin_graceful.core.lifecycle import Lifecycle

__all__ = ["Access", "stand_in_front"]

PENALTY = 1.0
"""Seconds that a wrong token costs."""
TRIES, PERIOD = 10, 60.0
"""So many wrong tokens in so many seconds, and the address waits."""
ADDRESSES = 1000
"""How many are remembered."""
LONGEST = 4096
"""Bytes that somebody may bring: an order is short."""

_address: ContextVar[str] = ContextVar("graceful_address", default="")


class Access:
    """Lets in who has the token.

    Args:
        token: That is it.
        lifecycle: Nobody waits for a penalty while the bot is being stopped.

    """

    def __init__(self, token: str, lifecycle: Lifecycle) -> None:
        self._expected = f"Bearer {token}".encode()
        self._lifecycle = lifecycle
        self._failures: OrderedDict[str, deque[float]] = OrderedDict()

    async def refuse(self, request: Request) -> Response | None:
        """Give the answer for who may not come in; None: he may."""
        given = request.headers.get("Authorization", "")
        if not given:
            return _no(401)
        address = _address.get()
        wait = self._wait_of(address)
        if wait > 0:  # not looked at: neither a right nor a wrong one says anything
            return _no(429, {"Retry-After": str(int(wait) + 1)})
        if hmac.compare_digest(given.encode("utf-8", "surrogateescape"), self._expected):
            return None
        self._note(address)
        with suppress(Interrupted):
            await self._lifecycle.wait(PENALTY)
        return _no(401)

    def _wait_of(self, address: str) -> float:
        failures = self._failures.get(address)
        if failures is None or len(failures) < TRIES:
            return 0.0
        return failures[0] + PERIOD - time.monotonic()

    def _note(self, address: str) -> None:
        failures = self._failures.setdefault(address, deque(maxlen=TRIES))
        self._failures.move_to_end(address)
        if len(self._failures) > ADDRESSES:
            self._failures.popitem(last=False)
        failures.append(time.monotonic())
        who = address or "somebody"
        logger.warning(f"The page was asked for with a wrong token, by {who}")
        if self._wait_of(address) > 0:
            logger.warning(f"The page lets {who} wait for a minute: {TRIES} wrong tokens")


def _no(status: int, headers: dict[str, str] | None = None) -> Response:
    return Response(status, headers={"Cache-Control": "no-store", **(headers or {})}, content="")


# -- whose request it is, which NoneBot's own Request does not tell; and how long it is: NoneBot's
# drivers read all of it before they ask anybody

Asgi = Callable[[Any, Any, Any], Awaitable[None]]


class _Front:
    """ASGI middleware: notes who asks for the page, and hears nobody out who talks too long.

    Args:
        app: What it stands in front of.
        paths: The page's own; all others are none of its business.

    """

    def __init__(self, app: Asgi, paths: Collection[str]) -> None:
        self._app, self._paths = app, frozenset(paths)

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http" or not self._is_ours(scope):
            await self._app(scope, receive, send)
            return
        client = scope.get("client")
        _address.set(_group(str(client[0])) if client else "")
        content = await _read(receive)
        if content is None:
            await send({"type": "http.response.start", "status": 413, "headers": CLOSE})
            await send({"type": "http.response.body", "body": b""})
            return
        told = False

        async def replay() -> Any:
            nonlocal told
            if told:
                return await receive()
            told = True
            return {"type": "http.request", "body": content, "more_body": False}

        await self._app(scope, replay, send)

    def _is_ours(self, scope: Any) -> bool:
        before = scope.get("root_path", "").rstrip("/")  # what a proxy has put before the path
        return scope["path"].removeprefix(before) in self._paths


CLOSE = [(b"content-length", b"0"), (b"connection", b"close")]
"""What is still to come would be read otherwise."""


async def _read(receive: Any) -> bytes | None:
    """Read what somebody brings; None: it is too much, or he has gone."""
    content = b""
    while len(content) <= LONGEST:
        message = await receive()
        if message["type"] != "http.request":
            return None
        content += message.get("body", b"")
        if not message.get("more_body", False):
            return content if len(content) <= LONGEST else None
    return None


def stand_in_front(driver: Driver, paths: Collection[str]) -> None:
    """Look at every request for some paths first. Of a driver that is no known one: at none."""
    app: Any = getattr(driver, "server_app", None)
    if hasattr(app, "add_middleware"):  # Starlette's, and so FastAPI's
        app.add_middleware(_Front, paths=paths)
    elif hasattr(app, "asgi_app"):  # Quart's
        app.asgi_app = _Front(app.asgi_app, paths)


def _group(address: str) -> str:
    """Take a network for one address where one person has 2**64 of them."""
    with suppress(ValueError):
        parsed = ipaddress.ip_address(address)
        if parsed.version == 6 and parsed.ipv4_mapped is None:
            return str(ipaddress.ip_network((parsed, 64), strict=False))
    return address
