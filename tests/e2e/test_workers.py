"""Work that outlives the bot: in its own process and a file, and on workers with a PostgreSQL."""

import asyncio
import signal
import sys
import time

import pytest
import yaml

from examples.sandbox.api import IMAGES

from . import postgres
from .harness import ROOT, Process
from .test_resume import end

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
async def test_the_bot_itself_paints_after_a_restart(onebot, lives, studio, how):
    """What it had begun is begun again, once, and whoever asked gets it."""
    bot = await lives(PLUGIN, env=studio.env)
    studio.processes.append(bot)
    await onebot.say(1, "/draw cat")
    await studio.until("begun", 1)
    await end(bot, onebot, how)
    if how == "SIGINT":
        assert bot.exit_code == 0
    studio.go()
    bot = await lives(PLUGIN, env=studio.env)
    await onebot.wait_for_message("picture of cat")
    assert studio.read("painted") == ["cat"]
    assert len(studio.read("begun")) == 2
    await end(bot, onebot, "SIGINT")
    assert len(onebot.sent) == 1
    assert "Traceback" not in bot.log


# -- on workers, with a PostgreSQL


@pytest.fixture
def database():
    """A PostgreSQL of our own."""
    programs = postgres.find()
    if programs is None:
        pytest.skip("no PostgreSQL here: initdb and pg_ctl are Debian's postgresql")
    server = postgres.Postgres(programs)
    yield server
    server.remove()


@pytest.fixture
async def workers(studio, database):
    """Start workers; and have the bot use the same database."""
    studio.env["GRACEFUL_DATABASE_URL"] = database.url
    studio.env["LOCALSTORE_USE_CWD"] = "true"

    async def start():
        arguments = [sys.executable, "-m", "nonebot_plugin_graceful", "worker", "painting"]
        worker = Process(arguments, cwd=studio.folder, env=studio.env)
        studio.processes.append(worker)
        await worker.wait_log("Working on image", timeout=60)
        return worker

    yield start
    for worker in studio.processes:
        worker.kill()
        await worker.wait()


async def test_a_picture_is_painted_while_the_bot_is_restarted(onebot, lives, studio, workers):
    """The workers go on with it; it is painted once, and arrives when the bot is back."""
    await asyncio.gather(workers(), workers())
    bot = await lives(PLUGIN, env=studio.env)
    await onebot.say(1, "/draw cat")
    await studio.until("begun", 1)
    await end(bot, onebot, "SIGINT")
    assert bot.exit_code == 0
    studio.go()
    await studio.until("painted", 1)
    bot = await lives(PLUGIN, env=studio.env)
    await onebot.wait_for_message("picture of cat")
    await end(bot, onebot, "SIGINT")
    assert studio.read("painted") == ["cat"]
    assert len(studio.read("begun")) == 1
    assert studio.read("cancelled") == []
    assert len(onebot.sent) == 1


@pytest.mark.parametrize("how", ["SIGINT", "SIGTERM", "SIGKILL"])
async def test_a_worker_that_comes_back_paints_what_it_had_begun(
    onebot,
    lives,
    studio,
    workers,
    how,
):
    """However it went, and nobody else need be there."""
    worker = await workers()
    bot = await lives(PLUGIN, env=studio.env)
    await onebot.say(1, "/draw cat")
    await studio.until("begun", 1)
    worker.signal(getattr(signal, how))
    assert await worker.wait() == (-signal.SIGKILL if how == "SIGKILL" else 0)
    assert len(studio.read("cancelled")) == (how != "SIGKILL")
    studio.go()
    await workers()
    await onebot.wait_for_message("picture of cat")
    assert studio.read("painted") == ["cat"]
    assert len(studio.read("begun")) == 2
    await end(bot, onebot, "SIGINT")
    assert len(onebot.sent) == 1


async def test_another_worker_takes_over_from_one_that_was_killed(onebot, lives, studio, workers):
    """As soon as the database says that it is gone."""
    both = {worker.pid: worker for worker in await asyncio.gather(workers(), workers())}
    await lives(PLUGIN, env=studio.env)
    await onebot.say(1, "/draw cat")
    ((_, first),) = [line.split() for line in await studio.until("begun", 1)]
    both[int(first)].kill()
    (_, (_, second)) = [line.split() for line in await studio.until("begun", 2)]
    assert int(second) in both.keys() - {int(first)}
    studio.go()
    await onebot.wait_for_message("picture of cat")
    assert studio.read("painted") == ["cat"]


async def test_a_recall_ends_the_work_and_a_failure_is_told(onebot, lives, studio, workers):
    """Within a second or so; the next one gets its turn."""
    await workers()
    await lives(PLUGIN, env=studio.env, settings={"graceful_kinds": {"image": {"limit": 1}}})
    message = await onebot.say(1, "/draw cat")
    await studio.until("begun", 1)
    await onebot.say(2, "/draw bad")
    await onebot.recall(message)
    assert await studio.until("cancelled", 1) == ["cat"]
    assert [line.split()[0] for line in await studio.until("begun", 2)] == ["cat", "bad"]
    studio.go()
    await onebot.wait_for_message("ValueError: no such colour")
    assert studio.read("painted") == []


async def test_an_outage_of_the_database_is_waited_out(
    onebot,
    lives,
    studio,
    workers,
    database,
):
    """Neither the bot nor the worker loses what it was at."""
    await workers()
    bot = await lives(PLUGIN, env=studio.env)
    await onebot.say(1, "/draw cat")
    await studio.until("begun", 1)
    database.stop()
    await bot.wait_log("cannot be reached")
    database.start()
    studio.go()
    await onebot.wait_for_message("picture of cat")
    assert studio.read("painted") == ["cat"]
    assert len(studio.read("begun")) == 1


async def test_the_example_paints(api, onebot, lives, studio, workers):
    """As its compose file has it, without the containers."""
    example = ROOT / "examples" / "workers"
    (studio.folder / "painting.py").write_text((example / "painting.py").read_text())
    studio.env["AI_BASE_URL"] = f"{api.url}/v1"
    compose = yaml.safe_load((example / "compose.yaml").read_text())
    settings = compose["services"]["worker"]["environment"]
    studio.env["GRACEFUL_KINDS"] = settings["GRACEFUL_KINDS"]
    worker = await workers()
    await lives(example / "drawing.py", env=studio.env)
    await onebot.say(1, "/画图 猫")
    await onebot.wait_for_message("[image]")
    assert api.count(IMAGES) == 1
    await worker.wait_log("Done: painting.paint")


STUBBORN = """
import time

from nonebot_plugin_graceful import on_worker

@on_worker("image")
async def paint(prompt: str) -> bytes:
    print("begun", flush=True)
    while True:
        try:
            time.sleep(1000)
        except BaseException:
            if prompt == "cat":
                raise
"""


@pytest.mark.parametrize(("prompt", "code"), [("cat", 0), ("dog", 128 + signal.SIGTERM)])
async def test_a_worker_that_is_blocked_ends_all_the_same(
    onebot, lives, studio, workers, prompt, code
):
    """Interrupted as a bot's handler is; by the deadline, whatever it swallows."""
    (studio.folder / "painting.py").write_text(STUBBORN)
    studio.env["GRACEFUL_DEADLINE"] = "60" if code == 0 else "3"
    worker = await workers()
    await lives(PLUGIN, env=studio.env)
    await onebot.say(1, f"/draw {prompt}")
    await worker.wait_log("begun")
    worker.signal(signal.SIGTERM)
    assert await worker.wait() == code
