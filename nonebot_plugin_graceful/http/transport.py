"""The transport: what every request of a client goes through."""

import asyncio
import functools
import inspect
from types import TracebackType
from typing import TYPE_CHECKING, Any

from loguru import logger
from typing_extensions import Self

from nonebot_plugin_graceful.core import installed
from nonebot_plugin_graceful.core.frames import authors_line
from nonebot_plugin_graceful.core.kinds import Kind
from nonebot_plugin_graceful.retry.loops import AsyncRetrying

from .body import Body
from .calls import call_of
from .flight import Flight
from .libraries import derive, library_of
from .pools import drop_unowned
from .resending import as_retrying, can_be_sent_again, send
from .settings import KIND, Total, settings, total_of

if TYPE_CHECKING:
    import httpx
    import httpx2

    class _Transport(httpx.AsyncBaseTransport, httpx2.AsyncBaseTransport):  # pyright: ignore[reportIncompatibleMethodOverride]
        ...
else:  # the libraries ask a transport for its methods, and not for its class
    _Transport = object

__all__ = ["GracefulTransport"]


class GracefulTransport(_Transport):
    """Makes each request of an httpx or httpx2 client a tracked section.

    ``httpx.AsyncClient(transport=GracefulTransport(kind="llm"))``. The section is called by its
    method and URL, without query and credentials, and lasts until the answer is closed.

    Args:
        transport: What sends the requests; the ``AsyncHTTPTransport()`` of the client's library by
            default.
        kind: As of ``track``.
        name: What the log calls the requests, instead of method and URL.
        total: Seconds one request may take, with everything: waits, retries and the body of the
            answer. By default the kind's ``timeout``, else 180 for ``image``, 120 for ``llm``, 60
            for the others. None: no limit. To a client of :func:`http_client` a request and its
            redirects are one.
        retries: How often a request is sent again when it fails in a way that may be over the next
            time; or an ``AsyncRetrying`` that knows. It sees statuses from 400 on as
            ``httpx.HTTPStatusError``, and others as the response; the client gets the last answer
            whatever its status, or what ``retry_error_callback`` gives. Where the next wait would
            outlast the total, there is none. Bodies that can be sent but once (generators) are, and
            a body of an answer that breaks off is the reader's to handle.

    Raises:
        Interrupted: By a request: the bot is shutting down.
        httpx.ReadTimeout: By a request: it took longer than ``total``.

    """

    def __init__(
        self,
        transport: "httpx.AsyncBaseTransport | httpx2.AsyncBaseTransport | None" = None,
        *,
        kind: str,
        name: str | None = None,
        total: float | Total | None = KIND,
        retries: int | AsyncRetrying = 0,
    ) -> None:
        installed.tree.kinds[kind]  # a wrong one is an error here, not at the first request
        self._transport: Any = transport
        self._kind = kind
        self._name = name
        self._total = total
        self._retrying = as_retrying(retries)

    async def handle_async_request(self, request: Any) -> Any:
        """Send a request."""
        library = library_of(request)
        if self._transport is None:
            self._transport = library.AsyncHTTPTransport()
        kind = installed.tree.kinds[self._kind]
        name = self._name or name_of(request)
        flight = Flight(kind, name, request, call_of(request), self._seconds(kind))
        self._mind_timeouts(request, flight)
        await flight.take_off()
        try:
            with flight:
                response = await self._send(request, flight)
        except BaseException:
            flight.land()
            raise
        if response.is_closed:  # its body has been read already
            flight.land()
        else:
            flight.answered()
            response.stream = derive(Body, library, "AsyncByteStream")(response.stream, flight)
        return response

    async def __aenter__(self) -> Self:
        """Enter what is wrapped."""
        if self._transport is not None:  # the libraries' own, made when it is needed, needs none
            await self._transport.__aenter__()
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None = None,
        exc_value: BaseException | None = None,
        traceback: TracebackType | None = None,
    ) -> None:
        """Leave what is wrapped."""
        if self._transport is not None:
            await self._transport.__aexit__(exc_type, exc_value, traceback)

    async def aclose(self) -> None:
        """Close the connections."""
        if self._transport is not None:
            await self._transport.aclose()

    def _seconds(self, kind: Kind) -> float | None:
        return total_of(kind) if isinstance(self._total, Total) else self._total

    async def _send(self, request: Any, flight: Flight) -> Any:
        handle = self._handle
        if installed.tree.world.meters:
            handle = functools.partial(_measured, handle)
        if self._retrying is None or not can_be_sent_again(request):
            return await handle(request)
        return await send(handle, request, str(flight.name), self._retrying, flight.deadline)

    async def _handle(self, request: Any) -> Any:
        try:
            return await self._transport.handle_async_request(request)
        except (Exception, asyncio.CancelledError):
            await drop_unowned(self._transport)
            raise

    def _mind_timeouts(self, request: Any, flight: Flight) -> None:
        timeouts: dict[str, float | None] = request.extensions.get("timeout", {})
        if flight.own_timeout is not None:
            if timeouts.get("connect") is None:
                request.extensions = {
                    **request.extensions,
                    "timeout": {**timeouts, "connect": settings.connect_timeout},
                }
        elif all(seconds is None for seconds in timeouts.values()):
            _warn_of_no_timeout(str(flight.name))


async def _measured(handle: Any, request: Any) -> Any:
    """Send a request, and tell those who count what came of it."""
    status = "error"
    try:
        response = await handle(request)
        status = str(response.status_code)
    except asyncio.CancelledError:
        status = "cancelled"
        raise
    except library_of(request).TimeoutException:
        status = "timeout"
        raise
    finally:
        for meter in installed.tree.world.meters:
            meter.answered(request.url.host, status)
    return response


def name_of(request: Any) -> str:
    """Call a request by method and URL, without what may be secret."""
    url = request.url
    path = url.raw_path.partition(b"?")[0]
    return f"{request.method} {url.scheme}://{(url.netloc + path).decode('ascii')}"


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
