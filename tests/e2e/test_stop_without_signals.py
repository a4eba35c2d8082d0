"""A bot is stopped from code where the signal for it is not ours, and where there is none at all."""

import signal
import sys
import time
from pathlib import Path

import pytest

from examples.sandbox import HANG

from .culprits import WITNESS
from .endings import CLEAN, assert_orderly, paths_since
from .harness import FASTAPI, NONE

CULPRITS = Path(__file__).with_name("plugins") / "culprits.py"
CODES = (CLEAN, -signal.SIGTERM)
"""With which a server ends at the one signal or the other."""
TEMPORARY_FAILURE = 75


async def stop_by(command, bot, onebot, api):
    """Have a request in flight, stop the bot, and see it end in order."""
    api.on("/v1/handler", HANG)
    await onebot.say(1, "/handler")
    await api.wait_for_requests(1, "/v1/handler")
    began = time.monotonic()
    await onebot.say(999, command)
    await bot.wait()
    assert_orderly(bot, codes=CODES)
    closed = await onebot.wait_closed()
    assert bot.mark("handler stopped").time < closed.time, bot.log
    assert paths_since(api, began) == []


@pytest.mark.parametrize(
    ("driver", "signals", "command"),
    [
        pytest.param(FASTAPI, ["SIGINT"], "/graceful stop enough", id="fastapi-command"),
        pytest.param(FASTAPI, [], "/please stop", id="fastapi-code"),
        pytest.param(NONE, ["SIGINT"], "/please stop", id="none-code"),
    ],
)
async def test_where_sigterm_is_not_ours(driver, signals, command, api, onebot, bot_factory):
    """``/graceful stop`` and ``shutdown()`` need no signal handler of their own."""
    settings = {"graceful_signals": signals, "superusers": ["999"]}
    bot = await bot_factory(WITNESS, CULPRITS, driver=driver, settings=settings)
    await stop_by(command, bot, onebot, api)
    reason = "somebody asked" if command == "/please stop" else "enough"
    assert bot.find(f"Stopped ({reason})"), bot.log


IN_A_THREAD = """
import threading

thread = threading.Thread(target=nonebot.run, kwargs={{"loop": {loop!r}}} if {asgi} else {{}})
thread.start()
thread.join()
"""


async def test_in_a_thread(api, onebot, bot_factory):
    """There a server hears no signals at all; ``shutdown()`` ends it."""
    bot = await bot_factory(WITNESS, CULPRITS, run=IN_A_THREAD)
    await stop_by("/please stop", bot, onebot, api)


async def test_ctrl_c_where_the_bot_is_in_a_thread(api, onebot, bot_factory):
    """The main thread hears it, and the bot is stopped all the same."""
    bot = await bot_factory(WITNESS, CULPRITS, run=IN_A_THREAD)
    api.on("/v1/handler", HANG)
    await onebot.say(1, "/handler")
    await api.wait_for_requests(1, "/v1/handler")
    bot.signal(signal.SIGINT)
    await bot.wait()
    assert_orderly(bot)
    assert bot.mark("handler stopped"), bot.log


BLOCKED = """
import signal
import threading
import time
from pathlib import Path

from mark import mark
from nonebot import on_command, require

require("nonebot_plugin_graceful")
from nonebot_plugin_graceful import restart, shutdown

def watch():
    while not Path("stop").exists():
        time.sleep(0.01)
    {call}("a thread's")

threading.Thread(target=watch, daemon=True).start()

@on_command("block").handle()
async def _():
    mark("block begins")
    try:
        time.sleep(1000)
    finally:
        mark("block stopped")
"""


interruptible = pytest.mark.skipif(
    sys.platform == "win32", reason="a blocking call is not interrupted there"
)


@interruptible
@pytest.mark.parametrize("driver", [FASTAPI, NONE], ids=["fastapi", "none"])
@pytest.mark.parametrize("call", ["shutdown", "restart"])
async def test_from_a_thread_while_the_event_loop_is_blocked(call, driver, bot_factory, onebot):
    """The blocking call is interrupted, as at a signal, and all ends in order."""
    settings = {"graceful_deadline": 30, "graceful_restart": "exit"}
    plugin = BLOCKED.format(call=call)
    bot = await bot_factory(WITNESS, plugin, driver=driver, settings=settings)
    await onebot.say(1, "/block")
    await bot.wait_mark("block begins")
    (bot.folder / "stop").touch()
    await bot.wait(20)
    assert_orderly(bot, codes=(*CODES, TEMPORARY_FAILURE))
    assert bot.mark("block stopped"), bot.log


@interruptible
@pytest.mark.parametrize("driver", [FASTAPI, NONE], ids=["fastapi", "none"])
@pytest.mark.parametrize("ending", ["by a signal", "by itself"])
async def test_what_interrupts_is_put_back(ending, driver, bot_factory):
    """When the run is over SIGURG is as it was, however it ended."""
    run = """
import signal
from mark import mark

if {driver_exits}:
    @nonebot.get_driver().on_startup
    async def _():
        raise RuntimeError("no database")

before = signal.getsignal(signal.SIGURG)
try:
    nonebot.run()
except BaseException:
    pass
mark(f"as it was: {{before == signal.getsignal(signal.SIGURG)}}")
"""
    run = run.replace("{driver_exits}", str(ending == "by itself"))
    bot = await bot_factory(WITNESS, driver=driver, run=run, connect=ending == "by a signal")
    if ending == "by a signal":
        bot.signal(signal.SIGINT)
    await bot.wait(20)
    assert bot.mark("as it was: True"), bot.log
