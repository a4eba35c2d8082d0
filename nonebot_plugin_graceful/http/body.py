"""The body of an answer, whose end is the end of the flight."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any

from loguru import logger

from nonebot_plugin_graceful.core import installed
from nonebot_plugin_graceful.core.ending import interrupt_if_told, stop_reason
from nonebot_plugin_graceful.core.failures import describe_failure

from .flight import Flight

__all__ = ["Body"]


class Body:
    """A stream of bytes; derived, it is the library's ``AsyncByteStream`` too.

    Args:
        stream: What the bytes come from.
        flight: What they are the end of.

    """

    def __init__(self, stream: Any, flight: Flight) -> None:
        self._stream = stream
        self._flight = flight
        self._closed = False

    async def __aiter__(self) -> AsyncIterator[bytes]:
        """Give piece by piece, each within the time-out."""
        chunks = aiter(self._stream)
        try:
            while True:
                with self._flight:
                    try:
                        chunk = await anext(chunks)
                    except StopAsyncIteration:
                        return
                yield chunk
        except Exception:
            await self.aclose()  # its time may have run out between two pieces
            raise
        except BaseException:
            self._flight.land()
            raise

    async def aclose(self) -> None:
        """Give the connection back, and end."""
        self._closed = True
        try:
            await _close_whole(self._stream)
        finally:
            self._flight.land()

    def __del__(self) -> None:
        """End what somebody dropped without closing it, in whatever thread garbage is collected."""
        if not self._closed:
            with contextlib.suppress(RuntimeError):  # the loop is closed, and all tasks are gone
                self._flight.loop.call_soon_threadsafe(_end, self._stream, self._flight)


async def _close_whole(stream: Any) -> None:
    """Close a stream without being cut: httpcore would count its request as active for ever.

    Raises:
        Interrupted: Its reader was told to end meanwhile. Not if that was before: then he cleans up.

    """
    tree, task = installed.tree, asyncio.current_task()
    if task is None:
        await stream.aclose()
        return
    told = stop_reason(tree) is not None
    tree.shield(task)
    try:
        await stream.aclose()
    finally:
        last = tree.unshield(task)
    if last and not told:
        interrupt_if_told(tree)


def _end(stream: Any, flight: Flight) -> None:
    flight.land()
    installed.tree.run_internal(_close(stream), "hang up")


async def _close(stream: Any) -> None:
    try:
        await stream.aclose()
    except Exception as error:
        logger.debug(f"A dropped answer could not be closed: {describe_failure(error)}")
