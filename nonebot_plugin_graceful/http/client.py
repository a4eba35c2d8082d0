"""Clients that are closed with the bot."""

import weakref
from typing import Any

import httpx
from loguru import logger

from nonebot_plugin_graceful.core.failures import describe_failure
from nonebot_plugin_graceful.retry.loops import AsyncRetrying

from .settings import KIND, Total, settings
from .transport import GracefulTransport

__all__ = ["close_clients", "http_client"]

_clients: "weakref.WeakSet[httpx.AsyncClient]" = weakref.WeakSet()


def http_client(
    *,
    kind: str,
    name: str | None = None,
    timeout: float | httpx.Timeout | Total | None = KIND,
    total: float | Total | None = KIND,
    retries: int | AsyncRetrying = 0,
    **keywords: Any,
) -> httpx.AsyncClient:
    """Make an ``httpx.AsyncClient`` whose requests are tracked and stop when the bot does.

    It goes where any such client goes, such as ``AsyncOpenAI(http_client=…)``. It is closed when
    the bot has stopped; closing it earlier does no harm.

    Args:
        kind: As of ``track``.
        name: What the log calls the requests, instead of method and URL.
        timeout: Seconds one request may take all in all, of which connecting may take
            ``GRACEFUL_HTTP_CONNECT_TIMEOUT``; by default the kind's (see
            :class:`GracefulTransport`). An ``httpx.Timeout`` holds beside the kind's. None: no
            time-out whatever.
        total: As of :class:`GracefulTransport`, where it is to differ from ``timeout``.
        retries: As of :class:`GracefulTransport`.
        keywords: ``httpx.AsyncClient``'s own.

    """
    connect = settings.connect_timeout
    if isinstance(timeout, Total):
        single = httpx.Timeout(None, connect=connect)
    elif isinstance(timeout, httpx.Timeout):
        single = timeout
    else:
        single = httpx.Timeout(timeout, connect=None if timeout is None else min(timeout, connect))
        if isinstance(total, Total):
            total = timeout
    client = httpx.AsyncClient(timeout=single, **keywords)

    def wrap(transport: httpx.AsyncBaseTransport) -> GracefulTransport:
        return GracefulTransport(transport, kind=kind, name=name, total=total, retries=retries)

    # Not the transport= keyword: with it, httpx would ignore the environment's proxies, and the
    # mounts that it makes of a proxy= would go around us.
    client._transport = wrap(client._transport)  # noqa: SLF001 # pyright: ignore[reportPrivateUsage]
    client._mounts = {  # noqa: SLF001 # pyright: ignore[reportPrivateUsage]
        pattern: None if transport is None else wrap(transport)
        for pattern, transport in client._mounts.items()  # noqa: SLF001 # pyright: ignore[reportPrivateUsage]
    }
    _clients.add(client)
    return client


async def close_clients() -> None:
    """Close every client that :func:`http_client` has made and that is still in use."""
    for client in [client for client in _clients if not client.is_closed]:
        try:
            await client.aclose()
        except Exception as error:
            logger.warning(f"An HTTP client could not be closed: {describe_failure(error)}")
