"""Clients that are closed with the bot, and that know what one call of theirs is."""

import asyncio
import weakref
from typing import TYPE_CHECKING, Any, Literal, overload

from loguru import logger

from nonebot_plugin_graceful.core import installed
from nonebot_plugin_graceful.core.ending import admit
from nonebot_plugin_graceful.core.failures import describe_failure
from nonebot_plugin_graceful.retry.loops import AsyncRetrying

from .calls import Call
from .libraries import Name, derive, import_library
from .settings import KIND, Total, settings
from .transport import GracefulTransport

if TYPE_CHECKING:
    import httpx
    import httpx2

    _Client = httpx.AsyncClient
else:
    _Client = object

__all__ = ["close_clients", "http_client"]

_clients: "weakref.WeakSet[Any]" = weakref.WeakSet()
_Step = float | None
"""Seconds of one of httpx's four time-outs."""
_Steps = tuple[_Step, _Step] | tuple[_Step, _Step, _Step, _Step]


@overload
def http_client(
    *,
    kind: str,
    library: Literal["httpx"] = "httpx",
    name: str | None = ...,
    timeout: "float | _Steps | httpx.Timeout | Total | None" = ...,
    total: float | Total | None = ...,
    retries: int | AsyncRetrying = ...,
    **keywords: Any,
) -> "httpx.AsyncClient": ...
@overload
def http_client(
    *,
    kind: str,
    library: Literal["httpx2"],
    name: str | None = ...,
    timeout: "float | _Steps | httpx2.Timeout | Total | None" = ...,
    total: float | Total | None = ...,
    retries: int | AsyncRetrying = ...,
    **keywords: Any,
) -> "httpx2.AsyncClient": ...
def http_client(
    *,
    kind: str,
    library: Name = "httpx",
    name: str | None = None,
    timeout: Any = KIND,
    total: float | Total | None = KIND,
    retries: int | AsyncRetrying = 0,
    **keywords: Any,
) -> Any:
    """Make an ``httpx.AsyncClient`` whose requests are tracked and stop when the bot does.

    It goes where any such client goes, such as ``AsyncOpenAI(http_client=…)``. It is closed when
    the bot has stopped; closing it earlier does no harm.

    A call's own time-out goes before all that is said here. As one number (``timeout=5``) it is for
    the call as a whole, with its retries and redirects; of a streamed answer it is, as ever, for
    what comes before it and for each piece. With several (a tuple, an ``httpx.Timeout``) it is for
    each step, as ever, and for no more. None, be it for reading alone, leaves the client's in force.

    Args:
        kind: As of ``track``.
        library: Whose client it is to be, ``httpx`` or ``httpx2``. They do not fit each other's
            place: ``AsyncAnthropic`` takes httpx2's alone, older SDKs httpx's.
        name: What the log calls the requests, instead of method and URL.
        timeout: Seconds one call may take all in all, with retries, redirects and the body of the
            answer, of which connecting may take ``GRACEFUL_HTTP_CONNECT_TIMEOUT``; by default the
            kind's (see :class:`GracefulTransport`). A tuple or an ``httpx.Timeout`` is for each
            step, and holds beside the kind's. None: no time-out whatever.
        total: As of :class:`GracefulTransport`, where it is to differ from ``timeout``.
        retries: As of :class:`GracefulTransport`.
        keywords: ``AsyncClient``'s own.

    """
    module = import_library(library)
    if total is KIND and (timeout is None or isinstance(timeout, int | float)):
        total = timeout
    client = derive(_AsyncClient, module, "AsyncClient")(
        timeout=_steps(timeout, module), **keywords
    )

    def wrap(transport: Any) -> GracefulTransport:
        return GracefulTransport(transport, kind=kind, name=name, total=total, retries=retries)

    client.wrap_transports(wrap, kind)
    _clients.add(client)
    return client


async def close_clients() -> None:
    """Close every client that :func:`http_client` has made and that is still in use."""
    for client in [client for client in _clients if not client.is_closed]:
        try:
            await client.aclose()
        except Exception as error:
            logger.warning(f"An HTTP client could not be closed: {describe_failure(error)}")


class _AsyncClient(_Client):
    """A client that tells its transport what belongs to one call; derived, it is the library's."""

    def wrap_transports(self, wrap: Any, kind: str) -> None:
        """Put a transport around each that there is."""
        # Not the transport= keyword: with it, httpx would ignore the environment's proxies, and the
        # mounts that it makes of a proxy= would go around us.
        self._transport = wrap(self._transport)
        self._mounts = {
            pattern: None if transport is None else wrap(transport)
            for pattern, transport in self._mounts.items()
        }
        self._kind = kind
        self._usual = self.timeout.as_dict()

    async def send(self, request: Any, *, stream: bool = False, **keywords: Any) -> Any:
        """Send a request; all that it leads to is one call."""
        tree = installed.tree
        if self.is_closed and tree.lifecycle.stopping:
            # Not the library's error, which comes at once: whoever asks again and again, whatever
            # is raised, would never let the event loop go on.
            await admit(tree, tree.kinds[self._kind], asyncio.current_task())
        self._call(request, stream).attach(request)
        return await super().send(request, stream=stream, **keywords)

    def _call(self, request: Any, stream: bool) -> Call:
        own: dict[str, float | None] = request.extensions.get("timeout") or {}
        if own == self._usual or own.get("read") is None:
            return Call()
        numbers = set(own.values())
        return Call(numbers.pop() if len(numbers) == 1 else None, until_answer=stream)


def _steps(timeout: Any, library: Any) -> Any:
    """Say how long each step may take, in the library's own words."""
    connect = settings.connect_timeout
    if isinstance(timeout, Total):
        return library.Timeout(None, connect=connect)
    if isinstance(timeout, int | float):
        return library.Timeout(timeout, connect=min(timeout, connect))
    if hasattr(timeout, "as_dict"):  # it may be the other library's
        return library.Timeout(**timeout.as_dict())
    return library.Timeout(timeout)
