"""``bot.py`` as somebody runs it who has just downloaded the project."""

import os
import signal
import sys

import httpx
import pytest

from examples.sandbox import free_port

from .endings import IN_TIME, PATIENT_BOT
from .harness import ROOT, Process


@pytest.fixture
async def bot(tmp_path):
    """``bot.py`` in a folder without ``.env``."""
    bot = Process([sys.executable, str(ROOT / "bot.py")], cwd=tmp_path, env=PATIENT_BOT)
    yield bot
    bot.kill()
    await bot.wait()


async def test_the_demonstration(bot):
    """Chats come in, the AI service times out, the log shows retries; Ctrl+C, and it is gone."""
    assert await bot.wait_log("No .env: chats and AI service are the sandbox's")
    assert await bot.wait_log("[sandbox] group 30001 reads: [image]")
    assert await bot.wait_log("[sandbox] private 20003 reads: 这是一张 64×64 的图片。")
    await bot.wait_log("pictures time out")
    await bot.wait_log("Retrying POST")
    bot.signal(signal.SIGINT)
    assert await bot.wait() == 0
    assert bot.seconds_to_exit < IN_TIME, bot.log
    assert bot.find("Stopped (SIGINT)"), bot.log
    await bot.wait_output_closed()


HANDED_OUT = 32_768
"""From here on Linux gives ports to whoever asks for any; other systems begin later."""


async def test_nobody_else_is_given_its_port(bot):
    """Before it listens, and while its sandbox dials it: a server, say, for any port that is free."""
    line = await bot.wait_log("Uvicorn running on http://127.0.0.1:")
    assert int(line.text.partition("127.0.0.1:")[2].split()[0]) < HANDED_OUT


async def test_it_resumes(bot, tmp_path):
    """Ctrl+C while a picture is being painted; start it again, and the picture arrives."""
    await bot.wait_log("pictures time out")
    tried = await bot.wait_log(
        "Retrying POST"
    )  # for seconds to come nothing will have been painted
    bot.signal(signal.SIGINT)
    assert await bot.wait() == 0
    assert not bot.find("[sandbox] group 30001 reads: [image]", after=tried), bot.log
    again = Process([sys.executable, str(ROOT / "bot.py")], cwd=tmp_path)
    try:
        resumed = await again.wait_log("Resuming what was asked")
        picture = await again.wait_log("[sandbox] group 30001 reads: [image]")
        assert resumed.index < picture.index
    finally:
        again.kill()
        await again.wait()


async def test_the_sandbox_ends_with_a_bot_that_is_killed(bot):
    """However the bot ends, nothing is left behind."""
    await bot.wait_log("[sandbox]")
    bot.signal(getattr(signal, "SIGKILL", signal.SIGTERM))
    await bot.wait()
    await bot.wait_output_closed()


@pytest.fixture
def bot_without(tmp_path):
    """``bot.py --without``, with what is to follow."""
    bots = []

    def start(*arguments):
        command = [sys.executable, str(ROOT / "bot.py"), "--without", *arguments]
        bots.append(Process(command, cwd=tmp_path))
        return bots[-1]

    yield start
    for bot in bots:
        bot.kill()


@pytest.mark.skipif(sys.platform == "win32", reason="there is no Ctrl+\\ to end it with")
async def test_the_problem(bot_without):
    """Without the plugin, Ctrl+C only closes the connection: the tries go on until it is killed."""
    bot = bot_without()
    how = await bot.wait_log("Without the plugin")
    assert f"Ctrl+\\ or kill -9 {bot.pid} does" in how.text
    await bot.wait_log("POST /images/generations failed, attempt 1 of 10")
    bot.signal(signal.SIGINT)
    told = await bot.wait_log("Waiting for application shutdown")
    tried = await bot.wait_log("POST /images/generations failed", after=told)
    await bot.wait_log("POST /images/generations failed", after=tried)
    bot.signal(signal.SIGQUIT)
    assert await bot.wait() == -signal.SIGQUIT
    assert not bot.find("graceful"), bot.log
    await bot.wait_output_closed()


async def test_the_problem_ends_by_itself(bot_without, tmp_path):
    """Whoever walks away from it finds nothing left behind, and a ``.env`` is not read."""
    (tmp_path / ".env").write_text("GRACEFUL_DEADLINE=nonsense\nLOG_LEVEL=CRITICAL\n")
    bot = bot_without("0.5")
    await bot.wait_log("0.5 s are over: ended by force")
    assert await bot.wait() == 1
    await bot.wait_output_closed()


async def test_with_settings_it_is_a_plain_bot(tmp_path, api, onebot):
    """With a ``.env`` there is no sandbox: the bot talks to whom the settings name."""
    port = free_port()
    (tmp_path / ".env").write_text(
        f"""
        DRIVER=~fastapi
        HOST=127.0.0.1
        PORT={port}
        AI_BASE_URL={api.url}/v1
        AI_API_KEY=key
        """
    )
    bot = Process([sys.executable, str(ROOT / "bot.py")], cwd=tmp_path)
    try:
        await bot.wait_log("Settings from .env")
        onebot.dial(f"ws://127.0.0.1:{port}/onebot/v11/ws")
        await onebot.wait_for_connection()
        await onebot.say(1, "/聊天 你好")
        await onebot.wait_for_message("你好")
        assert api.requests[0].headers["authorization"] == "Bearer key"
        bot.signal(signal.SIGTERM)
        await bot.wait()
        assert not bot.find("[sandbox]")
    finally:
        bot.kill()
        await bot.wait()


PARENT = """
import signal, time
from examples.sandbox import process

signal.signal(signal.SIGINT, lambda *_: print("interrupted"))
print(process.start("ws://127.0.0.1:9/").api_url)
time.sleep(60)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="there are no process groups to signal")
async def test_a_ctrl_c_in_the_terminal_leaves_the_sandbox_alone(tmp_path):
    """It reaches the whole foreground process group, and the sandbox is not in it."""
    parent = Process([sys.executable, "-c", PARENT], cwd=tmp_path)
    try:
        url = (await parent.wait_log("http://")).text
        os.killpg(parent.pid, signal.SIGINT)
        await parent.wait_log("interrupted")
        async with httpx.AsyncClient(trust_env=False, timeout=30) as client:
            assert (await client.get(f"{url}/models")).status_code == 200
    finally:
        parent.kill()
    await parent.wait_output_closed()
