"""Names whatever blocks the event loop of a bot that runs, while it does. It never interrupts."""

import asyncio
import sys
import threading
import time
from collections.abc import Callable
from typing import Any

from loguru import logger

from . import frames

__all__ = ["Lookout"]

LOOKS = 4
"""How often it looks within the seconds after which a task has blocked the event loop."""
SILENCE = 60.0
"""Seconds for which the same place is not named again."""

AnyTask = asyncio.Task[Any]


class Lookout:
    """A thread that looks a few times a second who has the event loop.

    An idle loop is nobody's: then a look is all. Of one that is somebody's it asks for an answer.

    Args:
        seconds: How long a task may have the event loop.
        over: Whether the bot is being stopped: who blocks then is the watchdog's business.
        whose_code: Tells which plugin a module belongs to.
        plugin_of: Tells which plugin a task works for.
        count: Told of each time that the event loop was blocked, and by which plugin, in a thread.

    """

    def __init__(
        self,
        seconds: float,
        *,
        over: Callable[[], bool],
        whose_code: frames.WhoseCode = frames.nobodys,
        plugin_of: Callable[[AnyTask], str | None] = lambda _: None,
        count: Callable[[str | None], None] = lambda _: None,
    ) -> None:
        self._seconds = seconds
        self._over = over
        self._whose_code = whose_code
        self._plugin_of = plugin_of
        self._count = count
        self._ended = threading.Event()
        self._asked: float | None = None
        """When the loop was asked for an answer that it has not given."""
        self._suspect: AnyTask | None = None
        self._counted: AnyTask | None = None
        """Who has blocked it since it answered last: once, however long."""
        self._named: dict[str, float] = {}
        self._loop: asyncio.AbstractEventLoop
        self._thread_id = 0

    def begin(self) -> None:
        """Look from now on. In the event loop's thread."""
        self._loop, self._thread_id = asyncio.get_running_loop(), threading.get_ident()
        try:
            threading.Thread(target=self._look, name="graceful lookout", daemon=True).start()
        except RuntimeError as error:
            logger.warning(f"Nothing will tell who blocks the event loop: {error}")

    def end(self) -> None:
        """Look no more."""
        self._ended.set()

    def _look(self) -> None:
        pause = tick = self._seconds / LOOKS
        while not self._ended.wait(pause) and not self._over():
            pause = tick
            now, asked = time.monotonic(), self._asked
            running = asyncio.current_task(self._loop)
            if asked is None or running is not self._suspect:
                self._suspect = running
                if running is not None and not self._ask(now):
                    return
            elif running is not None and now - asked >= self._seconds:
                self._name(running, now)
                self._suspect = None  # it is named once
            else:
                pause = max(0.001, min(tick, asked + self._seconds - now))

    def _ask(self, now: float) -> bool:
        self._asked = now
        try:
            self._loop.call_soon_threadsafe(self._answer)
        except RuntimeError:  # closed
            return False
        return True

    def _answer(self) -> None:
        self._asked = self._counted = None

    def _name(self, task: AnyTask, now: float) -> None:
        frame = sys._current_frames().get(self._thread_id)  # noqa: SLF001 # pyright: ignore[reportPrivateUsage]
        plugin = self._plugin_of(task)
        place, owner = frames.blame(frame, plugin, self._whose_code)
        if task is not self._counted:
            self._counted = task
            self._count(owner or plugin)
        self._named = {each: at for each, at in self._named.items() if now - at < SILENCE}
        if place not in self._named:
            self._named[place] = now
            logger.warning(
                f"{owner or plugin or task.get_name()} has blocked the event loop for"
                f" {self._seconds:g} s, is at {place}: the bot can do nothing else meanwhile"
            )
