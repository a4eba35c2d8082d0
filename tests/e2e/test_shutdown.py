"""A signal, and work in flight of every shape: all of it stops, in order, and the bot is gone."""

import signal
from pathlib import Path

import pytest

from examples.sandbox import HANG, Rule

from .harness import DRIVERS, start_bot

CULPRITS = Path(__file__).with_name("plugins") / "culprits.py"
COMMANDS = ["handler", "depends", "gather", "shield", "create_task", "spawn", "job"]
BEFORE_CLOSE = ["handler", "depends", "gather/a", "gather/b", "shield", "spawn", "job"]
"""What has to have stopped while the bot could still talk."""
OUTLIVES_ITS_HANDLER = "create_task"
IN_TIME = 5
"""Seconds: far below the deadline, so that it is not the watchdog that ended the bot."""

SIGNALS = ["SIGINT", "SIGTERM"]


@pytest.fixture(params=DRIVERS)
def driver(request):
    """Each driver's settings."""
    return DRIVERS[request.param]


_usual_exit_codes = {}


@pytest.fixture
async def usual_exit_code(driver, tmp_path, onebot):
    """With what a bot without the plugin, and without work, ends at a signal."""

    async def measure(name):
        if (driver, name) not in _usual_exit_codes:
            bot = await start_bot(tmp_path / "usual", onebot, driver=driver, graceful=False)
            await bot.connected()
            bot.signal(getattr(signal, name))
            _usual_exit_codes[driver, name] = await bot.wait()
            assert not bot.killed
            await onebot.wait_closed()
        return _usual_exit_codes[driver, name]

    return measure


@pytest.mark.parametrize("name", SIGNALS)
async def test_everything_in_flight_is_stopped_in_order(
    name, driver, api, onebot, bot_factory, usual_exit_code
):
    """Work stops first, then the WebSocket and the scheduler, then what no plugin stopped."""
    expected = await usual_exit_code(name)
    for culprit in [*BEFORE_CLOSE, OUTLIVES_ITS_HANDLER]:
        api.on(f"/v1/{culprit}", Rule(504), Rule(504), HANG)
    bot = await bot_factory(CULPRITS, driver=driver)
    for user, command in enumerate(COMMANDS):
        await onebot.say(user + 1, f"/{command}")
    for culprit in [*BEFORE_CLOSE, OUTLIVES_ITS_HANDLER]:
        await api.wait_for_requests(3, f"/v1/{culprit}")

    signalled = bot.signal(getattr(signal, name))
    code = await bot.wait()

    assert not bot.killed, bot.log
    assert code == expected, bot.log
    assert bot.seconds_to_exit < IN_TIME, bot.log
    closed = await onebot.wait_closed()
    scheduler = bot.find("Scheduler Shutdown")
    stopped = {culprit: bot.mark(f"{culprit} stopped") for culprit in BEFORE_CLOSE}
    assert all(stopped.values()), (stopped, bot.log)
    for culprit, mark in stopped.items():
        assert signalled < mark.time < closed.time, culprit
        assert mark.index < scheduler.index, culprit
    outlived = bot.mark(f"{OUTLIVES_ITS_HANDLER} stopped")
    for hook in ("async", "sync"):
        assert bot.mark(f"{hook} hook ran").index < outlived.index, bot.log
    assert not bot.mark("depends went on")
    assert [r.path for r in api.requests if r.received > signalled] == []
    assert not bot.left_behind


@pytest.mark.parametrize("name", SIGNALS)
async def test_an_idle_bot_ends_as_without_the_plugin(name, driver, bot_factory, usual_exit_code):
    """Nothing to stop: the same exit code, no wait for any grace."""
    expected = await usual_exit_code(name)
    bot = await bot_factory(driver=driver)
    bot.signal(getattr(signal, name))
    assert await bot.wait() == expected
    assert bot.seconds_to_exit < IN_TIME
