"""Makes the picture of two terminals for the README: ``uv run python -m docs.pictures.terminals``.

The same bot without and with the plugin, five requests in flight at a service that answers 504
after some seconds, and one Ctrl+C each. Everything in it was printed by a real run.
"""

import asyncio
import os
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
            logger.warning(f"画图失败，第 {attempt} 次：{str(error).partition(' for ')[0]}")
        else:
            return
"""
COLOURS = {"SUCCESS": "#4ade80", "INFO": "#93c5fd", "WARNING": "#fbbf24", "ERROR": "#f87171"}
SIZE = 13
ROW, CHARACTER = 18, 7.85
WIDE, LINES = 840, 18
"""GitHub shows a README about as wide: nothing is made smaller, so it can be read."""


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
    """Draw them one above the other: side by side, neither could be read."""
    panes, top = "", 0
    for title, run in runs.items():
        pane, high = _pane(title, run, top)
        panes, top = panes + pane, top + high + 14
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDE} {top - 14}" width="{WIDE}"'
        f' height="{top - 14}" font-family="ui-monospace,SFMono-Regular,Menlo,Consolas,monospace"'
        f' font-size="{SIZE}">{panes}</svg>\n'
    )


def _pane(title: str, run: Run, top: int) -> tuple[str, int]:
    shown = run.lines if len(run.lines) <= LINES else [*run.lines[: LINES - 1], (0.0, "…")]
    high = 80 + (len(shown) + 1) * ROW
    parts = [
        f'<rect y="{top}" width="{WIDE}" height="{high}" rx="10" fill="#15181e"/>',
        *(
            f'<circle cx="{18 + 16 * n}" cy="{top + 18}" r="5" fill="{colour}"/>'
            for n, colour in enumerate(("#f87171", "#fbbf24", "#4ade80"))
        ),
        _text(WIDE / 2, top + 23, title, "#98a2b3", "middle"),
        _text(14, top + 52, "^C", "#f87171"),
    ]
    y = top + 52
    for seconds, line in shown:
        y += ROW
        short = re.sub(r"^\d\d-\d\d \d\d:\d\d:\d\d ", "", line).replace(
            "nonebot_plugin_graceful", "graceful"
        )
        level = re.match(r"\[(\w+)\]", short)
        colour = COLOURS.get(level[1] if level else "", "#e7e9ee")
        if line != "…":
            parts.append(_text(14, y, f"{seconds:5.1f} s", "#667085"))
        parts.append(_text(80, y, _cut(short, (WIDE - 94) / CHARACTER), colour))
    end = f"{PATIENCE:.0f} s: still alive, killed" if run.killed else f"{run.seconds:.1f} s: gone"
    end += f" · {run.requests} more requests to the AI service"
    parts.append(
        _text(14, y + 1.5 * ROW, end, "#f87171" if run.killed else "#4ade80", weight="bold")
    )
    return "".join(parts), high


def _text(  # noqa: PLR0917 - as SVG has it
    x: float, y: float, text: str, colour: str, anchor: str = "start", weight: str = "normal"
) -> str:
    return (
        f'<text x="{x:.0f}" y="{y:.0f}" fill="{colour}" text-anchor="{anchor}" font-weight="{weight}"'
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
    os.environ["FORK"] = "0"  # as users start bots
    with tempfile.TemporaryDirectory() as folder:
        runs = {
            "without nonebot-plugin-graceful": await run(Path(folder) / "without", graceful=False),
            "with nonebot-plugin-graceful": await run(Path(folder) / "with", graceful=True),
        }
    (HERE / "terminals.svg").write_text(draw(runs), encoding="utf-8")


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
