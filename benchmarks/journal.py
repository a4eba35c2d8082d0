"""What a request that survives a restart costs; and with the journal off, nothing.

Measured is the time that the event loop's thread works: what it is kept from anything else.

Run it with ``python -m benchmarks.journal`` from the root of the repository.
"""

import asyncio
import statistics
import tempfile
import time
from pathlib import Path

import nonebot
from nonebot.adapters.onebot.v11 import Adapter, Bot, GroupMessageEvent, Message

nonebot.init(driver="~none", log_level="ERROR", localstore_use_cwd=True)
nonebot.get_driver().register_adapter(Adapter)
nonebot.load_plugin("nonebot_plugin_graceful")

from nonebot.message import event_preprocessor, handle_event  # noqa: E402

from nonebot_plugin_graceful import step, track  # noqa: E402
from nonebot_plugin_graceful.chat.notices import say  # noqa: E402
from nonebot_plugin_graceful.config import Config  # noqa: E402
from nonebot_plugin_graceful.core import installed  # noqa: E402
from nonebot_plugin_graceful.core.drain import Drain  # noqa: E402
from nonebot_plugin_graceful.core.work import Section, Work  # noqa: E402
from nonebot_plugin_graceful.journal.journal import Journal  # noqa: E402

PICTURE = bytes(range(256)) * 8192  # 2 MB
ROUNDS = 15
EVENTS = 40
OPEN = 1000
_number = 0


def event() -> GroupMessageEvent:
    global _number  # noqa: PLW0603
    _number += 1
    values = {
        "time": 1700000000, "self_id": 1, "post_type": "message", "sub_type": "normal",
        "user_id": 2, "message_type": "group", "message_id": _number, "message": Message("/画图 一只猫"),
        "original_message": Message("/画图 一只猫"), "raw_message": "/画图 一只猫", "font": 0,
        "sender": {"user_id": 2, "nickname": "小明", "card": "", "role": "member"}, "group_id": 4,
    }  # fmt: skip
    return GroupMessageEvent.model_validate(values)


class Bench:
    """A bot with one matcher, whose journal can be on or off."""

    def __init__(self, folder: Path) -> None:
        self.bot = Bot(nonebot.get_adapter(Adapter), "1")
        self.tree = installed.tree
        self.world = self.tree.world
        self.folder = folder
        self.hold: asyncio.Event | None = None
        matcher = nonebot.on_message(priority=5, block=True)
        matcher.append_handler(self.handler)

    async def handler(self) -> None:
        async with track("image"):
            if self.hold is not None:
                await self.hold.wait()

    def journal(self, name: str) -> Journal:
        config = Config(graceful_resume=["image"])
        return Journal(config, self.tree, self.folder / name, say)

    async def requests(self) -> None:
        """A request with its row, against one without; and its parts."""
        times: dict[str, list[float]] = {"off": [], "on": []}

        @event_preprocessor
        async def _() -> None:  # every bot has some plugin that has one
            pass

        journal = self.journal("requests")
        for turn in range(2 * ROUNDS + 2):
            which = ("off", "on")[turn % 2]
            restore = journal.listen(self.world) if which == "on" else None
            events = [event() for _ in range(EVENTS)]
            start = time.thread_time()
            for each in events:
                await handle_event(self.bot, each)
            taken = (time.thread_time() - start) / EVENTS
            if turn > 1:
                times[which].append(taken)
            if restore is not None:
                restore()
        journal.close()
        off, on = (statistics.median(times[which]) for which in ("off", "on"))
        print(
            f"a request that is resumed: +{(on - off) * 1e3:.3f} ms ({on * 1e3:.2f} against {off * 1e3:.2f})"
        )

    def off(self) -> None:
        """What the hooks cost each section while nobody has asked for a journal."""
        section, calls = Section(self.tree.kinds["image"]), 200_000
        start = time.thread_time()
        for _ in range(calls):
            self.world.section_opened(section, NOBODY)
            self.world.work_ended(NOBODY)
        hooked = (time.thread_time() - start) / calls
        print(f"journal off, a section and its end: +{hooked * 1e6:.2f} µs, no file")

    async def picture(self) -> None:
        """A step with a picture: how long it takes, and how long the loop stands still for it."""
        journal = self.journal("steps")
        restore = journal.listen(self.world)
        took: list[float] = []

        @step
        async def plain() -> bytes:
            return PICTURE

        async def handler() -> None:
            async with track("image"):
                for _ in range(ROUNDS):
                    start = time.thread_time()
                    await plain()
                    took.append(time.thread_time() - start)

        matcher = nonebot.on_message(priority=1, block=True)
        matcher.append_handler(handler)
        lag = asyncio.create_task(longest_pause())
        await asyncio.sleep(0)
        await handle_event(self.bot, event())
        lag.cancel()
        worst = await lag
        matcher.destroy()
        restore()
        journal.close()
        print(
            f"a step with a picture of 2 MB: {statistics.median(took) * 1e3:.2f} ms of the loop's,"
            f" the longest piece {worst * 1e3:.2f} ms; the rest is a thread's"
        )

    async def exit(self) -> None:
        """Stopping with many requests open, with their rows and without."""
        for which in ("off", "on"):
            journal = self.journal("exit")
            restore = journal.listen(self.world) if which == "on" else None
            self.hold = asyncio.Event()
            running = [asyncio.create_task(handle_event(self.bot, event())) for _ in range(OPEN)]
            while len([w for w in self.tree.all() if len(w.sections) > 1]) < OPEN:  # noqa: ASYNC110
                await asyncio.sleep(0)
            start = time.thread_time()
            self.tree.lifecycle.begin("SIGINT")
            await Drain(self.tree, grace_cap=0.0, hook_timeout=0.1).run()
            await asyncio.wait(running)
            took = time.thread_time() - start
            rows = len(journal.storage.rows()) if restore is not None else 0
            start = time.thread_time()
            journal.close()
            took += time.thread_time() - start
            print(f"exit with {OPEN} open requests, journal {which}: {took:.3f} s ({rows} rows)")
            self.tree.lifecycle.reopen()
            if restore is not None:
                restore()


async def longest_pause() -> float:
    worst, last = 0.0, time.thread_time()
    try:
        while True:
            await asyncio.sleep(0)
            now = time.thread_time()
            worst, last = max(worst, now - last), now
    except asyncio.CancelledError:
        return worst


async def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        bench = Bench(Path(folder))
        bench.off()
        await bench.requests()
        await bench.picture()
        await bench.exit()


NOBODY = Work(None, None, None, Section(installed.tree.kinds["llm"]))

if __name__ == "__main__":
    asyncio.run(main())
