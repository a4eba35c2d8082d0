"""How long a bot takes to end for each culprit, with the plugin and without it.

    PYTHONPATH=. python -m benchmarks.exits [--driver fastapi] [--with-only] [ROW ...]
    PYTHONPATH=. python -m benchmarks.exits --over-idle [--driver fastapi]

One bot for each row, one SIGINT, real processes. What has not ended after 20 s is killed. "more" is
how much longer the bot takes than without the plugin, where that ends at all. The second table
compares with an idle bot that has no plugin: the idle bot that has it, the one whose five handlers
are stuck in retry loops, and the one with 1,000 requests in flight; medians of three, taken in turns.
"""

import argparse
import asyncio
import os
import signal
import statistics
import tempfile
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import httpx

from examples.sandbox import HANG, FakeOneBot, FakeOpenAI
from tests.e2e.culprits import (
    QUEUED,
    SHUTDOWN_HOOKS,
    WITNESS,
    plugins_for,
    provoke,
    settings_for,
)
from tests.e2e.harness import DRIVERS, RUN, start_bot
from tests.e2e.other_bots import (
    ASKING,
    OPEN_RESPONSE,
    OPEN_RESPONSE_OF_QUART,
    OWN_LOOP,
    SYNC,
    WAITING,
)

PATIENCE = 20
CULPRITS = [
    "swallow_some",
    "swallow",
    "task_swallow",
    "restart",
    "child_restart",
    "thread_handler",
    "thread_run_sync",
    "thread_socket",
    "thread_job",
    "thread_loop",
    "loop_sleep",
    "loop_recv",
    "loop_retry",
    "loop_several",
    "loop_swallow",
    "gil",
    *SHUTDOWN_HOOKS,
    "telling_hangs",
    "second_server",
]


@dataclass(frozen=True)
class Row:
    """A bot, and what it is at when the signal comes."""

    plugins: Callable[[str], list]
    """What is loaded, by driver."""
    provoke: Callable[..., Awaitable[object]]
    """``provoke(bot, onebot, api, things)``; ``things`` is closed when the bot has ended."""
    settings: dict = field(default_factory=dict)
    run: str = RUN
    drivers: tuple[str, ...] = ("fastapi", "quart", "none")
    connects: bool = True
    """Whether it comes to be connected before the signal."""
    with_only: bool = False
    """Whether it makes no sense without the plugin."""


async def at_nothing(bot, onebot, api, things):
    """Be idle."""


async def at_culprits(names, bot, onebot, api, things):
    """Have every culprit be at it."""
    await provoke(names, bot, onebot, api)


async def in_start_up(bot, onebot, api, things):
    """Have a start-up hook wait for the API."""
    api.on("/v1/paid", HANG)
    await bot.wait_mark("fetching")
    await api.wait_for_requests(1, "/v1/paid")


async def in_sync_handlers(bot, onebot, api, things):
    """Have thirty handlers call the API synchronously, one after the other."""
    api.on("/v1/paid", HANG)
    for user in range(30):
        await onebot.say(user + 1, "/sync")
    await api.wait_for_requests(1, "/v1/paid")


async def with_an_open_page(bot, onebot, api, things):
    """Read a page of events that has no end."""
    client = await things.enter_async_context(httpx.AsyncClient(trust_env=False, timeout=None))
    url = f"http://127.0.0.1:{bot.port}/events"
    response = await things.enter_async_context(client.stream("GET", url))
    texts = response.aiter_text()
    things.callback(lambda: texts)  # let go of, it would close the page
    await anext(texts)


async def in_retry_loops(bot, onebot, api, things):
    """Have five handlers wait for the API in retry loops, for longer than one is hopeful."""
    api.on("/v1/paid", HANG)
    for user in range(5):
        await onebot.say(user + 1, "/ask")
    await api.wait_for_requests(5, "/v1/paid")
    await asyncio.sleep(2.2)


async def in_requests(bot, onebot, api, things):
    """Have a thousand requests in flight."""
    api.on("/v1/hang", HANG)
    await onebot.say(1, "/requests")
    await api.wait_for_requests(IN_FLIGHT, timeout=60)


def culprit(*names, **keywords):
    """Make the row of a bot with these culprits."""
    return Row(
        partial(plugins_for, names),
        partial(at_culprits, names),
        settings_for(names),
        **keywords,
    )


def stranger(*plugins, provoke=at_nothing, **keywords):
    """Make the row of a bot that somebody else wrote."""
    return Row(lambda _: [WITNESS, *plugins], provoke, **keywords)


OPEN_PAGES = {DRIVERS["fastapi"]: OPEN_RESPONSE, DRIVERS["quart"]: OPEN_RESPONSE_OF_QUART}
IDLE = Row(lambda _: [WITNESS], at_nothing)
RETRYING = stranger(ASKING, provoke=in_retry_loops)
ROWS = {
    "idle": IDLE,
    "queued": culprit(*QUEUED),
    "retry_loops": RETRYING,
    "own_loop": stranger(run=OWN_LOOP, drivers=("fastapi", "quart")),
    "start_up_hook": stranger(ASKING, WAITING, provoke=in_start_up, connects=False),
    "sync_30": stranger(SYNC, provoke=in_sync_handlers),
    "open_page": Row(
        lambda driver: [WITNESS, OPEN_PAGES[driver]],
        with_an_open_page,
        drivers=("fastapi", "quart"),
    ),
    **{name: culprit(name) for name in CULPRITS},
    "telling_hangs": culprit("telling_hangs", with_only=True),
    "second_server": culprit("second_server", drivers=("fastapi", "quart")),
}

IN_FLIGHT = 1000
REQUESTS = f"""
import asyncio
import httpx
from nonebot import get_driver, on_command
from nonebot_plugin_graceful import track

@track("image")
async def draw(client):
    await client.post(f"{{get_driver().config.ai_base_url}}/hang")

@on_command("requests").handle()
@track("image")
async def _():
    limits = httpx.Limits(max_connections=None)
    async with httpx.AsyncClient(trust_env=False, timeout=None, limits=limits) as client:
        await asyncio.gather(*(draw(client) for _ in range({IN_FLIGHT})))
"""
ROUNDS = 3


async def measure(row, *, driver, graceful):
    """Give seconds (or None if it had to be killed), exit code, hooks run, requests made since."""
    with tempfile.TemporaryDirectory() as folder:
        async with FakeOpenAI() as api, FakeOneBot() as onebot, AsyncExitStack() as things:
            bot = await start_bot(
                Path(folder),
                onebot,
                *row.plugins(DRIVERS[driver]),
                driver=DRIVERS[driver],
                graceful=graceful,
                settings={"ai_base_url": f"{api.url}/v1", **row.settings},
                run=row.run,
            )
            try:
                if row.connects:
                    await bot.connected()
                await row.provoke(bot, onebot, api, things)
                requests = len(api.requests)
                bot.signal(signal.SIGINT)
                await bot.wait(PATIENCE)
                hooks = sum(bot.mark(f"{hook} hook ran") is not None for hook in ("async", "sync"))
                return (
                    None if bot.killed else bot.seconds_to_exit,
                    bot.exit_code,
                    hooks,
                    len(api.requests) - requests,
                )
            finally:
                bot.kill()


def cell(result):
    """Show one measurement."""
    if result is None:
        return f"{'-':>25}"
    seconds, code, hooks, requests = result
    took = f"> {PATIENCE}" if seconds is None else f"{seconds:.2f}"
    code = "killed" if seconds is None else code
    return f"{took:>7} {code:>6} {hooks:>2}/2 {requests:>6}"


def difference(with_it, without):
    """Show how much longer it takes with the plugin, if it ends without at all."""
    if without is None or without[0] is None:
        return "-"
    return "for ever" if with_it[0] is None else f"{with_it[0] - without[0]:+.2f}"


async def over_idle(driver):
    """Print how much longer a bot with the plugin takes than an idle one without it."""
    bots = {
        "idle, without the plugin": (IDLE, False),
        "idle": (IDLE, True),
        "five stuck in retry loops": (RETRYING, True),
        f"{IN_FLIGHT:,} requests in flight": (stranger(REQUESTS, provoke=in_requests), True),
    }
    taken = {name: [] for name in bots}
    for _ in range(ROUNDS):
        for name, (row, graceful) in bots.items():
            seconds, *_ = await measure(row, driver=driver, graceful=graceful)
            taken[name].append(float("inf") if seconds is None else seconds)
    medians = {name: statistics.median(seconds) for name, seconds in taken.items()}
    without, *_ = medians.values()
    print(f"{'SIGINT to exit':<26} | {'seconds':>7} {'more':>7} | each round")
    for name, seconds in medians.items():
        rounds = " ".join(f"{each:.2f}" for each in taken[name])
        print(f"{name:<26} | {seconds:>7.2f} {seconds - without:>+7.2f} | {rounds}")


async def main():
    """Print the tables."""
    os.environ["FORK"] = "0"  # as users start bots
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("rows", nargs="*", metavar="ROW", help=f"of {', '.join(ROWS)}")
    parser.add_argument("--driver", choices=DRIVERS, default="fastapi")
    parser.add_argument("--with-only", action="store_true", help="not without the plugin")
    parser.add_argument("--over-idle", action="store_true", help="only the second table")
    options = parser.parse_args()
    if unknown := set(options.rows) - ROWS.keys():
        parser.error(f"unknown rows: {', '.join(sorted(unknown))}")
    if not options.over_idle:
        await each(options)
    if options.over_idle or not options.rows:
        print()
        await over_idle(options.driver)


async def each(options):
    """Print the table of rows."""
    columns = f"{'seconds':>7} {'code':>6} {'hooks':>4} {'asked':>6}"
    print(f"driver {options.driver}; asked: requests to the API made after the signal\n")
    print(f"{'':<16} | {'with the plugin':^25} | {'without it':^25} |")
    print(f"{'':<16} | {columns} | {columns} | {'more':>8}")
    for name in options.rows or ROWS:
        row = ROWS[name]
        if options.driver not in row.drivers:
            continue
        with_it, without = [
            None
            if not graceful and (options.with_only or row.with_only)
            else await measure(row, driver=options.driver, graceful=graceful)
            for graceful in (True, False)
        ]
        cells = " | ".join(map(cell, (with_it, without)))
        print(f"{name:<16} | {cells} | {difference(with_it, without):>8}", flush=True)


if __name__ == "__main__":
    asyncio.run(main())
