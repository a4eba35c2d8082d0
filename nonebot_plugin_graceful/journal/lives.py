"""Lives: which processes that share a folder are still there.

A process holds a lock for as long as it lives, and the system takes it away however it ends. The
lock is SQLite's, on a file of its own, because that is the same on every platform.
"""

import contextlib
import sqlite3
import time
import uuid
from pathlib import Path

__all__ = ["Lives"]

NEWBORN = 60.0
"""Seconds after which whoever has a file has its lock, too."""


class Lives:
    """The lives in a folder, of which one is ours.

    Args:
        folder: Where their lock files are.

    """

    def __init__(self, folder: Path) -> None:
        self.own: str = uuid.uuid4().hex[:12]
        self._folder = folder
        self._lock: sqlite3.Connection | None = None

    def begin(self) -> None:
        """Be seen to be alive. More than once does no harm.

        Raises:
            sqlite3.Error: The folder cannot be written to.

        """
        if self._lock is None:
            self._lock = _lock(self._file(self.own))

    def end(self) -> None:
        """Be seen to have ended."""
        if self._lock is not None:
            self._lock.close()
            self._lock = None
            self._remove(self.own)

    def is_over(self, life: str) -> bool:
        """Whether the process has ended; ours has not."""
        if life == self.own:
            return False
        file = self._file(life)
        if not file.exists():
            return True
        try:
            _lock(file).close()
        except sqlite3.OperationalError:
            return False
        self._remove(life)
        return True

    def tidy_up(self) -> None:
        """Remove what those left who were killed; but not of one that is just being born."""
        before = time.time() - NEWBORN
        for file in self._folder.glob("journal-*.alive"):
            with contextlib.suppress(OSError):
                if file.stat().st_mtime < before:
                    self.is_over(file.stem.partition("-")[2])

    def _file(self, life: str) -> Path:
        return self._folder / f"journal-{life}.alive"

    def _remove(self, life: str) -> None:
        with contextlib.suppress(OSError):
            self._file(life).unlink()


def _lock(file: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(file, timeout=0, isolation_level=None, check_same_thread=False)
    try:
        connection.execute("PRAGMA journal_mode=MEMORY")  # no further file beside it
        connection.execute("BEGIN EXCLUSIVE")
    except sqlite3.Error:
        connection.close()
        raise
    return connection
