"""How long work of a kind usually takes."""

from collections import deque

from nonebot_plugin_graceful.core.meters import Meter, seconds_worked
from nonebot_plugin_graceful.core.work import Section, Work

__all__ = ["Usual"]

KEPT = 50
ENOUGH = 3
"""From how many on something can be said."""
MOST = 100
"""Kinds that are remembered; authors may make up any."""


class Usual(Meter):
    """Remembers how long the last ones of each kind took that came to a good end."""

    def __init__(self) -> None:
        self._seconds: dict[str, deque[float]] = {}

    def ended(self, section: Section, work: Work, outcome: str) -> None:
        """Remember one."""
        del work
        kind = section.kind.name
        if outcome != "done" or (kind not in self._seconds and len(self._seconds) >= MOST):
            return
        self._seconds.setdefault(kind, deque(maxlen=KEPT)).append(seconds_worked(section))

    def of(self, kind: str) -> float | None:
        """Tell within how many seconds nine of ten have ended; None: that is not known yet."""
        seconds = sorted(self._seconds.get(kind, ()))
        return seconds[int(len(seconds) * 0.9)] if len(seconds) >= ENOUGH else None
