"""The loops in threads."""

import asyncio
import threading
import time

import pytest
from loguru import logger
from tenacity import RetryError, stop_after_attempt, stop_never, wait_fixed, wait_none

from nonebot_plugin_graceful.core import installed
from nonebot_plugin_graceful.core.api import cancel, run_sync
from nonebot_plugin_graceful.core.errors import Interrupted
from nonebot_plugin_graceful.retry import Retrying, retry, waits

DOWN = ConnectionError("down")


class Service:
    """Fails as often as it is told to, and tells when it was asked."""

    def __init__(self, *failures):
        self.failures = list(failures)
        self.asked = 0
        self.event = threading.Event()

    def __call__(self):
        self.asked += 1
        self.event.set()
        if self.failures:
            raise self.failures.pop(0)
        return "fine"


def wait_until_asked(service):
    assert service.event.wait(10)


def test_functions_are_retried():
    """As coroutine functions are."""
    service = Service(DOWN, DOWN)
    assert retry(wait=wait_none())(service)() == "fine"
    assert service.asked == 3
    service = Service(DOWN, DOWN)
    with pytest.raises(RetryError):
        retry(wait=wait_none(), stop=stop_after_attempt(2))(service)()


def test_iteration():
    """The block is repeated until it succeeds."""
    service = Service(DOWN, DOWN)
    for attempt in Retrying(wait=wait_none()):
        with attempt:
            answer = service()
    assert answer == "fine"


def test_disabled():
    """With enabled=False there is one attempt, and its own error."""
    service = Service(DOWN, DOWN)
    with pytest.raises(ConnectionError):
        Retrying(enabled=False)(service)
    with pytest.raises(ConnectionError):
        for attempt in Retrying(enabled=False):
            with attempt:
                service()
    assert service.asked == 2


def test_what_a_function_raises_is_raised():
    """Also what Python itself uses to end generators."""
    with pytest.raises(StopIteration):
        retry(lambda: next(iter(())))()


def test_orders_are_never_retried():
    """No strategy is asked about them."""
    service = Service(KeyboardInterrupt())
    with pytest.raises(KeyboardInterrupt):
        retry(retry=lambda state: True, stop=stop_never)(service)()
    assert service.asked == 1


@pytest.mark.parametrize("form", ["call", "iterate"])
async def test_a_waiting_thread_ends_at_once(form, shutdown, result_of):
    """A thread that would wait for a minute is through as soon as the shutdown begins."""
    service = Service(*[DOWN] * 9)

    def work():
        if form == "call":
            retry(wait=wait_fixed(60))(service)()
        for attempt in Retrying(wait=wait_fixed(60)):
            with attempt:
                service()

    task = asyncio.ensure_future(asyncio.to_thread(work))
    await asyncio.to_thread(wait_until_asked, service)
    began = time.monotonic()
    shutdown()
    with pytest.raises(Interrupted) as raised:
        await result_of(task)
    assert time.monotonic() - began < 10
    assert raised.value.__cause__ is DOWN
    assert service.asked == 1


async def test_no_new_loop_starts(shutdown):
    """After the shutdown began not even the first attempt is made."""
    shutdown()
    service = Service()
    with pytest.raises(Interrupted):
        await asyncio.to_thread(retry(service))
    with pytest.raises(Interrupted):
        retry(service)()
    assert service.asked == 0


@pytest.mark.parametrize("hook", ["before", "before_sleep", "sleep", "after"])
def test_shutdown_during_a_hook(hook, log):
    """No attempt follows, and nobody is told of one, or of a wait, that is not."""
    told = []
    service = Service(*[DOWN] * 9)

    def hooks(name):
        def tell(state):
            told.append(name)
            if name == hook and (name != "before" or state.attempt_number == 2):
                installed.tree.lifecycle.begin("SIGINT")

        return tell

    keywords = {name: hooks(name) for name in ("before", "after", "before_sleep", "sleep")}
    with pytest.raises(Interrupted) as raised:
        retry(stop=stop_never, wait=wait_none(), **keywords)(service)()
    assert raised.value.__cause__ is DOWN
    assert service.asked == 1
    everything = ["before", "after", "before_sleep", "sleep", "before"]
    assert told == everything[: everything.index(hook, 1) + 1]


def test_a_sleep_of_ones_own_is_waited_out():
    """It cannot be cut short in a thread; but no attempt follows."""
    service = Service(*[DOWN] * 9)
    with pytest.raises(Interrupted) as raised:
        retry(wait=wait_fixed(60), sleep=lambda seconds: installed.tree.lifecycle.begin("SIGINT"))(
            service
        )()
    assert raised.value.__cause__ is DOWN
    assert service.asked == 1


async def test_in_the_event_loops_own_thread(log):
    """It blocks the loop, which is said once; the signal handler can end it all the same."""
    waits._warn_of_blocking.cache_clear()
    service = Service(*[DOWN] * 9)
    said = threading.Event()

    def hear(message):
        if "everything else stands still" in message:
            said.set()

    def interrupt():
        if said.wait(10):
            installed.tree.lifecycle.begin("SIGINT")  # all that a signal handler does

    sink = logger.add(hear)
    thread = threading.Thread(target=interrupt)
    thread.start()
    began = time.monotonic()
    with pytest.raises(Interrupted):
        retry(wait=wait_fixed(60))(service)()
    assert time.monotonic() - began < 30
    assert len([line for line in log if "everything else stands still" in line]) == 1
    logger.remove(sink)
    thread.join()


async def test_the_registry_shows_the_attempt(result_of):
    """A thread's record is that of the task it works for."""
    service = Service(*[DOWN] * 9)
    patient = retry(wait=wait_fixed(60), stop=stop_after_attempt(3))(service)
    task = asyncio.ensure_future(run_sync(patient))
    await asyncio.to_thread(wait_until_asked, service)
    while not installed.tree.works[task].note:
        await asyncio.sleep(0.01)
    assert installed.tree.works[task].note == "attempt 2 of 3, waits 60.0 s"
    installed.tree.lifecycle.begin("test")
    installed.tree.lifecycle.announce()
    with pytest.raises(Interrupted):
        await result_of(task)


async def test_a_cancelled_task_leaves_no_retrying_thread_behind(result_of):
    """Its thread goes on alone, but makes no further attempt."""
    service = Service(*[DOWN] * 9)
    waiting, go_on, ended = threading.Event(), threading.Event(), threading.Event()

    def sleep(seconds):
        waiting.set()
        go_on.wait(10)

    def work():
        try:
            retry(wait=wait_fixed(1), sleep=sleep)(service)()
        except Interrupted as error:
            assert error.reason == "recalled"
            ended.set()
            raise

    task = asyncio.ensure_future(run_sync(work))
    await asyncio.to_thread(waiting.wait, 10)
    cancel(kind="background", reason="recalled")
    with pytest.raises(Interrupted):
        await result_of(task)
    go_on.set()
    assert await asyncio.to_thread(ended.wait, 10)
    assert service.asked == 1


def test_statistics_are_a_threads_own():
    """As in tenacity."""
    retrying = Retrying(wait=wait_none())
    retrying(Service(DOWN))
    assert retrying.statistics["attempt_number"] == 2
    seen = []
    thread = threading.Thread(target=lambda: seen.append(dict(retrying.statistics)))
    thread.start()
    thread.join()
    assert seen == [{}]
