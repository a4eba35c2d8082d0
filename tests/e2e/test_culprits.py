"""Nothing can hold the exit, and nothing costs another plugin its ``on_shutdown`` hook."""

import signal

import pytest

from .culprits import QUEUED, last_shutdown, plugins_for, provoke, settings_for
from .endings import FIRST, press_again
from .harness import DRIVERS, FASTAPI, NONE, QUART

CLEAN = 0
"""With what a bot without the plugin ends at SIGINT: see test_without_plugin."""
FORCED = 128 + signal.SIGINT
SLOW_MACHINE = 10
"""Seconds on top of every bound; more where already the start took more."""
DEADLINE = 60
"""Far above all bounds, where it is not the deadline that is tried."""
SHORT_DEADLINE = 3
GIL_EXIT = 1
"""faulthandler's own."""

both = pytest.mark.parametrize("driver", [FASTAPI, NONE], ids=["fastapi", "none"])
every_driver = pytest.mark.parametrize("driver", DRIVERS.values(), ids=DRIVERS)


@pytest.fixture
async def stop(api, onebot, bot_factory, tmp_path):
    """Have culprits at it in a bot, send it SIGINT, and see how it ends."""

    async def run(*culprits, driver, code, within, hooks=True, then=None, presses=1, **settings):
        bot = await bot_factory(
            *plugins_for(culprits, driver),
            driver=driver,
            settings={"graceful_deadline": DEADLINE, **settings_for(culprits), **settings},
        )
        await provoke(culprits, bot, onebot, api)
        if then is not None:
            await onebot.say(99, then)
        requests = len(api.requests)
        bot.signal(signal.SIGINT)
        if presses == 2:
            await press_again(bot, told=FIRST)
        assert await bot.wait() == code, bot.log
        slack = max(SLOW_MACHINE, bot.seconds_to_start)
        assert bot.seconds_to_exit < within + slack, bot.log
        assert len(api.requests) == requests, "a request was made after the signal"
        for hook in ("async", "sync"):
            assert bool(bot.mark(f"{hook} hook ran")) == hooks, bot.log
        assert not bot.left_behind
        bot.report = last_shutdown(tmp_path) if code != GIL_EXIT else None
        return bot

    return run


@every_driver
async def test_what_swallows_some_cancellations_or_goes_on_elsewhere(driver, stop):
    """Cancelled again until it ends; what restarts itself or waits for a lock is caught, too."""
    bot = await stop(
        *("swallow_some", "restart", "child_restart", *QUEUED),
        driver=driver,
        code=CLEAN,
        within=1.5,
        graceful_cancel_timeout=20,  # each new client of his takes a busy machine a while
    )
    assert bot.find("swallow_some swallows")
    assert not bot.find("Abandoned"), bot.log
    assert bot.report["stragglers"] == []
    assert bot.report["kinds"]["handler"] == {"cancelled": 7}


@every_driver
async def test_what_swallows_every_cancellation(driver, stop):
    """It is named and abandoned: nobody waits for it, the process ends by force."""
    bot = await stop("swallow", "task_swallow", driver=driver, code=FORCED, within=2.5)
    stragglers = {one["advice"].partition("; ")[2]: one for one in bot.report["stragglers"]}
    assert len(bot.report["stragglers"]) == 2, bot.report["stragglers"]
    assert list(stragglers) == ["re-raise it"]
    assert {one["plugin"] for one in bot.report["stragglers"]} == {"culprit_work"}
    for straggler in bot.report["stragglers"]:
        assert "culprit_work.py:" in straggler["where"]
        assert straggler["cancels"] > 1
        assert bot.find(f"Abandoned: {straggler['kind']} of culprit_work"), bot.log
    # one has outlived its handler, and may serve anybody by now
    assert {one["user"] for one in bot.report["stragglers"]} == {"1", None}


@both
async def test_threads(driver, stop):
    """Who awaits a thread is freed; the thread gets a moment, then its stack is in the report."""
    bot = await stop(
        *("thread_handler", "thread_run_sync", "thread_socket", "thread_job", "thread_loop"),
        driver=driver,
        code=FORCED,
        within=2,
    )
    assert bot.report["stragglers"] == []
    stacks = [stack for stack in bot.report["threads"].values() if "culprit_work.py" in stack]
    assert len(stacks) == 5, bot.report["threads"]
    assert sum("time.sleep(FOR_EVER)" in stack for stack in stacks) == 3
    assert sum("sync_request" in stack for stack in stacks) == 1
    assert bot.find("Ending the process: threads are still at work"), bot.log


@both
async def test_the_event_loop_blocked_several_times(driver, stop):
    """One call is interrupted and named, no other begins, and the bot ends as usual."""
    bot = await stop("loop_several", driver=driver, code=CLEAN, within=3, then="/late")
    places = bot.report["interrupted"]
    assert len(places) == 1, places
    assert "culprit_work.py:" in places[0]
    assert len([line for line in bot.lines if "Interrupted: " in line.text]) == 1
    assert not bot.mark("late begins")


@both
async def test_the_event_loop_blocked_for_good(driver, stop):
    """What swallows its interruption is ended at the deadline, which costs the hooks."""
    bot = await stop(
        "loop_swallow",
        driver=driver,
        code=FORCED,
        within=SHORT_DEADLINE,
        hooks=False,
        graceful_deadline=SHORT_DEADLINE,
    )
    assert "deadline" in bot.report["forced"]
    assert "culprit_work.py" in bot.report["threads"]["MainThread"]
    assert bot.find("Ending the process: the deadline of 3 s is over"), bot.log


@both
async def test_c_code_that_holds_the_gil(driver, stop):
    """There faulthandler alone can end the process; it tells where it stood."""
    bot = await stop(
        "gil",
        driver=driver,
        code=GIL_EXIT,
        within=SHORT_DEADLINE + 0.5,
        hooks=False,
        graceful_deadline=SHORT_DEADLINE,
    )
    assert "culprit_work.py" in bot.log


@both
async def test_hooks_that_hang_or_raise(driver, stop):
    """The others run; the culprits are named. A hook of ours that hangs is bounded, too."""
    culprits = ["hook_hangs", "hook_raises", "hook_blocks", "telling_hangs"]
    bot = await stop(*culprits, driver=driver, code=CLEAN, within=5, presses=2)
    assert set(bot.report["hooks"]) == {f"culprit_hooks.{name}" for name in culprits[:3]}
    assert "the database is gone" in bot.report["hooks"]["culprit_hooks.hook_raises"]
    assert bot.find("on_shutting_down hook culprit_hooks.telling_hangs is not done"), bot.log
    for name in culprits[:3]:
        assert bot.find(f"on_shutdown hook culprit_hooks.{name}"), bot.log


@both
async def test_hooks_that_cannot_be_cancelled(driver, stop):
    """One that swallows its cancellation and one in a thread cost nobody else the turn."""
    culprits = ["hook_sleeps", "hook_swallows"]
    bot = await stop(
        *culprits, driver=driver, code=FORCED, within=5, presses=2, graceful_deadline=5
    )
    assert bot.report["forced"]
    assert bot.find("culprit_hooks.hook_swallows"), bot.log


@pytest.mark.parametrize("driver", [FASTAPI, QUART], ids=["fastapi", "quart"])
async def test_a_second_server_in_the_loop(driver, stop):
    """It takes the signals and delivers them again: the work is stopped all the same."""
    bot = await stop("second_server", "locked_0", driver=driver, code=CLEAN, within=1.5)
    assert bot.report["kinds"] == {"handler": {"cancelled": 1}}
