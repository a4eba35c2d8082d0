"""Random shutdowns: random culprits, one to three signals, the first at a random moment.

A few with a fixed seed in the test suite. By hand, 200 anew::

    SOAK=200 SOAK_SEED=7 pytest tests/e2e/test_soak.py

The parameters of a run follow from its seed alone, which is in its name.
"""

import asyncio
import os
import random
import signal

import pytest

from .culprits import QUEUED, plugins_for, provoke, settings_for
from .harness import FASTAPI, NONE, QUART

RUNS = int(os.environ.get("SOAK", "4"))
FIRST_SEED = int(os.environ.get("SOAK_SEED", "1"))
DEADLINE = 4
SLOW_MACHINE = 20
"""Seconds on top of the deadline, and of a start-up that a signal has to wait for."""

GENTLE = ["swallow_some", "queued", "restart", "child_restart"]
STUBBORN = ["swallow", "task_swallow", "thread_handler", "thread_socket", "thread_loop"]
BLOCKING = ["loop_sleep", "loop_recv", "loop_retry", "loop_several"]
HOOKS = ["hook_hangs", "hook_raises", "hook_blocks", "telling_hangs"]
MOMENTS = ["during start-up", "at work", "at work", "at work"]


@pytest.mark.parametrize("seed", range(FIRST_SEED, FIRST_SEED + RUNS))
async def test_random_shutdown(seed, bot_factory, onebot, api):
    """It ends in time, of itself, and loses no hook unless a third press says so."""
    chance = random.Random(seed)
    driver = chance.choice([FASTAPI, NONE, QUART])
    loop = chance.choice(["asyncio", "uvloop"])
    moment = chance.choice(MOMENTS)
    culprits = chance.sample([*GENTLE, *STUBBORN, *HOOKS], chance.randint(0, 4))
    if "queued" in culprits:
        culprits.remove("queued")
        culprits += QUEUED
    if moment == "at work":  # last: once the loop is blocked nobody else can begin
        culprits += chance.sample(BLOCKING, chance.randint(0, 1))
    presses = chance.randint(1, 3)
    pauses = [chance.uniform(0.0, 1.5) for _ in range(presses - 1)]
    numbers = [chance.choice([signal.SIGINT, signal.SIGTERM]) for _ in range(presses)]
    start_up = chance.uniform(0.0, 1.5)
    what = f"seed {seed}: {driver}, {loop}, {moment}, {culprits}, {numbers}, {pauses}, {start_up}"

    at_work = moment == "at work"
    bot = await bot_factory(
        *plugins_for(culprits, driver),
        driver=driver,
        loop=loop,
        connect=at_work,
        settings={**settings_for(culprits), "graceful_deadline": DEADLINE},
    )
    if at_work:
        await provoke(culprits, bot, onebot, api)
    else:
        await bot.wait_log("NoneBot is initializing")
        await asyncio.sleep(start_up)
    requests = len(api.requests)
    for number, pause in zip(numbers, [*pauses, 0.0], strict=True):
        bot.signal(number)
        await asyncio.sleep(pause)
        if bot.exited is not None:
            break
    await bot.wait(DEADLINE + SLOW_MACHINE)

    assert not bot.killed, f"{what}\n{bot.log}"
    assert len(api.requests) == requests, f"{what}\n{bot.log}"
    if at_work and not bot.find("told to end at once"):
        for hook in ("async", "sync"):
            assert bot.mark(f"{hook} hook ran"), f"{what}\n{bot.log}"
