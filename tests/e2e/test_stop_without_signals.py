"""A bot is stopped from code where the signal for it is not ours, and where there is none at all."""

import signal
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
BEFORE_THE_DEADLINE = 6
"""Seconds, of 8."""


async def stop_by(command, bot, onebot, api):
    """Have a request in flight, stop the bot, and see it end in order."""
    api.on("/v1/handler", HANG)
    await onebot.say(1, "/handler")
    await api.wait_for_requests(1, "/v1/handler")
    began = time.monotonic()
    await onebot.say(999, command)
    await bot.wait(BEFORE_THE_DEADLINE)
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
    await bot.wait(BEFORE_THE_DEADLINE)
    assert_orderly(bot)
    assert bot.mark("handler stopped"), bot.log
