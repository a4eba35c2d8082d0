"""A shutdown as SVG, for a browser."""

import re
from collections.abc import Iterator, Mapping
from html import escape as escape_html

from nonebot_plugin_graceful.core.report import Report

from .rows import OTHERS, PHASES, Row, Scale, counts, hook_rows, phases, span_of, title, work_rows

STYLE = """
.t{--fg:#16181d;--mut:#667085;--line:#d0d5dd;--grid:#eef0f3;--bg:#fff;--bad:#be123c}
@media(prefers-color-scheme:dark){.t{--fg:#e7e9ee;--mut:#98a2b3;--line:#3b424e;--grid:#262b34;--bg:#15181e;--bad:#fda4af}}
.t text{font:12px system-ui,-apple-system,"Segoe UI","PingFang SC","Microsoft YaHei","Noto Sans CJK SC",sans-serif;fill:var(--fg);stroke:var(--bg);stroke-width:5px;paint-order:stroke;stroke-linejoin:round}
.t .h{font-size:14px;font-weight:600}.t .m{fill:var(--mut)}.t .p{stroke:none}.t .b{fill:var(--bad)}.t .p{fill:#fff;font-weight:600;font-size:11px}
.t .mono{font-family:ui-monospace,SFMono-Regular,Menlo,Consolas,monospace;font-size:11px}
.t .g{stroke:var(--grid)}.t .s{stroke:var(--mut)}.t .x{stroke:var(--bad);stroke-dasharray:3 3}
""".strip()
NO_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
PAD = 14
ROW, NOTE = 32, 16
CHARACTER = 6.7
"""Pixels, on average; a Chinese one takes two."""


class Picture:
    """Draws from top to bottom.

    Args:
        report: Of the shutdown.
        width: Pixels.
        words: What is written.

    """

    def __init__(self, report: Report, width: int, words: Mapping[str, str]) -> None:
        self._report, self._width, self._words = report, width, words
        self._total = span_of(report)
        self._scale = Scale(self._total, PAD, width - PAD)
        self._parts: list[str] = []
        self._y = 0.0

    def svg(self) -> str:
        """Draw it."""
        report, words = self._report, self._words
        self._head()
        top = self._y
        rows = [*work_rows(report, self._total, words), *hook_rows(report, self._total)]
        for row in rows:
            self._row(row)
        if report.timeline.more:
            self._text(PAD, self._y + 16, words["more"].format(report.timeline.more), "m")
            self._y += 24
        if report.forced:
            self._text(PAD, self._y + 18, f"{words['forced']}: {report.forced}", "b")
            self._y += 26
        height = self._y + PAD / 2
        return (
            f'<svg xmlns="http://www.w3.org/2000/svg" class="t" viewBox="0 0 {self._width}'
            f' {height:.0f}" width="{self._width}" height="{height:.0f}" role="img">'
            f"<title>{escape(title(report, words))}</title><style>{STYLE}</style>"
            f'<rect width="100%" height="100%" fill="var(--bg)"/>'
            + "".join((*self._lines(top, self._y), *self._parts))
            + "</svg>"
        )

    def _head(self) -> None:
        report, words = self._report, self._words
        self._text(PAD, 24, title(report, words), "h")
        self._text(PAD, 44, counts(report, words), "m")
        for span in phases(report):
            ended = span.ended if span.ended is not None else self._total
            x, end = self._scale.x(max(span.began, 0.0)), self._scale.x(ended)
            name = words.get(span.name, span.name)
            self._rect(x, 58, max(end - x - 1, 2), 18, PHASES.get(span.name, OTHERS[2]), 4)
            if end - x > _wide(name) + 12:
                self._text(x + 6, 71, name, "p")
        for tick in self._scale.ticks(max(2, self._width // 110)):
            x = self._scale.x(tick)
            anchor = "end" if x > self._width - PAD - 24 else "middle"
            self._text(x, 92, f"{tick:g} s", "m", anchor)
        self._y = 102

    def _lines(self, top: float, bottom: float) -> Iterator[str]:
        def line(moment: float, what: str) -> str:
            x = self._scale.x(moment)
            return f'<line class="{what}" x1="{x:.1f}" x2="{x:.1f}" y1="{top - 4:.0f}" y2="{bottom:.0f}"/>'

        for tick in self._scale.ticks(max(2, self._width // 110)):
            yield line(tick, "g")
        yield line(0, "s")
        for press in self._report.timeline.presses:
            yield line(press, "x")

    def _row(self, row: Row) -> None:
        y, right = self._y, self._width - PAD
        note_left = right - _wide(row.note)
        self._parts.append(f'<circle cx="{PAD + 4}" cy="{y + 11:.0f}" r="4" fill="{row.colour}"/>')
        room = note_left - PAD - 14 - _wide(row.label) - 24
        self._parts.append(
            f'<text x="{PAD + 14}" y="{y + 15:.0f}">{escape(row.label)}'
            f'<tspan class="m" dx="8">{escape(_cut(row.detail, room))}</tspan></text>'
        )
        self._text(right, y + 15, row.note, "b" if row.bad else "m", "end")
        if row.bad:
            self._text(PAD + 14, y + 30, _cut(row.bad, right - PAD - 14, mono=True), "b mono")
            self._y += NOTE
            y += NOTE
        self._bar(row, y + 21)
        self._y += ROW

    def _bar(self, row: Row, y: float) -> None:
        scale = self._scale
        if row.began < 0:
            self._rect(scale.left, y, scale.zero - scale.left, 6, row.colour, 3, 0.25)
        began, told, ended = (scale.x(max(each, 0.0)) for each in (row.began, row.told, row.ended))
        if told > began:
            self._rect(began, y, told - began, 6, row.colour, 3, 0.55)
        told = min(told, scale.right - 3)
        self._rect(told, y, max(ended - told, 3), 6, row.colour, 3)

    def _rect(  # noqa: PLR0917 - as SVG has it
        self, x: float, y: float, wide: float, high: float, fill: str, r: int, opacity: float = 1
    ) -> None:
        seen = f' opacity="{opacity}"' if opacity < 1 else ""
        self._parts.append(
            f'<rect x="{x:.1f}" y="{y:.1f}" width="{wide:.1f}" height="{high:.0f}" rx="{r}"'
            f' fill="{fill}"{seen}/>'
        )

    def _text(self, x: float, y: float, text: str, what: str, anchor: str = "start") -> None:
        self._parts.append(
            f'<text x="{x:.1f}" y="{y:.1f}" class="{what}" text-anchor="{anchor}">'
            f"{escape(text)}</text>"
        )


def escape(text: str) -> str:
    """Make a text one of XML's, in which control characters have no place at all."""
    return escape_html(NO_XML.sub("\ufffd", text))


def _wide(text: str) -> float:
    return sum(CHARACTER if each < "\u2e80" else 2 * CHARACTER for each in text)


def _cut(text: str, room: float, *, mono: bool = False) -> str:
    """Shorten a text to a width; of a path the end says more."""
    if _wide(text) <= room:
        return text
    room -= 2 * CHARACTER
    fits = 0
    for each in reversed(text) if mono else text:
        room -= _wide(each)
        if room < 0:
            break
        fits += 1
    if not fits:
        return ""
    return f"…{text[-fits:]}" if mono else f"{text[:fits]}…"
