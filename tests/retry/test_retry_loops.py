"""The loops in coroutines: tenacity's keywords, and an end the moment the shutdown begins."""

import asyncio
import contextlib
import functools
import importlib.metadata
import inspect
import pickle
import sys
import time

import anyio
import httpx
import pytest
import tenacity
from tenacity import (
    RetryError,
    TryAgain,
    retry_any,
    retry_if_exception,
    retry_if_exception_type,
    retry_if_not_exception_type,
    retry_if_result,
    stop_after_attempt,
    stop_never,
    wait_fixed,
    wait_none,
)

from nonebot_plugin_graceful.core import installed
from nonebot_plugin_graceful.core.api import cancel, shield, tasks, track
from nonebot_plugin_graceful.core.api import sleep as graceful_sleep
from nonebot_plugin_graceful.core.errors import Interrupted, Refused
from nonebot_plugin_graceful.retry import (
    AsyncRetrying,
    Retrying,
    retry,
    retry_if_transient,
    stop_on_shutdown,
)

DOWN = ConnectionError("down")
TENACITY = tuple(map(int, importlib.metadata.version("tenacity").split(".")[:2]))


class Service:
    """Fails as often as it is told to, and notes when it was asked."""

    def __init__(self, *failures, seconds=0.0):
        self.failures = list(failures)
        self.asked = []
        self.seconds = seconds

    async def __call__(self, answer="fine"):
        self.asked.append(time.monotonic())
        await asyncio.sleep(self.seconds)
        if self.failures:
            raise self.failures.pop(0)
        return answer


def http_error(status, **headers):
    response = httpx.Response(status, headers={k.replace("_", "-"): v for k, v in headers.items()})
    request = httpx.Request("POST", "https://api.example.com/v1/images")
    return httpx.HTTPStatusError("", request=request, response=response)


# as in tenacity


async def test_success_is_returned_at_once():
    """What works the first time is called once."""
    service = Service()
    assert await retry(service)("hello") == "hello"
    assert len(service.asked) == 1


async def test_given_strategies_are_used():
    """stop, wait and retry are tenacity's own when they are given."""
    service = Service(KeyError(), KeyError(), KeyError())
    patient = retry(stop=stop_after_attempt(4), wait=wait_none(), retry=retry_if_exception_type())
    assert await patient(service)() == "fine"
    assert len(service.asked) == 4


async def test_giving_up_raises_tenacitys_error():
    """RetryError, from the last error."""
    with pytest.raises(RetryError) as raised:
        await retry(stop=stop_after_attempt(2), wait=wait_none())(Service(DOWN, DOWN))()
    assert raised.value.__cause__ is DOWN
    assert raised.value.last_attempt.attempt_number == 2


async def test_reraise():
    """With reraise=True it is the last error itself."""
    with pytest.raises(ConnectionError):
        await retry(stop=stop_after_attempt(2), wait=wait_none(), reraise=True)(
            Service(DOWN, DOWN)
        )()


async def test_hooks_may_be_coroutine_functions():
    """before, after, before_sleep and retry_error_callback are awaited where they are async."""
    told = []

    def hook(name):
        async def told_of(state):
            told.append((name, state.attempt_number))
            return name

        return told_of

    result = await retry(
        stop=stop_after_attempt(2),
        wait=wait_none(),
        before=hook("before"),
        after=hook("after"),
        before_sleep=hook("before_sleep"),
        retry_error_callback=hook("callback"),
    )(Service(DOWN, DOWN))()
    assert result == "callback"
    assert told == [
        ("before", 1),
        ("after", 1),
        ("before_sleep", 1),
        ("before", 2),
        ("after", 2),
        ("callback", 2),
    ]


async def test_results_that_can_be_awaited_are_results():
    """A task that a function returns is returned, not awaited."""

    async def begin():
        return asyncio.create_task(asyncio.sleep(0, "done"))

    task = await retry(begin)()
    assert isinstance(task, asyncio.Task)
    assert await task == "done"


async def test_functions_that_return_awaitables_are_retried():
    """What tenacity would return unawaited, and unretried."""
    service = Service(DOWN)
    assert await AsyncRetrying(wait=wait_none())(lambda: service())  # noqa: PLW0108 == "fine"
    assert len(service.asked) == 2


async def test_try_again():
    """Whoever raises TryAgain is asked no strategy."""
    assert await retry(wait=wait_none(), retry=tenacity.retry_never)(Service(TryAgain()))() == (
        "fine"
    )


async def test_statistics_and_retry_with():
    """What tenacity gives its functions, ours have."""
    service = Service(DOWN)

    @retry(wait=wait_fixed(0))
    async def ask():
        return await service()

    await ask()
    assert ask.statistics["attempt_number"] == 2
    if TENACITY >= (9, 2):  # before, its functions have them alone
        assert ask.retry.statistics is ask.statistics
    service.failures = [DOWN]
    with pytest.raises(RetryError):
        await ask.retry_with(stop=stop_after_attempt(1))()
    assert isinstance(ask.retry.copy(wait=wait_none()), AsyncRetrying)


async def test_disabled():
    """With enabled=False there is one attempt, and its own error."""
    service = Service(DOWN, DOWN)
    with pytest.raises(ConnectionError):
        await retry(enabled=False)(service)()
    with pytest.raises(ConnectionError):
        async for attempt in AsyncRetrying(enabled=False):
            with attempt:
                await service()
    assert len(service.asked) == 2


async def test_one_object_in_many_tasks():
    """Calls and iterations of one object at the same time do not mix."""
    retrying = AsyncRetrying(stop=stop_after_attempt(3), wait=wait_none())

    async def work(number):
        service = Service(*[DOWN] * number, seconds=0.001)
        async for attempt in retrying:
            with attempt:
                assert await service() == "fine"
        return len(service.asked)

    assert await asyncio.gather(*map(work, [0, 1, 2, 1, 0])) == [1, 2, 3, 2, 1]


async def test_iteration():
    """The block is repeated until it succeeds; ``return`` from within ends it."""
    service = Service(DOWN, DOWN)

    async def ask():
        async for attempt in AsyncRetrying(stop=stop_after_attempt(3)):
            with attempt:
                return await service()
        return None

    assert await ask() == "fine"
    service = Service(DOWN, DOWN, DOWN)
    with pytest.raises(RetryError):
        await ask()
    async for attempt in AsyncRetrying(wait=wait_none(), retry=retry_if_result(bool)):
        async with attempt:
            pass
        attempt.retry_state.set_result(attempt.retry_state.attempt_number < 3)
    assert attempt.retry_state.attempt_number == 3


async def test_forgotten_with():
    """A block that nobody watches is an error, not an endless loop."""
    with pytest.raises(RuntimeError, match="with attempt"):
        async for _ in AsyncRetrying():
            pass
    with pytest.raises(RuntimeError, match="with attempt"):
        for _ in Retrying():
            pass


def test_pickling():
    """As tenacity's objects."""
    keywords = {"retry": retry_if_transient(), "wait": wait_none(), "before_sleep": None}
    retrying = AsyncRetrying(stop=stop_after_attempt(7), name="asking", enabled=False, **keywords)
    restored = pickle.loads(pickle.dumps(retrying))
    for some in (restored, restored.copy(), restored.copy(wait=wait_fixed(3)), retrying.copy()):
        assert some.stop.max_attempt_number == 7
        assert some.name == "asking"
        assert not some.enabled
    assert restored.copy(name="drawing", enabled=True).name == "drawing"
    assert restored.copy(enabled=True).enabled


# what cannot be retried


def generator():
    yield


async def async_generator():
    yield


@pytest.mark.parametrize("function", [generator, async_generator])
def test_generator_functions_are_refused(function):
    """Calling one does nothing that could fail, so tenacity would never retry it."""
    for decorate in (retry, AsyncRetrying().wraps, Retrying().wraps):
        with pytest.raises(TypeError, match="generator function"):
            decorate(function)


def test_strategies_in_place_of_the_function_are_refused():
    """``@retry(stop_after_attempt(3))`` lacks the ``stop=``."""
    with pytest.raises(TypeError, match="by keyword"):
        retry(stop_after_attempt(3))


async def test_sleeps_that_block_the_loop_are_refused():
    """A sleep for threads would freeze the bot."""
    import threading

    with pytest.raises(TypeError, match="blocks"):
        AsyncRetrying(sleep=tenacity.sleep_using_event(threading.Event()))
    with pytest.raises(TypeError, match="blocks"):
        await AsyncRetrying(sleep=lambda seconds: None)(Service(DOWN))


async def test_coroutines_in_the_loop_for_threads_are_refused():
    """Retrying would return the coroutine and never see its failure."""
    with pytest.raises(TypeError, match="AsyncRetrying"):
        Retrying()(Service())
    with pytest.raises(TypeError, match="AsyncRetrying"):
        Retrying().wraps(Service().__call__)


# signatures


def test_the_wrapper_is_a_coroutine_function_with_the_same_signature():
    """NoneBot and others look at both."""

    @retry
    async def draw(prompt: str, *, size: int = 512) -> bytes: ...

    assert inspect.iscoroutinefunction(draw)
    assert str(inspect.signature(draw)) == "(prompt: str, *, size: int = 512) -> bytes"
    assert inspect.iscoroutinefunction(retry(functools.partial(draw, "cat")))


def test_annotations_written_as_text_are_evaluated_where_they_were_written():
    """NoneBot evaluates a handler's annotations in the globals of the function it is given."""
    namespace = {"Secret": int, "retry": retry}
    exec("@retry\nasync def handler(x: 'Secret'): ...", namespace)
    assert inspect.signature(namespace["handler"]).parameters["x"].annotation is int


def test_methods(clock):
    """A retried method is bound like any other."""

    class Client:
        @retry
        async def ask(self, question):
            return self, question

    client = Client()
    assert clock.run(client.ask("why")) == (client, "why")


# the shutdown


def ends_at_once(clock, shutdown, result_of, begin, *, at, asked):
    """Run ``begin(service)``, begin the shutdown after ``at`` seconds, look what it raises."""
    service = Service(*[DOWN] * 100)

    async def main():
        task = asyncio.ensure_future(begin(service))
        await asyncio.sleep(at)
        began = time.monotonic()
        shutdown()
        with pytest.raises(Interrupted) as raised:
            await result_of(task)
        assert time.monotonic() == began
        assert len(service.asked) == asked
        return raised.value

    return clock.run(main())


PATIENT = {"stop": stop_never, "wait": wait_fixed(10)}
AT_ONCE = {"wait": wait_none()}


def call(**keywords):
    return lambda service: retry(**{**PATIENT, **keywords})(service)()


def iterate(**keywords):
    async def begin(service):
        async for attempt in AsyncRetrying(**{**PATIENT, **keywords}):
            with attempt:
                return await service()
        return None

    return begin


@pytest.mark.parametrize("form", [call, iterate])
def test_a_waiting_retry_ends_at_once(form, clock, shutdown, result_of):
    """With the last error as its cause, and without another attempt."""
    error = ends_at_once(clock, shutdown, result_of, form(), at=15, asked=2)
    assert error.reason == "SIGINT"
    assert error.__cause__ is DOWN


STUBBORN = {
    "a sleep of one's own": {"sleep": asyncio.sleep},
    "our sleep": {"sleep": graceful_sleep},
    "always": {"retry": tenacity.retry_always},
    "any exception": {"retry": retry_if_exception(lambda e: True)},
    "not some type": {"retry": retry_if_not_exception_type(KeyError)},
    "any base exception": {
        "retry": retry_any(retry_if_exception_type(BaseException), retry_if_result(bool))
    },
    "a callback": {"retry_error_callback": lambda state: "given up", "reraise": True},
}


@pytest.mark.parametrize("form", [call, iterate])
@pytest.mark.parametrize("strategies", STUBBORN)
def test_whatever_the_strategies_are(form, strategies, clock, shutdown, result_of):
    """No combination keeps it from ending, nor a sleep of one's own."""
    begin = form(**STUBBORN[strategies])
    assert ends_at_once(clock, shutdown, result_of, begin, at=15, asked=2).__cause__ is DOWN


@pytest.mark.parametrize("form", [call, iterate])
async def test_no_new_loop_starts(form, shutdown):
    """After the shutdown began not even the first attempt is made."""
    shutdown()
    service = Service()
    with pytest.raises(Interrupted):
        await form()(service)
    assert service.asked == []


@pytest.mark.parametrize("hook", ["before", "after", "before_sleep", "wait", "retry"])
async def test_shutdown_during_a_hook(hook, shutdown):
    """Between any two steps the shutdown may begin; no attempt follows."""
    service = Service(DOWN, DOWN)

    async def hang(state):
        if state.outcome is not None or hook == "before":
            shutdown()
        await asyncio.sleep(0)
        return 0

    keywords = {"wait": wait_none(), "retry": tenacity.retry_always, hook: hang}
    if hook == "retry":
        keywords["retry"] = retry_if_exception(lambda e: shutdown() is None)
    with pytest.raises(Interrupted):
        await retry(stop=stop_never, **keywords)(service)()
    assert len(service.asked) == (0 if hook == "before" else 1)


async def test_an_attempt_in_flight_is_left_to_its_task(shutdown, result_of):
    """It may still succeed; and if it fails, that is the end."""
    begun = asyncio.Event()
    go_on = asyncio.Event()

    @retry(stop=stop_never, wait=wait_none())
    async def ask(error):
        begun.set()
        await go_on.wait()
        if error:
            raise error
        return "fine"

    good, bad = asyncio.create_task(ask(None)), asyncio.create_task(ask(DOWN))
    await begun.wait()
    shutdown()
    go_on.set()
    assert await good == "fine"
    with pytest.raises(Interrupted) as raised:
        await result_of(bad)
    assert raised.value.__cause__ is DOWN


async def test_a_lasting_failure_during_the_shutdown_is_itself(shutdown):
    """What would not have been retried anyway is raised as it is."""

    @retry
    async def ask():
        shutdown()
        raise ValueError

    with pytest.raises(ValueError):
        await ask()


async def test_before_sleep_is_not_told_of_a_wait_that_is_not(shutdown, log):
    """Nor is anything logged of it."""

    @retry
    async def ask():
        shutdown()
        raise DOWN

    with pytest.raises(Interrupted):
        await ask()
    assert not [line for line in log if "Retrying" in line]


@pytest.mark.parametrize("form", [call, iterate])
async def test_before_is_not_told_of_an_attempt_that_is_not(form, shutdown):
    """Also where the shutdown begins in a wait that takes no time."""
    service, told = Service(DOWN), []

    async def before_sleep(_):
        asyncio.get_running_loop().call_soon(shutdown)

    with pytest.raises(Interrupted):
        await form(
            before=lambda state: told.append(state.attempt_number),
            before_sleep=before_sleep,
            **AT_ONCE,
        )(service)
    assert told == [1]
    assert len(service.asked) == 1


@pytest.mark.parametrize("form", [call, iterate])
async def test_shutdown_while_before_is_told_of_another_attempt(form, shutdown):
    """That attempt is not made, and the failure before it is the cause."""
    service = Service(DOWN)

    async def before(state):
        if state.attempt_number == 2:
            shutdown()

    with pytest.raises(Interrupted) as raised:
        await form(before=before, **AT_ONCE)(service)
    assert raised.value.__cause__ is DOWN
    assert len(service.asked) == 1


@pytest.mark.parametrize("at", [0, 15], ids=["before the first attempt", "in a wait"])
def test_nothing_goes_on_as_if_a_retry_had_done_its_work(at, clock, shutdown):
    """A task group takes a child that was interrupted for one that has ended; its host ends, too."""
    went_on = []

    async def host(ask):
        async with track("llm"):
            async with anyio.create_task_group() as group:
                group.start_soon(ask)
            went_on.append(True)

    async def main():
        service = Service(*[DOWN] * 9)
        asked = asyncio.Event()

        async def ask():
            await asked.wait()
            await call()(service)

        task = asyncio.create_task(host(ask))
        asyncio.get_running_loop().call_later(1, asked.set)
        await asyncio.sleep(at)
        shutdown()
        await asyncio.wait([task])
        assert task.cancelled()
        return len(service.asked)

    assert clock.run(main()) == (2 if at else 0)
    assert went_on == []


async def test_whoever_tries_again_whatever_is_raised_does_not_hold_up_the_loop(shutdown):
    """A refusal lets the others go on first."""
    shutdown()
    service = Service()
    refused = []

    async def hopeless():
        while len(refused) < 1000:
            try:
                await retry(service)()
            except BaseException as error:
                refused.append(error)

    task = asyncio.create_task(hopeless())
    for _ in range(9):
        await asyncio.sleep(0)
    assert 0 < len(refused) < 99
    refused += refused * 1000
    await task
    assert service.asked == []


async def test_a_first_attempt_inside_a_shield_is_made(shutdown):
    """A shielded stretch is not cut; but it is not drawn out by retries either."""
    shutdown()
    service = Service()
    async with shield():
        assert await retry(service)() == "fine"
        service.failures = [DOWN]
        with pytest.raises(Interrupted):
            await retry(service)()
    assert len(service.asked) == 2


async def test_a_cancelled_task_that_swallowed_it_does_not_retry(result_of):
    """One task may be cancelled while the bot runs on; its retries end too."""
    asked = 0

    @retry(stop=stop_never, wait=wait_none())
    async def ask():
        nonlocal asked
        asked += 1
        try:
            await asyncio.sleep(100)
        except asyncio.CancelledError:
            raise DOWN from None

    async def handler():
        async with track("llm"):
            await ask()

    task = asyncio.create_task(handler())
    await asyncio.sleep(0)
    cancel(kind="llm", reason="recalled")
    with pytest.raises(Interrupted) as raised:
        await result_of(task)
    assert raised.value.reason == "recalled"
    assert asked == 1


def test_the_timer_and_the_shutdown_in_one_moment(clock, shutdown):
    """A wait that is over in the very iteration in which the shutdown begins ends like the rest."""
    service = Service(DOWN, DOWN)

    async def main():
        asyncio.get_running_loop().call_later(10, shutdown)
        with pytest.raises(Interrupted):
            await retry(wait=wait_fixed(10))(service)()

    clock.run(main())
    assert len(service.asked) == 1


def test_a_failing_sleep_is_what_it_is(clock):
    """An error of somebody's own sleep is not swallowed."""

    async def sleep(seconds):
        raise KeyError(seconds)

    with pytest.raises(KeyError):
        clock.run(retry(sleep=sleep, wait=wait_fixed(3))(Service(DOWN))())


# cancellation


def alert(error):
    raise AssertionError(f"asked about {error!r}")


@pytest.mark.parametrize("order", [asyncio.CancelledError, Interrupted, KeyboardInterrupt])
@pytest.mark.parametrize("form", [call, iterate])
async def test_orders_are_never_retried(form, order):
    """No strategy is even asked about them."""
    service = Service(order())
    with pytest.raises(order):
        await form(retry=retry_if_exception(alert))(service)
    assert len(service.asked) == 1


@pytest.mark.parametrize("form", [call, iterate])
@pytest.mark.parametrize("keywords", [{}, {"sleep": asyncio.sleep}], ids=["ours", "own sleep"])
@pytest.mark.parametrize("at", [0.5, 5])
def test_cancellation_is_delivered(form, keywords, at, clock, result_of):
    """In an attempt and in a wait, whoever cancels."""
    service = Service(*[DOWN] * 9, seconds=1)

    async def main():
        begin = form(retry=retry_if_not_exception_type(KeyError), **keywords)
        task = asyncio.ensure_future(begin(service))
        await asyncio.sleep(at)
        task.cancel("enough")
        with pytest.raises(asyncio.CancelledError) as raised:
            await result_of(task)
        assert raised.value.args == ("enough",)
        assert task.cancelled()
        assert asyncio.all_tasks() == {asyncio.current_task()}

    clock.run(main())
    assert len(service.asked) == 1


# refusals


class Wrapped(Exception):  # noqa: N818
    """As an SDK wraps whatever its HTTP client raises."""


def refused(*, wrapped):
    error = Refused("draining")
    if not wrapped:
        return error
    sdk = Wrapped()
    sdk.__cause__ = error
    return sdk


@pytest.mark.parametrize("wrapped", [False, True], ids=["itself", "wrapped"])
@pytest.mark.parametrize("form", [call, iterate])
async def test_refusals_are_never_retried(form, wrapped):
    """What may not begin may not begin the next time either; no strategy is asked."""
    error = refused(wrapped=wrapped)
    service = Service(DOWN, error)

    def retry_if_down(state):
        assert state.outcome.exception() is DOWN
        return True

    with pytest.raises(type(error)) as raised:
        await form(retry=retry_if_down, sleep=asyncio.sleep, reraise=True, **AT_ONCE)(service)
    assert raised.value is error
    assert len(service.asked) == 2


def group_of(*errors):
    if sys.version_info >= (3, 11):
        return ExceptionGroup("some", errors)  # noqa: F821
    return pytest.importorskip("exceptiongroup").ExceptionGroup("some", errors)


@pytest.mark.parametrize("form", [call, iterate])
async def test_a_group_with_a_refusal_in_it_is_not_retried(form):
    """As a task group makes of its tasks'; be it a group in a group."""
    error = group_of(DOWN, group_of(refused(wrapped=True)))
    service = Service(error)
    with pytest.raises(type(error)) as raised:
        await form(retry=tenacity.retry_always, **AT_ONCE)(service)
    assert raised.value is error


# what a person has ended


async def hang():
    async with track("llm"):
        await asyncio.Event().wait()


async def chained():
    try:
        await hang()
    except BaseException as error:
        raise Wrapped from error


async def in_context():
    try:
        await hang()
    except BaseException:
        raise Wrapped  # noqa: B904


async def grouped():
    try:
        await chained()
    except Exception as error:
        raise group_of(DOWN, error) from None


async def gathered():
    results = await asyncio.gather(hang(), hang(), return_exceptions=True)
    assert all(isinstance(each, asyncio.CancelledError) for each in results)
    raise Wrapped


async def dropped():
    with contextlib.suppress(asyncio.CancelledError):
        await hang()
    raise Wrapped


@pytest.mark.parametrize("form", [call, iterate])
@pytest.mark.parametrize("attempt", [chained, in_context, grouped, gathered, dropped])
async def test_what_a_person_has_ended_is_not_tried_again(attempt, form):
    """Whatever its author made of it."""
    asked = []

    async def service():
        asked.append(1)
        await attempt()

    @track("handler")
    async def work():
        await form(retry=tenacity.retry_always, sleep=asyncio.sleep, **AT_ONCE)(service)

    task = asyncio.create_task(work())
    while not [each for each in tasks() if each.kind == "llm"]:
        await asyncio.sleep(0)
    cancel(kind="llm")
    await asyncio.wait([task], timeout=10)
    assert type(task.exception()).__name__ in {"Wrapped", "ExceptionGroup"}
    assert asked == [1]


async def test_a_result_that_came_of_it_is_the_last():
    """As if there were to be no more attempts."""
    asked = []

    async def service():
        asked.append(1)
        return await asyncio.gather(hang(), hang(), return_exceptions=True)

    @track("handler")
    async def work():
        await retry(retry=retry_if_result(bool), stop=stop_never, wait=wait_none())(service)()

    task = asyncio.create_task(work())
    while not [each for each in tasks() if each.kind == "llm"]:
        await asyncio.sleep(0)
    cancel(kind="llm")
    await asyncio.wait([task], timeout=10)
    assert isinstance(task.exception(), RetryError)
    assert asked == [1]


async def test_what_took_too_long_is_tried_again():
    """It was told to end as well, and by nobody."""
    asked = []

    async def service():
        asked.append(1)
        if len(asked) == 1:
            async with track("image", timeout=0.01):
                await hang()
        return "fine"

    @track("handler")
    async def work():
        return await retry(retry=retry_if_exception_type(), **AT_ONCE)(service)()

    assert await asyncio.wait_for(work(), 10) == "fine"


async def test_what_is_ended_beside_an_attempt_says_nothing_of_it():
    """Neither before it, nor around it in somebody's clean-up."""
    service = Service(ConnectionError())

    @track("handler")
    async def work():
        beside = asyncio.create_task(hang())
        while not [each for each in tasks() if each.kind == "llm"]:
            await asyncio.sleep(0)

        async def attempt():
            cancel(kind="llm")
            await asyncio.wait([beside])
            return await service()

        try:
            raise Interrupted
        except Interrupted:
            return await retry(**AT_ONCE)(attempt)()

    assert await asyncio.wait_for(asyncio.create_task(work()), 10) == "fine"


# what leaves the block


async def test_an_order_leaves_the_block_at_once():
    """What follows the block may set a result, which tenacity would then take for the attempt's."""

    async def work():
        async for attempt in AsyncRetrying(**PATIENT):
            with attempt:
                raise asyncio.CancelledError
            attempt.retry_state.set_result("as if nothing had been")

    with pytest.raises(asyncio.CancelledError):
        await work()
    with pytest.raises(KeyboardInterrupt):
        for attempt in Retrying(**PATIENT):
            with attempt:
                raise KeyboardInterrupt
            attempt.retry_state.set_result("as if nothing had been")


# plain tenacity


async def test_stop_on_shutdown_in_plain_tenacity(shutdown):
    """After the shutdown began the failed attempt was the last one."""
    service = Service(*[DOWN] * 9)

    @tenacity.retry(stop=stop_after_attempt(5) | stop_on_shutdown)
    async def ask():
        if len(service.asked) == 1:
            shutdown()
        await service()

    with pytest.raises(RetryError):
        await ask()
    assert len(service.asked) == 2


def test_sleep_in_plain_tenacity(clock, shutdown, result_of):
    """The wait ends at once, and tenacity makes no further attempt."""
    service = Service(*[DOWN] * 9)

    async def main():
        patient = tenacity.retry(sleep=graceful_sleep, wait=wait_fixed(60))(service.__call__)
        task = asyncio.create_task(patient())
        await asyncio.sleep(1)
        shutdown()
        with pytest.raises(Interrupted):
            await result_of(task)

    clock.run(main())
    assert len(service.asked) == 1
    assert clock.now < 1060


# the registry


def test_the_registry_shows_the_attempt(clock):
    """What waits says so, and is as before when it is done."""
    notes = []
    thrice = {"stop": stop_after_attempt(3), "wait": wait_fixed(1)}

    async def main():
        async with track("llm"):
            installed.tree.current().note = "thinking"
            task = asyncio.current_task()
            for seconds in (0.5, 1.5):
                asyncio.get_running_loop().call_later(
                    seconds, lambda: notes.append(installed.tree.works[task].note)
                )
            await retry(**thrice)(Service(DOWN, DOWN, seconds=0))()
            notes.append(installed.tree.current().note)
            with pytest.raises(RetryError):
                await retry(**thrice)(Service(*[DOWN] * 9))()
            notes.append(installed.tree.current().note)
            async for attempt in AsyncRetrying(**thrice):
                with attempt:
                    if attempt.retry_state.attempt_number == 1:
                        raise DOWN
                    break
            notes.append(installed.tree.current().note)
            with pytest.raises(RetryError):
                async for attempt in AsyncRetrying(**thrice):
                    with attempt:
                        raise DOWN
            notes.append(installed.tree.current().note)

    clock.run(main())
    assert notes == [
        "attempt 2 of 3, waits 1.0 s",
        "attempt 3 of 3, waits 1.0 s",
        *["thinking"] * 4,
    ]


def test_retries_of_one_work_leave_no_note_of_each_other(clock):
    """Several at once overwrite each other's, and the author's own is there again in the end."""

    async def main():
        async with track("llm"):
            installed.tree.current().note = "thinking"
            calls = [
                retry(stop=stop_never, wait=wait_fixed(seconds))(Service(DOWN, DOWN, seconds=0.1))()
                for seconds in (1, 2, 3)
            ]
            await asyncio.gather(*calls)
            return installed.tree.current().note

    assert clock.run(main()) == "thinking"


@pytest.mark.parametrize("form", [call, iterate])
@pytest.mark.parametrize("hook", ["before", "before_sleep", "sleep"])
def test_a_hook_that_fails_leaves_no_note(form, hook, clock):
    """Whatever ends the call, ends its note."""

    async def fails(state):
        if hook == "sleep" or state.attempt_number == (2 if hook == "before" else 1):
            raise KeyError

    async def main():
        async with track("llm"):
            with pytest.raises(KeyError):
                await form(**{hook: fails})(Service(DOWN))
            return installed.tree.current().note

    assert clock.run(main()) == ""


@pytest.mark.parametrize("form", [call, iterate])
def test_an_interrupted_wait_leaves_no_note(form, clock, shutdown):
    """Who catches it may go on to clean up, and says what it will."""

    async def main():
        asyncio.get_running_loop().call_later(5, shutdown)
        async with track("llm"):
            with pytest.raises(Interrupted):
                await form()(Service(DOWN))
            return installed.tree.current().note

    assert clock.run(main()) == ""


def test_no_record_no_note(clock):
    """Outside of tracked work a retry works all the same."""
    assert clock.run(retry(Service(DOWN))()) == "fine"
    assert installed.tree.lifecycle.stopping is False
