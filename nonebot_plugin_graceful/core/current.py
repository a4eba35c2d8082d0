"""The running task, as quickly as can be: sections ask for it."""

import asyncio
import sys
from typing import Any

__all__ = ["current_task"]

if sys.version_info >= (3, 12):
    current_task = asyncio.current_task
else:  # asyncio's own is in Python there, and takes four times as long
    from asyncio import get_running_loop, tasks

    _current: dict[object, asyncio.Task[Any]] = getattr(tasks, "_current_tasks")  # noqa: B009

    def current_task() -> asyncio.Task[Any] | None:
        """Give the running task; None in a callback.

        Raises:
            RuntimeError: There is no running event loop.

        """
        return _current.get(get_running_loop())
