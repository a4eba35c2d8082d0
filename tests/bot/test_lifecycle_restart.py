"""A driver started and stopped several times in one process: nothing of ours is left behind."""

import asyncio
import logging
import signal

import nonebot
import pytest
from nonebot import message
from nonebot.adapters import Bot

from nonebot_plugin_graceful.bot import process as process_module
from nonebot_plugin_graceful.core import installed

SIGNALS = [signal.SIGINT, signal.SIGTERM]


@pytest.fixture
def lifespan(monkeypatch):
    """The driver's; without APScheduler, which stops in a callback after the hooks."""
    lifespan = nonebot.get_driver()._lifespan
    theirs = "nonebot_plugin_apscheduler"
    for name in ("_startup_funcs", "_ready_funcs", "_shutdown_funcs"):
        functions = [one for one in getattr(lifespan, name) if one.__module__ != theirs]
        monkeypatch.setattr(lifespan, name, functions)
    return lifespan


@pytest.fixture(autouse=True)
def server():
    """A server's handlers, for pytest's and the loop's to be left alone."""
    before = {signum: signal.signal(signum, _handle) for signum in SIGNALS}
    yield
    for signum, handler in before.items():
        signal.signal(signum, handler)


@pytest.fixture
def asleep(within, tree):
    """Wait until our own tasks, which the last hook cancels, have ended."""

    async def asleep():
        if tree.internal:
            await within(asyncio.wait(set(tree.internal)))

    return asleep


@pytest.fixture
def runs(monkeypatch):
    """Collect every run that is begun."""
    runs = []

    class Noted(process_module.Run):
        def __init__(self, process):
            super().__init__(process)
            runs.append(self)

    monkeypatch.setattr(process_module, "Run", Noted)
    return runs


def _handle(signum, frame):
    raise AssertionError("no signal was sent")


def traces(lifespan):
    """Everything the plugin changes while it runs or stops."""
    return {
        "signals": [signal.getsignal(signum) for signum in SIGNALS],
        "hooks": list(lifespan._shutdown_funcs),
        "start": list(lifespan._startup_funcs),
        "ready": list(lifespan._ready_funcs),
        "events": set(message._event_preprocessors),
        "called": set(Bot._called_api_hook),
        "calling": set(Bot._calling_api_hook),
        "filters": [list(one.filters) for one in logging.getLogger("apscheduler").handlers],
        "internal": set(installed.tree.internal),
    }


async def test_each_round_leaves_everything_as_it_was(lifespan, within, asleep, runs, tree):
    """And while it runs, signals come to us and our hooks are the first and the last."""
    before = traces(lifespan)
    for _ in range(3):
        await within(lifespan.startup())
        assert all(signal.getsignal(signum) is not _handle for signum in SIGNALS)
        assert lifespan._shutdown_funcs[0] == runs[-1]._after_hooks
        assert lifespan._shutdown_funcs[-1] == runs[-1]._before_hooks
        assert len(lifespan._shutdown_funcs) == len(before["hooks"]) + 2
        await within(lifespan.shutdown())
        await asleep()
        assert traces(lifespan) == before
        assert not tree.lifecycle.stopping
    assert len(runs) == 3


async def test_events_are_refused_during_a_round_and_taken_in_the_next(
    lifespan, within, runs, tree
):
    """A plugin's hook sees the refusal and what watches API calls in force, once each."""
    before, seen = traces(lifespan), []

    async def hook():
        now = traces(lifespan)
        seen.append([len(now[name] - before[name]) for name in ("events", "called", "calling")])
        assert tree.lifecycle.stopping

    lifespan._shutdown_funcs.append(hook)
    for _ in range(3):
        await within(lifespan.startup())
        assert not tree.lifecycle.stopping
        assert traces(lifespan)["events"] == before["events"]
        await within(lifespan.shutdown())
    assert seen == [[1, 1, 1]] * 3
    assert [run.report.hooks for run in runs] == [{}] * 3
    assert lifespan._shutdown_funcs == [*before["hooks"], hook]


async def test_a_hook_that_fails_leaves_no_trace_either(lifespan, within, asleep, runs):
    """It is told in the report of its own round only."""
    fails = [True]

    async def hook():
        if fails.pop():
            raise ValueError("no")

    lifespan._shutdown_funcs.append(hook)
    before = traces(lifespan)
    told = []
    for fail in (True, False):
        fails[:] = [fail]
        await within(lifespan.startup())
        await within(lifespan.shutdown())
        await asleep()
        assert traces(lifespan) == before
        told.append(len(runs[-1].report.hooks))
    assert told == [1, 0]
