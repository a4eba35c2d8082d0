"""APScheduler's jobs: work in flight like any other."""

# APScheduler 3 has no types.
# pyright: reportMissingTypeStubs=false, reportUnknownMemberType=false
# pyright: reportUnknownVariableType=false, reportUnknownArgumentType=false

import asyncio
import logging
from collections.abc import Callable
from typing import Any

from apscheduler.events import EVENT_JOB_SUBMITTED, JobSubmissionEvent
from nonebot import require
from nonebot.plugin import get_plugin_by_module_name

from .core import frames
from .core.registry import PluginOrigin, Section, context_of, owner, registry

require("nonebot_plugin_apscheduler")

from nonebot_plugin_apscheduler import scheduler  # noqa: E402

try:
    from apscheduler.executors.base import run_coroutine_job
except ImportError:  # before 3.11
    from apscheduler.executors.base_py3 import (  # pyright: ignore[reportMissingImports]
        run_coroutine_job,
    )

__all__ = ["install", "pause"]


def install() -> None:
    """Have every job register itself."""
    scheduler.add_listener(_submitted, EVENT_JOB_SUBMITTED)
    registry.recognizers.append(_recognize)


def pause() -> Callable[[], None]:
    """Start no more jobs, and do not take those that are stopped for failed ones.

    Returns:
        Takes the latter back.

    """
    if scheduler.running:
        scheduler.pause()
    handlers = list(logging.getLogger("apscheduler").handlers)
    for handler in handlers:
        handler.addFilter(_is_no_cancellation)

    def restore() -> None:
        for handler in handlers:
            handler.removeFilter(_is_no_cancellation)

    return restore


def _is_no_cancellation(record: logging.LogRecord) -> bool:
    # APScheduler logs a cancelled job as an error, with its traceback.
    error = record.exc_info[1] if record.exc_info else None
    return not isinstance(error, asyncio.CancelledError)


def _submitted(_event: JobSubmissionEvent) -> None:
    # Called right after the task was made and before its first step, so what it makes can
    # inherit its record.
    for task in asyncio.all_tasks():
        if task not in registry.records and _job_of(task) is not None and _recognize(task):
            context = context_of(task)
            if context is not None:
                context.run(owner.set, registry.records[task])


def _recognize(task: "asyncio.Task[Any]") -> bool:
    job = _job_of(task)
    if job is None:
        return False
    plugin = get_plugin_by_module_name(getattr(job.func, "__module__", None) or "")
    plugin_id = plugin.id_ if plugin else None
    kind = registry.kinds[registry.plugin_kinds.get(plugin_id or "", "job")]
    registry.add(task, Section(kind, name=job.name), origin=PluginOrigin(plugin_id))
    return True


def _job_of(task: "asyncio.Task[Any]") -> Any:
    frame = frames.calls(task, run_coroutine_job.__code__)
    return frame.f_locals.get("job") if frame is not None else None
