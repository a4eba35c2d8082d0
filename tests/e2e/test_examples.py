"""The numbered examples: what each promises, in a real bot, with a real Ctrl+C."""

import os
import re
import signal
import subprocess
import sys

import pytest

from examples.sandbox import HANG, Rule
from examples.sandbox.api import CHAT, IMAGES

from .endings import CLEAN, IN_TIME, PATIENT, PATIENT_BOT, paths_since
from .harness import ROOT, Process

EXAMPLES = ROOT / "examples"
NUMBERED = sorted(EXAMPLES.glob("[0-9][0-9]_*.py"))
LONGEST = 40
"""Lines."""


def example(number):
    (found,) = EXAMPLES.glob(f"{number:02}_*.py")
    return found


async def stop(bot, then=None):
    """Press Ctrl+C; it ends in order, and soon."""
    signalled = bot.signal(signal.SIGINT)
    if then is not None:
        await then()
    assert await bot.wait() == CLEAN, bot.log
    assert bot.seconds_to_exit < IN_TIME, bot.log
    assert bot.find("Stopped (SIGINT)"), bot.log
    return signalled


def test_they_are_numbered_and_short():
    """One after the other, each with how to try it."""
    assert [int(path.name[:2]) for path in NUMBERED] == list(range(1, 13))
    for path in NUMBERED:
        text = path.read_text(encoding="utf-8")
        assert len(text.splitlines()) <= LONGEST, path.name
        way = f"examples/{path.name}" if "test_" in text else f"examples.{path.stem}"
        assert f"{way}``" in text.partition("Try it:")[2], path.name


async def test_01_track(api, onebot, bot_factory):
    """The request is given up, the kind is counted, and the chat is told."""
    api.on(IMAGES, HANG)
    bot = await bot_factory(example(1), settings=PATIENT)
    await onebot.say(1, "/画图", group=30001)
    await api.wait_for_requests(1, IMAGES)
    await stop(bot)
    await api.wait_for_disconnects(1, IMAGES)
    assert [sent.chat for sent in onebot.sent] == [("group", 30001)]
    assert "画笔先收起来了" in onebot.sent[0].text
    assert re.search(r"\| +image +1$", bot.log, re.MULTILINE), bot.log


async def test_02_graces(api, onebot, bot_factory):
    """The answer comes, the picture is not waited for."""
    api.on(CHAT, HANG)
    api.on(IMAGES, HANG)
    bot = await bot_factory(example(2), settings=PATIENT)

    async def it_answers():
        await bot.wait_log("Waiting for 1")
        api.let_go(CHAT)

    await onebot.say(1, "/画图")
    await api.wait_for_requests(1, IMAGES)
    await onebot.say(2, "/聊天")
    await api.wait_for_requests(1, CHAT)
    await stop(bot, then=it_answers)
    assert [sent.chat for sent in onebot.sent] == [("private", 2)]
    logged = [without_numbers(line.text.partition(" | ")[2]) for line in bot.lines]
    for readme in ("README.md", "README.en.md"):
        text = (ROOT / readme).read_text(encoding="utf-8")
        (shown,) = re.findall(r"```text\n(SIGINT: .*?)\n```", text, re.DOTALL)
        assert set(map(without_numbers, shown.splitlines())) <= set(logged), bot.log


def without_numbers(line):
    """Seconds differ."""
    return re.sub(r"\d+\.\d+|(?<=at most )\d+", "?", line)


async def test_03_shield(api, onebot, bot_factory):
    """Both lines are booked, and no more is done."""
    bot = await bot_factory(example(3), settings=PATIENT)
    await onebot.say(1, "/画图")
    await bot.wait_log("Booking")
    await stop(bot)
    assert (bot.folder / "bills.txt").read_text().split() == ["begun", "done"]
    assert not bot.find("What is not shielded any more"), bot.log


async def test_04_queue(api, onebot, bot_factory):
    """A recall ends one job, the worker does the next one; Ctrl+C ends it, too."""
    api.on(IMAGES, HANG, Rule(), HANG)
    bot = await bot_factory(example(4), settings=PATIENT)
    first = await onebot.say(1, "/画图")
    await api.wait_for_requests(1, IMAGES)
    await onebot.say(2, "/画图")
    await onebot.recall(first)
    await onebot.wait_for_message("画好了")
    await onebot.say(3, "/画图")
    await api.wait_for_requests(3, IMAGES)
    await stop(bot)
    assert [sent.chat for sent in onebot.sent] == [("private", 2)]


async def test_05_retries(api, onebot, bot_factory):
    """A wait of twenty seconds ends at once, and nothing is tried after it."""
    api.on(IMAGES, Rule(503, headers={"Retry-After": "20"}))
    bot = await bot_factory(example(5), settings=PATIENT)
    await onebot.say(1, "/画图")
    await bot.wait_log("Retrying")
    signalled = await stop(bot)
    assert paths_since(api, signalled) == []
    assert api.count(IMAGES) == 1


async def test_06_openai(api, onebot, bot_factory):
    """It answers as ever; and a request that hangs is given up."""
    bot = await bot_factory(example(6), settings=PATIENT)
    await onebot.say(1, "/聊天")
    await onebot.wait_for_message("你好")
    api.on(CHAT, HANG)
    await onebot.say(1, "/聊天")
    await api.wait_for_requests(2, CHAT)
    await stop(bot)
    await api.wait_for_disconnects(1, CHAT)
    assert re.search(r"\| +llm +1$", bot.log, re.MULTILINE), bot.log


async def test_07_thread(onebot, bot_factory):
    """The thread ends by itself, so nobody has to be forced."""
    settings = {**PATIENT, "graceful_thread_timeout": 20}
    bot = await bot_factory(example(7), settings=settings)
    await onebot.say(1, "/画图")
    await bot.wait_log("Tile 1")
    await stop(bot)
    assert not bot.find("Tile 50"), bot.log
    assert not bot.find("Ending the process"), bot.log


async def test_08_on_shutting_down(onebot, bot_factory):
    """It is read before the connection closes; later, nobody is there to say it to."""
    bot = await bot_factory(example(8), settings=PATIENT)
    await stop(bot)
    (sent,) = onebot.sent
    assert sent.chat == ("group", 30001)
    assert sent.answered is not None
    assert bot.find("0 bots are connected now"), bot.log


async def test_09_limits(api, onebot, bot_factory):
    """One at a time, the second is told; and what only queued has asked nothing of the service."""
    api.on(IMAGES, HANG)
    bot = await bot_factory(
        example(9), settings={**PATIENT, "graceful_kinds": {"image": {"limit": 1}}}
    )
    await onebot.say(1, "/画图")
    await api.wait_for_requests(1, IMAGES)
    await onebot.say(2, "/画图")
    await onebot.wait_for_message("前面还有 1 位")
    api.let_go(IMAGES)
    await onebot.wait_for_message("画好了")
    await api.wait_for_requests(2, IMAGES)
    first, second = api.requests
    assert first.answered < second.received
    await onebot.say(3, "/画图")
    await onebot.wait_for_message(lambda sent: sent.chat == ("private", 3))
    await stop(bot)
    assert api.count(IMAGES) == 2


@pytest.mark.parametrize("how", ["SIGINT", "SIGKILL"])
@pytest.mark.skipif(sys.platform == "win32", reason="there is no SIGKILL")
async def test_10_resume(api, onebot, lives, how):
    """After a restart the picture comes, once, and the story was asked for once."""
    api.on(IMAGES, HANG)
    bot = await lives(example(10), settings=PATIENT)
    await onebot.say(1, "/画图", group=30001)
    await api.wait_for_requests(1, IMAGES)
    bot.signal(getattr(signal, how))
    await bot.wait()
    await onebot.wait_closed()
    api.on(IMAGES)
    bot = await lives(example(10), settings=PATIENT)
    assert (await onebot.wait_for_message("画好了")).chat == ("group", 30001)
    await stop(bot)
    assert len(onebot.sent) == 1
    assert api.count(CHAT) == 1
    first, second = (request for request in api.requests if request.path == IMAGES)
    assert first.headers["idempotency-key"] == second.headers["idempotency-key"]


@pytest.mark.parametrize("number", [11, 12])
def test_tests_of_authors(number, tmp_path):
    """As anybody runs them who has pytest and pytest-asyncio."""
    file = str(example(number))
    unwanted = [f"-pno:{name}" for name in ("nonebug", "xdist", "cacheprovider", "timeout")]
    done = subprocess.run(
        [sys.executable, "-mpytest", f"-c{os.devnull}", "-oasyncio_mode=auto", *unwanted, file],
        cwd=tmp_path,
        env={**os.environ, **PATIENT_BOT, "PYTHONPATH": str(ROOT), "PYTHONUTF8": "1"},
        capture_output=True,
        encoding="utf-8",
        timeout=100,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "1 passed" in done.stdout, done.stdout


async def test_they_are_tried_as_they_say(tmp_path):
    """``bot.py examples.01_track``: beside the sandbox, in place of the assistant."""
    arguments = [sys.executable, str(ROOT / "bot.py"), "examples.01_track"]
    bot = Process(arguments, cwd=tmp_path, env=PATIENT_BOT)
    try:
        await bot.wait_log("[sandbox] group 30001 reads: 画好了")
        await stop(bot)
        assert not bot.find("ai_assistant"), bot.log
    finally:
        bot.kill()
        await bot.wait()
