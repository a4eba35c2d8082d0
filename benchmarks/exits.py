"""How long a bot takes to end for each culprit, with the plugin and without it.

    PYTHONPATH=. python benchmarks/exits.py [--driver fastapi] [--with-only] [CULPRIT ...]

One bot for each culprit, one SIGINT, real processes. What has not ended after 20 s is killed.
"""

import argparse
import asyncio
import signal
import tempfile
from pathlib import Path

from examples.sandbox import FakeOneBot, FakeOpenAI
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


async def measure(culprits, *, driver, graceful):
    """Give seconds (or None if it had to be killed), exit code, hooks run, requests made since."""
    with tempfile.TemporaryDirectory() as folder:
        async with FakeOpenAI() as api, FakeOneBot() as onebot:
            bot = await start_bot(
                Path(folder),
                onebot,
                *plugins_for(culprits, driver),
                driver=driver,
                graceful=graceful,
                settings={"ai_base_url": f"{api.url}/v1", **settings_for(culprits)},
            )
            try:
                await bot.connected()
                await provoke(culprits, bot, onebot, api)
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


async def main():
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("rows", nargs="*", metavar="CULPRIT", help=f"of {', '.join(ROWS)}")
    parser.add_argument("--driver", choices=DRIVERS, default="fastapi")
    parser.add_argument("--with-only", action="store_true", help="not without the plugin")
    options = parser.parse_args()
    if unknown := set(options.rows) - ROWS.keys():
        parser.error(f"unknown culprits: {', '.join(sorted(unknown))}")
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
