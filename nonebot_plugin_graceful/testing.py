"""Help for testing a plugin: the shutdown inside a nonebug test, and a drill with a real process.

Needs pytest, which the bot itself does not. In a test module::

    from nonebot_plugin_graceful import testing

    begin_shutdown = testing.begin_shutdown  # a fixture

Not in ``conftest.py``, unless that has loaded the plugin: NoneBot refuses to load what was
imported before.
"""

import asyncio
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import pytest

from .bot.adapters import cut_after_replies
from .bot.matchers import refuse_events
from .core import installed
from .core.drain import Drain
from .core.info import TaskInfo, describe, in_flight
from .core.work import Work

__all__ = ["Drill", "Outcome", "begin_shutdown", "drill"]

COLOURS = re.compile(r"\x1b\[[0-9;]*m")


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of everything that was in flight."""

    stopped: list[TaskInfo]
    """Was cancelled, and ended."""
    finished: list[TaskInfo]
    """Ended by itself within its grace."""
    shielded: list[TaskInfo]
    """Was inside ``shield()`` when the shutdown began, whatever became of it then."""
    refused: list[TaskInfo]
    """Would not end."""


BeginShutdown = Callable[..., Awaitable[Outcome]]


@pytest.fixture
def begin_shutdown() -> Iterator[BeginShutdown]:
    """Begin a shutdown while handlers run, and learn what became of them.

    ``outcome = await begin_shutdown("SIGTERM")``, in the test and not in a handler. Work is stopped as in a real one, and nothing else: no signal, no connection is closed, no
    ``on_shutdown`` hook runs. When the test is over, all is as before. Arguments: ``reason``;
    ``grace``, seconds that no kind's grace exceeds (0).
    """
    undo: list[Callable[[], None]] = []
    tree = installed.tree

    async def begin(reason: str = "test", *, grace: float = 0.0) -> Outcome:
        if tree.current() is not None:
            raise RuntimeError("begin_shutdown() belongs into the test, not into a handler")
        me = asyncio.current_task()
        assert me is not None
        tree.internal.add(me)  # the test itself is not to be stopped
        undo.append(lambda: tree.internal.discard(me))
        before = {work: describe(tree, work) for work in in_flight(tree)}
        noted = tree.snapshot()
        tree.lifecycle.begin(reason)
        undo.extend([refuse_events(tree), cut_after_replies(tree)])
        drain = Drain(tree, noted=noted, grace_cap=grace, hook_timeout=1.0)
        await drain.run()
        outcomes = drain.stopping.outcomes()

        def infos(works: list[Work]) -> list[TaskInfo]:
            return [before[work] for work in works if work in before]

        return Outcome(
            stopped=infos(outcomes.cancelled),
            finished=infos(outcomes.finished),
            shielded=[info for info in before.values() if info.state == "shielded"],
            refused=infos(outcomes.stragglers),
        )

    yield begin
    for take_back in undo:
        take_back()
    tree.lifecycle.reopen()


@dataclass(slots=True)
class Drill:
    """How a bot ended."""

    exit_code: int
    """As of ``subprocess``: negative for a signal."""
    seconds: float
    """From the signal to the end of the process."""
    log: str
    """All it wrote, without colours."""
    report: dict[str, Any] | None
    """The shutdown's report (see ``core/report.py``); None if it left none."""


def drill(
    bot: str | os.PathLike[str],
    at: str,
    *,
    signum: int = signal.SIGINT,
    timeout: float = 60.0,
    env: Mapping[str, str] | None = None,
    cwd: str | os.PathLike[str] | None = None,
) -> Drill:
    """Run a bot in a process of its own, and send it a signal. Blocks until it has ended.

    Args:
        bot: A file such as ``bot.py``, or the name of a module.
        at: The signal is sent at the first line of the log that contains this.
        signum: The signal. Windows knows only Ctrl+Break for other processes, so it is that there.
        timeout: Seconds for all of it.
        env: Environment variables on top of ours.
        cwd: Its working directory, where ``.env`` is.

    Raises:
        TimeoutError: It did not end in time; it was killed.
        AssertionError: It ended before it wrote the line.

    """
    target = [os.fspath(bot)] if os.fspath(bot).endswith(".py") else ["-m", os.fspath(bot)]
    with tempfile.TemporaryDirectory(prefix="graceful-drill-") as folder:
        report = Path(folder) / "report.json"
        process = subprocess.Popen(  # noqa: S603 - the author's own bot
            [sys.executable, *target],
            cwd=cwd,
            env={
                **os.environ,
                "PYTHONUNBUFFERED": "1",
                "PYTHONUTF8": "1",
                **(env or {}),
                "GRACEFUL_REPORT_FILE": str(report),
            },
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            # Ctrl+Break goes to a process group: on Windows, where there are such, not to be ours
            creationflags=getattr(subprocess, "CREATE_NEW_PROCESS_GROUP", 0),
        )
        watcher = _Watcher(process, at, signum)
        try:
            process.wait(timeout)
            ended = time.monotonic()
        except subprocess.TimeoutExpired:
            raise TimeoutError(f"not ended after {timeout:g} s\n{watcher.log}") from None
        finally:
            if process.poll() is None:
                process.kill()
                process.wait()
            watcher.join()
        if watcher.signalled is None:
            raise AssertionError(f"ended ({process.returncode}) without {at!r}\n{watcher.log}")
        return Drill(
            exit_code=process.returncode,
            seconds=ended - watcher.signalled,
            log=watcher.log,
            report=_read(report),
        )


class _Watcher:
    """Reads what a process writes, and sends the signal at the right line."""

    def __init__(self, process: "subprocess.Popen[bytes]", at: str, signum: int) -> None:
        self.lines: list[str] = []
        self.signalled: float | None = None
        self._process = process
        self._at = at
        self._signum: int = signal.CTRL_BREAK_EVENT if sys.platform == "win32" else signum
        assert process.stdout is not None
        self._thread = threading.Thread(target=self._read, args=(process.stdout,), daemon=True)
        self._thread.start()

    @property
    def log(self) -> str:
        return "\n".join(self.lines)

    def join(self) -> None:
        self._thread.join(5)  # what the bot left behind may still hold the pipe

    def _read(self, output: IO[bytes]) -> None:
        with output:
            for raw in output:
                line = COLOURS.sub("", raw.decode(errors="replace").rstrip())
                self.lines.append(line)
                if self.signalled is None and self._at in line:
                    self.signalled = time.monotonic()
                    self._process.send_signal(self._signum)


def _read(report: Path) -> dict[str, Any] | None:
    return json.loads(report.read_text(encoding="utf-8")) if report.exists() else None
