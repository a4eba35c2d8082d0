"""Checked by pyright, and never run: what @retry makes of signatures."""

from collections.abc import Coroutine
from typing import Any, Protocol

import httpx
from tenacity import retry_if_exception_type, stop_after_attempt, stop_never, wait_fixed
from tenacity.asyncio import retry_if_exception
from typing_extensions import assert_type

from nonebot_plugin_graceful import (
    AsyncRetrying,
    GracefulTransport,
    Retrying,
    http_client,
    is_transient,
    retry,
    retry_if_transient,
    sleep,
    stop_by_default,
    stop_on_shutdown,
    wait_by_default,
)
from nonebot_plugin_graceful.retry import retry as retry_of_the_module


@retry
async def bare(prompt: str, *, size: int = 512) -> bytes:
    return prompt.encode() * size


@retry(stop=stop_after_attempt(5) | stop_on_shutdown, wait=wait_fixed(2), reraise=True)
async def with_keywords(prompt: str) -> bytes:
    return prompt.encode()


@retry(retry=retry_if_transient() | retry_if_exception_type(KeyError), wait=wait_by_default())
def in_a_thread(number: int) -> str:
    return str(number)


@retry(before=None, after=None, stop=stop_by_default(5))
async def without_hooks() -> None: ...


@retry(sleep, stop_after_attempt(3))
async def by_position() -> None: ...


@retry_of_the_module(retry=lambda state: is_transient(ValueError()))
async def by_the_module() -> None: ...


async def ask(error: BaseException) -> bool:
    return bool(error)


@retry(sleep=sleep, stop=stop_never, before_sleep=None, retry=retry_if_exception(ask))
async def with_coroutine_strategies() -> None: ...


class Client:
    @retry
    async def ask(self, question: str) -> int:
        return len(question)

    @retry(stop=stop_after_attempt(2))
    def ask_in_a_thread(self, question: str) -> int:
        return len(question)


async def calls() -> None:
    assert_type(await bare("cat", size=256), bytes)
    assert_type(await with_keywords("cat"), bytes)
    assert_type(in_a_thread(3), str)
    assert_type(await Client().ask("why"), int)
    assert_type(Client().ask_in_a_thread(question="why"), int)
    await bare(3)  # pyright: ignore[reportArgumentType]
    await bare("cat", length=3)  # pyright: ignore[reportCallIssue]
    await Client().ask()  # pyright: ignore[reportCallIssue]
    await Client().ask(3)  # pyright: ignore[reportArgumentType]
    retry(stop_after_attempt(3), wait=None)  # pyright: ignore[reportArgumentType]
    AsyncRetrying(attempts=3)  # pyright: ignore[reportCallIssue]
    retry(attempts=3)  # pyright: ignore[reportCallIssue]


async def what_tenacity_adds() -> None:
    assert_type(bare.statistics, dict[str, Any])
    assert_type(bare.retry, AsyncRetrying | Retrying)
    assert_type(await bare.retry_with(stop=stop_after_attempt(1))("cat"), bytes)
    assert_type(await Client.ask.retry_with(wait=None)(Client(), "why"), int)


async def iteration() -> int:
    async for attempt in AsyncRetrying(stop=stop_after_attempt(3), name="asking"):
        with attempt:
            return attempt.retry_state.attempt_number
    for attempt in Retrying(wait=wait_fixed(1)):
        with attempt:
            pass
    return 0


async def clients() -> None:
    assert_type(http_client(kind="llm", timeout=30, base_url="http://h"), httpx.AsyncClient)
    http_client(kind="image", timeout=httpx.Timeout(5), total=None, retries=AsyncRetrying())
    httpx.AsyncClient(transport=GracefulTransport(kind="llm", retries=2))
    http_client(timeout=3)  # pyright: ignore[reportCallIssue]
    http_client(kind="llm", retries="3")  # pyright: ignore[reportArgumentType]


class Callback(Protocol):
    async def __call__(self, prompt: str, *, size: int = 512) -> bytes: ...


def is_what_it_was() -> Callback:
    return bare


def awaitable() -> Coroutine[Any, Any, bytes]:
    return bare("cat")
