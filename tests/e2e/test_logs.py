"""A plugin that logs pictures in every way there is: the console and the file stay readable."""

import asyncio
import signal
import sys
from pathlib import Path

import pytest

from nonebot_plugin_graceful.logs import read_recent

from .endings import FIRST, SECOND, THIRD, press_again
from .harness import COLOURS, DRIVERS, FASTAPI

SHOWS_PICTURES = Path(__file__).with_name("plugins") / "logs_pictures.py"
HOOKS = Path(__file__).with_name("plugins") / "culprit_hooks.py"
READABLE = 64_000
"""Characters."""
SETTINGS = {"log_level": "TRACE", "graceful_log_file": "bot.log"}


def log_file(folder: Path) -> Path:
    return folder / "bot0" / "data" / "nonebot_plugin_graceful" / "bot.log"


def said(line: str) -> str:
    """What a line says, be it the console's or the file's."""
    return line.partition("| ")[2]


def recent_file(folder: Path) -> Path:
    return log_file(folder).with_name("recent.log")


def recent(folder: Path) -> list[str]:
    return shown(read_recent(recent_file(folder).parent, 2000))


def shown(text: str) -> list[str]:
    """Get the lines of a console's text that were logged."""
    lines = COLOURS.sub("", text).splitlines()
    return [line for line in lines if "] " in line and " | " in line]


def last_line_logged(text: str) -> str:
    return said([line for line in text.splitlines() if "] " in line and " | " in line][-1])


@pytest.fixture(params=DRIVERS)
def driver(request):
    return DRIVERS[request.param]


async def test_pictures_leave_console_and_file_readable(bot_factory, tmp_path, driver):
    """Two megabytes, in each of the ways pictures get into logs, are a few kilobytes of log."""
    bot = await bot_factory(SHOWS_PICTURES, driver=driver, settings=SETTINGS)
    await bot.wait_mark("all logged", timeout=90)
    bot.signal(signal.SIGINT)
    await bot.wait()

    file = log_file(tmp_path).read_text("utf-8")
    for log in (bot.log, file):
        assert len(log) < READABLE
        for way in bot.marks("way "):
            name = way.text.removeprefix("way ")
            assert f"{name} begins" in log
            assert f"{name} ends" in log
        assert log.count("<image/png ") >= 18
        assert "ValueError: first" in log
        assert "RuntimeError: second" in log
        assert "sk-a1B2" not in log
        assert "topsecret" not in log
    assert len(bot.marks("way ")) >= 18


async def test_file_ends_with_the_last_line_of_the_shutdown(bot_factory, tmp_path, driver):
    """The log one is asked for does not end at Ctrl+C."""
    bot = await bot_factory(driver=driver, settings=SETTINGS)
    bot.signal(signal.SIGINT)
    await bot.wait()

    file = log_file(tmp_path).read_text("utf-8")
    assert "SIGINT" in file
    assert last_line_logged(file) == last_line_logged(bot.log)
    assert file.endswith("\n")


async def test_nothing_has_to_be_set_for_the_last_lines(bot_factory, tmp_path, driver):
    """What the console showed is on disk, from the loading of the plugin to the last line."""
    bot = await bot_factory(driver=driver)
    bot.signal(signal.SIGINT)
    await bot.wait()

    lines, on_console = recent(tmp_path), shown(bot.log)
    assert lines == on_console[-len(lines) :]
    assert any('load plugin "nonebot_plugin_graceful"' in line for line in lines)


@pytest.mark.skipif(sys.platform == "win32", reason="has no SIGKILL")
async def test_a_bot_that_is_killed_leaves_its_last_lines(bot_factory, tmp_path):
    """But for those of its last second."""
    bot = await bot_factory(driver=FASTAPI)

    async def written() -> None:
        while not any("connected" in line for line in recent(tmp_path)):
            await asyncio.sleep(0.1)

    await asyncio.wait_for(written(), 30)
    bot.signal(signal.SIGKILL)
    await bot.wait()

    assert any("connected" in line for line in recent(tmp_path))


ENDS = {
    1: "Ending the process: the deadline of 2 s is over",
    2: "Ending the process: threads are still at work",
    3: THIRD,
}
"""Why it is, by how often somebody presses."""


@pytest.mark.parametrize("presses", ENDS)
async def test_file_is_complete_when_the_end_is_forced(bot_factory, tmp_path, presses):
    """A hook sleeps for ever in a thread: the watchdog ends the process, and its word is the last."""
    settings = {**SETTINGS, "culprit_hooks": ["hook_sleeps"]}
    settings["graceful_deadline"] = 2 if presses == 1 else 60
    settings["graceful_hook_timeout"] = 50 if presses == 3 else 1
    bot = await bot_factory(HOOKS, driver=FASTAPI, settings=settings)
    bot.signal(signal.SIGINT)
    for told in (FIRST, SECOND)[: presses - 1]:
        await press_again(bot, told)
    await bot.wait()

    assert not bot.killed
    file = log_file(tmp_path).read_text("utf-8")
    assert last_line_logged(file) == last_line_logged(bot.log)
    assert recent(tmp_path)[-1] == shown(bot.log)[-1]
    assert bot.find(ENDS[presses]), bot.log


async def test_without_it_pictures_wash_everything_away(bot_factory):
    """What the problem is, shown with the same plugin."""
    bot = await bot_factory(SHOWS_PICTURES, driver=FASTAPI, settings={"graceful_redact": False})
    await bot.wait_mark("all logged", timeout=90)
    bot.signal(signal.SIGINT)
    await bot.wait()

    assert len(bot.log) > 20_000_000
