"""Only the import changes: what tenacity's users have written does what it did."""

import asyncio
import itertools

import pytest
import tenacity
from tenacity import (
    RetryError,
    retry_if_exception_type,
    retry_if_result,
    stop_after_attempt,
    stop_after_delay,
    wait_fixed,
    wait_none,
)

import nonebot_plugin_graceful
from nonebot_plugin_graceful import AsyncRetrying, Retrying, retry
from nonebot_plugin_graceful.core.errors import Interrupted

GIVEN = {
    "stop": stop_after_attempt(5),
    "wait": wait_fixed(0),
    "retry": retry_if_exception_type(ValueError),
}
SOME = [dict(some) for count in (1, 2, 3) for some in itertools.combinations(GIVEN.items(), count)]


def failing(times, error=ValueError):
    """Make a function that fails so often, and one that tells how often it was asked."""
    asked = itertools.count()

    async def work():
        if next(asked) < times:
            raise error
        return "fine"

    return work, lambda: next(asked)


async def outcome_of(decorate, times):
    """What comes of a function that fails so often, and after how many attempts."""
    work, asked = failing(times)
    try:
        return await decorate(work)(), asked()
    except Exception as error:
        return type(error), asked()


@pytest.mark.parametrize("given", SOME, ids=" ".join)
@pytest.mark.parametrize("times", [1, 4, 9])
async def test_whoever_gives_a_strategy_gets_tenacitys_others(given, times):
    """As often as with tenacity is tried, and with the same end; not only what is transient."""
    ours, theirs = (module.retry(**given) for module in (nonebot_plugin_graceful, tenacity))
    assert await outcome_of(ours, times) == await outcome_of(theirs, times)


@pytest.mark.parametrize("given", SOME, ids=" ".join)
@pytest.mark.parametrize("name", ["AsyncRetrying", "Retrying"])
def test_what_is_left_out_is_tenacitys(given, name):
    """All of it, in both loops."""
    ours = getattr(nonebot_plugin_graceful, name)(**given)
    theirs = getattr(tenacity, name)(**given)
    for strategy in GIVEN:
        assert type(getattr(ours, strategy)) is type(getattr(theirs, strategy))


@pytest.mark.parametrize("make", [AsyncRetrying, Retrying])
def test_bare_is_made_for_ai_services(make):
    """Also with keywords that are none of the three."""
    for retrying in (make(), make(reraise=True, before_sleep=None), make().copy(reraise=True)):
        assert isinstance(retrying.stop, type(nonebot_plugin_graceful.stop_by_default()))
        assert isinstance(retrying.wait, nonebot_plugin_graceful.wait_by_default)
        assert isinstance(retrying.retry, nonebot_plugin_graceful.retry_if_transient)


async def test_retry_with_changes_what_it_says():
    """The rest stays, be it ours or tenacity's."""

    @retry
    async def bare(): ...

    changed = bare.retry_with(stop=stop_after_attempt(1)).retry
    assert isinstance(changed.retry, nonebot_plugin_graceful.retry_if_transient)
    assert changed.stop.max_attempt_number == 1


@pytest.mark.parametrize("make", [AsyncRetrying, Retrying])
def test_positions(make):
    """They mean what they mean in tenacity, and count as given."""
    positions = [asyncio.sleep, stop_after_attempt(5), wait_fixed(3)]
    for retrying in (make(*positions), make().copy(*positions)):
        assert retrying.sleep is asyncio.sleep
        assert retrying.stop.max_attempt_number == 5
        assert retrying.wait.wait_fixed == 3
    assert isinstance(make(*positions).retry, retry_if_exception_type)
    before_sleep = print
    everything = [*positions, retry_if_result(bool), print, print, before_sleep, True]
    assert make(*everything).before_sleep is before_sleep
    assert make(*everything).reraise


async def test_positions_of_the_decorator():
    """The first is the function only where it is alone."""
    work, asked = failing(9)
    with pytest.raises(RetryError):
        await retry(asyncio.sleep, stop_after_attempt(2))(work)()
    assert asked() == 2
    changed = retry(work).retry_with(asyncio.sleep, stop_after_attempt(7)).retry
    assert changed.stop.max_attempt_number == 7


async def test_a_function_with_keywords_is_decorated_with_them():
    """``retry(function, stop=…)`` means both."""
    work, asked = failing(9)
    with pytest.raises(RetryError):
        await retry(work, stop=stop_after_attempt(2))()
    assert asked() == 2


async def test_disabled_with_a_sleep_for_coroutines():
    """Which makes a coroutine function of any; tenacity's awaits the result even so."""
    assert await retry(sleep=asyncio.sleep, enabled=False)(lambda: 3)() == 3


async def test_hooks_that_are_none():
    """before=None and after=None are no hooks."""
    keywords = {"before": None, "after": None, "before_sleep": None}
    work, _ = failing(2)
    assert await retry(**GIVEN, **keywords)(work)() == "fine"
    failures = [ValueError, ValueError]

    def in_a_thread():
        if failures:
            raise failures.pop()
        return "fine"

    assert retry(**GIVEN, **keywords)(in_a_thread)() == "fine"


@pytest.mark.parametrize("left", ["by its end", "by break"])
async def test_statistics_of_a_loop_over_attempts(left):
    """They are the object's, however often it is looped over, and however a loop is left."""

    def attempt_is_over(attempt, last):
        if attempt.retry_state.attempt_number < last:
            raise ValueError
        return left == "by break"

    retrying, in_threads = AsyncRetrying(**GIVEN), Retrying(**GIVEN)
    for last in (3, 2, 4):
        async for attempt in retrying:
            with attempt:
                if attempt_is_over(attempt, last):
                    break
        assert retrying.statistics["attempt_number"] == last
        for attempt in in_threads:
            with attempt:
                if attempt_is_over(attempt, last):
                    break
        assert in_threads.statistics["attempt_number"] == last


async def test_one_object_called_in_many_tasks_and_within_itself():
    """Calls do not mix, even where the strategies are waited for."""

    async def if_value_error(state):
        await asyncio.sleep(0)
        return isinstance(state.outcome.exception(), ValueError)

    async def no_wait(_):
        await asyncio.sleep(0)
        return 0

    retrying = AsyncRetrying(stop=stop_after_attempt(9), wait=no_wait, retry=if_value_error)

    async def call(times, inner=0):
        work, asked = failing(times)

        async def nested():
            if inner:
                assert await call(inner) == inner + 1
            return await work()

        assert await retrying(nested) == "fine"
        return asked()

    assert await asyncio.gather(call(0), call(3), call(1, 2), call(5, 1)) == [1, 4, 2, 6]


async def test_nothing_is_held_on_to():
    """An object that lives on keeps no failure of a call that is over."""
    import gc
    import weakref

    class Failure(Exception):  # noqa: N818
        pass

    references = []

    async def work():
        error = Failure()
        references.append(weakref.ref(error))
        raise error

    retrying = AsyncRetrying(stop=stop_after_attempt(2), wait=wait_none())
    with pytest.raises(RetryError):
        await retrying(work)
    with pytest.raises(RetryError):
        for attempt in (in_threads := Retrying(stop=stop_after_attempt(2), wait=wait_none())):
            with attempt:
                error = Failure()
                references.append(weakref.ref(error))
                raise error
    del error, attempt
    gc.collect()
    assert [reference() for reference in references] == [None] * 4
    assert retrying
    assert in_threads


def test_the_last_failure_is_the_cause_over_a_result_that_was_rejected(clock, shutdown):
    """What went wrong before is what an interruption was preceded by."""
    failure = ValueError()
    answers = [failure, None]

    async def work():
        answer = answers.pop(0)
        if answer is not None:
            raise answer
        return answer

    async def main():
        asyncio.get_running_loop().call_later(15, shutdown)
        patient = retry(
            wait=wait_fixed(10),
            stop=stop_after_delay(99),
            retry=retry_if_exception_type() | retry_if_result(lambda answer: answer is None),
        )
        with pytest.raises(Interrupted) as raised:
            await patient(work)()
        return raised.value.__cause__

    assert clock.run(main()) is failure
