"""An event loop whose waits take no time: the clock jumps to the next timer."""

import asyncio
import contextlib
import selectors
import time
from unittest import mock


class VirtualTime:
    """``time.monotonic`` and the loop's clock, as one. It moves only while everything waits.

    Args:
        patience: Loop iterations without a wait after which it moves all the same. A scope of anyio's
            cancels again in each one, for as long as somebody in it swallows that.

    """

    def __init__(self, patience: float = float("inf")) -> None:
        self.now = 1000.0
        self.patience = patience

    def run(self, coroutine):
        """Run a coroutine in a loop of its own."""
        loop = asyncio.SelectorEventLoop(_Selector(self))
        with mock.patch.object(time, "monotonic", lambda: self.now), contextlib.closing(loop):
            try:
                return loop.run_until_complete(coroutine)
            finally:
                loop.run_until_complete(_end_the_rest())


class _Selector(selectors.DefaultSelector):
    def __init__(self, clock: VirtualTime) -> None:
        super().__init__()
        self._clock = clock
        self._busy = 0

    def select(self, timeout=None):
        assert timeout is not None, "everything waits, and nothing will ever happen"
        self._busy = self._busy + 1 if timeout <= 0 else 0
        self._clock.now += max(timeout, 0) if self._busy <= self._clock.patience else 0.001
        return super().select(0)


async def _end_the_rest() -> None:
    rest = asyncio.all_tasks() - {asyncio.current_task()}
    for task in rest:
        task.cancel()
    await asyncio.gather(*rest, return_exceptions=True)
