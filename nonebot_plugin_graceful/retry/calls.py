"""What is remembered of a call from one attempt to the next."""

import sys
import time

from tenacity import AttemptManager, Future

from .transient import is_interruption, is_refusal
from .work import Work, annotate, current, note_of

__all__ = ["Call"]


class Call:
    """One call that is retried, or one loop over attempts."""

    __slots__ = ("_began", "_handled", "_note", "_of", "_work", "attempt", "error")

    def __init__(self) -> None:
        self.error: BaseException | None = None
        """What the last failed attempt raised."""
        self.attempt: AttemptManager | None = None
        """The attempt that was given last, in the iteration form."""
        self._handled = sys.exc_info()[1]
        self._of: Work | None = None
        """What the attempt is part of."""
        self._began = 0.0
        self._work: Work | None = None
        self._note: _Note | None = None

    def begin_attempt(self) -> None:
        """Take note of an attempt that is about to be made."""
        self._of, self._began = current(), time.monotonic()

    def was_cut(self) -> bool:
        """Whether a person has ended something that was begun in the attempt.

        It may have come to no more than one of many results, as of ``gather()``.
        """
        return self._of is not None and self._of.cut_began >= self._began

    def take_in(self, outcome: Future) -> None:
        """Look at what came of an attempt.

        Raises:
            BaseException: It is no failure, so no strategy is to be asked about it: an order to
                end (``CancelledError``, ``KeyboardInterrupt``, …; tenacity #529), what came of
                one, or ``Refused``.

        """
        if self._work is not None:
            self.hide()
        error = outcome.exception()
        if error is None:
            return
        if not isinstance(error, Exception) or is_refusal(error):
            raise error
        if self.was_cut() or is_interruption(error, self._handled):
            raise error
        self.error = error

    def show(self, text: str) -> None:
        """Let the list of what is in flight say it of the current work."""
        self.hide()
        work = current()
        if work is not None:
            before = note_of(work)
            self._work, self._note = work, _Note(text)
            self._note.beneath = before.beneath if isinstance(before, _Note) else before
            annotate(work, self._note)

    def hide(self) -> None:
        """Let the list say what it said before."""
        if self._work is None or self._note is None:
            return
        if note_of(self._work) is self._note:  # and not that of another retry of the same work
            annotate(self._work, self._note.beneath)
        self._work = self._note = None


class _Note(str):
    """A note that knows what the author's own was, however many retries one work makes at once."""

    __slots__ = ("beneath",)
    beneath: str
