"""Sending a request again, below the client."""

from typing import Any, cast

import httpx
from loguru import logger
from tenacity import RetryCallState

from nonebot_plugin_graceful.retry.loops import AsyncRetrying
from nonebot_plugin_graceful.retry.strategies import (
    retry_if_transient,
    stop_by_default,
    wait_by_default,
)

__all__ = ["as_retrying", "can_be_sent_again", "send"]


def as_retrying(retries: int | AsyncRetrying) -> AsyncRetrying | None:
    """Make the loop of a number of retries; None if there are none."""
    if isinstance(retries, AsyncRetrying):
        return retries
    if not isinstance(retries, int) or retries < 0:  # pyright: ignore[reportUnnecessaryIsInstance]
        raise ValueError(
            "retries has to be a number from 0 on, or an AsyncRetrying of"
            f" nonebot_plugin_graceful; it is {retries!r}"
        )
    if not retries:
        return None
    return AsyncRetrying(
        stop=stop_by_default(retries + 1), wait=wait_by_default(), retry=retry_if_transient()
    )


def can_be_sent_again(request: httpx.Request) -> bool:
    """Tell whether the request's body is still there after it was sent."""
    stream = request.stream
    if isinstance(stream, httpx.ByteStream):
        return True
    fields = getattr(stream, "fields", None)  # multipart, which has no public class
    if not isinstance(fields, list):
        return False
    files = [getattr(field, "file", b"") for field in cast("list[object]", fields)]
    return all(isinstance(file, str | bytes) or file.seekable() for file in files)


async def send(
    transport: httpx.AsyncBaseTransport, request: httpx.Request, name: str, retrying: AsyncRetrying
) -> httpx.Response:
    """Send a request until the answer is accepted, or it is the last one.

    Every answer but the one that is returned is closed, so its connection is free for the next.
    """
    sender = _Sender(transport, request, name, retrying)
    once_more: AsyncRetrying = retrying.copy(
        before_sleep=sender.before_sleep, reraise=True, name=retrying.name or name
    )
    try:
        return await once_more(sender.attempt)
    except httpx.HTTPStatusError as error:
        if error.response is not sender.latest:
            raise
        return error.response
    except BaseException:
        if sender.latest is not None:
            await sender.latest.aclose()
        raise


class _Sender:
    """One request, and the latest answer to it."""

    def __init__(
        self,
        transport: httpx.AsyncBaseTransport,
        request: httpx.Request,
        name: str,
        retrying: AsyncRetrying,
    ) -> None:
        self._transport = transport
        self._request = request
        self._name = name
        self._before_sleep: Any = retrying.before_sleep
        self.latest: httpx.Response | None = None

    async def attempt(self) -> httpx.Response:
        self.latest = None
        self.latest = response = await self._transport.handle_async_request(self._request)
        if response.status_code >= 400:
            # as raise_for_status() would, but that has no answer to give back
            raise httpx.HTTPStatusError(self._name, request=self._request, response=response)
        return response

    async def before_sleep(self, retry_state: RetryCallState) -> None:
        if self.latest is not None:
            await _read_and_close(self.latest)
        if self._before_sleep is not None:
            told = self._before_sleep(retry_state)
            if hasattr(told, "__await__"):
                await told


async def _read_and_close(response: httpx.Response) -> None:
    """Read what the server says of the failure, for the log, and give the connection back."""
    try:
        await response.aread()
    except Exception as error:
        logger.debug(f"The body of a failed answer could not be read: {error!r}")
    finally:
        await response.aclose()
