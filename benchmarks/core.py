"""What registering, events, stopping and memory cost: always two ways, side by side in one run.

Times are of the processor, so that others on the machine do not count.

Run it with ``python -m benchmarks.core`` from the root of the repository.
"""

import asyncio
import logging
import statistics
import sys
import time
import tracemalloc
from collections.abc import Awaitable, Callable
from datetime import datetime, timezone

import aiojobs
import nonebot
from nonebot.adapters.onebot.v11 import Adapter, Bot, GroupMessageEvent, Message
from nonebot.adapters.onebot.v11.event import Sender
from nonebot.matcher import matchers as registered

sys.modules["prometheus_client"] = None  # what it costs to count is in benchmarks.page
nonebot.init(driver="~none", log_level="ERROR", localstore_use_cwd=True)
nonebot.load_plugin("nonebot_plugin_graceful")

from nonebot import message as dispatch  # noqa: E402

from nonebot_plugin_graceful import spawn, track  # noqa: E402
from nonebot_plugin_graceful.core import installed  # noqa: E402
from nonebot_plugin_graceful.core.discovery import branches  # noqa: E402
from nonebot_plugin_graceful.core.stopping import Stopping  # noqa: E402

Work = Callable[[], Awaitable[object]]
ROUNDS = 15
CALLS = 2000
EVENTS = 20


async def nothing() -> None:
    pass


async def side_by_side(*works: Work, rounds: int = ROUNDS, calls: int = CALLS) -> list[float]:
    """Give the median seconds of one call of each, measured in turns."""
    times: list[list[float]] = [[] for _ in works]
    for turn in range(rounds + 1):
        for work, taken in zip(works, times, strict=True):
            start = time.process_time()
            for _ in range(calls):
                await work()
            if turn:  # the first one warms up
                taken.append((time.process_time() - start) / calls)
    return [statistics.median(taken) for taken in times]


def row(what: str, ours: float, theirs: float, unit: str, scale: float) -> None:
    print(
        f"{what:52}{theirs * scale:10.2f}{ours * scale:10.2f} {unit:<3}"
        f"{(ours - theirs) * scale:+10.2f}{ours / theirs:8.2f} x"
    )


async def sections() -> None:
    scheduler = aiojobs.Scheduler()

    async def section() -> None:
        async with track("llm"):
            pass

    async def plain_task() -> None:
        await asyncio.create_task(nothing())

    async def spawned() -> None:
        await spawn(nothing())

    async def job() -> None:
        await (await scheduler.spawn(nothing())).wait()

    bare, ours, task, spawning, aio = await side_by_side(nothing, section, plain_task, spawned, job)
    await scheduler.close()
    async with track("handler"):
        around, within = await side_by_side(nothing, section)
    row("section against a bare coroutine", ours, bare, "µs", 1e6)
    row("section in a handler against a bare coroutine", within, around, "µs", 1e6)
    row("spawn + await against create_task + await", spawning, task, "µs", 1e6)
    row("spawn + await against aiojobs' spawn + wait", spawning, aio, "µs", 1e6)


async def events(matchers: int) -> None:
    """One event, of which one matcher's handler runs, with and without the plugin's hooks and matchers."""
    ours = {priority: list(some) for priority, some in registered.items()}

    def is_first(number: int) -> Callable[[], bool]:
        return lambda: number == 0

    made = [nonebot.on_message(rule=is_first(number), priority=5) for number in range(matchers)]
    made[0].append_handler(nothing)
    bot = Bot(Adapter(nonebot.get_driver()), "1")
    event = GroupMessageEvent(
        time=int(datetime.now(timezone.utc).timestamp()),
        self_id=1,
        post_type="message",
        sub_type="normal",
        user_id=2,
        message_type="group",
        message_id=3,
        message=Message("hello"),
        original_message=Message("hello"),
        raw_message="hello",
        font=0,
        sender=Sender(user_id=2),
        group_id=4,
    )
    hooks = [
        dispatch._event_preprocessors,  # noqa: SLF001
        dispatch._event_postprocessors,  # noqa: SLF001
        dispatch._run_preprocessors,  # noqa: SLF001
        dispatch._run_postprocessors,  # noqa: SLF001
    ]
    ours_in_hooks = [set(some) for some in hooks]

    async def with_plugin() -> None:
        for _ in range(EVENTS):
            await dispatch.handle_event(bot, event)

    async def without() -> None:
        for some in hooks:
            some.clear()
        for priority in ours:
            registered[priority] = [each for each in registered[priority] if each in made]
        await with_plugin()
        for some, members in zip(hooks, ours_in_hooks, strict=True):
            some.update(members)
        for priority, some in ours.items():
            registered[priority] = [*some, *(each for each in registered[priority] if each in made)]

    with_it, plain = await side_by_side(with_plugin, without, rounds=31, calls=1)
    with_it, plain = with_it / EVENTS, plain / EVENTS
    for matcher in made:
        matcher.destroy()
    row(f"an event, {matchers} matcher(s), one of which runs", with_it, plain, "µs", 1e6)


async def stopping(count: int) -> None:
    async def cooperative() -> None:
        await asyncio.get_running_loop().create_future()

    async def start(make: Callable[..., asyncio.Task[None]]) -> list[asyncio.Task[None]]:
        tasks = [make(cooperative()) for _ in range(count)]
        await asyncio.sleep(0)
        return tasks

    async def bare() -> float:
        tasks = await start(asyncio.create_task)
        begin = time.process_time()
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)
        return time.process_time() - begin

    async def graceful() -> float:
        tasks = await start(spawn)
        begin = time.process_time()
        await Stopping(installed.tree, lambda: branches(installed.tree), "benchmark").run()
        taken = time.process_time() - begin
        assert all(task.cancelled() for task in tasks)
        return taken

    theirs: list[float] = []
    ours: list[float] = []
    for _ in range(5 if count < 100_000 else 3):
        theirs.append(await bare())
        ours.append(await graceful())
    row(
        f"stopping {count:,} tasks against cancel and wait",
        statistics.median(ours),
        statistics.median(theirs),
        "ms",
        1e3,
    )


async def memory(count: int = 5000) -> None:
    async def waiting() -> None:
        await asyncio.get_running_loop().create_future()

    async def bytes_each(make: Callable[..., asyncio.Task[None]]) -> float:
        tracemalloc.start()
        before = tracemalloc.get_traced_memory()[0]
        tasks = [make(waiting()) for _ in range(count)]
        await asyncio.sleep(0)
        each = (tracemalloc.get_traced_memory()[0] - before) / count
        tracemalloc.stop()
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)
        return each

    await bytes_each(spawn)  # what is made once
    row(
        "memory of a spawned task",
        await bytes_each(spawn),
        await bytes_each(asyncio.create_task),
        "B",
        1,
    )


async def main() -> None:
    logging.disable()
    print(f"{'what (medians)':52}{'without':>10}{'with':>10} {'':3}{'more':>10}{'ratio':>10}")
    await sections()
    for matchers in (30, 1):
        await events(matchers)
    for count in (1000, 10_000, 100_000):
        await stopping(count)
    await memory()


if __name__ == "__main__":
    asyncio.run(main())
