"""The harness that the other end-to-end tests rely on."""

import os
import signal
import sys
import time

import pytest

from examples.sandbox import HANG

from . import forkserver
from .harness import DRIVERS, ROOT, Process, fork_server

LOOP = """
import asyncio
from mark import mark
from nonebot import get_driver

@get_driver().on_startup
async def _():
    mark(f"the loop is of {type(asyncio.get_running_loop()).__module__}")
"""

ASK_FOR_EVER = """
import sys, urllib.request
urllib.request.build_opener(urllib.request.ProxyHandler({})).open(sys.argv[1])
"""

LEAVE_A_PROCESS = """
import signal, sys
from pathlib import Path
from tests.e2e.harness import Process
Process([sys.executable, "-c", sys.argv[1], sys.argv[2]], cwd=Path())
signal.pause()
"""


SELF = """
import os, signal, sys, threading
from mark import mark

mark(f"{sys.argv} {sys.orig_argv} {sys.path} {sys.flags}")
mark(f"{os.getcwd()} {sorted(os.environ.items() - {('FORK', '0'), ('FORK', '1')})}")
mark(f"{sys.modules['__main__'].__file__} {sorted(vars(sys.modules['__main__']))}")
mark(f"session of its own: {os.getsid(0) == os.getpid() == os.getpgid(0)}")
mark(f"{[str(signal.getsignal(number))[:20] for number in (signal.SIGCHLD, signal.SIGINT, signal.SIGTERM)]}")
mark(f"{[thread.name for thread in threading.enumerate()]} {sorted(os.listdir('/dev/fd'))}")
mark(f"{sys.stdout.write_through} {sys.stdout.encoding} {sys.stdin.read()!r}")
"""


def python(tmp_path, source, *arguments):
    """Run some source in a process."""
    return Process([sys.executable, "-c", source, *arguments], cwd=tmp_path)


@pytest.mark.skipif(sys.platform == "win32", reason="uvloop has no Windows version")
@pytest.mark.parametrize("driver", DRIVERS)
@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
async def test_a_bot_runs_on_the_loop_it_is_given(driver, loop, bot_factory):
    """Otherwise a test on uvloop would show nothing."""
    bot = await bot_factory(LOOP, driver=DRIVERS[driver], loop=loop)
    line = await bot.wait_log("the loop is of ")
    assert line.text.removeprefix("the loop is of ").startswith(loop)


@pytest.mark.skipif(sys.platform == "win32", reason="nothing forks there")
async def test_a_forked_bot_is_what_a_started_one_is(lives, monkeypatch):
    """But for a second of imports."""
    said = []
    for forks in ("1", "0"):
        monkeypatch.setenv("FORK", forks)
        bot = await lives(SELF)
        assert isinstance(bot._process, forkserver.Forked) == (forks == "1")
        said.append([line.text for line in bot.marks()])
        bot.kill()
        await bot.wait()
    assert said[0] == said[1]
    assert said[0]


@pytest.mark.skipif(sys.platform == "win32", reason="nothing forks there")
async def test_a_forked_process_may_end_before_anybody_looks(tmp_path, monkeypatch):
    """A busy machine has whoever asked for it come late."""
    monkeypatch.setenv("FORK", "1")
    (tmp_path / "bot.py").write_text("")
    server, fdopen = fork_server(), os.fdopen

    def late(*arguments):
        while server._exits:
            time.sleep(0.001)
        return fdopen(*arguments)

    monkeypatch.setattr(forkserver.os, "fdopen", late)
    process = Process([sys.executable, "bot.py"], cwd=tmp_path)
    assert await process.wait() == 0


async def test_a_process_that_does_not_end_is_killed(tmp_path):
    """And it says so."""
    process = python(tmp_path, "import time; print('up', flush=True); time.sleep(60)")
    await process.wait_log("up")
    assert await process.wait(timeout=0.1) != 0
    assert process.killed
    assert not process.left_behind


async def test_an_end_in_the_middle_of_waiting_fails_at_once(tmp_path):
    """With the output, so that one can see why."""
    process = python(tmp_path, "print('last words')")
    with pytest.raises(AssertionError, match="last words"):
        await process.wait_log("something else", timeout=60)
    assert await process.wait() == 0
    assert not process.killed


async def test_marks_have_the_time_at_which_they_were_made(tmp_path):
    """Not that at which they were read."""
    source = "import time; from mark import mark; mark('a'); print(time.monotonic()); mark('b')"
    process = python(tmp_path, source)
    await process.wait()
    first, between, second = process.lines
    assert (first.text, second.text) == ("a", "b")
    assert process.started < first.time <= float(between.text) + 1e-6 <= second.time + 2e-6
    assert second.time < process.exited < time.monotonic()
    assert process.marks() == [first, second]


@pytest.mark.skipif(sys.platform == "win32", reason="nobody is killed like this there")
async def test_no_process_outlives_tests_that_are_killed(tmp_path, api):
    """``kill -9`` runs no clean-up of ours; another process does."""
    api.on("/ask", HANG)
    tests = Process(
        [sys.executable, "-c", LEAVE_A_PROCESS, ASK_FOR_EVER, f"{api.url}/ask"], cwd=ROOT
    )
    await api.wait_for_requests(1, "/ask")
    tests.signal(signal.SIGKILL)
    await api.wait_for_disconnects(1, "/ask")
    await tests.wait()
