"""What the tests of retries ask for."""

import asyncio
import dataclasses
import time

import pytest
from loguru import logger
from virtual_time import VirtualTime


@pytest.fixture(autouse=True)
def fresh_retries():
    """The default settings, and full buckets."""
    from nonebot_plugin_graceful.retry import throttle
    from nonebot_plugin_graceful.retry.settings import Settings, settings

    throttle.reset()
    yield
    for field in dataclasses.fields(Settings):
        setattr(settings, field.name, field.default)


@pytest.fixture
def clock(monkeypatch):
    """A clock that jumps; also for what a test asks outside of ``clock.run``: a bucket's tokens.

    Theirs would refill from the clock's time to the machine's, which may be hours or less than nothing.
    """
    clock = VirtualTime()
    monkeypatch.setattr(time, "monotonic", lambda: clock.now)
    return clock


@pytest.fixture
def log():
    """Collect ``LEVEL message`` of every line."""
    lines = []
    sink = logger.add(lambda m: lines.append(f"{m.record['level'].name} {m.record['message']}"))
    yield lines
    logger.remove(sink)


@pytest.fixture
def shutdown():
    """Begin a shutdown, as the plugin does: ``shutdown()``. In the event loop."""
    from nonebot_plugin_graceful.core import installed

    def shutdown(reason="SIGINT"):
        installed.tree.lifecycle.begin(reason)
        installed.tree.lifecycle.announce()

    return shutdown


@pytest.fixture
def result_of():
    """Return or raise what a task ended with.

    Before Python 3.11 ``await task`` raises a CancelledError of its own, with it as the context.
    """

    async def result_of(task):
        try:
            return await task
        except asyncio.CancelledError as error:
            inner = error.__context__
            if type(error) is not asyncio.CancelledError or inner is None:
                raise
        raise inner from inner.__cause__

    return result_of
