"""What became of everything: the summary in the log, and the report on disk."""

import asyncio
import json
import os
import threading
import time
from collections import Counter
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .frames import where
from .timeline import Timeline, load_timeline
from .tree import Tree
from .waits import what_for
from .work import Work

if TYPE_CHECKING:
    from .stopping import Stopping

__all__ = ["Report", "Straggler", "current_folder", "describe_straggler", "load_report"]


@dataclass(slots=True)
class Straggler:
    """A task that would not stop."""

    plugin: str | None
    kind: str
    name: str
    user: str | None
    chat: str | None
    age: float
    """Seconds."""
    where: str
    cancels: int
    advice: str
    waits_for: str = ""
    """What it waits for, if that is known."""

    def __str__(self) -> str:
        who = f" for user {self.user} in {self.chat}" if self.user else ""
        return (
            f"{self.kind}{self.name and f' {self.name!r}'} of {self.plugin or 'no plugin'}{who}, {self.age:.0f} s old,"
            f" cancelled {self.cancels} times, is at {self.where}"
            f"{self.waits_for and f', waits for {self.waits_for}'}: {self.advice}"
        )


@dataclass(slots=True)
class Report:
    """One shutdown."""

    reason: str = ""
    at: str = ""
    """Local time at which it began."""
    phases: dict[str, float] = field(default_factory=dict[str, float])
    """Seconds each phase took."""
    kinds: dict[str, dict[str, int]] = field(default_factory=dict[str, dict[str, int]])
    plugins: dict[str, dict[str, int]] = field(default_factory=dict[str, dict[str, int]])
    stragglers: list[Straggler] = field(default_factory=list[Straggler])
    hooks: dict[str, str] = field(default_factory=dict[str, str])
    """``on_shutdown`` hooks that did not end as they should, and how."""
    interrupted: list[str] = field(default_factory=list[str])
    """Calls that blocked the event loop and were interrupted."""
    threads: dict[str, str] = field(default_factory=dict[str, str])
    """Stacks of the threads that held the exit."""
    timeline: Timeline = field(default_factory=Timeline)
    """When what began and ended; reports of version 0.2 and before have none."""
    forced: str = ""
    """Why the process was ended by force, if it was."""
    folder: str = ""
    """Where the bot was run: bots without ``LOCALSTORE_USE_CWD`` share one place for their reports.
    Those of version 0.1 do not tell."""

    @property
    def clean(self) -> bool:
        """Whether nothing had to be abandoned."""
        return not (self.stragglers or self.hooks or self.forced)

    def elsewhere(self, here: str) -> str:
        """Tell where the bot was run, if that was not here; an empty text if it was, or is not known.

        Another folder may be another bot, or this one before it was moved or as its container sees
        it: nobody but the operator can tell.

        Args:
            here: Our own `current_folder`.

        """
        return self.folder if self.folder != here else ""

    def count(self, stopping: "Stopping") -> None:
        """Take in what became of the tasks."""
        outcomes = stopping.outcomes()
        kinds: dict[str, Counter[str]] = {}
        plugins: dict[str, Counter[str]] = {}
        everyone = [
            *((work, "finished") for work in outcomes.finished),
            *((work, "cancelled") for work in outcomes.cancelled),
            *((work, "abandoned") for work in outcomes.stragglers),
        ]
        for work, outcome in sorted(everyone, key=lambda one: stopping.kind_of(one[0]).tier):
            kinds.setdefault(stopping.kind_of(work).name, Counter())[outcome] += 1
            plugin = (work.origin.plugin if work.origin else None) or "-"
            plugins.setdefault(plugin, Counter())[outcome] += 1
        self.kinds = {name: dict(counts) for name, counts in kinds.items()}
        self.plugins = {name: dict(counts) for name, counts in plugins.items()}
        self.stragglers = [
            describe_straggler(stopping.tree, branch.work, task, cancels)
            for branch, task, cancels in stopping.stuck()
        ]
        self.timeline.count(stopping)

    def lines(self) -> list[str]:
        """Give the summary, one log line each."""
        took = ", ".join(f"{name} {seconds:.2f} s" for name, seconds in self.phases.items())
        if not self.kinds:
            lines = [f"Stopped ({self.reason}): nothing was in flight; {took}"]
        else:
            total = sum(sum(counts.values()) for counts in self.kinds.values())
            lines = [f"Stopped ({self.reason}): {total} in flight; {took}"]
            lines += _table("kind", self.kinds)
            lines += _table("plugin", self.plugins)
        for place, times in Counter(self.interrupted).items():
            lines.append(
                f"Interrupted: {place} blocked the event loop" + f", {times} times" * (times > 1)
            )
        lines += [f"Abandoned: {straggler}" for straggler in self.stragglers]
        lines += [f"on_shutdown hook {name} {what}" for name, what in self.hooks.items()]
        return lines

    def save(self, path: Path) -> None:
        """Write it as JSON, whole or not at all."""
        path.parent.mkdir(parents=True, exist_ok=True)
        # The last words may be written while the main thread is at it.
        draft = path.with_suffix(f".{threading.get_ident()}.tmp")
        text = json.dumps(asdict(self), ensure_ascii=False, indent=1)
        # Half a surrogate pair, as chats send it, is no UTF-8; its escape is JSON's as well.
        draft.write_text(text, encoding="utf-8", errors="backslashreplace")
        draft.replace(path)


def current_folder() -> str:
    """Give the current folder, as it stands in reports; an empty text if it is gone."""
    try:
        folder = os.getcwd()  # noqa: PTH109 - a text is wanted
    except OSError:
        return ""
    # A name that is not UTF-8 would keep the report from being written.
    return os.fsencode(folder).decode("utf-8", "replace")


def load_report(path: Path) -> Report | None:
    """Read the report of the last shutdown; None if there is none that can be read."""
    try:
        values: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        values["stragglers"] = [Straggler(**straggler) for straggler in values["stragglers"]]
        if "timeline" in values:
            values["timeline"] = load_timeline(values["timeline"])
        return Report(**values)
    except (OSError, ValueError, TypeError, KeyError):
        return None


def _table(title: str, rows: dict[str, dict[str, int]]) -> list[str]:
    columns = [
        outcome
        for outcome in ("finished", "cancelled", "abandoned")
        if any(counts.get(outcome) for counts in rows.values())
    ]
    width = max(len(title), *(len(name) for name in rows))
    lines = [f"  {title:<{width}}  " + "  ".join(columns)]
    lines += [
        f"  {name:<{width}}  "
        + "  ".join(f"{counts.get(column, 0) or '':>{len(column)}}" for column in columns)
        for name, counts in rows.items()
    ]
    return [line.rstrip() for line in lines]


def describe_straggler(
    tree: Tree, work: Work, task: "asyncio.Task[Any] | None", cancels: int
) -> Straggler:
    """Describe a task that would not stop.

    Args:
        tree: Where it is.
        work: What is known of it.
        task: Where it is stuck: its own task, or one that belongs to it.
        cancels: How often it was cancelled.

    """
    origin, sections = work.origin, tuple(work.sections)  # they may end while a thread asks
    plugin = origin.plugin if origin else None
    place = where(task, plugin, tree.world.plugin_of) if task is not None else "unknown"
    return Straggler(
        plugin=plugin,
        kind=sections[-1].kind.name if sections else "background",
        name=next((section.name for section in sections if section.name), ""),
        user=origin.user if origin else None,
        chat=origin.chat if origin else None,
        age=time.monotonic() - work.started,
        where=place,
        waits_for=what_for(task).what if task is not None else "",
        cancels=cancels,
        advice=(
            f"catches CancelledError at {place}; re-raise it"
            if cancels
            else "never came to be cancelled: the event loop was blocked"
        ),
    )
