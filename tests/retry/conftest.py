"""Every test finds the process as it was when it started."""

import dataclasses

import pytest
from loguru import logger
from virtual_time import VirtualTime

from nonebot_plugin_graceful.core.kinds import Kinds
from nonebot_plugin_graceful.core.lifecycle import lifecycle
from nonebot_plugin_graceful.core.registry import registry
from nonebot_plugin_graceful.retry import throttle
from nonebot_plugin_graceful.retry.settings import Settings, settings


@pytest.fixture(autouse=True)
def fresh_state(monkeypatch):
    """No shutdown, the defaults, and full buckets."""
    monkeypatch.setattr(registry, "kinds", Kinds())
    lifecycle.reset()
    throttle.reset()
    yield
    lifecycle.reset()
    for field in dataclasses.fields(Settings):
        setattr(settings, field.name, field.default)


@pytest.fixture
def clock():
    """A clock that jumps."""
    return VirtualTime()


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

    def shutdown(reason="SIGINT"):
        lifecycle.begin(reason)
        lifecycle.announce()

    return shutdown
