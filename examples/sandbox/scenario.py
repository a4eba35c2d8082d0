"""What happens in the sandbox: who says what, and when the AI service breaks down."""

import asyncio
import contextlib
import itertools
import sys

from websockets.exceptions import ConnectionClosed

from .api import CHAT, IMAGES, FakeOpenAI, Rule
from .onebot import Call, FakeOneBot

__all__ = ["play"]

XIAOMING, XIAOHONG, LAOWANG = 20001, 20002, 20003
CAT_GROUP, WORK_GROUP = 30001, 30002

CONVERSATION: tuple[tuple[int, int | None, str, bool], ...] = (
    (XIAOMING, CAT_GROUP, "/画图 一只戴帽子的橘猫", False),
    (XIAOHONG, WORK_GROUP, "/聊天 明天的会议几点开始？", False),
    (LAOWANG, None, "/识图 图里是什么？", True),
    (XIAOHONG, CAT_GROUP, "/画图 雪地里的三只小狗", False),
    (XIAOMING, None, "/聊天 讲一个程序员的笑话", False),
    (LAOWANG, WORK_GROUP, "/识图 这张表对吗？", True),
)
"""User, group (None: in private), words, and whether a picture comes with them."""
SECONDS_BETWEEN_MESSAGES = 1.5

TIMES_OUT = Rule(504, latency=3)
"""A gateway that gives up on what is behind it. Real ones take 20 s to 60 s."""
WEATHER: tuple[tuple[str, float, dict[str, list[Rule]]], ...] = (
    ("the AI service works", 6, {CHAT: [Rule(latency=0.8)], IMAGES: [Rule(latency=1.5)]}),
    ("the AI service: pictures time out", 15, {IMAGES: [TIMES_OUT]}),
    (
        "the AI service: chat times out too, pictures hang",
        60,
        {
            CHAT: [Rule(429, headers={"Retry-After": "2"}), TIMES_OUT],
            IMAGES: [TIMES_OUT, Rule(latency=None)],
        },
    ),
)
"""What to announce, for how many seconds, and the rules from then on. Begins anew at the end."""


async def play(api: FakeOpenAI, onebot: FakeOneBot) -> None:
    """Play for ever, from the moment the bot is connected. Ends with the connection."""
    onebot.on_sent = _show
    await onebot.wait_for_connection()
    weather = asyncio.create_task(_change_weather(api))
    chatter = asyncio.create_task(_chatter(api, onebot))
    try:
        await onebot.wait_closed(timeout=float("inf"))
    finally:
        weather.cancel()
        chatter.cancel()


async def _change_weather(api: FakeOpenAI) -> None:
    for announcement, seconds, rules in itertools.cycle(WEATHER):
        log(announcement)
        for path, answers in rules.items():
            api.on(path, *answers)
        await asyncio.sleep(seconds)


async def _chatter(api: FakeOpenAI, onebot: FakeOneBot) -> None:
    with contextlib.suppress(ConnectionError, ConnectionClosed):  # the bot hung up
        for number, (user, group, text, picture) in enumerate(itertools.cycle(CONVERSATION)):
            url = f"{api.url}/files/{number}.png" if picture else None
            await onebot.say(user, text, group=group, image_url=url)
            await asyncio.sleep(SECONDS_BETWEEN_MESSAGES)


def _show(sent: Call) -> None:
    place, number = sent.chat
    words = sent.text.replace("\n", " ")
    log(f"{place} {number} reads: {words if len(words) <= 40 else words[:40] + '…'}")


def log(line: str) -> None:
    """Say something between the bot's own log lines, marked as not the bot's."""
    print(f"[sandbox] {line}", file=sys.stderr, flush=True)
