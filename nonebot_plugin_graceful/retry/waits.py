"""Waiting between two attempts, and not into the shutdown."""

import asyncio
import functools
import time
from collections.abc import Callable
from typing import Any

from loguru import logger

from . import work
from .refusals import refuse_another

__all__ = ["block", "wait"]

_PATIENCE = 0.05
"""Seconds between two looks at the phase while the event loop's own thread is blocked by a wait."""


async def wait(seconds: float, sleep: Callable[[float], Any]) -> None:
    """Wait in the event loop.

    Args:
        seconds: How long.
        sleep: Somebody's own knows of no shutdown, so it is run beside it.

    Raises:
        Interrupted: The shutdown began.
        TypeError: ``sleep`` is made for threads.

    """
    if sleep is not work.sleep:
        await _beside_the_shutdown(sleep, seconds)
    elif seconds > 0:
        await work.sleep(seconds)
    else:
        await asyncio.sleep(0)


async def _beside_the_shutdown(sleep: Callable[[float], Any], seconds: float) -> None:
    waiting = sleep(seconds)
    if not hasattr(waiting, "__await__"):
        raise TypeError(f"{sleep!r} blocks the event loop; sleep= has to be a coroutine function")
    shutdown = asyncio.ensure_future(work.until_stopping())
    sleeping = asyncio.ensure_future(waiting)
    try:
        await asyncio.wait((shutdown, sleeping), return_when=asyncio.FIRST_COMPLETED)
    finally:
        shutdown.cancel()
        sleeping.cancel()
    refuse_another()
    await sleeping


def block(seconds: float, sleep: Callable[[float], Any], name: str) -> None:
    """Wait in a thread. Somebody's own sleep cannot be cut short.

    Args:
        seconds: How long at most; less if the shutdown begins.
        sleep: What waits.
        name: What is retried, for the log.

    """
    if sleep is not work.sleep:
        sleep(seconds)
    elif seconds > 0:
        try:
            asyncio.get_running_loop()
        except RuntimeError:
            work.block(seconds)
        else:
            _block_the_loop(seconds, name)


def _block_the_loop(seconds: float, name: str) -> None:
    _warn_of_blocking(name)
    end = time.monotonic() + seconds
    # Who would tell of the shutdown is blocked himself; the signal handler is not.
    while work.stopping() is None and (left := end - time.monotonic()) > 0:
        work.block(min(left, _PATIENCE))


@functools.lru_cache(maxsize=256)
def _warn_of_blocking(name: str) -> None:
    """Log it once."""
    logger.warning(
        f"The retry of {name} waits in the event loop's thread: everything else stands still."
        " Make it a coroutine function, or call it with run_sync()"
    )
