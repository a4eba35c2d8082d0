"""What bare ``@retry`` does: attempts, waits, budget, throttle, and what it tells."""

import asyncio
import itertools
import re

import httpx
import pytest
from tenacity import (
    RetryError,
    retry_if_exception,
    retry_if_exception_type,
    stop_after_attempt,
    stop_any,
    stop_never,
    wait_fixed,
)

from nonebot_plugin_graceful.core import installed
from nonebot_plugin_graceful.core.api import track
from nonebot_plugin_graceful.core.work import Section
from nonebot_plugin_graceful.core.world import PluginOrigin
from nonebot_plugin_graceful.retry import (
    AsyncRetrying,
    configure,
    is_transient,
    retry,
    retry_if_transient,
    stop_by_default,
    stop_on_shutdown,
    throttle,
    wait_by_default,
)
from nonebot_plugin_graceful.retry.telling import attempts_of

HOST = "api.example.com"
BARE = {"stop": stop_by_default(), "wait": wait_by_default(), "retry": retry_if_transient()}
"""What bare ``@retry`` does, for those who combine."""
AT_ONCE = {**BARE, "wait": wait_fixed(0)}


def http_error(status, body=b"", **headers):
    headers = {k.replace("_", "-"): str(v) for k, v in headers.items()}
    response = httpx.Response(status, headers=headers, content=body)
    request = httpx.Request("POST", f"https://{HOST}/v1/images?key=secret")
    return httpx.HTTPStatusError("", request=request, response=response)


async def fail(clock, errors, asked):
    """Raise one error after the other, and note when."""
    asked.append(clock.now)
    if errors:
        raise errors.pop(0)
    return "fine"


def run(clock, errors, **keywords):
    """Retry what fails with these errors; give the seconds waited between the attempts."""
    asked = []
    errors = list(errors)

    async def main():
        try:
            await AsyncRetrying(**keywords)(fail, clock, errors, asked)
        except (RetryError, httpx.HTTPError) as error:
            return error
        return None

    raised = clock.run(main())
    return [b - a for a, b in itertools.pairwise(asked)], raised


def test_three_attempts(clock):
    """Two retries, a second and two seconds at most, half of it at least."""
    waits, error = run(clock, [http_error(503)] * 9)
    assert len(waits) == 2
    assert 0.5 <= waits[0] <= 1 <= waits[1] <= 2
    assert isinstance(error, RetryError)


def test_waits_differ(clock):
    """Calls that failed together do not come back together."""
    first = {run(clock, [http_error(503)])[0][0] for _ in range(8)}
    assert len(first) == 8


def test_attempts_are_set_by_the_operator(clock):
    """GRACEFUL_RETRY_ATTEMPTS, also for functions that were decorated before it was read."""
    retrying = AsyncRetrying()
    configure(attempts=5)
    assert attempts_of(retrying.stop) == 5
    assert len(run(clock, [http_error(503)] * 9)[0]) == 4


def test_one_attempt_is_none_to_retry(clock):
    """GRACEFUL_RETRY_ATTEMPTS=1 turns retries off."""
    configure(attempts=1)
    assert run(clock, [http_error(503)] * 9)[0] == []


def test_waits_are_capped(clock):
    """GRACEFUL_RETRY_MAX_WAIT holds for backing off and for what the server asks."""
    configure(attempts=12, max_wait=8)
    waits, _ = run(clock, [http_error(503)] * 11)
    assert max(waits) <= 8
    assert min(waits[5:]) >= 4
    assert run(clock, [http_error(429, Retry_After=8)])[0] == [8]


def test_the_budget(clock):
    """GRACEFUL_RETRY_BUDGET: no wait begins that would exceed it."""
    configure(attempts=100, max_wait=10, budget=35)
    waits, error = run(clock, [http_error(503)] * 99)
    assert 25 <= sum(waits) <= 35
    assert isinstance(error, RetryError)
    waits, error = run(clock, [http_error(429, Retry_After=10)] * 99)
    assert waits == [10, 10, 10]
    assert error.response.status_code == 429


def test_the_server_says_when(clock):
    """Not a moment earlier, and up to a tenth later."""
    waits, _ = run(clock, [http_error(429, Retry_After=7), http_error(503, retry_after_ms=1500)])
    assert 7 <= waits[0] <= 7.7
    assert 1.5 <= waits[1] <= 1.65


def test_those_who_were_told_the_same_do_not_come_back_together(clock):
    """What the server says of when is said to everybody."""
    waits = {run(clock, [http_error(429, Retry_After=7)])[0][0] for _ in range(8)}
    assert len(waits) == 8


@pytest.mark.parametrize(
    "keywords", [{}, {**BARE, "stop": stop_never}], ids=["bare", "without end"]
)
@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({}, "it is to wait 31 s, longer than GRACEFUL_RETRY_MAX_WAIT lets it"),
        ({"budget": 20}, "it is to wait 31 s, longer than GRACEFUL_RETRY_BUDGET lets it"),
    ],
    ids=["longest wait", "budget"],
)
def test_a_server_that_asks_for_too_long_is_not_waited_for(keywords, settings, said, clock, log):
    """Coming back earlier would be in vain, so the failure stands at once, and it is said why."""
    configure(**settings)
    waits, error = run(clock, [http_error(429, Retry_After=31)] * 9, **keywords)
    assert waits == []
    assert error.response.status_code == 429
    (line,) = log
    assert line == (
        f"WARNING Not retrying {__name__}.fail: {said}: 429 Too Many Requests from {HOST}"
    )


def test_lasting_failures_fail_at_once(clock):
    """As themselves, after one attempt."""
    waits, error = run(clock, [http_error(401)] * 9)
    assert waits == []
    assert error.response.status_code == 401


def test_own_strategies_instead(clock):
    """Where one is given, the setting does not hold."""
    configure(attempts=2, max_wait=1, budget=1)
    if_any = retry_if_exception_type()
    waits, _ = run(clock, [KeyError()] * 3, wait=wait_fixed(5), stop=stop_never, retry=if_any)
    assert waits == [5, 5, 5]


@pytest.mark.parametrize(
    ("stop", "attempts"),
    [
        (stop_after_attempt(5), 5),
        (stop_after_attempt(5) | stop_on_shutdown, 5),
        (stop_any(stop_by_default(4), stop_after_attempt(9)), 4),
        (stop_never, None),
        (lambda state: False, None),
    ],
)
def test_of_how_many(stop, attempts):
    """How many attempts there will be is told by the stop strategy, if it knows."""
    assert attempts_of(stop) == attempts


# throttling


def test_a_host_that_only_fails_is_left_alone(clock, log):
    """After a hundred failures the next one stands, and it is said why."""
    for _ in range(50):
        run(clock, [http_error(503)] * 9, **AT_ONCE)
    waits, error = run(clock, [http_error(503)] * 9)
    assert waits == []
    assert error.response.status_code == 503
    (line,) = [line for line in log[-1:] if "throttled" in line]
    assert line.startswith("WARNING Not retrying ")
    assert HOST in line
    assert "GRACEFUL_RETRY_THROTTLE" in line
    assert "503 Service Unavailable" in line
    assert "secret" not in line


def test_other_hosts_are_not_affected(clock):
    """Each has its own bucket."""
    while throttle.bucket_of(HOST).take():
        pass
    other = http_error(503)
    other.request = httpx.Request("POST", "https://other.example.com")
    assert len(run(clock, [other])[0]) == 1


def test_tokens_come_back(clock):
    """One in five seconds."""

    async def main():
        bucket = throttle.bucket_of(HOST)
        while bucket.take():
            pass
        await asyncio.sleep(4.9)
        assert not bucket.take()
        await asyncio.sleep(0.2)
        assert bucket.take()
        assert not bucket.take()

    clock.run(main())


def test_retries_that_succeed_cost_nothing(clock):
    """As long as they help, they are made."""
    for _ in range(300):
        assert run(clock, [http_error(503)] * 2, **AT_ONCE)[1] is None
    assert throttle.bucket_of(HOST).tokens == throttle.CAPACITY


def test_success_by_return_within_the_block(clock):
    """Also where the iterator is never asked again."""

    async def main():
        async for attempt in AsyncRetrying(**AT_ONCE):
            with attempt:
                if attempt.retry_state.attempt_number == 1:
                    raise http_error(503)
                return throttle.bucket_of(HOST).tokens
        return None

    assert clock.run(main()) == throttle.CAPACITY - 1
    assert throttle.bucket_of(HOST).tokens == throttle.CAPACITY


def test_pictures_that_fail_leave_chat_its_retries(clock):
    """One provider does both, and only one of them may be down."""

    async def work(kind):
        async with track(kind):
            waited = itertools.count()
            with pytest.raises((RetryError, httpx.HTTPError)):
                await AsyncRetrying(**AT_ONCE, before_sleep=lambda _: next(waited))(
                    fail, clock, [http_error(503)] * 9, []
                )
            return next(waited)

    for _ in range(50):
        clock.run(work("image"))
    assert clock.run(work("image")) == 0
    assert clock.run(work("llm")) == 2
    assert throttle.bucket_of(HOST, "llm").tokens < throttle.CAPACITY
    assert throttle.bucket_of(HOST).tokens == throttle.CAPACITY


@pytest.mark.parametrize(
    "keywords", [{"retry": retry_if_exception(is_transient)}, {}], ids=["own", "off"]
)
def test_without_throttle(clock, keywords):
    """GRACEFUL_RETRY_THROTTLE=false turns it off, and strategies of one's own do without."""
    configure(throttle=bool(keywords))
    for _ in range(60):
        waits, _ = run(clock, [http_error(503)] * 9, **{**AT_ONCE, **keywords})
        assert len(waits) == 2


def test_failures_without_a_host(clock):
    """There is no bucket for nobody."""
    for _ in range(60):
        assert len(run(clock, [ConnectionError()] * 3, **AT_ONCE)[0]) == 2


def test_buckets_do_not_pile_up():
    """Hosts whose buckets are full are forgotten."""
    for number in range(1000):
        throttle.bucket_of(f"host{number}")
    assert len(throttle._buckets) <= 256


# the log


@retry
async def draw():
    raise http_error(429, b'{"error": {"message": "quota exceeded"}}', Retry_After=7)


def test_one_line_a_retry(clock, log):
    """What, which attempt of how many, when, and why; and neither URL nor payload."""

    async def main():
        with pytest.raises(RetryError):
            await draw()

    clock.run(main())
    assert [re.sub(r"in 7\.\d s", "in 7 s", line) for line in log] == [
        f"WARNING Retrying {__name__}.draw, attempt {number} of 3, in 7 s:"
        f" 429 Too Many Requests from {HOST}: quota exceeded"
        for number in (2, 3)
    ]


def test_what_is_retried_has_a_name(clock, log):
    """The one it is given, or that of the work it is part of."""

    async def main(**keywords):
        async for attempt in AsyncRetrying(stop=stop_never, **keywords):
            with attempt:
                if attempt.retry_state.attempt_number == 1:
                    raise ConnectionError("{braces} </red>")

    async def tracked():
        async with track("llm", name="chat"):
            await main()

    clock.run(main(name="asking"))
    clock.run(tracked())
    clock.run(main())
    assert [line.partition(",")[0] for line in log] == [
        "WARNING Retrying asking",
        "WARNING Retrying llm 'chat'",
        "WARNING Retrying a block",
    ]
    assert log[0].endswith(" s: ConnectionError: {braces} </red>")
    assert ", attempt 2, in " in log[0]


def test_a_line_names_plugin_and_user(clock, log):
    """Whose retry it is, as the line of a failure does."""
    origin = PluginOrigin("nonebot_plugin_novelai", user="1001", chat="2002")

    async def main():
        section = Section(installed.tree.kinds["image"])
        installed.tree.open_work(section, asyncio.current_task(), origin)
        with pytest.raises(RetryError):
            await draw()

    clock.run(main())
    assert len(log) == 2
    for line in log:
        assert line.startswith(
            f"WARNING Retrying {__name__}.draw of nonebot_plugin_novelai"
            " for user 1001 in 2002, attempt "
        )


def test_silence(clock, log):
    """before_sleep=None logs nothing, and one of one's own stands instead."""
    told = []
    run(clock, [http_error(503)], before_sleep=None)
    run(clock, [http_error(503)], before_sleep=lambda state: told.append(state.attempt_number))
    assert log == []
    assert told == [1]


def test_rejected_results(clock, log):
    """Where nothing was raised, the line says so."""

    async def main():
        return await AsyncRetrying(retry=lambda state: state.attempt_number < 2)(
            asyncio.sleep, 0, "fine"
        )

    assert clock.run(main()) == "fine"
    assert log[0].endswith("the result was not accepted")
