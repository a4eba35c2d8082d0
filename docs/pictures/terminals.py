"""Makes the picture of two terminals for the README: ``uv run python -m docs.pictures.terminals``.

The same bot without and with the plugin, five requests in flight at a service that answers 504
after some seconds, and one Ctrl+C each. Everything in it was printed by a real run.
"""

import asyncio
import re
import signal
import sys
import tempfile
import time
from dataclasses import dataclass
from html import escape
from pathlib import Path

from examples.sandbox import FakeOneBot, FakeOpenAI, Rule
from tests.e2e.harness import start_bot

HERE = Path(__file__).parent
PATIENCE = 20.0
"""Seconds after which the bot is killed that has not ended."""
REQUESTS = 5
PLUGIN = """
import httpx
from nonebot import get_driver, logger, on_command

URL = get_driver().config.ai_base_url
client = httpx.AsyncClient(timeout=60)


@on_command("画图").handle()
async def _():
    for attempt in range(1, 11):
        try:
            answer = await client.post(f"{URL}/images/generations", json={"prompt": "a cat"})
            answer.raise_for_status()
        except httpx.HTTPError as error:
            logger.warning(f"画图失败，第 {attempt} 次：{str(error)[:40]}")
        else:
            return
"""
COLOURS = {"SUCCESS": "#4ade80", "INFO": "#93c5fd", "WARNING": "#fbbf24", "ERROR": "#f87171"}
ROW, CHARACTER = 17, 7.25
WIDE, LINES = 620, 17


@dataclass(slots=True)
class Run:
    """How one bot ended."""

    lines: list[tuple[float, str]]
    """Seconds since Ctrl+C, and what was printed."""
    seconds: float
    killed: bool
    requests: int
    """How many were made after Ctrl+C."""


async def run(folder: Path, *, graceful: bool) -> Run:
    """Run the bot, and press Ctrl+C."""
    async with FakeOpenAI() as api, FakeOneBot() as onebot:
        api.on("/v1/images/generations", Rule(504, latency=4))
        settings = {"ai_base_url": f"{api.url}/v1", "command_start": ["/"]}
        bot = await start_bot(folder, onebot, PLUGIN, graceful=graceful, settings=settings)
        await bot.connected()
        for user in range(REQUESTS):
            await onebot.say(20001 + user, "/画图", group=30001)
        await api.wait_for_requests(REQUESTS)
        await asyncio.sleep(1)
        before, pressed = len(bot.lines), time.monotonic()
        bot.signal(signal.SIGINT)
        await bot.wait(PATIENCE)
        lines = [(line.time - pressed, line.text) for line in bot.lines[before:]]
        made = sum(request.received > pressed for request in api.requests)
        return Run(lines, bot.seconds_to_exit, bot.killed, made)


def draw(runs: dict[str, Run]) -> str:
    """Draw them side by side."""
    high = 92 + LINES * ROW
    panes = "".join(
        _pane(title, run, 16 + number * (WIDE + 16))
        for number, (title, run) in enumerate(runs.items())
    )
    wide = 16 + len(runs) * (WIDE + 16)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {wide} {high}" width="{wide}"'
        f' height="{high}" font-family="ui-monospace,SFMono-Regular,Menlo,Consolas,monospace"'
        f' font-size="12">{panes}</svg>\n'
    )


def _pane(title: str, run: Run, x: int) -> str:
    high = 60 + LINES * ROW
    parts = [
        f'<rect x="{x}" y="16" width="{WIDE}" height="{high}" rx="10" fill="#15181e"/>',
        *(
            f'<circle cx="{x + 18 + 16 * n}" cy="34" r="5" fill="{colour}"/>'
            for n, colour in enumerate(("#f87171", "#fbbf24", "#4ade80"))
        ),
        _text(x + WIDE / 2, 38, title, "#98a2b3", "middle"),
        _text(x + 14, 66, "^C", "#f87171"),
    ]
    shown = run.lines if len(run.lines) <= LINES - 2 else [*run.lines[: LINES - 3], (0.0, "…")]
    y = 66
    for seconds, line in shown:
        y += ROW
        short = re.sub(r"^\d\d-\d\d \d\d:\d\d:\d\d ", "", line).replace(
            "nonebot_plugin_graceful", "graceful"
        )
        level = re.match(r"\[(\w+)\]", short)
        colour = COLOURS.get(level[1] if level else "", "#e7e9ee")
        if line != "…":
            parts.append(_text(x + 14, y, f"{seconds:5.1f} s", "#667085"))
        parts.append(_text(x + 74, y, _cut(short, (WIDE - 86) / CHARACTER), colour))
    end = f"{PATIENCE:.0f} s: still alive, killed" if run.killed else f"{run.seconds:.1f} s: gone"
    end += f" · {run.requests} more requests to the AI service"
    parts.append(
        _text(x + 14, 66 + (LINES - 0.4) * ROW, end, "#f87171" if run.killed else "#4ade80")
    )
    return "".join(parts)


def _text(x: float, y: float, text: str, colour: str, anchor: str = "start") -> str:
    return (
        f'<text x="{x:.0f}" y="{y:.0f}" fill="{colour}" text-anchor="{anchor}"'
        f' xml:space="preserve">{escape(text)}</text>'
    )


def _cut(text: str, room: float) -> str:
    wide = 0.0
    for number, each in enumerate(text):
        wide += 1 if each < "\u2e80" else 1.8
        if wide > room:
            return text[: number - 1] + "…"
    return text


async def main() -> None:
    """Run both, and draw them."""
    with tempfile.TemporaryDirectory() as folder:
        runs = {
            "without": await run(Path(folder) / "without", graceful=False),
            "with nonebot-plugin-graceful": await run(Path(folder) / "with", graceful=True),
        }
    (HERE / "terminals.svg").write_text(draw(runs), encoding="utf-8")


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
