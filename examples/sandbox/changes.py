"""Waiting until something has come true, without polling and without sleeping."""

import asyncio
import contextlib
import time
from collections.abc import Callable
from typing import TypeVar

__all__ = ["Changes"]

T = TypeVar("T")


class Changes:
    """Somebody tells that something changed; others wait for what they hope for.

    Telling and waiting may happen in different threads and loops.
    """

    def __init__(self) -> None:
        self._waiters: set[asyncio.Future[None]] = set()

    def tell(self) -> None:
        """Have everybody who waits look again."""
        for waiter in tuple(self._waiters):
            with contextlib.suppress(RuntimeError):  # a loop that has been closed meanwhile
                waiter.get_loop().call_soon_threadsafe(_wake, waiter)

    async def until(self, condition: Callable[[], T | None], what: str, timeout: float) -> T:
        """Wait until ``condition`` returns something true, and return that.

        Args:
            condition: Called now, and again after each change.
            what: What is waited for, for the error message.
            timeout: Seconds to wait at most.

        Raises:
            TimeoutError: It has not come true in time.

        """
        give_up = time.monotonic() + timeout
        while True:
            # in the set before the look: a change in between is not missed
            waiter = asyncio.get_running_loop().create_future()
            self._waiters.add(waiter)
            try:
                if result := condition():
                    return result
                done, _ = await asyncio.wait({waiter}, timeout=max(0, give_up - time.monotonic()))
            finally:
                self._waiters.discard(waiter)
            if not done:
                raise TimeoutError(f"{what}: not within {timeout:g} s")


def _wake(waiter: asyncio.Future[None]) -> None:
    if not waiter.done():
        waiter.set_result(None)
