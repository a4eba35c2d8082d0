"""The last lines of the console, in a file: for who has a problem and has set nothing beforehand.

A file, because memory is gone when a process crashes or is killed, and because what packs a bug
report is another process. Lines are put aside, and a thread writes them within a second, since a
write for each would make logging a tenth dearer. What is left at the end of the process is written
then, also when it is ended by force: a crash, or SIGKILL, costs the last second at most.
"""

import _thread
import atexit
import os
import re
import threading
import time
from collections import deque
from contextlib import suppress
from pathlib import Path

from loguru import logger

__all__ = ["Recent", "read_recent"]

_NAME, _NAME_BEFORE = "recent.log", "recent.1.log"
_DELAY = 1.0
"""Seconds."""
_LONGEST = 8192
_COLOURS = re.compile(r"\x1b\[[0-9;]*m")


class Recent:
    """Keeps the last lines.

    Their file is begun anew when it has as many lines as are to be kept, and the one before it
    stays: so there are always that many, and it is never much more than twice that.

    Args:
        folder: Where the files lie.
        lines: How many lines are kept.

    """

    def __init__(self, folder: Path, lines: int) -> None:
        self.pending: deque[str] = deque(maxlen=lines)
        """What is not written yet."""
        self.awake: bool = False
        """Whether it will be, without another `wake`."""
        self._path = folder / _NAME
        self._lines = lines
        self._in_file = -1
        self._lock = threading.Lock()
        self._process = os.getpid()
        atexit.register(self._flush_at_exit)

    def add(self, line: str) -> None:
        """Put a line aside. The middle of a very long one is left out."""
        if len(line) > _LONGEST:
            half = _LONGEST // 2
            line = f"{line[:half]}<{len(line) - 2 * half:,} characters>{line[-half:]}"
        self.pending.append(line)
        if not self.awake:
            self.wake()

    def wake(self) -> None:
        """Have what was put aside written soon."""
        self.awake = True
        # Not threading.Thread: start() takes locks, and a signal's handler that logs may come between.
        try:
            _thread.start_new_thread(self._write_soon, ())
        except RuntimeError:  # there are too many; or the interpreter ends, and flush() comes
            self.awake = False

    def flush(self, timeout: float = 0.1) -> None:
        """Write what was put aside.

        Args:
            timeout: Seconds to wait for another thread that is about to do so.

        Raises:
            OSError: It cannot be written.

        """
        # A child of os.fork() has a copy of the lines, and no business with them.
        if self._process != os.getpid() or not self._lock.acquire(timeout=timeout):
            return
        try:
            lines: list[str] = []
            with suppress(IndexError):
                while True:
                    lines.append(self.pending.popleft())
            if lines:
                self._write("".join(lines).encode("utf-8", "backslashreplace"))
        finally:
            self._lock.release()

    def close(self) -> None:
        """Write what is left, and keep nothing from now on."""
        atexit.unregister(self._flush_at_exit)
        self._flush_at_exit()
        self.awake = True

    def _flush_at_exit(self) -> None:
        with suppress(OSError):
            self.flush()

    def _write_soon(self) -> None:
        time.sleep(_DELAY)
        self.awake = False  # what is put aside from here on needs another turn
        try:
            self.flush()
        except OSError as error:
            self.awake = True
            atexit.unregister(self._flush_at_exit)
            why = error.strerror or error
            logger.warning(f"GRACEFUL_LOG_BUFFER: cannot write {self._path} ({why})")

    def _write(self, data: bytes) -> None:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        if self._in_file < 0:
            self._in_file = _count_lines(self._path)
        if self._in_file >= self._lines:
            with suppress(PermissionError):  # Windows, while somebody reads it
                self._path.replace(self._path.with_name(_NAME_BEFORE))
                self._in_file = 0
        # Opened each time: another bot that shares the folder may have begun the file anew. What
        # people say in chats is in it, so it is the owner's alone.
        with open(self._path, "ab", opener=_open_private) as file:
            file.write(data)
        self._in_file += data.count(b"\n")


def read_recent(folder: Path, lines: int) -> str:
    """Read the last lines, without colours; an empty text if there are none.

    Args:
        folder: Where the files lie.
        lines: How many there are to be.

    Raises:
        OSError: They cannot be read.

    """
    text = ""
    for name in (_NAME_BEFORE, _NAME):
        with suppress(FileNotFoundError):
            text += (folder / name).read_text("utf-8", "replace")
    return _COLOURS.sub("", "".join(text.splitlines(keepends=True)[-lines:]))


def _count_lines(path: Path) -> int:
    with suppress(FileNotFoundError):
        return path.read_bytes().count(b"\n")
    return 0


def _open_private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)
