"""The last shutdown as a picture: an SVG for a browser, and lines for a terminal."""

from collections.abc import Mapping

from nonebot_plugin_graceful.core.report import Report

from .lines import CELLS, CELLS_ASCII, Lines
from .picture import Picture
from .rows import CHINESE, ENGLISH, counts, hook_rows, span_of, title, work_rows

__all__ = ["CHINESE", "ENGLISH", "draw", "tell", "write"]


def draw(report: Report, *, width: int = 760, words: Mapping[str, str] = ENGLISH) -> str:
    """Draw a shutdown as SVG, light or dark as whoever looks at it has it.

    Args:
        report: Of the shutdown.
        width: Pixels.
        words: ``ENGLISH`` or ``CHINESE``.

    """
    return Picture(report, width, words).svg()


def tell(report: Report, *, words: Mapping[str, str] = ENGLISH) -> str:
    """Tell in words what the picture shows, for who cannot see it.

    Args:
        report: Of the shutdown.
        words: ``ENGLISH`` or ``CHINESE``.

    """
    total = span_of(report)
    rows = (*work_rows(report, total, words), *hook_rows(report, total))
    told = (" ".join(filter(None, (row.label, row.detail, row.note, row.bad))) for row in rows)
    return "; ".join((title(report, words), counts(report, words), *told))


def write(report: Report, *, columns: int = 80, ascii_only: bool = False) -> list[str]:
    """Write a shutdown down for a terminal.

    Args:
        report: Of the shutdown.
        columns: Of the terminal.
        ascii_only: Whether it can show nothing else.

    """
    return Lines(report, columns, CELLS_ASCII if ascii_only else CELLS).lines()
