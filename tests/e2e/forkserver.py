"""Bots by ``fork()`` from a process that has imported NoneBot: each starts a second of computing sooner.

What is preloaded is what others wrote, and nothing of ours: the plugin is loaded by each bot. A
forked one has its own session, output, folder, environment and ``__main__``, and ends as any
interpreter does. ``FORK=0`` in the environment starts each from nothing, as Windows does.
"""

import contextlib
import gc
import importlib
import json
import os
import selectors
import signal
import socket
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Mapping, Sequence
from concurrent.futures import Future
from pathlib import Path
from typing import Any

PRELOADED = (
    "apscheduler.schedulers.asyncio",
    "httpx",
    "nonebot.adapters.onebot.v11",
    "nonebot.drivers.fastapi",
    "nonebot.drivers.httpx",
    "nonebot.drivers.websockets",
    "sqlite3",
    "tenacity",
    "uvicorn.lifespan.on",
    "uvicorn.loops.asyncio",
    "uvicorn.protocols.http.auto",
    "uvicorn.protocols.websockets.auto",
)


def serves(arguments: Sequence[str], env: Mapping[str, str]) -> bool:
    """Whether a process can be forked: ``python bot.py``, with nothing that is read at the very start."""
    wanted = hasattr(os, "fork") and os.environ.get("FORK") != "0"
    told_early = any(name.startswith(("LOGURU_", "PYTHON")) for name in env)
    return wanted and not told_early and [sys.executable, "bot.py"] == list(arguments)


class Forked:
    """A forked bot, with what the harness uses of ``subprocess.Popen``."""

    def __init__(self, pid: int, stdout: Any, exited: "Future[int]") -> None:
        self.pid = pid
        self.stdout = stdout
        self._exited = exited

    def wait(self) -> int:
        """Wait for its end. Negative for a signal."""
        return self._exited.result()

    def send_signal(self, number: int) -> None:
        """Send a signal, unless it has ended."""
        if not self._exited.done():
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, number)


class ForkServer:
    """Our end of the server: a process of its own, which ends with ours."""

    def __init__(self, env: Mapping[str, str]) -> None:
        self._socket, theirs = socket.socketpair()
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, __file__, str(theirs.fileno())],
                env=env,
                stdin=subprocess.DEVNULL,
                pass_fds=[theirs.fileno()],
                start_new_session=True,
            )
        self._lock = threading.Lock()
        self._asked: deque[Future[tuple[int, Future[int]]]] = deque()
        self._exits: dict[int, Future[int]] = {}
        threading.Thread(target=self._read, name="forkserver", daemon=True).start()

    def fork(self, arguments: Sequence[str], cwd: Path, env: Mapping[str, str]) -> Forked:
        """Start ``python *arguments``."""
        order = {"arguments": list(arguments), "cwd": str(cwd), "env": dict(env)}
        output, theirs = os.pipe()
        born: Future[tuple[int, Future[int]]] = Future()
        try:
            with self._lock:
                self._asked.append(born)
                body = json.dumps(order).encode()
                head = len(body).to_bytes(4, "big")
                socket.send_fds(self._socket, [head], [theirs])
                self._socket.sendall(body)
        finally:
            os.close(theirs)
        pid, exited = born.result()  # it may have ended by now
        return Forked(pid, os.fdopen(output, "rb"), exited)

    def _read(self) -> None:
        with self._socket.makefile("rb") as answers:
            for answer in answers:
                pid, code = json.loads(answer)
                if code is None:
                    exited = self._exits[pid] = Future()
                    self._asked.popleft().set_result((pid, exited))
                else:
                    self._exits.pop(pid).set_result(code)
        for waiting in (*self._asked, *self._exits.values()):
            waiting.set_exception(RuntimeError("the fork server has ended"))


# the server's side


def serve(channel: socket.socket) -> dict[str, Any]:
    """Fork until nobody asks any more. Returns in each child, with what it was asked to be."""
    for name in PRELOADED:
        with contextlib.suppress(ImportError):
            importlib.import_module(name)
    gc.collect()
    gc.freeze()  # or each child would copy it all at its first collection
    woken, wake = socket.socketpair()
    woken.setblocking(False)
    wake.setblocking(False)
    signal.set_wakeup_fd(wake.fileno())
    signal.signal(signal.SIGCHLD, lambda *_: None)
    with selectors.DefaultSelector() as selector:
        selector.register(channel, selectors.EVENT_READ)
        selector.register(woken, selectors.EVENT_READ)
        while True:
            ready = {key.fileobj for key, _ in selector.select()}
            if woken in ready:
                woken.recv(4096)
                tell_exits(channel)
            if channel in ready:
                head, fds, _, _ = socket.recv_fds(channel, 4, 1)
                if not head:
                    sys.exit()
                order = json.loads(channel.recv(int.from_bytes(head, "big"), socket.MSG_WAITALL))
                pid = os.fork()
                if pid == 0:
                    break
                os.close(fds[0])
                channel.sendall(b"[%d, null]\n" % pid)
    signal.set_wakeup_fd(-1)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    os.setsid()
    for stream in (1, 2):
        os.dup2(fds[0], stream)
    for mine in (channel, woken, wake):
        mine.close()
    os.close(fds[0])
    return order


def tell_exits(channel: socket.socket) -> None:
    """Tell of every child that has ended."""
    with contextlib.suppress(ChildProcessError):
        while True:
            pid, status = os.waitpid(-1, os.WNOHANG)
            if pid == 0:
                return
            channel.sendall(b"[%d, %d]\n" % (pid, os.waitstatus_to_exitcode(status)))


def become(arguments: list[str], cwd: str, env: dict[str, str]) -> None:
    """Be what ``python *arguments`` would be, to the end."""
    os.chdir(cwd)
    os.environ.clear()
    os.environ.update(env)
    sys.argv = arguments
    sys.orig_argv = [sys.executable, *arguments]
    sys.path[0] = cwd
    script = Path(arguments[0]).absolute()
    main = sys.modules["__main__"].__dict__
    for name in [name for name in main if not name.startswith("__")]:
        del main[name]
    main |= {"__doc__": None, "__file__": str(script)}
    exec(compile(script.read_bytes(), script, "exec"), main)


if __name__ == "__main__":
    become(**serve(socket.socket(fileno=int(sys.argv[1]))))
