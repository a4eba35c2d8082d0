"""When each piece of work, each hook and each phase of a shutdown began and ended."""

import asyncio
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from .frames import where
from .tree import Tree
from .waits import what_for
from .work import Section, Work
from .world import Origin

if TYPE_CHECKING:
    from .stopping import Stopping

__all__ = ["LONGEST", "HookSpan", "Span", "Timeline", "WorkSpan", "load_timeline"]

MOST = 200
"""How much work is told of. What did not stop, and what took longest to, goes first."""
LONGEST = 200
"""Characters of a name: some authors give whole prompts."""
NEAR = 0.0005
"""Seconds; times are kept to the millisecond."""


@dataclass(slots=True)
class Span:
    """A stretch of time. In seconds since the shutdown began; below 0 is before that."""

    name: str
    began: float
    ended: float | None
    """None: it had not when the report was written."""


@dataclass(slots=True)
class HookSpan(Span):
    """One hook's turn."""

    event: str = "on_shutdown"
    """What it was called for."""
    failure: str = ""
    """How it ended, if not as it should."""


@dataclass(slots=True)
class WorkSpan(Span):
    """A piece of work that was in flight when the shutdown began, or was begun after it."""

    kind: str = ""
    tier: int = 2
    plugin: str | None = None
    user: str | None = None
    chat: str | None = None
    outcome: str = "finished"
    """``finished`` by itself, ``cancelled`` or ``abandoned``."""
    told: float | None = None
    """When it was told to end; None: it was not."""
    where: str = ""
    """Where it stands, if it was abandoned."""
    waits_for: str = ""


@dataclass(slots=True)
class Timeline:
    """One shutdown, from the moment it was asked for."""

    phases: list[Span] = field(default_factory=list[Span])
    works: list[WorkSpan] = field(default_factory=list[WorkSpan])
    hooks: list[HookSpan] = field(default_factory=list[HookSpan])
    more: int = 0
    """How much work there was besides."""
    presses: list[float] = field(default_factory=list[float])
    """When somebody pressed Ctrl+C again, or sent another signal."""
    gone: float | None = None
    """When the process came to its end; None: it was killed, or that is not known."""

    @property
    def seconds(self) -> float:
        """From the beginning to the end of what is known."""
        spans = (*self.phases, *self.works, *self.hooks)
        ends = (span.ended if span.ended is not None else span.began for span in spans)
        return max(0.0, self.gone or 0.0, *self.presses, *ends)

    def count(self, stopping: "Stopping") -> None:
        """Take in what became of the work."""
        origin = stopping.tree.lifecycle.began
        stuck = {branch.work: task for branch, task, _ in stopping.stuck()}
        outcomes = stopping.outcomes()
        works = [
            *(_span_of(work, "abandoned", origin, stopping) for work in outcomes.stragglers),
            *(_span_of(work, "cancelled", origin, stopping) for work in outcomes.cancelled),
            *(_span_of(work, "finished", origin, stopping) for work in outcomes.finished),
        ]
        for span, work in zip(works, outcomes.stragglers, strict=False):
            _tell_where(span, stuck.get(work, work.task), stopping.tree)
        self.set_works(works)
        self.hooks = [hook for hook in self.hooks if hook.event != "on_shutting_down"] + [
            HookSpan(
                work.name.removeprefix("on_shutting_down hook "),
                *_times(work, origin),
                event="on_shutting_down",
                failure="was stopped" if work.outcome else "",
            )
            for work in stopping.unlisted()
        ]

    def take_alive(self, tree: Tree) -> None:
        """Take in what is in flight, where nothing was counted: the event loop was blocked.

        From any thread.
        """
        origin = tree.lifecycle.began
        spans: list[WorkSpan] = []
        for work in tree.all():
            sections, whose = tuple(work.sections), work.origin
            if not (work.alive and work.begun and work.listed and sections):
                continue
            span = _span(work, sections, origin, "abandoned", whose)
            _tell_where(span, work.task, tree)
            spans.append(span)
        self.set_works(spans)

    def set_works(self, spans: Iterable[WorkSpan]) -> None:
        """Keep what there is room for."""
        spans = sorted(spans, key=_interest)
        self.works, self.more = spans[:MOST], len(spans[MOST:])


def load_timeline(values: dict[str, Any]) -> Timeline:
    """Read what ``dataclasses.asdict`` made of one.

    Raises:
        TypeError: It is none.
        KeyError: It is none.

    """
    return Timeline(
        phases=[Span(**span) for span in values["phases"]],
        works=[WorkSpan(**span) for span in values["works"]],
        hooks=[HookSpan(**span) for span in values["hooks"]],
        **{name: values[name] for name in ("more", "presses", "gone")},
    )


def _interest(span: WorkSpan) -> tuple[bool, float]:
    return span.ended is not None, -(span.ended if span.ended is not None else -span.began)


def _span_of(work: Work, outcome: str, origin: float, stopping: "Stopping") -> WorkSpan:
    span = _span(work, stopping.sections_of(work), origin, outcome, work.origin)
    told = stopping.told_at(work)
    if told is not None:
        span.told = round(max(told - origin, 0.0), 3)
    elif outcome != "finished":  # with what it belongs to, or by its own asking
        span.told = span.ended
    return span


def _span(
    work: Work, sections: tuple[Section, ...], origin: float, outcome: str, whose: Origin | None
) -> WorkSpan:
    return WorkSpan(
        # What its author calls it says more than the request that it was just at.
        next((section.name[:LONGEST] for section in sections if section.name), ""),
        *_times(work, origin),
        kind=sections[-1].kind.name,
        tier=min(section.kind.tier for section in sections),
        plugin=whose.plugin if whose is not None else None,
        user=whose.user if whose is not None else None,
        chat=whose.chat if whose is not None else None,
        outcome=outcome,
    )


def _times(work: Work, origin: float) -> tuple[float, float | None]:
    ended = round(max(work.ended_at - origin, NEAR), 3) if work.ended_at else None
    return round(work.started - origin, 3), ended


def _tell_where(span: WorkSpan, task: "asyncio.Task[Any] | None", tree: Tree) -> None:
    if task is not None:
        span.where = where(task, span.plugin, tree.world.plugin_of)
        span.waits_for = what_for(task).what
