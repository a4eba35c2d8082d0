"""What is counted for Prometheus, and what is read when it asks. Needs prometheus-client."""

import threading
from collections import Counter as Tally
from collections.abc import Callable, Iterable
from pathlib import Path

from prometheus_client import CollectorRegistry, Histogram, Metric
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily

from nonebot_plugin_graceful.core.kinds import Kind
from nonebot_plugin_graceful.core.lifecycle import Phase
from nonebot_plugin_graceful.core.meters import Meter, seconds_queued, seconds_worked
from nonebot_plugin_graceful.core.tree import Tree
from nonebot_plugin_graceful.core.work import Section, Work
from nonebot_plugin_graceful.journal.storage import Storage

from .last import LastShutdown

__all__ = ["Metrics"]

BUCKETS = (0.1, 0.5, 1, 2.5, 5, 10, 20, 30, 60, 120, 300, 600)
"""Seconds. A chat takes a few, a picture many."""
OTHER = "other"
PLUGINS, KINDS, HOSTS, REASONS = 200, 50, 50, 50
"""How many values of a label there are at most. A user may bring URLs of any host, and a host may
answer with any status."""


class Metrics(Meter):
    """What is counted when it happens, and what is read when somebody asks.

    Args:
        tree: What is in flight.
        storage: The journal.
        report_file: Where the report of the last shutdown is.
        registry: prometheus-client's.

    """

    def __init__(
        self, tree: Tree, storage: Storage, report_file: Path, registry: CollectorRegistry
    ) -> None:
        self._tree, self._storage, self._registry = tree, storage, registry
        self._last = LastShutdown(report_file)
        self._plugins, self._kinds = _Bound(PLUGINS), _Bound(KINDS)
        self._hosts, self._reasons = _Bound(HOSTS), _Bound(REASONS)
        self._statuses = _Bound(REASONS)
        self._counters: list[_Counts] = []

        def counter(name: str, what: str, *labels: str) -> _Counts:
            self._counters.append(_Counts(f"graceful_{name}", what, labels))
            return self._counters[-1]

        def histogram(name: str, what: str) -> Histogram:
            name = f"graceful_{name}_seconds"
            return Histogram(name, what, ["kind"], buckets=BUCKETS, registry=registry)

        self._work = counter(
            "work_total", "Work that has come to its end.", "kind", "plugin", "outcome"
        )
        self._seconds = histogram("work", "Seconds that work took, without its wait for a place.")
        self._queue = histogram("queue", "Seconds that work waited for one of its kind's places.")
        self._requests = counter(
            "http_requests_total", "Attempts of http_client() to ask a host.", "host", "status"
        )
        self._retries = counter(
            "retries_total", "Attempts that were made again, by what had failed.", "host", "reason"
        )
        self._throttled = counter(
            "throttled_total", "Retries that were not made since too much had failed.", "host"
        )
        self._blocked = counter(
            "loop_blocked_total", "Times that a plugin's code blocked the event loop.", "plugin"
        )

    def install(self) -> Callable[[], None]:
        """Begin to count.

        Returns:
            Ends it.

        """
        self._registry.register(self)
        self._tree.world.meters.append(self)

        def restore() -> None:
            self._tree.world.meters.remove(self)
            for each in (self, self._seconds, self._queue):
                self._registry.unregister(each)

        return restore

    # -- what happens

    def ended(self, section: Section, work: Work, outcome: str) -> None:
        """Count work that has come to its end."""
        kind = self._kinds(section.kind.name)
        self._work.add(kind, self._plugin(work), outcome)
        self._seconds.labels(kind).observe(seconds_worked(section))
        if section.kind.limit is not None:
            self._queue.labels(kind).observe(seconds_queued(section))

    def refused(self, kind: Kind, work: Work | None) -> None:
        """Count work that may not begin."""
        self._work.add(self._kinds(kind.name), self._plugin(work), "refused")

    def answered(self, host: str, status: str) -> None:
        """Count an attempt to ask a service."""
        self._requests.add(self._hosts(host), self._statuses(status))

    def retried(self, host: str, reason: str) -> None:
        """Count what is tried again."""
        self._retries.add(self._hosts(host), self._reasons(reason))

    def throttled(self, host: str) -> None:
        """Count what is not tried again."""
        self._throttled.add(self._hosts(host))

    def blocked(self, plugin: str | None) -> None:
        """Count what held everybody up."""
        self._blocked.add(self._plugins(plugin or ""))

    def _plugin(self, work: Work | None) -> str:
        origin = work.origin if work is not None else None
        return self._plugins(origin.plugin or "" if origin is not None else "")

    # -- what is

    def describe(self) -> Iterable[Metric]:
        """Tell the registry what there will be, without looking."""
        return []

    def collect(self) -> Iterable[Metric]:
        """Look."""
        tree = self._tree
        for counter in self._counters:
            yield counter.family()
        yield self._by_kind("in_flight", "Work in flight.", self._in_flight())
        yield self._by_kind("queued", "Work that waits for a place.", tree.places.queued())
        accepting = not (tree.lifecycle.stopping or tree.admission.refusing)
        yield _gauge("accepting", "Whether new AI work is taken on.", accepting)
        phase = GaugeMetricFamily("graceful_phase", "Where the bot is.", labels=["phase"])
        for each in Phase:
            phase.add_metric([each.value], each is tree.lifecycle.phase)
        yield phase
        yield _gauge("journal_open", "Requests in the journal.", self._storage.count())
        report = self._last()
        if report is not None:
            seconds = report.timeline.seconds or sum(report.phases.values())
            for name, what, value in (
                ("seconds", "Seconds that the last shutdown took.", seconds),
                ("stragglers", "Tasks that did not stop in it.", len(report.stragglers)),
                ("clean", "Whether nothing had to be abandoned in it.", report.clean),
            ):
                yield _gauge(f"last_shutdown_{name}", what, value)

    def _in_flight(self) -> dict[str, int]:
        works = self._tree.snapshot().items()
        return Tally(sections[-1].kind.name for work, sections in works if work.listed)

    def _by_kind(self, name: str, what: str, counts: dict[str, int]) -> Metric:
        family = GaugeMetricFamily(f"graceful_{name}", what, labels=["kind"])
        bounded: Tally[str] = Tally()
        for kind, count in counts.items():
            bounded[self._kinds(kind)] += count
        for kind in {*self._kinds.values, *bounded}:  # what was there once is there with a zero
            family.add_metric([kind], bounded[kind])
        return family


def _gauge(name: str, what: str, value: float) -> Metric:
    return GaugeMetricFamily(f"graceful_{name}", what, value=float(value))


class _Counts:
    """A counter. prometheus-client's tells of each series when it was begun, which is another one.

    Args:
        name: Of the metric.
        what: Its help text.
        labels: Their names.

    """

    def __init__(self, name: str, what: str, labels: tuple[str, ...]) -> None:
        self._name, self._what, self._labels = name, what, labels
        self._counts: Tally[tuple[str, ...]] = Tally()
        self._lock = threading.Lock()

    def add(self, *values: str) -> None:
        """Count one. From any thread."""
        with self._lock:
            self._counts[values] += 1

    def family(self) -> Metric:
        """Tell what was counted."""
        with self._lock:
            counts = list(self._counts.items())
        family = CounterMetricFamily(self._name, self._what, labels=self._labels)
        for values, count in counts:
            family.add_metric(values, count)
        return family


class _Bound:
    """The values of a label: the first so many as they are, and all others as one."""

    def __init__(self, most: int) -> None:
        self.values: set[str] = set()
        self._most = most

    def __call__(self, value: str) -> str:
        # Half a surrogate pair in one label, and nobody would be told anything any more.
        value = value.encode(errors="replace").decode()
        if value not in self.values:
            if len(self.values) >= self._most:
                return OTHER
            self.values.add(value)
        return value
