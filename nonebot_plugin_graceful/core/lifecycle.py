"""The phases of a shutdown, and whoever waits for it to begin."""

import asyncio
import enum
import threading
import time
from collections.abc import Awaitable, Callable
from typing import Any

from .errors import Interrupted

__all__ = ["Lifecycle", "Phase", "ShuttingDownHook"]

ShuttingDownHook = Callable[[], Awaitable[Any] | Any]


class Phase(enum.Enum):
    """Where the bot is between running and gone."""

    RUNNING = "running"
    DRAINING = "draining"
    """No new work; what is in flight is being stopped; the WebSocket is still open."""
    CLOSING = "closing"
    """The server's turn: connections close, ``on_shutdown`` hooks run."""


class Lifecycle:
    """The one state everything asks: is this bot being stopped, and why.

    ``begin`` may be called from a signal handler, at any bytecode, so it takes no lock and only
    flips flags; ``announce`` does the rest, in the event loop.
    """

    def __init__(self) -> None:
        self.hooks: list[ShuttingDownHook] = []
        self._waiters: set[asyncio.Future[None]] = set()
        self.reopen()

    def reopen(self) -> None:
        """Be as before the shutdown: a driver may be started again in the same process."""
        self.phase: Phase = Phase.RUNNING
        self.stopping: bool = False
        """Whether the shutdown has begun: all that most who ask want to know, and every section asks."""
        self.reason: str = ""
        self.began: float = 0.0
        """``time.monotonic()`` when the shutdown began."""
        self.presses: int = 0
        """How many signals told it to stop: more than one says not to wait."""
        self.pressed: float = 0.0
        """``time.monotonic()`` of the last one."""
        self.stopped: threading.Event = threading.Event()
        """Set once the shutdown was announced; what threads wait for."""

    def begin(self, reason: str) -> bool:
        """Enter ``DRAINING``. False if the shutdown had begun already."""
        if self.stopping:
            return False
        self.reason = reason
        self.began = time.monotonic()
        self.phase = Phase.DRAINING
        self.stopping = True
        return True

    def press(self) -> None:
        """Count a signal. At any bytecode."""
        self.pressed = time.monotonic()
        self.presses += 1

    def close(self) -> None:
        """Enter ``CLOSING``: it is the server's turn."""
        self.phase = Phase.CLOSING
        self.stopping = True

    def announce(self) -> None:
        """End every wait, of coroutines and of threads. In the event loop's thread."""
        # In this order: a wait of another thread's looks at the flag after it has come to be here.
        self.stopped.set()
        here = asyncio.get_running_loop()
        for waiter in list(self._waiters):
            loop = waiter.get_loop()
            if loop is here:
                self._interrupt(waiter)
                continue
            try:  # a thread with a loop of its own
                loop.call_soon_threadsafe(self._interrupt, waiter)
            except RuntimeError:  # closed
                self._waiters.discard(waiter)

    def _interrupt(self, waiter: "asyncio.Future[None]") -> None:
        if not waiter.done():
            waiter.set_result(None)

    async def wait(self, seconds: float) -> None:
        """Sleep.

        Args:
            seconds: How long.

        Raises:
            Interrupted: The shutdown began, or had begun already.

        """
        if self.stopping:
            raise Interrupted(self.reason)
        loop = asyncio.get_running_loop()
        waiter: asyncio.Future[None] = loop.create_future()
        self._waiters.add(waiter)
        timer = loop.call_later(seconds, self._interrupt, waiter)
        try:
            if not self.stopped.is_set():
                await waiter
        finally:
            timer.cancel()
            self._waiters.discard(waiter)
        # The timer may win in the very iteration in which the shutdown begins.
        if self.stopping:
            raise Interrupted(self.reason)
