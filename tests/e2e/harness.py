"""A bot in a process of its own, with real signals, its log, and the times of it all.

Every time is of ``time.monotonic``, which all processes of a machine share.
"""

import asyncio
import atexit
import contextlib
import functools
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from examples.sandbox import FakeOneBot, free_port
from examples.sandbox.changes import Changes

from . import forkserver

ROOT = Path(__file__).resolve().parents[2]
CHILD = Path(__file__).with_name("child")
"""On the import path of the bots: ``from mark import mark``."""

FASTAPI = "~fastapi+~httpx+~websockets"
QUART = "~quart+~httpx+~websockets"
NONE = "~httpx+~websockets"
"""A bot without a server: it connects to OneBot, in NoneBot's forward direction."""
DRIVERS = {"fastapi": FASTAPI, "quart": QUART, "none": NONE}

BOT = """
import sys
import nonebot
from nonebot.adapters.onebot.v11 import Adapter

nonebot.init()
nonebot.get_driver().register_adapter(Adapter)
if {graceful}:
    assert nonebot.load_plugin("nonebot_plugin_graceful")
for name in {plugins}:
    assert nonebot.load_plugin(name), name
if {loop!r} == "uvloop" and not {asgi}:
    import uvloop
    uvloop.install()
"""

RUN = """
nonebot.run(**({{"loop": {loop!r}}} if {asgi} else {{}}))
"""

COLOURS = re.compile(r"\x1b\[[0-9;]*m")
MARK = re.compile(r"MARK (\d+\.\d+) (.*)")


@dataclass(frozen=True, slots=True)
class Line:
    """One line of a bot's output."""

    index: int
    """Lines come in the order in which the bot wrote them."""
    time: float
    """When it was read; of a mark: when it was made."""
    text: str
    is_mark: bool = False


class Process:
    """A child process: its output, its end. Ends with the test at the latest."""

    def __init__(
        self,
        arguments: Sequence[str],
        *,
        cwd: Path,
        env: Mapping[str, str] | None = None,
        group: Mapping[str, Any] | None = None,
    ) -> None:
        self.lines: list[Line] = []
        self.signals: list[tuple[int, float]] = []
        """Each signal sent, and when."""
        self.exit_code: int | None = None
        """As of ``subprocess``: negative for a signal. None: still running."""
        self.exited: float | None = None
        """When the process ended."""
        self.killed = False
        """Whether it had to be, since it did not end by itself."""
        self.folder = cwd
        """Its working directory."""
        self._read_all = False
        self._changes = Changes()
        self.started = time.monotonic()
        environment = {**os.environ, **ENVIRONMENT, **(env or {})}
        if group is None and forkserver.serves(arguments, env or {}):
            self._process = fork_server().fork(arguments[1:], cwd, environment)
        else:
            self._process = subprocess.Popen(
                arguments,
                cwd=cwd,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                **(OWN_GROUP if group is None else group),
            )
        self.pid = self._process.pid
        _reaper.born(self.pid)
        self._threads = [
            threading.Thread(target=target, name=f"{target.__name__}-{self.pid}", daemon=True)
            for target in (self._read, self._wait)
        ]
        for thread in self._threads:
            thread.start()

    def _read(self) -> None:
        for raw in self._process.stdout:
            now, text = time.monotonic(), COLOURS.sub("", raw.decode(errors="replace").rstrip())
            if mark := MARK.fullmatch(text):
                now, text = float(mark[1]), mark[2]
            self.lines.append(Line(len(self.lines), now, text, bool(mark)))
            self._changes.tell()
        self._read_all = True
        self._changes.tell()

    def _wait(self) -> None:
        code = self._process.wait()
        self.exited, self.exit_code = time.monotonic(), code
        _reaper.died(self.pid)
        self._changes.tell()

    # its output

    @property
    def log(self) -> str:
        """Everything it has written so far."""
        return "\n".join(line.text for line in self.lines)

    def find(self, text: str, *, after: Line | None = None) -> Line | None:
        """Return the first line that contains ``text`` (after another one)."""
        start = 0 if after is None else after.index + 1
        return next((line for line in self.lines[start:] if text in line.text), None)

    def mark(self, what: str) -> Line | None:
        """Return the first mark that reads ``what``."""
        return next((line for line in self.marks() if line.text == what), None)

    def marks(self, prefix: str = "") -> list[Line]:
        """Return the marks that begin with ``prefix``, in their order."""
        return [line for line in self.lines if line.is_mark and line.text.startswith(prefix)]

    async def wait_log(self, text: str, *, after: Line | None = None, timeout: float = 30) -> Line:
        """Wait for a line that contains ``text``; fails when the process ends without it."""
        return await self._until(lambda: self.find(text, after=after), repr(text), timeout)

    async def wait_mark(self, what: str, *, timeout: float = 30) -> Line:
        """Wait for a mark that reads ``what``; fails when the process ends without it."""
        return await self._until(lambda: self.mark(what), f"the mark {what!r}", timeout)

    async def wait_marks(self, what: str, count: int, *, timeout: float = 30) -> None:
        """Wait for so many marks that read ``what``."""

        def last() -> Line | None:
            found = [line for line in self.marks() if line.text == what]
            return found[count - 1] if len(found) >= count else None

        await self._until(last, f"{count} marks {what!r}", timeout)

    async def _until(self, condition: Any, what: str, timeout: float) -> Line:
        def look() -> Any:
            ended = self.exited is not None and self._read_all  # before: nothing is written after
            return condition() or ended

        try:
            found = await self._changes.until(look, what, timeout)
        except TimeoutError as error:
            raise AssertionError(f"{error}\n{self.log}") from None
        assert isinstance(found, Line), f"ended ({self.exit_code}) without {what}\n{self.log}"
        return found

    # its end

    def signal(self, number: int) -> float:
        """Send a signal to the process alone, and return when."""
        if sys.platform == "win32":  # the one signal that reaches another process group there
            number = signal.CTRL_BREAK_EVENT
        now = time.monotonic()
        self.signals.append((number, now))
        self._process.send_signal(number)
        return now

    @property
    def signalled(self) -> float:
        """When the first signal was sent."""
        return self.signals[0][1]

    @property
    def seconds_to_exit(self) -> float:
        """From the first signal to the end of the process."""
        assert self.exited is not None
        return self.exited - self.signalled

    async def wait(self, timeout: float = 30) -> int:
        """Wait for the end of the process, and return its exit code.

        One that has not ended after ``timeout`` seconds is killed, and ``killed`` is true.
        """
        try:
            await self._changes.until(lambda: self.exited, "the end of the bot", timeout)
        except TimeoutError:
            self.killed = True
            self.kill()
        for thread in self._threads:
            # what the process left behind may still hold its output
            await asyncio.to_thread(thread.join, 5)
        assert self.exit_code is not None
        return self.exit_code

    async def wait_output_closed(self, *, timeout: float = 30) -> None:
        """Wait until nobody can write to our pipe: everything the process started has ended."""
        await self._changes.until(lambda: self._read_all, "the end of the output", timeout)

    def kill(self) -> None:
        """End the process and what it started in its group, at once."""
        if sys.platform == "win32":
            self._process.kill()
            return
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.pid, signal.SIGKILL)

    @property
    def left_behind(self) -> bool:
        """Whether anything the process started in its group is still there."""
        if sys.platform == "win32":
            return False
        try:
            os.killpg(self.pid, 0)
        except ProcessLookupError:
            return False
        return True


class BotProcess(Process):
    """A bot, and the chat platform it is connected to."""

    def __init__(self, onebot: FakeOneBot, *args: Any, **keywords: Any) -> None:
        super().__init__(*args, **keywords)
        self.onebot = onebot
        self._connection = onebot.connections + 1
        """Which of the platform's is this bot's: another one's may not have been seen to end."""
        self.seconds_to_start: float | None = None
        """Until it was connected: about one, on a machine with nothing else to do."""
        self.port: int | None = None
        """Where it listens, if it is a server."""

    async def connected(self, *, timeout: float = 30) -> None:
        """Wait until ``onebot`` and the bot know of their connection; fails when the process ends before.

        One that ends right then may have done so before the platform has looked.
        """
        wait = asyncio.create_task(
            self.onebot.wait_for_connection(self._connection, timeout=timeout)
        )
        ended = asyncio.create_task(self._changes.until(lambda: self.exited, "", float("inf")))
        try:
            # To the platform a bot is connected when it has shaken hands, or been greeted; a signal
            # may be faster than what the bot makes of that.
            await self.wait_log(f"Bot {self.onebot.self_id} connected", timeout=timeout)
            await asyncio.wait({wait, ended}, return_when=asyncio.FIRST_COMPLETED)
            assert not wait.done() or wait.exception() is None, f"no connection\n{self.log}"
        finally:
            wait.cancel()
            ended.cancel()
        self.seconds_to_start = time.monotonic() - self.started


async def start_bot(
    folder: Path,
    onebot: FakeOneBot,
    *plugins: str | Path,
    driver: str = FASTAPI,
    graceful: bool = True,
    settings: Mapping[str, Any] | None = None,
    python: str = sys.executable,
    loop: str = "asyncio",
    env: Mapping[str, str] | None = None,
    run: str = RUN,
    arguments: Sequence[str] = ("bot.py",),
    group: Mapping[str, Any] | None = None,
) -> BotProcess:
    """Start a bot and connect it to ``onebot``.

    Args:
        folder: An empty one, to become the bot's working directory.
        onebot: Is dialled or listened to, as the driver needs it.
        plugins: Source text, or files that are copied.
        driver: ``FASTAPI``, ``QUART`` or ``NONE``, or any other.
        graceful: Whether nonebot_plugin_graceful is loaded.
        settings: Written to the bot's ``.env``, by lower- or upper-case name.
        python: The interpreter.
        loop: ``asyncio`` or ``uvloop``.
        env: Environment variables.
        run: Source that runs the bot, if it is not to be ``nonebot.run()``.
        arguments: The interpreter's.
        group: How it is set apart from us, as ``subprocess`` takes it.

    """
    folder.mkdir(parents=True, exist_ok=True)
    names = [_write_plugin(folder, number, plugin) for number, plugin in enumerate(plugins)]
    asgi = "fastapi" in driver or "quart" in driver
    (folder / "bot.py").write_text(
        (BOT + run).format(graceful=graceful, plugins=names, loop=loop, asgi=asgi), encoding="utf-8"
    )
    values: dict[str, Any] = {"driver": driver, "localstore_use_cwd": True}
    if asgi:
        values |= {"host": "127.0.0.1", "port": free_port()}
    else:
        values["onebot_ws_urls"] = [await onebot.listen()]
    values |= settings or {}
    lines = (f"{name.upper()}={_as_setting(value)}\n" for name, value in values.items())
    (folder / ".env").write_text("".join(lines), encoding="utf-8")
    bot = BotProcess(onebot, [python, *arguments], cwd=folder, env=env, group=group)
    bot.port = values.get("port")
    if asgi:
        onebot.dial(f"ws://127.0.0.1:{values['port']}/onebot/v11/ws")
    return bot


def _write_plugin(folder: Path, number: int, plugin: str | Path) -> str:
    if isinstance(plugin, Path):
        shutil.copy(plugin, folder)
        return plugin.stem
    name = f"plugin_{number}"
    (folder / f"{name}.py").write_text(plugin, encoding="utf-8")
    return name


def _as_setting(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)


ENVIRONMENT = {
    "PYTHONPATH": os.pathsep.join([str(ROOT), str(CHILD)]),
    "PYTHONUNBUFFERED": "1",
    "PYTHONUTF8": "1",
    "NO_COLOR": "1",
    # loopback is not to go through anybody's proxy
    "NO_PROXY": "127.0.0.1",
}
OWN_GROUP: dict[str, Any] = (
    {"creationflags": subprocess.CREATE_NEW_PROCESS_GROUP}
    if sys.platform == "win32"
    else {"start_new_session": True}
)


@functools.cache
def fork_server() -> forkserver.ForkServer:
    """Return this worker's one."""
    return forkserver.ForkServer({**os.environ, **ENVIRONMENT})


class _Reaper:
    """Our end of ``reaper.py``."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None
        self._lock = threading.Lock()

    def born(self, pid: int) -> None:
        with self._lock:
            if self._process is None:
                self._process = subprocess.Popen(
                    [sys.executable, Path(__file__).with_name("reaper.py")],
                    stdin=subprocess.PIPE,
                    **OWN_GROUP,
                )
                atexit.register(self.close)
        self._tell(f"+{pid}\n")

    def died(self, pid: int) -> None:
        self._tell(f"-{pid}\n")

    def _tell(self, line: str) -> None:
        with self._lock:
            self._process.stdin.write(line.encode())
            self._process.stdin.flush()

    def close(self) -> None:
        self._process.stdin.close()
        self._process.wait()


_reaper = _Reaper()
