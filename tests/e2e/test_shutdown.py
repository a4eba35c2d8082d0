"""A signal, and work in flight of every shape: all of it stops, in order, and the bot is gone."""

import signal
import time
import zlib
from pathlib import Path

import pytest

from examples.sandbox import HANG, Rule
from nonebot_plugin_graceful.core.report import Report, load_report

from .endings import IN_TIME, PATIENT
from .harness import DRIVERS, FASTAPI, NONE, RUN, start_bot

CULPRITS = Path(__file__).with_name("plugins") / "culprits.py"
COMMANDS = ["handler", "depends", "gather", "shield", "create_task", "child", "spawn", "job"]
BEFORE_CLOSE = ["handler", "depends", "gather/a", "gather/b", "shield", "child", "spawn", "job"]
"""What has to have stopped while the bot could still talk."""
OUTLIVES_ITS_HANDLER = "create_task"

OWN_SERVER = """
import asyncio
import uvicorn

config = nonebot.get_driver().config
server = uvicorn.Server(
    uvicorn.Config(nonebot.get_asgi(), host=str(config.host), port=config.port, loop={loop!r})
)
asyncio.run(server.serve())
"""

SIGNALS = ["SIGINT", "SIGTERM"]


@pytest.fixture(params=DRIVERS)
def driver(request):
    """Each driver's settings."""
    return DRIVERS[request.param]


@pytest.fixture
async def usual_exit_code(tmp_path, shared_folder, onebot):
    """With what a bot without the plugin, and without work, ends at a signal."""

    async def measure(name, driver, run=RUN):
        known = shared_folder / f"exit code {zlib.crc32(repr((name, driver, run)).encode())}"
        if not known.exists():
            bot = await start_bot(
                tmp_path / "usual", onebot, driver=driver, graceful=False, run=run
            )
            await bot.connected()
            bot.signal(getattr(signal, name))
            code = await bot.wait()
            assert not bot.killed
            await onebot.wait_closed()
            (tmp_path / "code").write_text(str(code))
            (tmp_path / "code").replace(known)
        return int(known.read_text())

    return measure


@pytest.mark.parametrize("name", SIGNALS)
async def test_everything_in_flight_is_stopped_in_order(
    name, driver, api, onebot, bot_factory, usual_exit_code
):
    """Work stops first, then the WebSocket and the scheduler, then what no plugin stopped."""
    expected = await usual_exit_code(name, driver)
    bot = await bot_factory(CULPRITS, driver=driver, settings=PATIENT)
    await everything_in_flight(api, onebot)

    signalled = bot.signal(getattr(signal, name))
    code = await bot.wait()

    assert code == expected, bot.log
    assert bot.seconds_to_exit < IN_TIME, bot.log
    await assert_stopped_in_order(bot, api, since=signalled)


async def everything_in_flight(api, onebot):
    """Have every culprit wait in its third try."""
    culprits = [*BEFORE_CLOSE, OUTLIVES_ITS_HANDLER]
    for culprit in culprits:
        api.on(f"/v1/{culprit}", Rule(504), Rule(504), HANG)
    for user, command in enumerate(COMMANDS):
        await onebot.say(user + 1, f"/{command}")
    for culprit in culprits:
        await api.wait_for_requests(3, f"/v1/{culprit}")


async def assert_stopped_in_order(bot, api, since, *, before_close=True):
    """What has to hold of every shutdown that began at the time ``since``.

    Nobody can be before the WebSocket's end when it is the server that begins.
    """
    assert not bot.killed, bot.log
    closed = await bot.onebot.wait_closed()
    scheduler = bot.find("Scheduler Shutdown")
    stopped = {culprit: bot.mark(f"{culprit} stopped") for culprit in BEFORE_CLOSE}
    assert all(stopped.values()), (stopped, bot.log)
    for culprit, mark in stopped.items():
        assert mark.time > since, culprit
        assert mark.time < closed.time or not before_close, (culprit, bot.log)
        assert mark.index < scheduler.index, (culprit, bot.log)
    outlived = bot.mark(f"{OUTLIVES_ITS_HANDLER} stopped")
    for hook in ("async", "sync"):
        assert bot.mark(f"{hook} hook ran").index < outlived.index, bot.log
    assert not bot.mark("depends went on")
    assert [r.path for r in api.requests if r.received > since] == []
    assert not bot.left_behind


async def test_a_bot_can_be_stopped_from_code(driver, api, onebot, bot_factory, usual_exit_code):
    """``shutdown()`` is as SIGTERM, with a reason of one's own."""
    expected = await usual_exit_code("SIGTERM", driver)
    bot = await bot_factory(CULPRITS, driver=driver, settings=PATIENT)
    await everything_in_flight(api, onebot)
    began = time.monotonic()
    await onebot.say(99, "/please stop")
    assert await bot.wait() == expected, bot.log
    await assert_stopped_in_order(bot, api, since=began)
    assert bot.find("Stopped (somebody asked)"), bot.log


async def test_a_driver_that_is_told_to_exit(api, onebot, bot_factory):
    """Without a signal the first ``on_shutdown`` hook does it, still before the WebSocket closes."""
    bot = await bot_factory(CULPRITS, driver=NONE, settings=PATIENT)
    await everything_in_flight(api, onebot)
    began = time.monotonic()
    await onebot.say(99, "/driver exit")
    assert await bot.wait() == 0, bot.log
    await assert_stopped_in_order(bot, api, since=began)


@pytest.mark.parametrize("name", SIGNALS)
async def test_a_signal_in_somebody_elses_server(name, api, onebot, bot_factory, usual_exit_code):
    """A bot run inside an ``uvicorn.Server`` of one's own is stopped as any other."""
    expected = await usual_exit_code(name, FASTAPI, OWN_SERVER)
    bot = await bot_factory(CULPRITS, driver=FASTAPI, run=OWN_SERVER, settings=PATIENT)
    await everything_in_flight(api, onebot)
    signalled = bot.signal(getattr(signal, name))
    assert await bot.wait() == expected, bot.log
    await assert_stopped_in_order(bot, api, since=signalled)


async def test_a_server_that_ends_by_itself(api, onebot, bot_factory):
    """There the first ``on_shutdown`` hook is the first to hear of it."""
    bot = await bot_factory(CULPRITS, driver=FASTAPI, run=OWN_SERVER, settings=PATIENT)
    await everything_in_flight(api, onebot)
    began = time.monotonic()
    await onebot.say(99, "/server exit")
    assert await bot.wait() == 0, bot.log
    await assert_stopped_in_order(bot, api, since=began, before_close=False)


@pytest.mark.parametrize("name", SIGNALS)
async def test_an_idle_bot_ends_as_without_the_plugin(name, driver, bot_factory, usual_exit_code):
    """Nothing to stop: the same exit code, no wait for any grace."""
    expected = await usual_exit_code(name, driver)
    bot = await bot_factory(driver=driver, settings=PATIENT)
    bot.signal(getattr(signal, name))
    assert await bot.wait() == expected
    assert bot.seconds_to_exit < IN_TIME


async def test_another_bots_last_shutdown_is_not_taken_for_ones_own(bot_factory, tmp_path):
    """Bots share a folder of data by default: the warning says whose it was, and each writes its own."""
    shared = tmp_path / "shared"
    file = shared / "nonebot_plugin_graceful" / "last_shutdown.json"
    Report(at="then", forced="the deadline", folder="/theirs").save(file)
    bot = await bot_factory(settings={"localstore_data_dir": str(shared)})
    assert bot.find("The last shutdown (then, of a bot in /theirs) was not clean: the deadline")
    bot.signal(signal.SIGINT)
    await bot.wait()
    report = load_report(file)
    assert report is not None and report.folder == str((tmp_path / "bot0").resolve())
