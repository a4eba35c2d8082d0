"""How bots end: what several tests expect of it."""

import asyncio
import signal

CLEAN = 0
"""With what a bot without the plugin ends at SIGINT: see test_without_plugin."""
FORCED = 128 + signal.SIGINT
IN_TIME = 15
"""Seconds: far above what an orderly end takes. An interpreter that has imported an AI service's SDK
needs half a second of computing to tear that down, and a busy machine ten times as long for it."""
PATIENT = {"graceful_deadline": 60}
"""Settings with which it is not the deadline that ends a bot within that."""
PATIENT_BOT = {"GRACEFUL_DEADLINE": "60"}
"""The same, in the environment of a bot that has no ``.env``."""
FIRST = "(press again to stop waiting)"
SECOND = "Waiting no longer (press again to end the process at once)"
THIRD = "Ending the process: told to end at once"
APART = 1.0
"""Seconds between two presses. Those that the bot counts within 0.3 s are one, and a busy machine has
it count the first one late."""


async def press_again(bot, told="", signum=signal.SIGINT):
    """Press once more, after what the bot tells of the press before. APART is the only wait whose end nothing tells.

    A bot whose event loop is blocked tells nothing.
    """
    if told:
        await bot.wait_log(told)
    await asyncio.sleep(APART)
    return bot.signal(signum)


def assert_hooks_ran(bot):
    """Both hooks of ``culprit_witness.py``, which are the last of all."""
    assert bot.mark("async hook ran"), bot.log
    assert bot.mark("sync hook ran"), bot.log


def assert_orderly(bot, *, codes=(CLEAN,)):
    """It ended by itself, with all hooks and a report, and nobody had to force it."""
    assert not bot.killed, bot.log
    assert not bot.find("Ending the process"), bot.log
    assert bot.exit_code in codes, f"{bot.exit_code}\n{bot.log}"
    assert_hooks_ran(bot)
    assert bot.find("Stopped ("), bot.log
    assert not bot.left_behind


def assert_before_the_deadline(bot):
    """It ended, by force if need be, but before the deadline, and with all hooks."""
    assert not bot.killed, bot.log
    assert not bot.find("the deadline of"), bot.log
    assert_hooks_ran(bot)


def said_since(bot, moment, text):
    """Return the first line with ``text`` that came after a moment of ``time.monotonic``."""
    return next((line for line in bot.lines if line.time > moment and text in line.text), None)


def paths_since(api, moment):
    """Return the path of each request that the API received after a moment."""
    return [request.path for request in api.requests if request.received > moment]
