"""Which failures may be over the next time, told without importing who raised them."""

import socket
from collections.abc import Iterator
from typing import Any, cast

from nonebot_plugin_graceful.core.failures import status_of

from .headers import attribute, refuses_retries
from .work import TIMED_OUT, Interrupted, Refused

__all__ = ["TRANSIENT_STATUSES", "is_interruption", "is_refusal", "is_transient"]

TRANSIENT_STATUSES = frozenset({408, 425, 429, *range(500, 600)})
"""Request Timeout, Too Early, Too Many Requests, and whatever is the server's own fault."""

# Names of classes, their own or of a base. httpx2, which newer OpenAI SDKs are built on, has the
# names of httpx, and the SDKs made from OpenAI's have its names.
_CONNECTION_ERRORS = frozenset(
    {
        "APIConnectionError",  # openai, anthropic and their kin; APITimeoutError is one
        "ClientConnectionError",  # aiohttp; ServerDisconnectedError is one
        "ClientPayloadError",  # aiohttp: cut off in the middle of the body
        "ConnectionError",  # built in, requests, redis
        "ChunkedEncodingError",  # requests: cut off in the middle of the body
        "HTTPClientError",  # botocore: connection errors and time-outs
        "IncompleteRead",  # http.client, urllib3
        "NetworkError",  # httpx, NoneBot's adapters
        "NewConnectionError",  # urllib3
        "ProxyError",  # httpx, requests
        "RemoteProtocolError",  # httpx: the server hung up without an answer
        "Timeout",  # requests
        "TimeoutError",  # built in; asyncio's and concurrent.futures' own before 3.11
        "TimeoutException",  # httpx
    }
)
# Failures of those families, or what they were raised from, that no attempt will mend.
_LASTING = frozenset(
    {
        "ClientConnectorCertificateError",  # aiohttp
        "InvalidURL",
        "LocalProtocolError",  # httpx: our own request is wrong
        "SSLCertVerificationError",
        "SSLError",  # requests; the standard library's where nothing more exact is known
        "ServerFingerprintMismatch",  # aiohttp
        "UnsupportedProtocol",  # httpx
    }
)


def is_transient(error: BaseException) -> bool:
    """Tell whether a failure is worth another attempt.

    Connection errors, time-outs and the statuses 408, 425, 429 and 5xx are, whether httpx,
    aiohttp, requests, urllib or an AI SDK raised them. A group is if all its members are. A wrong
    certificate or URL is not, nor what comes with ``x-should-retry: false``, nor anything that is
    not an ``Exception``.

    Args:
        error: What was raised.

    """
    if not isinstance(error, Exception) or is_refusal(error) or refuses_retries(error):
        return False
    members = attribute(error, "exceptions")  # 3.10 has no built-in exception groups
    if isinstance(members, tuple) and members:
        return all(is_transient(member) for member in cast("tuple[Any, ...]", members))
    status = status_of(error)
    if status is not None:
        return status in TRANSIENT_STATUSES
    reason = attribute(error, "reason")
    if isinstance(reason, Exception):  # urllib.error.URLError, urllib3's MaxRetryError
        return is_transient(reason)
    if not _is_connection_error(error):
        return False
    return not any(type(link).__name__ in _LASTING for link in _chain(error))


def is_refusal(error: BaseException) -> bool:
    """Tell whether it is ``Refused`` or raised from it.

    SDKs wrap whatever their HTTP client raises, and task groups whatever their tasks do.

    Args:
        error: What was raised.

    """
    return any(isinstance(each, Refused) for each in _within(error, implicit=False))


def is_interruption(error: BaseException, handled: BaseException | None) -> bool:
    """Tell whether it is, or came of, being told to end, be it that only a clean-up failed.

    What is told to end by a time-out may take less the next time.

    Args:
        error: What was raised.
        handled: What was being handled before: it has come of that as well, which says nothing.

    """
    return any(
        isinstance(each, Interrupted) and each.reason != TIMED_OUT
        for each in _within(error, implicit=True, until=handled)
    )


def _within(
    error: BaseException, *, implicit: bool, until: BaseException | None = None, depth: int = 4
) -> Iterator[BaseException]:
    """Give it, what it was raised from, and what is in the groups among them."""
    for link in _chain(error, implicit=implicit):
        if link is until:
            return
        yield link
        members = attribute(link, "exceptions")  # 3.10 has no built-in exception groups
        if depth and isinstance(members, tuple):
            for member in cast("tuple[Any, ...]", members):
                if isinstance(member, BaseException):
                    yield from _within(member, implicit=implicit, until=until, depth=depth - 1)


def _is_connection_error(error: Exception) -> bool:
    if isinstance(error, socket.gaierror):
        return True
    return any(base.__name__ in _CONNECTION_ERRORS for base in type(error).__mro__)


def _chain(error: BaseException, *, implicit: bool = True) -> Iterator[BaseException]:
    link: BaseException | None = error
    for _ in range(6):  # SDK, httpx, httpcore, ssl; a chain may also run in a circle
        if link is None:
            return
        yield link
        link = link.__cause__ or (link.__context__ if implicit else None)
