"""What there is to be seen of a shutdown: its rows, and where a moment lies."""

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from nonebot_plugin_graceful.core.report import Report
from nonebot_plugin_graceful.core.timeline import HookSpan, Span, WorkSpan

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


def title(report: Report, words: Mapping[str, str]) -> str:
    """Say in a line how it ended."""
    how = words["clean" if report.clean else "not clean"]
    return f"{report.reason} · {_seconds(span_of(report))} · {how}"


def counts(report: Report, words: Mapping[str, str]) -> str:
    """Say how many ended in which way."""
    counts: Counter[str] = Counter()
    for each in report.kinds.values():
        counts.update(each)
    return (
        " · ".join(f"{number} {words[name]}" for name, number in counts.items())
        or (words["nothing"])
    )


def phases(report: Report) -> list[Span]:
    """Give the phases; of a report without a timeline, one after the other."""
    if report.timeline.phases:
        return report.timeline.phases
    spans: list[Span] = []
    now = 0.0
    for name, seconds in report.phases.items():
        spans.append(Span(name, now, now + seconds))
        now += seconds
    return spans


def span_of(report: Report) -> float:
    """Seconds that the picture shows."""
    return max(report.timeline.seconds, sum(report.phases.values()), 0.01)


def work_rows(report: Report, total: float, words: Mapping[str, str]) -> Iterator[Row]:
    """Give the rows of work, in the order in which it ended."""
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


def hook_rows(report: Report, total: float) -> Iterator[Row]:
    """Give the rows of hooks, in the order in which they began."""
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
    return COLOURS.get(kind) or OTHERS[sum(kind.encode(errors="replace")) % len(OTHERS)]


def _seconds(seconds: float) -> str:
    return f"{seconds:.2f} s" if seconds < 10 else f"{seconds:.1f} s"


class Scale:
    """Where a moment lies between two edges."""

    def __init__(self, total: float, left: float, right: float) -> None:
        self.total: float = total
        self.left: float = left
        self.right: float = right
        self.zero: float = left + (right - left) * BEFORE
        self._pace = (right - self.zero) / total

    def x(self, moment: float) -> float:
        """Give the place of a moment."""
        if moment < 0:
            return self.left
        return min(self.zero + moment * self._pace, self.right)

    def moment(self, x: float) -> float:
        """Give the moment of a place."""
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
