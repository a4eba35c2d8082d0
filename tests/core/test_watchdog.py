"""The thread that ends a process which does not end."""

import asyncio
import queue
import threading

import pytest

from nonebot_plugin_graceful.core import watchdog as module
from nonebot_plugin_graceful.core.watchdog import Watchdog

CODE = 1


@pytest.fixture
def watch(monkeypatch):
    """Watch a process whose loop has ended and whose threads have no time left, by what each look finds."""
    monkeypatch.setattr(module, "TICK", 0.001)
    watchdogs = []

    def watch(looks):
        told = queue.SimpleQueue()
        looks = iter(looks)

        def look():
            found = next(looks, None)
            if found is None:
                told.put("looked on")
            return found or []

        monkeypatch.setattr(module, "threads_in_the_way", look)
        loop = asyncio.new_event_loop()
        loop.close()
        watchdog = Watchdog(
            loop=loop,
            deadline=60,
            thread_timeout=0,
            last_words=told.put,
            may_interrupt=lambda task: False,
            leave=told.put,
        )
        watchdogs.append(watchdog)
        watchdog.start_thread_clock()
        assert watchdog.watch()
        return told

    yield watch
    for watchdog in watchdogs:
        watchdog._commands.put(None)


def test_threads_that_stay_end_the_process(watch):
    """They are named."""
    stuck, late = threading.Thread(name="stuck"), threading.Thread(name="late")
    told = watch([[], [stuck], [stuck, late]])
    assert told.get(timeout=30) == "threads are still at work: stuck, late"
    assert told.get(timeout=30) == CODE


def test_a_thread_that_has_only_not_had_its_turn_is_not_at_work(watch):
    """Where all of the process stood still, it is there when its time is over, and ends at once."""
    first, second = threading.Thread(), threading.Thread()
    told = watch([[first], [], [second], []])
    assert told.get(timeout=30) == "looked on"
