"""A shutdown as lines, for a terminal."""

from nonebot_plugin_graceful.core.report import Report

from .rows import ENGLISH, Scale, counts, hook_rows, phases, span_of, title, work_rows

CELLS, CELLS_ASCII = "┄━█▓…", "-=#!."
"""Before the signal, after it, while it is ending, of what is wrong; and what stands for a cut."""


class Lines:
    """Writes from top to bottom.

    Args:
        report: Of the shutdown.
        columns: Of the terminal.
        cells: What bars are made of.

    """

    def __init__(self, report: Report, columns: int, cells: str) -> None:
        self._report, self._total = report, span_of(report)
        self._before, self._after, self._ending, self._bad, self._cut = cells
        self._rows = [*work_rows(report, self._total, ENGLISH), *hook_rows(report, self._total)]
        labels = [*(span.name for span in phases(report)), *(row.label for row in self._rows)]
        self._left = min(max(map(len, labels), default=0), max(columns // 3, 12))
        self._scale = Scale(self._total, 0, max(columns - self._left - 2, 20))

    def lines(self) -> list[str]:
        """Write them."""
        report, margin = self._report, " " * (self._left + 2)
        lines = [title(report, ENGLISH), counts(report, ENGLISH), "", margin + self._ticks()]
        for span in phases(report):
            ended = span.ended if span.ended is not None else self._total
            lines.append(self._bar(span.name, max(span.began, 0.0), ended, ended))
        for row in self._rows:
            lines.append(self._bar(row.label, row.began, row.told, row.ended, bad=bool(row.bad)))
            lines.append(margin + "  ".join(filter(None, (row.detail, row.note, row.bad))))
        if report.timeline.more:
            lines.append(ENGLISH["more"].format(report.timeline.more))
        if report.forced:
            lines += ["", f"{ENGLISH['forced']}: {report.forced}"]
        return [line.rstrip() for line in lines]

    def _ticks(self) -> str:
        cells = [" "] * int(self._scale.right)
        for tick in self._scale.ticks():
            text, start = f"{tick:g} s", int(self._scale.x(tick))
            if start + len(text) <= len(cells):
                cells[start : start + len(text)] = text
        return "".join(cells)

    def _bar(
        self, label: str, began: float, told: float, ended: float, *, bad: bool = False
    ) -> str:
        scale = self._scale
        first = int(scale.x(began))
        last = max(int(scale.x(ended)), first + 1)
        bar = " " * first
        for cell in range(first, last):
            moment = scale.moment(cell + 0.5)
            if moment < 0:
                bar += self._before
            elif bad:
                bar += self._bad
            else:
                bar += self._ending if moment >= told else self._after
        if len(label) > self._left:
            label = label[: self._left - 1] + self._cut
        return f"{label:<{self._left}}  {bar}"
