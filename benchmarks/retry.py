"""What a retry costs beside other ways to retry, and how soon waiting ones end; all in one run.

Run it with ``python -m benchmarks.retry`` from the root of the repository.
"""

import asyncio
import gc
import io
import logging
import statistics
import time
import timeit
from collections.abc import Awaitable, Callable
from typing import Any

import backoff
import httpx
import stamina
import tenacity
from loguru import logger

from nonebot_plugin_graceful.core import installed
from nonebot_plugin_graceful.core.failures import describe_failure
from nonebot_plugin_graceful.retry import (
    AsyncRetrying,
    is_transient,
    retry,
    retry_after,
    retry_if_transient,
    stop_by_default,
    throttle,
)

ROUNDS = 41
CALLS = 400
Function = Callable[[], Awaitable[object]]
Decorate = Callable[[Function], Function]

REQUEST = httpx.Request("POST", "https://api.example.com/v1/images/generations")
ERROR = httpx.HTTPStatusError(
    "Server error '503 Service Unavailable' for url",
    request=REQUEST,
    response=httpx.Response(503, json={"error": {"message": "overloaded"}}, request=REQUEST),
)


def by_hand(function: Function) -> Function:
    async def retried() -> object:
        for attempt in range(3):
            try:
                return await function()
            except httpx.HTTPError:
                if attempt == 2:
                    raise
                await asyncio.sleep(0)
        return None

    return retried


standard = logging.getLogger("benchmark")
standard.propagate = False
standard.addHandler(logging.StreamHandler(io.StringIO()))
standard.handlers[0].setFormatter(logging.Formatter("%(asctime)s %(name)s %(message)s"))

GIVEN: dict[str, Any] = {
    "stop": tenacity.stop_after_attempt(3),
    "wait": tenacity.wait_none(),
    "retry": tenacity.retry_if_exception_type(httpx.HTTPError),
}
BARE: dict[str, Any] = {
    "stop": stop_by_default(),
    "wait": tenacity.wait_none(),
    "retry": retry_if_transient(),
}
SILENT: dict[str, Decorate] = {
    "tenacity": tenacity.retry(**GIVEN),
    "@retry, the same strategies": retry(**GIVEN, before_sleep=None),
    "@retry, bare (but no wait)": retry(**BARE, before_sleep=None),
    "stamina": stamina.retry(
        on=httpx.HTTPError, attempts=3, wait_initial=0, wait_max=0, wait_jitter=0
    ),
    "backoff": backoff.on_exception(
        backoff.constant, httpx.HTTPError, max_tries=3, interval=0, jitter=None, logger=None
    ),
    "a loop written by hand": by_hand,
}
LOGGING: dict[str, Decorate] = {
    "tenacity, before_sleep_log": tenacity.retry(
        **GIVEN, before_sleep=tenacity.before_sleep_log(standard, logging.WARNING)
    ),
    "@retry, the same strategies": retry(**GIVEN),
    "@retry, bare (but no wait)": retry(**BARE),
}


def iterated(make: type[tenacity.AsyncRetrying]) -> Decorate:
    def decorate(function: Function) -> Function:
        async def retried() -> object:
            async for attempt in make(**GIVEN, before_sleep=None):
                with attempt:
                    return await function()
            return None

        return retried

    return decorate


ITERATED: dict[str, Decorate] = {
    "tenacity, async for": iterated(tenacity.AsyncRetrying),
    "AsyncRetrying, the same strategies": iterated(AsyncRetrying),
}
IN_A_THREAD: dict[str, Any] = {
    "tenacity, a function": tenacity.retry(**GIVEN),
    "@retry, the same strategies": retry(**GIVEN, before_sleep=None),
}


async def succeed() -> int:
    return 1


def succeed_in_a_thread() -> int:
    return 1


def fail_once() -> Function:
    failed = False

    async def work() -> int:
        nonlocal failed
        failed = not failed
        if failed:
            raise ERROR
        return 1

    return work


async def seconds(function: Function, calls: int = CALLS) -> float:
    """Take the time of one call."""
    began = time.perf_counter()
    for _ in range(calls):
        await function()
    taken = time.perf_counter() - began
    ERROR.__traceback__ = None
    return taken / calls


async def blocked(function: Callable[[], object], calls: int = CALLS) -> float:
    """Take the time of one call of what is no coroutine function."""
    began = time.perf_counter()
    for _ in range(calls):
        function()
    return (time.perf_counter() - began) / calls


async def compare(
    title: str,
    ways: dict[str, Decorate],
    make: Callable[[], Any],
    calls: int = CALLS,
    seconds: Callable[[Any, int], Awaitable[float]] = seconds,
) -> None:
    """Time all ways side by side; the ratios are of rounds next to each other."""
    functions = {name: decorate(make()) for name, decorate in ways.items()}
    times: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(ROUNDS):
        for name, function in functions.items():
            times[name].append(await seconds(function, calls))
    first = next(iter(ways))
    print(f"\n{title:44}{'µs a call':>12}{'x ' + first.partition(',')[0]:>12}")
    for name, taken in times.items():
        ratio = statistics.median(
            mine / theirs for mine, theirs in zip(taken, times[first], strict=True)
        )
        print(f"{name:44}{statistics.median(taken) * 1e6:12.1f}{ratio:12.2f}")


def parts() -> None:
    """Tell where the time of a logged retry goes."""
    line = f"Retrying plugin.draw, attempt 2 of 3, in 1.0 s: {describe_failure(ERROR)}"
    rows: dict[str, Callable[[], object]] = {
        "is it transient": lambda: is_transient(ERROR),
        "what does Retry-After say": lambda: retry_after(ERROR),
        "the failure in one line, out of its JSON": lambda: describe_failure(ERROR),
        "loguru, one line": lambda: logger.warning(line),
        "logging, one line": lambda: standard.warning(line),
    }
    print(f"\n{'of which':44}{'µs a call':>12}")
    for name, part in rows.items():
        best = min(timeit.repeat(part, number=500, repeat=9)) / 500
        print(f"{name:44}{best * 1e6:12.1f}")


async def end_all(count: int, *, by_shutdown: bool) -> tuple[float, float]:
    """Seconds until the first and the last of so many waiting retries has ended."""
    installed.tree.lifecycle.reopen()
    throttle.reset()

    @retry(wait=tenacity.wait_fixed(60), before_sleep=None)
    async def ask() -> None:
        raise ConnectionError

    ended: list[float] = []

    async def bare() -> None:
        await asyncio.sleep(60)

    tasks = [asyncio.create_task(ask() if by_shutdown else bare()) for _ in range(count)]
    for task in tasks:
        task.add_done_callback(lambda _: ended.append(time.perf_counter()))
    for _ in range(5):  # to where each one waits
        await asyncio.sleep(0)
    assert not by_shutdown or len(installed.tree.lifecycle._waiters) == count  # noqa: SLF001
    began = time.perf_counter()
    if by_shutdown:
        installed.tree.lifecycle.begin("benchmark")
        installed.tree.lifecycle.announce()
    else:
        for task in tasks:
            task.cancel()
    await asyncio.wait(tasks)
    installed.tree.lifecycle.reopen()
    return ended[0] - began, ended[-1] - began


async def shutdowns() -> None:
    print(
        f"\n{'from the shutdown to the last retry ended':44}"
        f"{'first, ms':>12}{'last, ms':>12}{'x cancel()':>12}"
    )
    for count, rounds in ((1, 101), (1000, 9), (10_000, 5)):
        pairs = [
            (await end_all(count, by_shutdown=True), (await end_all(count, by_shutdown=False))[1])
            for _ in range(rounds)
        ]
        first = statistics.median(ours[0] for ours, _ in pairs)
        last = statistics.median(ours[1] for ours, _ in pairs)
        ratio = statistics.median(ours[1] / bare for ours, bare in pairs)
        print(f"{count:<44,}{first * 1e3:12.3f}{last * 1e3:12.3f}{ratio:12.2f}")


async def main() -> None:
    gc.freeze()
    logger.remove()
    stamina.instrumentation.set_on_retry_hooks([])
    await compare("success", SILENT, lambda: succeed)
    await compare("success", ITERATED, lambda: succeed)
    await compare("success", IN_A_THREAD, lambda: succeed_in_a_thread, seconds=blocked)
    await compare("one failure, nothing logged", SILENT, fail_once)
    logger.add(io.StringIO(), format="{time} {name} {message}")
    await compare("one failure, one line logged to memory", LOGGING, fail_once, 100)
    parts()
    logger.remove()
    await shutdowns()


if __name__ == "__main__":
    asyncio.run(main())
