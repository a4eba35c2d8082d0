"""The report of the last shutdown, for who asks again and again."""

from contextlib import suppress
from pathlib import Path

from nonebot_plugin_graceful.core.report import Report, load_report

__all__ = ["LastShutdown"]


class LastShutdown:
    """The report of the last shutdown, read again only when there is another one.

    Args:
        file: Where it is.

    """

    def __init__(self, file: Path) -> None:
        self._file = file
        self._as_of = 0
        self._report: Report | None = None

    def __call__(self) -> Report | None:
        """Give it; None if there is none that can be read."""
        with suppress(OSError):
            written = self._file.stat().st_mtime_ns
            if written != self._as_of:
                self._as_of, self._report = written, load_report(self._file)
        return self._report
