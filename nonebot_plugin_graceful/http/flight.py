"""A request in flight: a section from the request to the end of its answer's body."""

import asyncio
import contextlib
from collections.abc import Generator
from typing import Any

import anyio

from nonebot_plugin_graceful.core import installed
from nonebot_plugin_graceful.core.ending import admit, take_place
from nonebot_plugin_graceful.core.errors import Interrupted
from nonebot_plugin_graceful.core.kinds import Kind
from nonebot_plugin_graceful.core.work import Section

from .calls import Call
from .libraries import library_of

__all__ = ["Flight"]

NEVER = float("inf")


class Flight(Section):
    """A request in flight.

    A streamed answer may be closed by whoever reads it, wherever and whenever. Its time-out is a
    moment that every single await is held to, since no cancel scope may be entered in one task and
    left in another.

    Args:
        kind: As of ``track``.
        name: What the log calls it.
        request: httpx's or httpx2's.
        call: The call it is a part of.
        total: Seconds that may take, where it does not say.

    """

    __slots__ = ("_call", "_request", "deadline", "loop")

    def __init__(
        self, kind: Kind, name: str, request: Any, call: Call, total: float | None
    ) -> None:
        super().__init__(kind, name, timeout=call.settle(total))
        self._call = call
        self._request = request
        self.deadline = NEVER
        """In the event loop's time."""

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
        self.loop = task.get_loop()
        tree.open(self, task)
        if self.kind.limit is not None:
            await take_place(tree, self)
        self.deadline = self._call.begin()

    def answered(self) -> None:
        """Take note that its answer has begun, which may be all that the time-out is for."""
        if self._call.until_answer:
            self.deadline = NEVER

    def land(self) -> None:
        """End, in whatever task. More than once does no harm."""
        installed.tree.close(self)

    @contextlib.contextmanager
    def bounded(self) -> Generator[None]:
        """Hold one await to the time-out, and name what stopped it.

        Raises:
            ReadTimeout: The call as a whole took too long.
            Interrupted: The task was stopped.

        """
        work = self.work
        try:
            with anyio.CancelScope(deadline=self.deadline) as scope:
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
            raise library_of(self._request).ReadTimeout(
                f"no complete answer within {self._call.total:g} s", request=self._request
            )
