"""Killed at random moments, started again: every request is answered, once.

``CHAOS=n`` is how often the bot is killed, ``CHAOS_SEED=s`` what it depends on; the numbers are
printed (``-s``). What a member counts is counted here: his answers, and what they were charged.
"""

import asyncio
import contextlib
import os
import random
import re
import signal
import sys
import time
from collections import Counter
from dataclasses import dataclass, field

import pytest

from examples.sandbox import Rule
from examples.sandbox.api import IMAGES

from .harness import start_bot

KILLS = int(os.environ.get("CHAOS", "3"))
SEED = int(os.environ.get("CHAOS_SEED", "1"))
REQUESTS = int(os.environ.get("CHAOS_REQUESTS", str(max(9, 30 * KILLS // 20))))
UNKNOWN = 5
"""Seconds within which a bot on a slow machine has surely heard that its answer was sent."""
GROUPS = (30001, 30002, 30003)
TOLD = "抱歉，没能继续"

PLUGIN = """
from nonebot import on_command
from nonebot.params import CommandArg
from nonebot_plugin_graceful import http_client, step, track
from nonebot_plugin_graceful.journal import replay

replay.DEATHS = 10**6  # a death loop is what this test is

painter = http_client(kind="image", timeout=30, retries=0)
draw = on_command("画图", block=True)

@step
async def paint(number: str) -> bytes:
    response = await painter.post("{url}", json={{"prompt": number}})
    return response.raise_for_status().content

@draw.handle()
@track("image", resume=True)
async def _(args=CommandArg()):
    number = str(args).strip()
    await draw.send(f"正在画 {{number}}")
    await paint(number)
    await draw.finish(f"画好了 {{number}}")
"""


@dataclass
class Asked:
    """One request, and what became of it."""

    number: int
    message: int
    at: float
    kills: list[str] = field(default_factory=list)
    """The signals that ended the bot before it was answered, or before it can have known that."""
    begun: int = 0
    answers: int = 0
    answered: float = 0.0
    told: int = 0
    calls: int = 0
    taken: bool = False


class Chaos:
    """One run."""

    def __init__(self, folder, api, onebot):
        self.folder, self.api, self.onebot = folder, api, onebot
        self.random = random.Random(SEED)
        self.asked: list[Asked] = []
        self.settling: list[float] = []
        self.log = ""
        onebot.on_sent = self._sent

    def _sent(self, call):
        text = call.text
        reply = [p["data"]["id"] for p in call.params["message"] if p["type"] == "reply"]
        for asked in self.asked:
            if text == f"正在画 {asked.number}":
                asked.begun += 1
            elif text == f"画好了 {asked.number}":
                asked.answers += 1
                asked.answered = time.monotonic()
            elif TOLD in text and str(asked.message) in map(str, reply):
                asked.told += 1

    async def ask(self):
        """Let members ask, whenever they are heard."""
        for number in range(1, REQUESTS + 1):
            await asyncio.sleep(self.random.uniform(0, 0.4 * KILLS * 3 / REQUESTS))
            while True:
                group = self.random.choice(GROUPS)
                try:
                    message = await self.onebot.say(number, f"/画图 {number}", group=group)
                except Exception:  # nobody is there; he waits until the bot is back
                    await asyncio.sleep(0.05)
                else:
                    break
            self.asked.append(Asked(number, message, time.monotonic()))

    @property
    def open(self):
        return [a for a in self.asked if not a.answers and not a.told]

    async def run(self):
        rules = [Rule(latency=self.random.uniform(0.02, 0.8)) for _ in range(REQUESTS * 3)]
        self.api.on(IMAGES, *rules)
        asking = asyncio.create_task(self.ask())
        for _ in range(KILLS):
            bot = await self._start()
            await asyncio.sleep(self.random.uniform(0.05, 2.5))
            how = self.random.choice(["SIGINT", "SIGTERM", "SIGKILL"])
            now = time.monotonic()
            for asked in self.asked:
                # Killed between the platform's receipt and its own note of it, a bot sends it again.
                unknown = how == "SIGKILL" and now - asked.answered < UNKNOWN
                if unknown or asked in self.open:
                    asked.kills.append(how)
            bot.signal(getattr(signal, how))
            await self._ended(bot)
        bot = await self._start()
        began = time.monotonic()
        await asking
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._all_answered(), 30)
        self.settling.append(time.monotonic() - began)
        bot.signal(signal.SIGINT)
        await self._ended(bot)
        self._count()

    async def _start(self):
        settings = {"graceful_resume": ["image"], "graceful_resume_failed_notice": TOLD}
        plugin = PLUGIN.format(url=f"{self.api.url}{IMAGES}")
        bot = await start_bot(self.folder, self.onebot, plugin, settings=settings)
        try:
            await bot.connected(timeout=60)
        except BaseException:
            bot.kill()
            raise
        return bot

    async def _ended(self, bot):
        await bot.wait(20)
        bot.kill()
        await self.onebot.wait_closed()
        self.log += bot.log

    async def _all_answered(self):
        while self.open:
            self._look_at(self.log)
            if not [asked for asked in self.open if asked.begun or asked.calls]:
                await asyncio.sleep(3)  # they were never heard, or not written down
                return
            await asyncio.sleep(0.05)

    def _look_at(self, log):
        calls = Counter(request.body["prompt"] for request in self.api.requests if request.body)
        heard = set(re.findall(r"Message (\d+) from", log))
        for asked in self.asked:
            asked.calls = calls[str(asked.number)]
            asked.taken = str(asked.message) in heard

    def _count(self):
        self._look_at(self.log)
        answered = Counter(asked.answers for asked in self.asked)
        print(  # noqa: T201 - the numbers are asked for
            f"\nCHAOS={KILLS} CHAOS_SEED={SEED}: {len(self.asked)} requests;"
            f" answers per request {dict(sorted(answered.items()))},"
            f" told {sum(asked.told for asked in self.asked)},"
            f" not heard {sum(not asked.taken for asked in self.asked)};"
            f" provider calls per request {dict(sorted(Counter(a.calls for a in self.asked).items()))},"
            f" {len(self.api.requests)} in all;"
            f" last answer {self.settling[-1]:.1f} s after the last connection"
        )


@pytest.mark.skipif(sys.platform == "win32", reason="a process cannot be stopped in order there")
@pytest.mark.timeout(120 + 40 * KILLS)
async def test_chaos(tmp_path, api, onebot):
    """SIGINT, SIGTERM and SIGKILL at random moments, and every request is answered once."""
    chaos = Chaos(tmp_path / "bot", api, onebot)
    await chaos.run()
    for asked in chaos.asked:
        orderly = "SIGKILL" not in asked.kills
        if not asked.taken:
            assert not asked.answers, asked
            continue
        if orderly:
            assert (asked.answers, asked.begun) == (1, 1), f"{asked}\n{chaos.log}"
        elif asked.begun or asked.calls:
            assert asked.answers or asked.told, f"{asked}\n{chaos.log}"
            assert asked.answers <= 1 + asked.kills.count("SIGKILL"), f"{asked}\n{chaos.log}"
        # paid again only for what was in flight at an end
        assert asked.calls <= 1 + len(asked.kills), asked
