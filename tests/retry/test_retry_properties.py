"""What holds whatever strategies are combined, whatever fails, and whenever the shutdown begins."""

import asyncio
import time
from dataclasses import dataclass, field

import httpx
import tenacity
from hypothesis import event, given, settings
from hypothesis import strategies as st
from tenacity import asyncio as tenacity_asyncio
from virtual_time import VirtualTime

from nonebot_plugin_graceful.core import installed
from nonebot_plugin_graceful.core.api import sleep as graceful_sleep
from nonebot_plugin_graceful.core.api import track
from nonebot_plugin_graceful.core.errors import Interrupted
from nonebot_plugin_graceful.retry import (
    AsyncRetrying,
    retry_if_transient,
    stop_by_default,
    stop_on_shutdown,
    throttle,
    wait_by_default,
)

HORIZON = 60
"""Seconds within which everything happens."""


def http_error(status, headers):
    request = httpx.Request("POST", "https://api.example.com/v1/images")
    response = httpx.Response(status, headers=headers)
    return httpx.HTTPStatusError(str(status), request=request, response=response)


def make(function, *arguments):
    return st.builds(lambda *drawn: lambda: function(*drawn), *arguments)


failures = st.one_of(
    st.sampled_from([ConnectionError, TimeoutError, ValueError, KeyError, tenacity.TryAgain]),
    make(
        http_error,
        st.sampled_from([400, 401, 429, 500, 503]),
        st.sampled_from([{}, {"retry-after": "9"}, {"retry-after": "4000"}]),
    ),
)
orders = st.sampled_from([asyncio.CancelledError, Interrupted])
seconds = st.sampled_from([0, 0.5, 1, 2.5, 8])


@dataclass(frozen=True)
class Attempt:
    """What one attempt does."""

    seconds: float
    raises: object
    """Makes what it raises. None: it returns."""


attempts = st.lists(
    st.builds(
        Attempt, st.sampled_from([0.5, 1, 3]), st.one_of(failures, failures, orders, st.none())
    ),
    min_size=1,
    max_size=6,
)
stops = st.recursive(
    st.one_of(
        st.sampled_from([tenacity.stop_never, stop_on_shutdown, stop_by_default()]),
        st.builds(tenacity.stop_after_attempt, st.integers(1, 5)),
        st.builds(tenacity.stop_after_delay, seconds),
        st.builds(tenacity.stop_before_delay, seconds),
    ),
    lambda some: st.one_of(
        st.builds(tenacity.stop_any, some, some), st.builds(tenacity.stop_all, some, some)
    ),
    max_leaves=3,
)
waits = st.recursive(
    st.one_of(
        st.sampled_from([tenacity.wait_none(), wait_by_default()]),
        st.builds(tenacity.wait_fixed, seconds),
        st.builds(tenacity.wait_incrementing, seconds, seconds),
        st.builds(tenacity.wait_random, st.just(0), seconds),
        st.builds(tenacity.wait_random_exponential, st.just(1), seconds),
        st.builds(tenacity.wait_exponential_jitter, st.just(1), seconds),
    ),
    lambda some: st.one_of(
        st.builds(tenacity.wait_combine, some, some), st.builds(tenacity.wait_chain, some, some)
    ),
    max_leaves=3,
)


async def anything(_):
    return True


retries = st.recursive(
    st.sampled_from(
        [
            tenacity.retry_always,
            tenacity.retry_never,
            retry_if_transient(),
            tenacity.retry_if_exception(lambda _: True),
            tenacity.retry_if_exception_type(BaseException),
            tenacity.retry_if_not_exception_type(ValueError),
            tenacity.retry_if_not_exception_message("x"),
            tenacity.retry_unless_exception_type(KeyError),
            tenacity.retry_if_result(lambda _: True),
            tenacity_asyncio.retry_if_exception(anything),
            tenacity_asyncio.retry_if_result(anything),
        ]
    ),
    lambda some: st.one_of(
        st.builds(tenacity_asyncio.retry_any, some, some),
        st.builds(tenacity_asyncio.retry_all, some, some),
    ),
    max_leaves=4,
)


async def pause(_):
    await asyncio.sleep(0.25)


hooks = st.sampled_from([lambda _: None, pause])
sleeps = st.sampled_from(
    [graceful_sleep, asyncio.sleep, lambda seconds: asyncio.shield(asyncio.sleep(seconds))]
)
keywords = st.fixed_dictionaries(
    {},
    optional={
        "stop": stops,
        "wait": waits,
        "retry": retries,
        "before": hooks,
        "after": hooks,
        "before_sleep": st.one_of(st.none(), hooks),
        "sleep": sleeps,
        "reraise": st.booleans(),
        "retry_error_callback": st.sampled_from([lambda _: "gave up", pause]),
    },
)


@dataclass
class Run:
    """What came of it."""

    asked: list[float] = field(default_factory=list)
    too_late: int = 0
    """Attempts begun after the shutdown."""
    errors: list[BaseException] = field(default_factory=list)
    in_attempt: bool = False
    ended: float = 0.0
    raised: BaseException | None = None
    cancelled: bool = False


async def call(retrying, attempt):
    return await retrying(attempt)


async def decorated(retrying, attempt):
    return await retrying.wraps(attempt)()


async def iterate(retrying, attempt):
    async for manager in retrying:
        with manager:
            return await attempt()
    return None


def play(script, form, keywords, at, disturb):
    """Retry a script of attempts, and disturb it ``at`` a moment."""
    clock = VirtualTime()
    run = Run()
    script = list(script)
    installed.tree.lifecycle.reopen()
    throttle.reset()

    async def attempt():
        run.asked.append(time.monotonic())
        run.too_late += installed.tree.lifecycle.stopping
        # a script that is over goes on with its last line
        line = script.pop(0) if len(script) > 1 else script[0]
        run.in_attempt = True
        try:
            await asyncio.sleep(line.seconds)
            if line.raises is not None:
                raise line.raises()
        except Exception as error:
            run.errors.append(error)
            raise
        finally:
            run.in_attempt = False

    async def main():
        async def work():
            async with track("llm"):
                try:
                    await form(AsyncRetrying(**keywords), attempt)
                except BaseException as error:
                    run.raised = error
                    raise

        task = asyncio.create_task(work())
        await asyncio.wait([task], timeout=at)
        was_over = task.done()
        disturb(task, run)
        await asyncio.wait([task], timeout=1000)
        assert task.done(), "it never ends"
        run.ended = time.monotonic()
        run.cancelled = task.cancelled()
        if not run.cancelled:
            task.exception()  # else the loop logs that nobody has seen it
        return was_over

    try:
        return run, clock.run(main()), 1000.0 + at
    finally:
        installed.tree.lifecycle.reopen()


def shut_down(*_):
    installed.tree.lifecycle.begin("SIGINT")
    installed.tree.lifecycle.announce()


forms = st.sampled_from([call, decorated, iterate])
# exact in binary, so that moments can be compared
moments = st.integers(0, HORIZON * 64).map(lambda ticks: ticks / 64)


@settings(max_examples=400)
@given(attempts, forms, keywords, moments)
def test_no_attempt_after_the_shutdown_began(script, form, keywords, at):
    """Whatever was going on then is over as soon as the attempt in flight is."""
    run, was_over, shutdown = play(script, form, keywords, at, shut_down)
    event("over before" if was_over else "interrupted")
    assert run.too_late == 0
    if was_over:
        return
    # an attempt takes three seconds at most, and after it four hooks a quarter of a second each
    assert run.ended - shutdown <= 4
    if isinstance(run.raised, Interrupted) and run.raised.reason == "SIGINT" and run.errors:
        assert run.raised.__cause__ is run.errors[-1]


@settings(max_examples=200)
@given(st.lists(st.builds(Attempt, seconds, failures), min_size=1), forms, sleeps, moments)
def test_a_wait_ends_in_the_moment_of_the_shutdown(script, form, sleep, at):
    """Not one tick of the clock later, with the last error as the cause."""
    waiting = []

    def look(task, run):
        waiting.append(not run.in_attempt and not task.done())
        shut_down(task, run)

    # patient, so that it is always either trying or waiting
    patient = {
        "stop": tenacity.stop_never,
        "wait": tenacity.wait_fixed(5),
        "retry": tenacity.retry_if_exception(lambda _: True),
        "sleep": sleep,
    }
    run, _, shutdown = play(script, form, patient, at, look)
    event("waiting" if waiting[0] else "not waiting")
    if waiting[0]:
        assert run.ended == shutdown
        assert isinstance(run.raised, Interrupted)
        assert run.raised.__cause__ is run.errors[-1]


@settings(max_examples=300)
@given(attempts, forms, keywords, moments)
def test_cancellation_is_delivered(script, form, keywords, at):
    """Who cancels the task gets it, at once, and no attempt follows."""
    run, was_over, moment = play(script, form, keywords, at, lambda task, _: task.cancel())
    if was_over:
        return
    assert run.cancelled
    assert run.ended == moment
    assert [asked for asked in run.asked if asked > moment] == []


@settings(max_examples=200)
@given(st.lists(failures, max_size=3), forms, keywords, orders)
def test_orders_are_never_retried(before, form, keywords, order):
    """CancelledError from within an attempt is the end of it, whatever the strategies."""
    script = [Attempt(0.5, failure) for failure in before] + [Attempt(0.5, order)]
    run, _, _ = play(script, form, keywords, 1000, lambda *_: None)
    assert len(run.asked) <= len(script)
    if len(run.asked) == len(script):
        assert type(run.raised) is order
