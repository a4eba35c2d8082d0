"""The last shutdown as a picture: an SVG for a browser, and lines for a terminal."""

import re
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from html import escape as escape_html

from nonebot_plugin_graceful.core.report import Report
from nonebot_plugin_graceful.core.timeline import HookSpan, Span, WorkSpan

__all__ = ["draw", "tell", "write"]

BEFORE = 0.1
"""Of the width is for what was before the signal, however long it took."""
COLOURS = {
    "image": "#8b5cf6",
    "llm": "#0ea5e9",
    "handler": "#10b981",
    "job": "#f59e0b",
    "background": "#64748b",
}
OTHERS = ("#ec4899", "#14b8a6", "#6366f1", "#84cc16", "#d946ef")
PHASES = {"work": "#6366f1", "server": "#0d9488", "hooks": "#d97706"}
BAD = "#e11d48"

ENGLISH = {
    "finished": "finished",
    "cancelled": "cancelled",
    "abandoned": "did not stop",
    "work": "work",
    "server": "server",
    "hooks": "hooks",
    "clean": "clean",
    "not clean": "not clean",
    "user": "user",
    "more": "and {} more",
    "nothing": "nothing was in flight",
    "waits for": "waits for",
    "forced": "ended by force",
}
CHINESE = {
    "finished": "已完成",
    "cancelled": "已取消",
    "abandoned": "停不下来",
    "work": "任务",
    "server": "服务器",
    "hooks": "钩子",
    "clean": "正常",
    "not clean": "不正常",
    "user": "用户",
    "more": "……还有 {} 项",
    "nothing": "当时没有进行中的任务",
    "waits for": "等待",
    "forced": "强制结束",
}
THINGS = {
    "a moment": "片刻",
    "a lock": "锁",
    "an event": "事件",
    "a queue": "队列",
    "a full queue": "队列空位",
    "a thread": "线程",
    "a process": "子进程",
    "a database": "数据库",
    "a WebSocket": "WebSocket",
}
"""What work waits for, if that is no service, in Chinese."""


@dataclass(frozen=True, slots=True)
class Row:
    """One bar, and what is written at it."""

    label: str
    detail: str
    """Muted, after the label."""
    note: str
    """At the end of the line."""
    colour: str
    began: float
    told: float
    """From here on it was ending."""
    ended: float
    bad: str = ""
    """What was wrong with it."""


def draw(report: Report, *, width: int = 760, words: Mapping[str, str] = ENGLISH) -> str:
    """Draw a shutdown as SVG, light or dark as whoever looks at it has it.

    Args:
        report: Of the shutdown.
        width: Pixels.
        words: ``ENGLISH`` or ``CHINESE``.

    """
    return _Picture(report, width, words).svg()


def tell(report: Report, *, words: Mapping[str, str] = ENGLISH) -> str:
    """Tell in words what the picture shows, for who cannot see it.

    Args:
        report: Of the shutdown.
        words: ``ENGLISH`` or ``CHINESE``.

    """
    total = _span_of(report)
    rows = (*_work_rows(report, total, words), *_hook_rows(report, total))
    told = (" ".join(filter(None, (row.label, row.detail, row.note, row.bad))) for row in rows)
    return "; ".join((_title(report, words), _counts(report, words), *told))


def write(report: Report, *, columns: int = 80, ascii_only: bool = False) -> list[str]:
    """Write a shutdown down for a terminal.

    Args:
        report: Of the shutdown.
        columns: Of the terminal.
        ascii_only: Whether it can show nothing else.

    """
    return _Lines(report, columns, CELLS_ASCII if ascii_only else CELLS).lines()


# -- the lines

CELLS, CELLS_ASCII = "┄━█▓…", "-=#!."
"""Before the signal, after it, while it is ending, of what is wrong; and what stands for a cut."""


class _Lines:
    """Writes from top to bottom.

    Args:
        report: Of the shutdown.
        columns: Of the terminal.
        cells: What bars are made of.

    """

    def __init__(self, report: Report, columns: int, cells: str) -> None:
        self._report, self._total = report, _span_of(report)
        self._before, self._after, self._ending, self._bad, self._cut = cells
        self._rows = [*_work_rows(report, self._total, ENGLISH), *_hook_rows(report, self._total)]
        labels = [*(span.name for span in _phases(report)), *(row.label for row in self._rows)]
        self._left = min(max(map(len, labels), default=0), max(columns // 3, 12))
        self._scale = _Scale(self._total, 0, max(columns - self._left - 2, 20))

    def lines(self) -> list[str]:
        report, margin = self._report, " " * (self._left + 2)
        lines = [_title(report, ENGLISH), _counts(report, ENGLISH), "", margin + self._ticks()]
        for span in _phases(report):
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


# -- what there is to be seen


def _title(report: Report, words: Mapping[str, str]) -> str:
    how = words["clean" if report.clean else "not clean"]
    return f"{report.reason} · {_seconds(_span_of(report))} · {how}"


def _counts(report: Report, words: Mapping[str, str]) -> str:
    counts: Counter[str] = Counter()
    for each in report.kinds.values():
        counts.update(each)
    return (
        " · ".join(f"{number} {words[name]}" for name, number in counts.items())
        or (words["nothing"])
    )


def _phases(report: Report) -> list[Span]:
    """Give the phases; of a report without a timeline, one after the other."""
    if report.timeline.phases:
        return report.timeline.phases
    spans: list[Span] = []
    now = 0.0
    for name, seconds in report.phases.items():
        spans.append(Span(name, now, now + seconds))
        now += seconds
    return spans


def _span_of(report: Report) -> float:
    """Seconds that the picture shows."""
    return max(report.timeline.seconds, sum(report.phases.values()), 0.01)


def _work_rows(report: Report, total: float, words: Mapping[str, str]) -> Iterator[Row]:
    spans = report.timeline.works
    for span in sorted(spans, key=lambda span: (span.tier, span.ended or total, span.began)):
        ended = span.ended if span.ended is not None else total
        abandoned = span.outcome == "abandoned"
        told = span.told if span.told is not None else 0.0 if abandoned else ended
        yield Row(
            label=span.kind,
            detail=" · ".join(filter(None, (span.name, span.plugin, _whom(span, words)))),
            note=f"{words.get(span.outcome, span.outcome)} {_seconds(ended)}"
            if not abandoned
            else words["abandoned"],
            colour=BAD if abandoned else _colour(span.kind),
            began=span.began,
            told=told,
            ended=ended,
            bad=_stands(span, words) if abandoned else "",
        )


def _stands(span: WorkSpan, words: Mapping[str, str]) -> str:
    what = THINGS.get(span.waits_for, span.waits_for) if words is CHINESE else span.waits_for
    waits = f", {words['waits for']} {what}" if what else ""
    return f"{span.where}{waits}"


def _hook_rows(report: Report, total: float) -> Iterator[Row]:
    for hook in sorted(report.timeline.hooks, key=lambda hook: hook.began):
        ended = hook.ended if hook.ended is not None else total
        yield Row(
            label=hook.event,
            detail=hook.name,
            note=_seconds(ended - hook.began),
            colour=BAD if hook.failure else PHASES["hooks"],
            began=hook.began,
            told=hook.began,
            ended=ended,
            bad=hook.failure,
        )
    seen = {hook.name for hook in report.timeline.hooks}
    for name, what in report.hooks.items():
        if name not in seen:
            hook = HookSpan(name, total, total, failure=what)
            yield Row(hook.event, name, "", BAD, total, total, total, what)


def _whom(span: WorkSpan, words: Mapping[str, str]) -> str:
    if not span.user:
        return ""
    where = f"@{span.chat}" if span.chat and span.chat != span.user else ""
    return f"{words['user']} {span.user}{where}"


def _colour(kind: str) -> str:
    return COLOURS.get(kind) or OTHERS[sum(kind.encode()) % len(OTHERS)]


def _seconds(seconds: float) -> str:
    return f"{seconds:.2f} s" if seconds < 10 else f"{seconds:.1f} s"


class _Scale:
    """Where a moment lies between two edges."""

    def __init__(self, total: float, left: float, right: float) -> None:
        self.total, self.left, self.right = total, left, right
        self.zero = left + (right - left) * BEFORE
        self._pace = (right - self.zero) / total

    def x(self, moment: float) -> float:
        if moment < 0:
            return self.left
        return min(self.zero + moment * self._pace, self.right)

    def moment(self, x: float) -> float:
        return (x - self.zero) / self._pace

    def ticks(self, most: int = 6) -> list[float]:
        """Give round numbers of seconds, few enough to be read."""
        step = next(
            (
                factor * 10**power
                for power in range(-3, 5)
                for factor in (1, 2, 5)
                if self.total / (factor * 10**power) <= most
            ),
            self.total,
        )
        return [round(number * step, 6) for number in range(int(self.total / step) + 1)]


# -- the picture

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


class _Picture:
    """Draws from top to bottom.

    Args:
        report: Of the shutdown.
        width: Pixels.
        words: What is written.

    """

    def __init__(self, report: Report, width: int, words: Mapping[str, str]) -> None:
        self._report, self._width, self._words = report, width, words
        self._total = _span_of(report)
        self._scale = _Scale(self._total, PAD, width - PAD)
        self._parts: list[str] = []
        self._y = 0.0

    def svg(self) -> str:
        report, words = self._report, self._words
        self._head()
        top = self._y
        rows = [*_work_rows(report, self._total, words), *_hook_rows(report, self._total)]
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
            f"<title>{escape(_title(report, words))}</title><style>{STYLE}</style>"
            f'<rect width="100%" height="100%" fill="var(--bg)"/>'
            + "".join((*self._lines(top, self._y), *self._parts))
            + "</svg>"
        )

    def _head(self) -> None:
        report, words = self._report, self._words
        self._text(PAD, 24, _title(report, words), "h")
        self._text(PAD, 44, _counts(report, words), "m")
        for span in _phases(report):
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
