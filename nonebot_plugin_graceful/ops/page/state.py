"""What the page shows: what is in flight, how it stands, what waits."""

import time
from collections import Counter
from collections.abc import Callable
from dataclasses import fields
from typing import Any

from nonebot_plugin_graceful.bot.process import Process
from nonebot_plugin_graceful.core.info import TaskInfo, describe, in_flight
from nonebot_plugin_graceful.core.timeline import LONGEST
from nonebot_plugin_graceful.core.work import Work
from nonebot_plugin_graceful.journal.requests import Requests
from nonebot_plugin_graceful.ops.last import LastShutdown

from .usual import Usual

__all__ = ["State"]

MOST = 200
"""How much work is shown, the longest first: what it was begun in, goes before it."""
FIELDS = [field.name for field in fields(TaskInfo)]


class State:
    """What there is to be seen.

    Args:
        process: Of the bot.
        requests: The journal's.
        last: The report of the last shutdown.
        usual: How long work usually takes.
        actions: What can be done.

    """

    def __init__(
        self,
        process: Process,
        requests: Requests,
        last: LastShutdown,
        usual: Usual,
        actions: Callable[[], list[str]],
    ) -> None:
        self._process, self._requests = process, requests
        self._last, self._usual, self._actions = last, usual, actions
        self._began = time.monotonic()

    def now(self) -> dict[str, Any]:
        """Look. Needs a running event loop."""
        tree = self._process.tree
        lifecycle = tree.lifecycle
        works = in_flight(tree)
        return {
            "phase": lifecycle.phase.value,
            "reason": lifecycle.reason if lifecycle.stopping else "",
            "paused": tree.admission.refusing,
            "stops": self._stops(),
            "up": round(time.monotonic() - self._began),
            "actions": self._actions(),
            "works": [_shown(work, describe(tree, work)) for work in works[:MOST]],
            "more": max(len(works) - MOST, 0),
            "kinds": self._kinds(Counter(work.kind.name for work in works)),
            "plugins": dict(Counter(o.plugin for w in works if (o := w.origin) and o.plugin)),
            "journal": self._journal(),
            "last": self._summary(),
        }

    def _stops(self) -> dict[str, Any]:
        """Tell what a drain ends in."""
        admission = self._process.tree.admission
        return {"when_empty": admission.stops_when_empty, "in": admission.seconds_left}

    def _kinds(self, counts: Counter[str]) -> dict[str, dict[str, Any]]:
        tree = self._process.tree
        queued = tree.places.queued()
        return {
            name: {
                "in_flight": counts[name],
                "queued": queued.get(name, 0),
                "limit": tree.kinds[name].limit,
                "timeout": tree.kinds[name].timeout,
                "usual": self._usual.of(name),
            }
            for name in tree.kinds
            if counts[name] or queued.get(name)
        }

    def _journal(self) -> list[dict[str, Any]]:
        if not self._requests.storage.file.exists():
            return []
        return [
            {
                "id": row.id,
                "kind": row.kind,
                "plugin": row.plugin,
                "user": row.user,
                "chat": row.chat,
                "age": round(time.time() - row.asked),
                "attempts": row.attempts,
                "unfit": row.unfit,
            }
            for row in self._requests.waiting()[:MOST]
        ]

    def _summary(self) -> dict[str, Any] | None:
        report = self._last()
        if report is None:
            return None
        seconds = report.timeline.seconds or sum(report.phases.values())
        return {
            "at": report.at,
            "elsewhere": report.elsewhere(self._process.folder),
            "reason": report.reason,
            "clean": report.clean,
            "seconds": round(seconds, 2),
        }


def _shown(work: Work, info: TaskInfo) -> dict[str, Any]:
    shown = {name: getattr(info, name) for name in FIELDS}
    # A task's own name, or that it stands in our queue, says nothing to an operator.
    names = (section.name for section in work.sections if section.name)
    shown["name"] = " · ".join(dict.fromkeys(names))[:LONGEST]
    shown["where"] = "" if info.state == "queued" else info.where
    shown["age"] = round(info.age, 1)
    return shown
