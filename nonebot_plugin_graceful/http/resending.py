"""Sending a request again, below the client."""

import inspect
from collections.abc import Awaitable, Callable
from typing import Any, cast

import anyio
from loguru import logger
from tenacity import RetryCallState, RetryError
from tenacity.stop import stop_any

from nonebot_plugin_graceful.core.failures import describe_failure
from nonebot_plugin_graceful.retry.loops import AsyncRetrying
from nonebot_plugin_graceful.retry.strategies import (
    retry_if_transient,
    stop_by_default,
    wait_by_default,
)
from nonebot_plugin_graceful.retry.telling import what

from .libraries import library_of

__all__ = ["as_retrying", "can_be_sent_again", "send"]

Send = Callable[[Any], Any]
Reading = Callable[[Any], Awaitable[None]]


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


def can_be_sent_again(request: Any) -> bool:
    """Tell whether the request's body is still there after it was sent."""
    stream = request.stream
    if isinstance(stream, library_of(request).ByteStream):
        return True
    fields = getattr(stream, "fields", None)  # multipart, which has no public class
    if not isinstance(fields, list):
        return False
    files = [getattr(field, "file", b"") for field in cast("list[object]", fields)]
    return all(isinstance(file, str | bytes) or _can_be_rewound(file) for file in files)


def _can_be_rewound(file: Any) -> bool:
    seekable = getattr(file, "seekable", None)  # of all a file can do, httpx asks for read() alone
    return seekable is not None and bool(seekable())


async def send(
    handle: Send, request: Any, name: str, retrying: AsyncRetrying, deadline: float
) -> Any:
    """Send a request until the answer is accepted, or it is the last one.

    Every answer but the one that is returned is closed, so its connection is free for the next.

    Args:
        handle: What sends it once.
        request: What is sent.
        name: What the log calls it.
        retrying: When it is sent again.
        deadline: When the answer has to be there, in the event loop's time.

    """
    sender = _Sender(handle, request, name, retrying)
    once_more: AsyncRetrying = retrying.copy(
        stop=_stop_in_time(retrying.stop, deadline, sender.read),
        retry=sender.is_to_be_sent_again,
        before_sleep=sender.before_sleep,
        reraise=True,
        name=retrying.name or name,
    )
    try:
        answer = await once_more(sender.attempt)
    except RetryError:
        answer = sender.latest  # the strategy does not accept it, but there is no better one
    except BaseException as error:
        if sender.latest is None or getattr(error, "response", None) is not sender.latest:
            await sender.close_latest()
            raise
        answer = sender.latest
    if answer is not sender.latest:  # from the author's retry_error_callback
        await sender.close_latest()
        if not hasattr(answer, "status_code"):
            raise TypeError(
                f"retry_error_callback has to give the client a response; it gave {answer!r}"
            )
    return sender.given(answer)


class _Sender:
    """One request, and the latest answer to it."""

    def __init__(self, handle: Send, request: Any, name: str, retrying: AsyncRetrying) -> None:
        self._handle = handle
        self._request = request
        self._name = name
        self._retry: Any = retrying.retry
        self._before_sleep: Any = retrying.before_sleep
        self._status_error: Any = library_of(request).HTTPStatusError
        self.latest: Any = None
        self._raw: Any = None

    async def attempt(self) -> Any:
        self.latest = None
        self.latest = response = await self._handle(self._request)
        if response.status_code >= 400:
            # as raise_for_status() would, but that has no answer to give back
            raise self._status_error(self._name, request=self._request, response=response)
        return response

    async def is_to_be_sent_again(self, retry_state: RetryCallState) -> Any:
        try:
            return await _result(self._retry(retry_state))
        except Exception as error:
            if type(error).__name__ != "ResponseNotRead" or self.latest is None:
                raise
        await self.read(self.latest)  # the strategy goes by what the body says
        return await _result(self._retry(retry_state))

    async def before_sleep(self, retry_state: RetryCallState) -> None:
        if self.latest is not None:
            await _for_the_log(self.latest.aread())
            await self.latest.aclose()  # and give the connection back
        if self._before_sleep is not None:
            await _result(self._before_sleep(retry_state))

    async def read(self, response: Any) -> None:
        """Read an answer, and keep it for whoever is to read it next."""
        stream = response.stream
        try:
            raw = b"".join([chunk async for chunk in stream])
        finally:
            await stream.aclose()
        self._raw = response.stream = library_of(response).ByteStream(raw)
        await response.aread()

    def given(self, response: Any) -> Any:
        """Give an answer as it came, though we have read it."""
        if self._raw is None or response.stream is not self._raw:
            return response
        return library_of(response).Response(
            response.status_code,
            headers=response.headers,
            stream=self._raw,
            extensions=response.extensions,
        )

    async def close_latest(self) -> None:
        if self.latest is not None:
            await self.latest.aclose()


class _stop_in_time(stop_any):  # noqa: N801 - named as tenacity names its strategies
    """Stops where the next wait would outlast the call: the answer in hand is better than none."""

    def __init__(self, stop: Any, deadline: float, read: Reading) -> None:
        super().__init__(stop)
        self._stop = stop
        self._read = read
        self._deadline = deadline

    async def __call__(self, retry_state: RetryCallState) -> bool:  # pyright: ignore[reportIncompatibleMethodOverride]
        if await _result(self._stop(retry_state)):
            return True
        left = self._deadline - anyio.current_time()
        if retry_state.upcoming_sleep < left:
            return False
        outcome = retry_state.outcome
        error = outcome.exception() if outcome is not None else None
        if (response := getattr(error, "response", None)) is not None:
            await _for_the_log(self._read(response))
        logger.warning(
            f"Not retrying {what(retry_state)}: it is to wait {retry_state.upcoming_sleep:.0f} s and has"
            f" {max(left, 0):.0f} s left: "
            + (describe_failure(error) if error else "the result was not accepted")
        )
        return True


async def _result(value: Any) -> Any:
    """Wait for what a strategy or hook gives, which may be a coroutine function."""
    return await value if inspect.isawaitable(value) else value


async def _for_the_log(reading: Awaitable[Any]) -> None:
    """Read what the server says of a failure."""
    try:
        await reading
    except Exception as error:
        logger.debug(f"The body of a failed answer could not be read: {error!r}")
