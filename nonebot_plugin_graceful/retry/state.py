"""What is known of one call while it is retried."""

from types import TracebackType
from typing import Any

from tenacity import RetryCallState
from tenacity.stop import stop_after_attempt, stop_any

from nonebot_plugin_graceful.core import installed
from nonebot_plugin_graceful.core.drain import name_of
from nonebot_plugin_graceful.core.work import Work as Record

from .throttle import Bucket

__all__ = ["CallState", "attempts_of", "current_record"]


class CallState(RetryCallState):
    """tenacity's state of a call, with what it forgets over a wait."""

    last_error: BaseException | None = None
    """What the last failed attempt raised."""
    bucket: Bucket | None = None
    """Where the call has taken tokens, if it has."""
    tokens: int = 0
    """How many."""
    _record: Record | None = None
    _note = ""

    def set_result(self, val: Any) -> None:
        """Take in what an attempt returned."""
        super().set_result(val)
        if self.bucket is not None:
            self.bucket.give_back(self.tokens)
            self.bucket = None
            self.tokens = 0
        self.clear_note()

    def set_exception(
        self, exc_info: tuple[type[BaseException], BaseException, TracebackType | None]
    ) -> None:
        """Take in what an attempt raised."""
        super().set_exception(exc_info)
        self.last_error = exc_info[1]

    @property
    def what(self) -> str:
        """What is retried, for a log."""
        name = getattr(self.retry_object, "name", None)
        if name:
            return str(name)
        if self.fn is not None:
            return name_of(self.fn)
        record = current_record()
        return f"{record.kind.name} {record.name!r}" if record is not None else "a block"

    @property
    def upcoming(self) -> str:
        """Which attempt comes next, of how many."""
        limit = attempts_of(self.retry_object.stop)
        return f"attempt {self.attempt_number + 1}" + (f" of {limit}" if limit else "")

    def note_wait(self) -> None:
        """Let the registry show which attempt comes when."""
        if self._record is None:
            self._record = current_record()
            if self._record is None:
                return
            self._note = self._record.note
        self._record.note = f"{self.upcoming}, waits {self.upcoming_sleep:.1f} s"

    def prepare_for_next_attempt(self) -> None:
        """Go over to the next attempt."""
        if self._record is not None:
            self._record.note = self.upcoming
        super().prepare_for_next_attempt()

    def clear_note(self) -> None:
        """Let the registry show what it showed before the first retry."""
        if self._record is not None:
            self._record.note = self._note
            self._record = None


def attempts_of(stop: Any) -> int | None:
    """Tell how many attempts a stop strategy allows, or None if it does not go by their number."""
    if isinstance(stop, stop_after_attempt):
        return stop.max_attempt_number
    if isinstance(stop, stop_any):
        return min(filter(None, map(attempts_of, stop.stops)), default=None)
    attempts = getattr(stop, "attempts", None)
    return attempts if isinstance(attempts, int) else None


def current_record() -> Record | None:
    """Find the record of the running task, or in a thread of the task it works for."""
    return installed.tree.current()
