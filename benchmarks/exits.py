"""How long a bot takes to end for each culprit, with the plugin and without it.

    PYTHONPATH=. python -m benchmarks.exits [--driver fastapi] [--with-only] [CULPRIT ...]
    PYTHONPATH=. python -m benchmarks.exits --over-idle [--driver fastapi]

One bot for each culprit, one SIGINT, real processes. What has not ended after 20 s is killed.
The second table compares with an idle bot that has no plugin: the idle bot that has it, and the
one with 1,000 requests in flight; medians of three, taken in turns.
"""

import argparse
import asyncio
import signal
import statistics
import tempfile
from pathlib import Path

from examples.sandbox import HANG, FakeOneBot, FakeOpenAI
from tests.e2e.culprits import QUEUED, SHUTDOWN_HOOKS, plugins_for, provoke, settings_for
from tests.e2e.harness import DRIVERS, start_bot

PATIENCE = 20
ROWS = {
    name: [name]
    for name in [
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
}
ROWS = {"idle": [], "queued": QUEUED, **ROWS}
WITH_SERVER_ONLY = {"second_server"}
WITH_PLUGIN_ONLY = {"telling_hangs"}

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


async def measure(culprits, *, driver, graceful, in_flight=0):
    """Give seconds (or None if it had to be killed), exit code, hooks run, requests made since."""
    with tempfile.TemporaryDirectory() as folder:
        async with FakeOpenAI() as api, FakeOneBot() as onebot:
            bot = await start_bot(
                Path(folder),
                onebot,
                *plugins_for(culprits, driver),
                *([REQUESTS] if in_flight else []),
                driver=driver,
                graceful=graceful,
                settings={"ai_base_url": f"{api.url}/v1", **settings_for(culprits)},
            )
            try:
                await bot.connected()
                await provoke(culprits, bot, onebot, api)
                if in_flight:
                    api.on("/v1/hang", HANG)
                    await onebot.say(1, "/requests")
                    await api.wait_for_requests(in_flight, timeout=60)
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


async def over_idle(driver):
    """Print how much longer a bot with the plugin takes than an idle one without it."""
    bots = {
        "idle, without the plugin": {"graceful": False},
        "idle": {"graceful": True},
        f"{IN_FLIGHT:,} requests in flight": {"graceful": True, "in_flight": IN_FLIGHT},
    }
    taken = {name: [] for name in bots}
    for _ in range(ROUNDS):
        for name, how in bots.items():
            seconds, *_ = await measure([], driver=driver, **how)
            taken[name].append(float("inf") if seconds is None else seconds)
    medians = {name: statistics.median(seconds) for name, seconds in taken.items()}
    without, *_ = medians.values()
    print(f"{'SIGINT to exit':<26} | {'seconds':>7} {'more':>7} | each round")
    for name, seconds in medians.items():
        rounds = " ".join(f"{each:.2f}" for each in taken[name])
        print(f"{name:<26} | {seconds:>7.2f} {seconds - without:>+7.2f} | {rounds}")


async def main():
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("rows", nargs="*", metavar="CULPRIT", help=f"of {', '.join(ROWS)}")
    parser.add_argument("--driver", choices=DRIVERS, default="fastapi")
    parser.add_argument("--with-only", action="store_true", help="not without the plugin")
    parser.add_argument("--over-idle", action="store_true", help="only the second table")
    options = parser.parse_args()
    if unknown := set(options.rows) - ROWS.keys():
        parser.error(f"unknown culprits: {', '.join(sorted(unknown))}")
    if not options.over_idle:
        await each(options)
    if options.over_idle or not options.rows:
        print()
        await over_idle(DRIVERS[options.driver])


async def each(options):
    """Print the table of culprits."""
    columns = f"{'seconds':>7} {'code':>6} {'hooks':>4} {'asked':>6}"
    print(f"driver {options.driver}; asked: requests to the API made after the signal\n")
    print(f"{'culprit':<16} | {'with the plugin':^25} | {'without it':^25}")
    print(f"{'':<16} | {columns} | {columns}")
    for name in options.rows or ROWS:
        if name in WITH_SERVER_ONLY and options.driver == "none":
            continue
        results = [
            None
            if not graceful and (options.with_only or name in WITH_PLUGIN_ONLY)
            else await measure(ROWS[name], driver=DRIVERS[options.driver], graceful=graceful)
            for graceful in (True, False)
        ]
        print(f"{name:<16} | " + " | ".join(cell(result) for result in results), flush=True)


if __name__ == "__main__":
    asyncio.run(main())
