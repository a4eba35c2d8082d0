"""The transport: what every request of a client goes through."""

import inspect
import weakref
from collections.abc import AsyncIterator

import httpx
from loguru import logger

from nonebot_plugin_graceful.core import installed
from nonebot_plugin_graceful.core.frames import authors_line
from nonebot_plugin_graceful.retry.loops import AsyncRetrying

from .flight import Flight
from .resending import as_retrying, can_be_sent_again, send
from .settings import KIND, Total, settings, total_of

__all__ = ["GracefulTransport"]


class GracefulTransport(httpx.AsyncBaseTransport):
    """Makes each request of an httpx client a tracked section.

    ``httpx.AsyncClient(transport=GracefulTransport(kind="llm"))``. The section is called by its
    method and URL, without query and credentials, and lasts until the answer is closed.

    Args:
        transport: What sends the requests; ``httpx.AsyncHTTPTransport()`` by default.
        kind: As of ``track``.
        name: What the log calls the requests, instead of method and URL.
        total: Seconds one request may take, with everything: waits, retries and the body of the
            answer. By default the kind's ``timeout``, else 180 for ``image``, 120 for ``llm``, 60
            for the others. None: no limit.
        retries: How often a request is sent again when it fails in a way that may be over the next
            time; or an ``AsyncRetrying`` that knows. It sees statuses from 400 on as
            ``httpx.HTTPStatusError``; the client gets the last answer whatever its status. Bodies
            that can be sent but once (generators) are, and a body of an answer that breaks off is
            the reader's to handle.

    Raises:
        Interrupted: By a request: the bot is shutting down.
        httpx.ReadTimeout: By a request: it took longer than ``total``.

    """

    def __init__(
        self,
        transport: httpx.AsyncBaseTransport | None = None,
        *,
        kind: str,
        name: str | None = None,
        total: float | Total | None = KIND,
        retries: int | AsyncRetrying = 0,
    ) -> None:
        installed.tree.kinds[kind]  # a wrong one is an error here, not at the first request
        self._transport = transport or httpx.AsyncHTTPTransport()
        self._kind = kind
        self._name = name
        self._total = total
        self._retrying = as_retrying(retries)

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Send a request."""
        kind = installed.tree.kinds[self._kind]
        total = total_of(kind) if isinstance(self._total, Total) else self._total
        name = self._name or name_of(request)
        self._mind_timeouts(request, name, total)
        flight = Flight(self._kind, name, request, total)
        await flight.take_off()
        try:
            with flight.bounded():
                if self._retrying is None or not can_be_sent_again(request):
                    response = await self._transport.handle_async_request(request)
                else:
                    response = await send(self._transport, request, name, self._retrying)
        except BaseException:
            flight.land()
            raise
        if response.is_closed:  # its body has been read already
            flight.land()
        else:
            assert isinstance(response.stream, httpx.AsyncByteStream)
            response.stream = _Body(response.stream, flight)
        return response

    async def aclose(self) -> None:
        """Close the connections."""
        await self._transport.aclose()

    def _mind_timeouts(self, request: httpx.Request, name: str, total: float | None) -> None:
        timeouts: dict[str, float | None] = request.extensions.get("timeout", {})
        if total is not None:
            if timeouts.get("connect") is None:
                request.extensions = {
                    **request.extensions,
                    "timeout": {**timeouts, "connect": settings.connect_timeout},
                }
        elif not any(seconds is not None for seconds in timeouts.values()):
            _warn_of_no_timeout(name)


class _Body(httpx.AsyncByteStream):
    """The body of an answer, whose end is the end of the flight."""

    def __init__(self, stream: httpx.AsyncByteStream, flight: Flight) -> None:
        self._stream = stream
        self._flight = flight
        # somebody may drop an answer that he never closed
        self._forget = weakref.finalize(self, flight.land_from_anywhere)
        self._forget.atexit = False

    async def __aiter__(self) -> AsyncIterator[bytes]:
        chunks = aiter(self._stream)
        try:
            while True:
                with self._flight.bounded():
                    try:
                        chunk = await anext(chunks)
                    except StopAsyncIteration:
                        return
                yield chunk
        except BaseException:
            self._land()
            raise

    async def aclose(self) -> None:
        try:
            await self._stream.aclose()
        finally:
            self._land()

    def _land(self) -> None:
        self._forget.detach()
        self._flight.land()


def name_of(request: httpx.Request) -> str:
    """Call a request by method and URL, without what may be secret."""
    url = request.url.copy_with(userinfo=b"", query=None, fragment=None)
    return f"{request.method} {url}"


_warned: set[str] = set()


def _warn_of_no_timeout(name: str) -> None:
    work = installed.tree.current()
    plugin = work.origin.plugin if work is not None and work.origin is not None else None
    line = authors_line(inspect.currentframe())
    who = plugin or line.rpartition(":")[0]
    if who in _warned:
        return
    _warned.add(who)
    logger.warning(
        f"{plugin or line} sends requests without any time-out; {name} may wait for ever."
        " Leave timeout= out, or say how many seconds"
    )
