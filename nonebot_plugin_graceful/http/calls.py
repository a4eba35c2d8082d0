"""A call of a client, and how long it may take: its request, its retries, and its redirects."""

import asyncio
from typing import Any

from .settings import KIND, Total

__all__ = ["Call", "call_of"]

_EXTENSION = "graceful"
"""Where a request carries its call. httpx hands a request's extensions on to its redirects."""
_NEVER = float("inf")


class Call:
    """What a client's ``send`` does, and the reading of its answer.

    Args:
        total: Seconds it may take; KIND: as its transport says.
        until_answer: Whether that is for what comes before the answer only.

    """

    __slots__ = ("_deadline", "total", "until_answer")

    def __init__(self, total: float | Total | None = KIND, *, until_answer: bool = False) -> None:
        self.total = total
        self.until_answer: bool = until_answer
        self._deadline: float | None = None

    def settle(self, total: float | None) -> float | None:
        """Take over what the transport says where nothing was said; give the seconds that are left."""
        if isinstance(self.total, Total):
            self.total = total
        if self._deadline is None or self.total is None:
            return self.total
        return max(self._deadline - asyncio.get_running_loop().time(), 0.0)

    def begin(self, now: float) -> float:
        """Let its time run, unless it does; give the moment it is over.

        Args:
            now: In the event loop's time, as the result.

        """
        if self._deadline is None:
            total = self.total
            self._deadline = now + total if isinstance(total, int | float) else _NEVER
        return self._deadline

    def attach(self, request: Any) -> None:
        """Make a request its first."""
        request.extensions = {**request.extensions, _EXTENSION: self}


def call_of(request: Any) -> Call:
    """Give the call that a request belongs to; where no client of ours sent it, one of its own."""
    call = request.extensions.get(_EXTENSION)
    return call if isinstance(call, Call) else Call()
