"""What a look costs: a poll of the page, a scrape of the metrics, and the counting in between.

Run it with ``python -m benchmarks.page`` from the root of the repository. Processor time of one
process; the ratios are of rounds next to each other.
"""

import asyncio
import json
import statistics
import tempfile
import time
from pathlib import Path
from types import SimpleNamespace

from loguru import logger

from nonebot_plugin_graceful.core import installed
from nonebot_plugin_graceful.core.api import track
from nonebot_plugin_graceful.core.tree import Tree
from nonebot_plugin_graceful.core.world import PluginOrigin

IN_FLIGHT = 1000
ROUNDS = 51
CALLS = 1000
POLL_AIM, SCRAPE_AIM = 20.0, 5.0
"""Milliseconds."""


def measure(what):
    """Milliseconds of processor time: the median and the best."""
    taken = []
    for _ in range(ROUNDS):
        began = time.process_time()
        what()
        taken.append((time.process_time() - began) * 1e3)
    return statistics.median(taken), min(taken)


def say(name, milliseconds, aim):
    """Print a line."""
    median, best = milliseconds
    print(f"{name:44}{median:9.2f}{best:9.2f}{aim:9.0f}{median / aim:9.2f}")


async def looks(folder):
    """Measure looking at a thousand works, in tasks that wait somewhere deep."""
    from prometheus_client import CollectorRegistry, generate_latest

    from nonebot_plugin_graceful.journal.storage import Storage
    from nonebot_plugin_graceful.ops.last import LastShutdown
    from nonebot_plugin_graceful.ops.page.state import State
    from nonebot_plugin_graceful.ops.page.usual import Usual
    from nonebot_plugin_graceful.ops.prometheus import Metrics

    tree = installed.tree
    ever = asyncio.Event()

    async def work(number, depth=8):
        if depth:
            await work(number, depth - 1)
            return
        origin = PluginOrigin(f"plugin_{number % 30}", user=str(number), chat=str(number % 50))
        section = track(("image", "llm", "handler")[number % 3], name="a work")
        tree.open_work(section, asyncio.current_task(), origin)
        await ever.wait()

    tasks = [asyncio.create_task(work(number)) for number in range(IN_FLIGHT)]
    await asyncio.sleep(0)
    storage = Storage(folder / "journal.db")
    requests = SimpleNamespace(storage=storage, waiting=list)
    process = SimpleNamespace(tree=tree, report_file=folder / "none.json")
    last = LastShutdown(process.report_file)
    state = State(process, requests, last, Usual(), list)
    registry = CollectorRegistry()
    metrics = Metrics(tree, storage, process.report_file, registry)
    restore = metrics.install()
    for number in range(30):
        for outcome in ("done", "failed", "cancelled"):
            metrics._work.add("llm", f"plugin_{number}", outcome)  # noqa: SLF001
            metrics.answered(f"host{number}", outcome)
    print(f"\n{f'{IN_FLIGHT:,} works in flight':44}{'ms':>9}{'best':>9}{'aim':>9}{'x aim':>9}")
    say("a poll of the page", measure(lambda: json.dumps(state.now())), POLL_AIM)
    say("a scrape of the metrics", measure(lambda: generate_latest(registry)), SCRAPE_AIM)
    restore()
    for task in tasks:
        task.cancel()
    await asyncio.wait(tasks)


async def counting(folder):
    """Compare a section while nobody counts, and while somebody does."""
    from prometheus_client import CollectorRegistry

    from nonebot_plugin_graceful.journal.storage import Storage
    from nonebot_plugin_graceful.ops.page.usual import Usual
    from nonebot_plugin_graceful.ops.prometheus import Metrics

    tree = installed.tree
    metrics = Metrics(tree, Storage(folder / "j.db"), folder / "none.json", CollectorRegistry())
    ways = {
        "nobody counts": [],
        "the page is on": [Usual()],
        "prometheus-client is there": [metrics],
    }
    taken = {name: [] for name in ways}
    for _ in range(ROUNDS):
        for name, meters in ways.items():
            tree.world.meters[:] = meters
            began = time.process_time()
            for _ in range(CALLS):
                async with track("llm"):
                    pass
            taken[name].append((time.process_time() - began) / CALLS * 1e6)
    tree.world.meters.clear()
    bare = taken["nobody counts"]
    print(f"\n{'a section, from its begin to its end':44}{'µs':>9}{'best':>9}{'µs more':>9}")
    for name, each in taken.items():
        more = statistics.median(mine - its for mine, its in zip(each, bare, strict=True))
        print(f"{name:44}{statistics.median(each):9.2f}{min(each):9.2f}{more:9.2f}")


async def main():
    """Print the tables."""
    logger.remove()
    restore = installed.install(Tree())
    with tempfile.TemporaryDirectory() as folder:
        await looks(Path(folder))
        await counting(Path(folder))
    restore()


if __name__ == "__main__":
    asyncio.run(main())
