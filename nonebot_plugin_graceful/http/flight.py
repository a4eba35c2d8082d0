"""A request in flight: a section from the request to the end of its answer's body."""

import asyncio
import contextlib
from collections.abc import Generator

import anyio
import httpx

from nonebot_plugin_graceful.core import installed
from nonebot_plugin_graceful.core.ending import admit, take_place
from nonebot_plugin_graceful.core.errors import Interrupted
from nonebot_plugin_graceful.core.work import Section

__all__ = ["Flight"]


class Flight(Section):
    """A request in flight.

    A streamed answer may be closed by whoever reads it, wherever and whenever. Its time-out is a
    moment that every single await is held to, since no cancel scope may be entered in one task and
    left in another.
    """

    __slots__ = ("_deadline", "_loop", "_request", "_total")

    def __init__(self, kind: str, name: str, request: httpx.Request, total: float | None) -> None:
        super().__init__(installed.tree.kinds[kind], name, timeout=total)
        self._request = request
        self._total = total
        self._deadline = float("inf")

    async def take_off(self) -> None:
        """Begin, in the current task; wait for a place if the kind has a limit.

        Raises:
            Interrupted: The bot is shutting down.
            Refused: The bot is being drained, or there was no place in time.

        """
        task = asyncio.current_task()
        if task is None:
            raise RuntimeError("a request needs an asyncio task to run in")
        tree = installed.tree
        await admit(tree, self.kind, task)
        self._loop = asyncio.get_running_loop()
        tree.open(self, task)
        await take_place(tree, self)
        if self._total is not None:
            self._deadline = anyio.current_time() + self._total

    def land(self) -> None:
        """End, in whatever task. More than once does no harm."""
        installed.tree.close(self)

    def land_from_anywhere(self) -> None:
        """End, in whatever thread the garbage is collected."""
        with contextlib.suppress(RuntimeError):  # the loop is closed, and all tasks are gone
            self._loop.call_soon_threadsafe(self.land)

    @contextlib.contextmanager
    def bounded(self) -> Generator[None]:
        """Hold one await to the time-out, and name what stopped it.

        Raises:
            httpx.ReadTimeout: The request as a whole took too long.
            Interrupted: The task was stopped.

        """
        work = self.work
        try:
            with anyio.CancelScope(deadline=self._deadline) as scope:
                yield
        except Interrupted as error:
            if work is not None and work.outcome is None:
                work.outcome = error.reason  # a retry's wait ended with the announcement
            raise
        except asyncio.CancelledError as error:
            reason = work.stop_reason if work is not None else None
            if reason is None:
                raise
            raise Interrupted(reason) from error
        if scope.cancelled_caught:
            raise httpx.ReadTimeout(
                f"no complete answer within {self._total:g} s", request=self._request
            )
