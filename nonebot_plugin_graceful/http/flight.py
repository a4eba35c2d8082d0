"""A request in flight: a tracked section that may end in another task than it began in, or never."""

import asyncio
import contextlib
import time
from collections.abc import Generator
from typing import Any

import anyio
import httpx

from nonebot_plugin_graceful.core.errors import Interrupted
from nonebot_plugin_graceful.core.lifecycle import Phase, lifecycle
from nonebot_plugin_graceful.core.registry import Record, Section, owner, registry

__all__ = ["Flight"]


class Flight(Section):
    """From the request to the end of its answer's body.

    ``track`` is left in the task, and before anything that was entered earlier. A streamed answer
    may be closed by whoever reads it, wherever and whenever, so a flight is taken out by identity;
    and its time-out is a moment that every single await is held to, since no cancel scope may be
    entered in one task and left in another.
    """

    __slots__ = ("_deadline", "_loop", "_record", "_request", "_task", "_total")

    def __init__(self, kind: str, name: str, request: httpx.Request, total: float | None) -> None:
        super().__init__(registry.kinds[kind], name, timeout=total)
        self._request = request
        self._total = total
        self._deadline = float("inf")
        self._task: asyncio.Task[Any] | None = None
        self._record: Record | None = None

    async def take_off(self) -> None:
        """Begin, in the current task; wait for a place if the kind has a limit.

        Raises:
            Interrupted: The bot is shutting down.

        """
        task = asyncio.current_task()
        if task is None:
            raise RuntimeError("a request needs an asyncio task to run in")
        if lifecycle.phase is not Phase.RUNNING and task not in registry.shields:
            raise Interrupted(lifecycle.reason)
        if registry.refusing:
            registry.admit(self.kind)
        self._loop = asyncio.get_running_loop()
        self.started = time.monotonic()
        record = registry.records.get(task)
        # A section of the same kind around us has the place we need, and waits for us.
        has_place = record is not None and any(
            section.limiter is not None and section.kind is self.kind for section in record.sections
        )
        if record is not None:
            record.sections.append(self)
        else:
            parent = owner.get()
            record = Record(task, self, parent, parent.origin if parent is not None else None)
            registry.records[task] = record
            owner.set(record)
        self._task, self._record = task, record
        task.add_done_callback(self._task_ended)
        if self.kind.limit is not None and not has_place:
            try:
                await registry.acquire(record, self)
            except BaseException:
                self.land()
                raise
        if self._total is not None:
            self._deadline = anyio.current_time() + self._total

    def land(self) -> None:
        """End, in whatever task. More than once does no harm."""
        task, record = self._task, self._record
        if task is None or record is None:
            return
        self._task = self._record = None
        task.remove_done_callback(self._task_ended)
        registry.release(self)
        if self not in record.sections:
            return
        if len(record.sections) > 1:
            if record.reason is None:  # else it is remembered for what it was stopped in
                record.sections.remove(self)
        elif registry.records.get(task) is record:
            if task is asyncio.current_task(self._loop):
                registry.drop(task, record)
            else:
                del registry.records[task]
                record.ended = True

    def land_from_anywhere(self) -> None:
        """End, in whatever thread the garbage is collected."""
        with contextlib.suppress(RuntimeError):  # the loop is closed, and all tasks are gone
            self._loop.call_soon_threadsafe(self.land)

    def _task_ended(self, task: "asyncio.Task[Any]") -> None:
        """The task has ended without closing the answer: it is its record's end too."""
        self.land()
        registry.discard(task)

    @contextlib.contextmanager
    def bounded(self) -> Generator[None]:
        """Hold one await to the time-out, and name what stopped it.

        Raises:
            httpx.ReadTimeout: The request as a whole took too long.
            Interrupted: The task was stopped.

        """
        record = self._record
        try:
            with anyio.CancelScope(deadline=self._deadline) as scope:
                yield
        except Interrupted as error:
            if record is not None and record.reason is None and lifecycle.stopping:
                record.reason = error.reason  # a retry's wait ended with the announcement
            raise
        except asyncio.CancelledError as error:
            reason = record.stop_reason if record is not None else None
            if reason is None:
                raise
            raise Interrupted(reason) from error
        if scope.cancelled_caught:
            raise httpx.ReadTimeout(
                f"no complete answer within {self._total:g} s", request=self._request
            )
