"""Work that outlives the bot: in its own process and a file, and on workers with a PostgreSQL."""

import asyncio
import signal
import sys
import time

import pytest

from . import postgres
from .harness import Process
from .test_resume import end, lives  # noqa: F401 - a fixture

PAINTING = """
import asyncio
import os
from pathlib import Path

from nonebot_plugin_graceful import on_worker

@on_worker("image")
async def paint(prompt: str) -> bytes:
    folder = Path(os.environ["PAINTED"])
    with (folder / "begun").open("a") as file:
        file.write(f"{prompt} {os.getpid()}\\n")
    try:
        while not (folder / "go").exists():
            await asyncio.sleep(0.05)
    except asyncio.CancelledError:
        with (folder / "cancelled").open("a") as file:
            file.write(f"{prompt}\\n")
        raise
    if prompt == "bad":
        raise ValueError("no such colour")
    with (folder / "painted").open("a") as file:
        file.write(f"{prompt}\\n")
    return prompt.encode()
"""

PLUGIN = """
from nonebot import on_command, require
from nonebot.adapters import Message
from nonebot.params import CommandArg

require("nonebot_plugin_graceful")
from nonebot_plugin_graceful import WorkerError, track
from painting import paint

draw = on_command("draw")

@draw.handle()
@track("image", resume=True)
async def _(args: Message = CommandArg()):
    try:
        picture = await paint(args.extract_plain_text())
    except WorkerError as error:
        await draw.finish(str(error))
    await draw.finish(f"picture of {picture.decode()}")
"""


class Studio:
    """Where pictures are painted: in a folder, when ``go`` is there."""

    def __init__(self, folder):
        self.folder = folder
        self.env = {"PAINTED": str(folder)}
        self.processes = []
        (folder / "painting.py").write_text(PAINTING)

    def read(self, what):
        """Give the lines of a file."""
        file = self.folder / what
        return file.read_text().splitlines() if file.exists() else []

    async def until(self, what, count, seconds=30):
        """Wait until a file has so many lines."""
        ends = time.monotonic() + seconds
        while len(lines := self.read(what)) < count:
            assert time.monotonic() < ends, (what, lines, self.logs())
            await asyncio.sleep(0.02)
        return lines

    def logs(self):
        return "\n".join(bot.log for bot in self.processes)

    def go(self):
        (self.folder / "go").touch()


@pytest.fixture
def studio(tmp_path):
    (tmp_path / "bot").mkdir()
    return Studio(tmp_path / "bot")


@pytest.mark.parametrize("how", ["SIGINT", "SIGKILL"])
async def test_the_bot_itself_paints_after_a_restart(onebot, lives, studio, how):  # noqa: F811
    """What it had begun is begun again, once, and whoever asked gets it."""
    bot = await lives(PLUGIN, env=studio.env)
    studio.processes.append(bot)
    await onebot.say(1, "/draw cat")
    await studio.until("begun", 1)
    await end(bot, onebot, how)
    if how == "SIGINT":
        assert bot.exit_code == 0
        assert bot.seconds_to_exit < 3
    studio.go()
    bot = await lives(PLUGIN, env=studio.env)
    await onebot.wait_for_message("picture of cat")
    assert studio.read("painted") == ["cat"]
    assert len(studio.read("begun")) == 2
    await end(bot, onebot, "SIGINT")
    assert len(onebot.sent) == 1
    assert "Traceback" not in bot.log
