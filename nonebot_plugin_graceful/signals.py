"""SIGINT, SIGTERM and their like: ours comes first, the server's after it."""

import asyncio
import signal
import sys
import threading
import time
from collections.abc import Callable
from types import FrameType
from typing import Any

from nonebot.drivers import Driver

__all__ = ["Signals", "numbers"]

DEBOUNCE = 0.3
"""Seconds within which several signals are one press. ``nb run`` and ``uv run`` pass on a signal
that the terminal has already sent to the whole process group."""


def numbers(names: list[str]) -> list[int]:
    """Give the signals by these names; on Windows Ctrl+Break, too."""
    known = [int(getattr(signal, name)) for name in names if hasattr(signal, name)]
    if sys.platform == "win32" and signal.SIGBREAK not in known:
        known.append(int(signal.SIGBREAK))
    return known


class Signals:
    """Our handler in front of the server's.

    Args:
        driver: Whose server it is.
        on_press: Called by the signal handler, so at any bytecode of the main thread, with the
            number of the signal and how many times one has come.

    """

    def __init__(self, driver: Driver, on_press: Callable[[int, int], None]) -> None:
        self.presses = 0
        self._driver = driver
        self._on_press = on_press
        self._previous: dict[int, Any] = {}
        self._loops: set[int] = set()
        """Signals that the event loop itself had handled, for ``~none``."""
        self._last_press = 0.0
        self._active = False

    @property
    def installed(self) -> bool:
        """Whether signals come to us first."""
        return self._active and bool(self._previous)

    def install(self, signums: list[int]) -> None:
        """Go in front of whoever handles these signals now. In the event loop's thread."""
        if threading.current_thread() is not threading.main_thread():
            return  # signals are the main thread's, and whoever runs it handles them
        loop = asyncio.get_running_loop()
        self._active = True
        self.presses = 0
        for signum in signums:
            if hasattr(self._driver, "exit") and _remove_from_loop(loop, signum):
                # A handler of the loop is called by the loop alone, never while it is blocked.
                self._loops.add(signum)
            current = signal.getsignal(signum)
            if current == self._handle:
                continue  # still in front: the last start was not followed by a shutdown
            if current is signal.SIG_IGN or current is None or _is_loops_own(current):
                continue
            self._previous[signum] = current
            signal.signal(signum, self._handle)

    def restore(self) -> None:
        """Put back who handled the signals before."""
        self._active = False
        for signum, previous in self._previous.items():
            # Somebody may have come in front of us since; he will put us back, and then we only
            # pass on.
            if signal.getsignal(signum) == self._handle:
                signal.signal(signum, previous)

    def hand_over(self, signum: int) -> None:
        """Deliver the signal to the server. In the event loop."""
        if signum in self._loops or signum not in self._previous:
            leave: Any = getattr(self._driver, "exit", None)
            if leave is not None:
                leave()
        else:
            self._pass_on(signum, None)

    def _pass_on(self, signum: int, frame: FrameType | None) -> None:
        previous = self._previous[signum]
        if callable(previous) and previous is not signal.default_int_handler:
            previous(signum, frame)
        else:
            signal.signal(signum, previous)
            signal.raise_signal(signum)

    def press(self, signum: int) -> None:
        """Do as if the signal had come."""
        self._handle(signum, None)

    def _handle(self, signum: int, frame: FrameType | None) -> None:
        if not self._active:
            self._pass_on(signum, frame)
            return
        now = time.monotonic()
        if self.presses and now - self._last_press < DEBOUNCE:
            return
        self._last_press = now
        self.presses += 1
        self._on_press(signum, self.presses)


def _remove_from_loop(loop: asyncio.AbstractEventLoop, signum: int) -> bool:
    try:
        return loop.remove_signal_handler(signum)
    except (NotImplementedError, RuntimeError, ValueError):  # Windows
        return False


def _is_loops_own(handler: Any) -> bool:
    # What getsignal() gives while loop.add_signal_handler() is in force. We cannot call the
    # loop's handler in its stead, so we stay out of the way.
    return str(getattr(handler, "__module__", "")).startswith(("asyncio.unix_events", "uvloop"))
