"""Hears of signals while the main thread runs no Python, so that no handler of Python's is called."""

import contextlib
import os
import signal
import sys
import threading
from collections.abc import Callable, Collection

__all__ = ["Wakeup", "in_children"]


def in_children(action: Callable[[], object]) -> None:
    """Have something done in each child process that is forked, for as long as this process lives."""
    if sys.platform != "win32":
        os.register_at_fork(after_in_child=action)


class Wakeup:
    """Reads in a thread what C's own signal handler writes, and passes it on.

    ``signal.set_wakeup_fd`` is the one place where a process learns of a signal at once, whatever
    its main thread is in: a database that is locked, a name that is being resolved. Event loops
    have it for themselves as a rule; they get what they would have got.

    Args:
        heard: Called in the thread with the number of each signal.
        ours: Signals that are passed on to nobody: an event loop that heard of one late might call
            whom we have called already.

    """

    def __init__(self, heard: Callable[[int], None], ours: Collection[int] = ()) -> None:
        self._heard = heard
        self._ours = ours
        self._reader = self._writer = -1
        self._before = -1
        """Who would be told without us."""
        in_children(self._leave_to_parent)

    def take(self) -> None:
        """Be the one whom C tells, also after somebody else was. In the main thread.

        Where there is no thread for it, and on Windows, all stays as it is.
        """
        if self._writer == -1 and (sys.platform == "win32" or not self._open()):
            return
        before = signal.set_wakeup_fd(self._writer, warn_on_full_buffer=False)
        if before != self._writer:
            self._before = before

    def give_back(self) -> None:
        """Have C tell who was told before. In the main thread."""
        writer, self._writer = self._writer, -1
        if writer == -1:
            return
        current = signal.set_wakeup_fd(-1)
        # Somebody who came in front of us since will tell us on, if he means to.
        ours = current == writer
        with contextlib.suppress(OSError, ValueError):  # closed
            signal.set_wakeup_fd(self._before if ours else current)
        if ours:
            os.close(writer)  # what tells the thread

    def _open(self) -> bool:
        self._reader, self._writer = os.pipe()
        os.set_blocking(self._writer, False)
        listener = threading.Thread(
            target=self._listen, args=(self._reader,), name="graceful signals", daemon=True
        )
        try:
            listener.start()
        except RuntimeError:
            os.close(self._reader)
            os.close(self._writer)
            self._writer = -1
            return False
        return True

    def _leave_to_parent(self) -> None:
        """In a child process: what it is sent is not for the parent, with which it shares the pipe."""
        if self._writer != -1:
            with contextlib.suppress(ValueError):
                self.give_back()
            os.close(self._reader)

    def _listen(self, reader: int) -> None:
        while data := os.read(reader, 4096):
            others = bytes(signum for signum in data if signum not in self._ours)
            if others and self._before != -1:
                with contextlib.suppress(OSError):  # it is full, or closed
                    os.write(self._before, others)
            for signum in dict.fromkeys(data):
                with contextlib.suppress(Exception):  # the loop is to hear of the next one
                    self._heard(signum)
        os.close(reader)
