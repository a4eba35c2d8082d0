"""APScheduler's jobs: work in flight like any other."""

# APScheduler 3 has no types.
# pyright: reportMissingTypeStubs=false, reportUnknownMemberType=false
# pyright: reportUnknownVariableType=false, reportUnknownArgumentType=false

import asyncio
import logging
from collections.abc import Callable, Iterable
from typing import Any, Protocol

from apscheduler.events import EVENT_JOB_ERROR, EVENT_JOB_SUBMITTED, JobSubmissionEvent
from nonebot.plugin import get_plugin_by_module_name

from nonebot_plugin_graceful.core import frames
from nonebot_plugin_graceful.core.discovery import recognize
from nonebot_plugin_graceful.core.errors import Refused
from nonebot_plugin_graceful.core.frames import context_of
from nonebot_plugin_graceful.core.tree import Tree
from nonebot_plugin_graceful.core.work import owner
from nonebot_plugin_graceful.core.world import PluginOrigin, Recognized

try:
    from apscheduler.executors.base import run_coroutine_job
except ImportError:  # before 3.11
    from apscheduler.executors.base_py3 import (  # pyright: ignore[reportMissingImports]
        run_coroutine_job,
    )

__all__ = ["Jobs"]


class Scheduler(Protocol):
    """What is asked of a ``BaseScheduler``, with types."""

    @property
    def running(self) -> bool:
        """Whether it was started, and has not been shut down."""
        ...

    def pause(self) -> None:
        """Start no more jobs."""

    def add_listener(self, callback: Callable[[Any], object], mask: int = ...) -> None:
        """Tell of events."""

    def get_job(self, job_id: str, jobstore: str | None = ...) -> Any:
        """Give a job."""


class Jobs:
    """The jobs of a scheduler.

    Args:
        tree: Where they are registered.
        scheduler: Whose they are.

    """

    def __init__(self, tree: Tree, scheduler: Scheduler) -> None:
        self._tree = tree
        self._scheduler = scheduler

    def install(self) -> None:
        """Have every job register itself, and a refused one be no failed one."""
        self._scheduler.add_listener(self._submitted, EVENT_JOB_SUBMITTED)
        for handler in _handlers():
            handler.addFilter(_is_no_refusal)
            handler.addFilter(self._was_not_told)

    def pause(self) -> Callable[[], None]:
        """Start no more jobs, and do not take those that are stopped for failed ones.

        Returns:
            Takes the latter back.

        """
        if self._scheduler.running:
            self._scheduler.pause()
        handlers = _handlers()
        for handler in handlers:
            handler.addFilter(_is_no_cancellation)

        def restore() -> None:
            for handler in handlers:
                handler.removeFilter(_is_no_cancellation)

        return restore

    def recognize(self, task: "asyncio.Task[Any]") -> Recognized | None:
        """Recognize a task that runs a job."""
        frame = frames.calls(task, run_coroutine_job.__code__)
        job = frame.f_locals.get("job") if frame is not None else None
        if job is None:
            return None
        plugin = get_plugin_by_module_name(getattr(job.func, "__module__", None) or "")
        plugin_id = plugin.id_ if plugin else None
        kind = self._tree.kinds.of_plugin(plugin_id, "job").name
        return Recognized(kind, job.name, PluginOrigin(plugin_id))

    def has_failed(self, task: "asyncio.Task[Any]") -> bool:
        """Whether a task has run a job that failed: it gives the events that are to tell of it."""
        if not task.done() or task.cancelled() or task.exception() is not None:
            return False
        events: Any = task.result()
        return isinstance(events, list) and any(
            getattr(event, "code", 0) == EVENT_JOB_ERROR for event in events
        )

    def _was_not_told(self, record: logging.LogRecord) -> bool:
        """Whether it is about no job that was told to end, in whose task it is logged."""
        work = self._tree.current()
        return _is_no_cancellation(record) or work is None or work.outcome is None

    def _submitted(self, event: JobSubmissionEvent) -> None:
        # Called right after the task was made and before its first step, so what it makes can
        # inherit its work.
        for task in self._pending(event.jobstore, event.job_id):
            if task in self._tree.works:
                continue
            work, context = recognize(self._tree, task), context_of(task)
            if work is not None and context is not None:
                context.run(owner.set, work)

    def _pending(self, jobstore: str, job_id: str) -> "Iterable[asyncio.Task[Any]]":
        """Give the tasks of the executor that has just been given a job: there is no public way."""
        job = self._scheduler.get_job(job_id, jobstore)
        executors: dict[str, Any] = getattr(self._scheduler, "_executors", {})
        chosen = [executors.get(job.executor)] if job is not None else executors.values()
        for executor in chosen:
            futures: list[Any] = list(getattr(executor, "_pending_futures", ()))
            for future in futures:
                if isinstance(future, asyncio.Task):
                    yield future


def _handlers() -> list[logging.Handler]:
    return list(logging.getLogger("apscheduler").handlers)


def _error_of(record: logging.LogRecord) -> BaseException | None:
    return record.exc_info[1] if record.exc_info else None


def _is_no_cancellation(record: logging.LogRecord) -> bool:
    # APScheduler logs a cancelled job as an error, with its traceback.
    return not isinstance(_error_of(record), asyncio.CancelledError)


def _is_no_refusal(record: logging.LogRecord) -> bool:
    return not isinstance(_error_of(record), Refused)
