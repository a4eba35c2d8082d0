"""A request in flight: a section from the request to the end of its answer's body."""

import asyncio
from collections.abc import Callable
from types import TracebackType
from typing import Any

from nonebot_plugin_graceful.core import installed
from nonebot_plugin_graceful.core.cancellations import TIMED_OUT, Cancellations
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

    A streamed answer may be closed by whoever reads it, wherever and whenever. So its time-out is
    for whoever awaits something of it at that moment (``with flight: await …``), or does so next.

    Args:
        kind: As of ``track``.
        name: What the log calls it.
        request: httpx's or httpx2's.
        call: The call it is a part of.
        total: Seconds that may take, where it does not say.

    """

    __slots__ = ("_awaiting", "_call", "_expired", "_request", "deadline", "loop")

    timed_out: bool
    timer: asyncio.TimerHandle | None
    cancellations: Cancellations | None
    raised: type[BaseException] | None

    def __init__(
        self, kind: Kind, name: str, request: Any, call: Call, total: float | None
    ) -> None:
        super().__init__(kind, name, timeout=call.settle(total))
        self._call = call
        self._request = request
        self._awaiting: asyncio.Task[Any] | None = None
        """Who is in an await that is held to the time-out."""
        self._expired = False
        self.deadline: float = NEVER
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
        if tree.lifecycle.stopping or tree.admission.refusing:
            await admit(tree, self.kind, task)
        self.loop: asyncio.AbstractEventLoop = task.get_loop()
        tree.open(self, task)
        if self.kind.limit is not None:
            await take_place(tree, self)
        self.deadline = self._call.begin(self.loop.time())
        if self.deadline != NEVER:
            self.timer = self.loop.call_at(self.deadline, self._expire)

    def answered(self) -> None:
        """Take note that its answer has begun, which may be all that the time-out is for."""
        if self._call.until_answer and self.timer is not None:
            self.timer.cancel()

    def land(self) -> None:
        """End, in whatever task. More than once does no harm."""
        installed.tree.close(self)

    def _expire(self) -> None:
        self._expired = self.timed_out = True
        if self._awaiting is not None and self.cancellations is not None:
            self.cancellations.expect_own()
            self._awaiting.cancel(TIMED_OUT)

    def __enter__(self) -> None:
        """Hold one await to the time-out, and name what stops it.

        Raises:
            ReadTimeout: The call as a whole took too long.
            Interrupted: By ``__exit__``: the task was stopped.

        """
        if self._expired:
            raise self._too_long()
        self._awaiting = task = asyncio.current_task()
        if self.timer is not None:
            self.cancellations = Cancellations(task)

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Give what was raised the name of its reason."""
        task, self._awaiting = self._awaiting, None
        if exc_type is not None:
            self.raised = exc_type
        timed_out = self._expired
        if timed_out and exc is not None and self.cancellations is not None:
            timed_out = self.timed_out = not self.cancellations.others(1, exc)
        if self._expired:
            _uncancel(task)
        if not isinstance(exc, asyncio.CancelledError):
            return
        work = self.work
        if isinstance(exc, Interrupted):
            if work is not None and work.outcome is None:
                work.outcome = exc.reason  # a retry's wait ended with the announcement
            return
        reason = work.stop_reason if work is not None else None
        if reason is not None:
            raise Interrupted(reason) from exc
        if timed_out:
            raise self._too_long() from exc

    def _too_long(self) -> Exception:
        return library_of(self._request).ReadTimeout(
            f"no complete answer within {self._call.total:g} s", request=self._request
        )


# From Python 3.11 on.
_uncancel: Callable[[Any], int] = getattr(asyncio.Task, "uncancel", lambda _: 0)
