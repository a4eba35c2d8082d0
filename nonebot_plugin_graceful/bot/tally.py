"""Which of the signals that came were handled in Python, and which had to be counted without it."""

import queue
import time

__all__ = ["SAME", "Tally"]

SAME = 0.3
"""Seconds within which a signal that comes again is one press."""
MOMENT = 0.05
"""Seconds within which the main thread has called the handler, unless it runs no Python."""


class Tally:
    """Kept by two threads: one in which Python's handlers run, and one that hears of signals at once.

    It counts calls, and compares no times: either thread may come late, on a busy machine. Python
    calls a handler once for all signals of a kind that came while it could not.
    """

    def __init__(self) -> None:
        self._calls: dict[int, int] = {}
        """How often the handler was called for each."""
        self._known: dict[int, int] = {}
        """How many of these calls belong to signals that the other thread has heard of."""
        self._owed: dict[int, bool] = {}
        """Those that were counted without a call, which may yet come."""
        self._last: dict[int, float] = {}
        self._called: queue.SimpleQueue[int] = queue.SimpleQueue()

    def call(self, signum: int) -> bool:
        """Note that the handler is called. Whether what it is called for was counted already."""
        self._calls[signum] = self._calls.get(signum, 0) + 1
        self._called.put(signum)
        if self._owed.pop(signum, False):
            self._known[signum] = self._calls[signum]
            return True
        return False

    def is_left(self, signum: int) -> bool:
        """Whether the handler is not called for a signal that has come, so that it has to be counted.

        Waits a moment for it. In the other thread.
        """
        now = time.monotonic()
        before, self._last[signum] = self._last.get(signum), now
        if before is not None and now - before < SAME:
            return False
        known = self._known.get(signum, 0)
        if not self._wait_for_call(signum, known, now + MOMENT):
            self._owed[signum] = True
            # It may be called just now. Whoever takes this back leaves the counting to the other.
            if self._calls.get(signum, 0) <= known or not self._owed.pop(signum, False):
                return True
        self._known[signum] = self._calls[signum]
        return False

    def forget(self, signum: int) -> None:
        """Take back that a signal was counted."""
        self._owed.pop(signum, None)

    def _wait_for_call(self, signum: int, known: int, ends: float) -> bool:
        while self._calls.get(signum, 0) <= known:
            try:
                self._called.get(timeout=max(0.0, ends - time.monotonic()))
            except queue.Empty:
                return False
        return True
