"""The thread that sees to it that the process ends, whatever the event loop is doing."""

import _thread
import asyncio
import contextlib
import faulthandler
import os
import queue
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable
from types import FrameType
from typing import Any

from . import frames

__all__ = ["Watchdog", "thread_stacks", "threads_in_the_way"]

TICK = 0.1
"""Seconds between two looks."""
BLOCKED = 0.4
"""Seconds one task may hold the event loop of a bot that is being stopped."""
BLOCKED_AGAIN = 0.1
"""Seconds for the next ones: many handlers that call the same thing block it one after another."""
LAST_WORDS = 0.25
"""Seconds kept for the report before the process is ended at the deadline."""
OVERTIME = 0.05
"""Seconds after the deadline at which even the last words are no longer waited for."""
MOST_WORDS = 3.0
"""Seconds that the report may take if the deadline is farther away: a busy machine needs them."""
SHARING = 1e-4
"""Seconds until Python code that runs gives way to the next thread while the bot is being stopped.
With the usual 5 ms, eight threads that never wait leave the event loop one turn in 40 ms."""
AT_ONCE = 1e-5
"""Seconds until Python code that runs gives way to the last words."""
GIL_MARGIN = 0.3
"""Seconds after the deadline at which C code that holds the GIL is no longer waited for."""

INTERRUPT: "signal.Signals | None" = getattr(signal, "SIGURG", None)
"""Interrupts blocking calls of the main thread. Ignored by default and used by nobody: Go's
runtime preempts its threads with it for the same reasons. Windows has none: there a blocking call
of the event loop's thread is waited for until the deadline."""


class Watchdog:
    """Armed when the shutdown begins; ends the process at the deadline.

    Args:
        loop: The event loop to watch.
        deadline: Seconds from arming to the end of the process.
        thread_timeout: Seconds that threads get after the event loop has ended.
        last_words: Called in a thread, with why the process is ended by force. It reports, and
            flushes what is to be flushed.
        leave: Ends the process, with the exit code it is given.
        may_interrupt: Whether a task that blocks the event loop may be interrupted.
        after_interrupt: Called when one was, in the main thread.
        whose_code: Tells which plugin a module belongs to.
        noticed: Told of a task that blocks the event loop, once, and of the frame that it is in.
            In a thread; it is not to fail.

    """

    def __init__(
        self,
        *,
        loop: asyncio.AbstractEventLoop,
        deadline: float,
        thread_timeout: float,
        last_words: Callable[[str], None],
        may_interrupt: Callable[["asyncio.Task[Any]"], bool],
        leave: Callable[[int], object] = os._exit,
        after_interrupt: Callable[[], None] = lambda: None,
        whose_code: frames.WhoseCode = frames.nobodys,
        noticed: Callable[["asyncio.Task[Any]", FrameType | None], None] = lambda _task, _frame: (
            None
        ),
    ) -> None:
        self.deadline: float = deadline
        self.thread_timeout = thread_timeout
        self.interrupted: list[str] = []
        """``file:line`` of every call that blocked the event loop and was interrupted."""
        self._last_words = last_words
        self._leave = leave
        self._may_interrupt = may_interrupt
        self._after_interrupt = after_interrupt
        self._whose_code = whose_code
        self._noticed = noticed
        self._commands: queue.SimpleQueue[str | None] = queue.SimpleQueue()
        """Why to end now; None to go away."""
        self._loop: asyncio.AbstractEventLoop | None = loop
        self._watching = False
        self._exit_code = 1
        self._ends_at = float("inf")
        self._threads_end_at = float("inf")
        self._beat_sent: float | None = None
        self._suspect: asyncio.Task[Any] | None = None
        self._told_of: asyncio.Task[Any] | None = None
        self._old_handler: Any = None
        self._old_interval: float | None = None

    @property
    def armed(self) -> bool:
        """Whether the clock runs."""
        return self._ends_at != float("inf")

    @property
    def left(self) -> float:
        """Seconds to the deadline; infinite while it is not armed."""
        return self._ends_at - time.monotonic()

    def arm(self, signum: int) -> None:
        """Start the clock. Called by a signal handler, so at any bytecode of the main thread.

        Args:
            signum: The signal that the exit code of a forced end tells of (128 + signal).

        """
        if self.armed:
            return
        self._exit_code = 128 + signum
        self._ends_at = time.monotonic() + self.deadline
        self.catch_interrupts(from_anybody=True)
        self._old_interval = sys.getswitchinterval()
        sys.setswitchinterval(min(SHARING, self._old_interval))
        # In code that was interrupted nothing may be raised: the process may have no more threads.
        with contextlib.suppress(RuntimeError):
            if _has_stderr():
                faulthandler.dump_traceback_later(self.deadline + GIL_MARGIN, exit=True)
        self.watch()

    def end_within(self, seconds: float) -> None:
        """Bring the deadline forward, if it is later than that. From any thread."""
        if not self.armed:
            self.deadline = min(self.deadline, seconds)
        elif seconds < self.left:
            self.deadline = seconds
            self._ends_at = time.monotonic() + seconds

    def watch(self) -> bool:
        """Watch from a thread, if that was not to be had before. Whether it is."""
        if not self._watching:
            with contextlib.suppress(RuntimeError):
                # Not threading.Thread: its start() takes a lock that the interrupted code may hold.
                _thread.start_new_thread(self._watch, ())
                self._watching = True
        return self._watching

    def disarm(self) -> None:
        """Stop the clock: this process goes on."""
        self.release_interrupts()
        self.share_as_before()
        if not self.armed:
            return
        self._ends_at = self._threads_end_at = float("inf")
        self._commands.put(None)
        self._watching = False
        faulthandler.cancel_dump_traceback_later()

    def catch_interrupts(self, *, from_anybody: bool = False) -> None:
        """Be able to interrupt the main thread from now on. In another thread this does nothing.

        Whoever is to be stopped from a thread cannot be asked for it while he blocks.

        Args:
            from_anybody: Also if somebody else handles that signal.

        """
        if INTERRUPT is None or threading.current_thread() is not threading.main_thread():
            return
        current = signal.getsignal(INTERRUPT)
        if current != self._interrupt and (from_anybody or not callable(current)):
            signal.signal(INTERRUPT, self._interrupt)
            self._old_handler = current or signal.SIG_DFL

    def release_interrupts(self) -> None:
        """Put back what was there for it. In the main thread."""
        if INTERRUPT is None or threading.current_thread() is not threading.main_thread():
            return
        if self._old_handler is not None and signal.getsignal(INTERRUPT) == self._interrupt:
            signal.signal(INTERRUPT, self._old_handler)
        self._old_handler = None

    def share_as_before(self) -> None:
        """Let threads have as long a turn as they had before the clock was started."""
        if self._old_interval is not None:
            sys.setswitchinterval(self._old_interval)
            self._old_interval = None

    def end_now(self, why: str) -> None:
        """End the process, with a report. From any thread, also from a signal handler."""
        self._commands.put(why)

    def start_thread_clock(self) -> None:
        """The event loop is ending: from now on threads have ``thread_timeout`` left."""
        self._threads_end_at = time.monotonic() + self.thread_timeout

    # -- the thread

    def _watch(self) -> None:
        speaker = _Speaker(self._last_words)
        try:
            self._watch_beside(speaker)
        finally:
            speaker.close()

    def _watch_beside(self, speaker: "_Speaker") -> None:
        overdue: list[threading.Thread] = []
        while True:
            now = time.monotonic()
            try:
                command = self._commands.get(
                    timeout=max(0.001, min(TICK, self._ends_at - LAST_WORDS - now))
                )
            except queue.Empty:
                command = ""
            now = time.monotonic()
            if command is None:
                return
            why, at = command, max(now + LAST_WORDS, min(now + MOST_WORDS, self._ends_at))
            if not why and now >= self._ends_at - LAST_WORDS:
                why, at = f"the deadline of {self.deadline:g} s is over", self._ends_at + OVERTIME
            if not why and now >= self._threads_end_at:
                # Where all of the process stood still, one that is about to end has not had its turn.
                before, overdue = overdue, threads_in_the_way()
                if any(thread in before for thread in overdue):
                    names = ", ".join(thread.name for thread in overdue)
                    why = f"threads are still at work: {names}"
            if why:
                speaker.say(why, max(0.0, at - time.monotonic()))
                self._leave(self._exit_code)
            self._listen_to_the_loop(now)

    def _listen_to_the_loop(self, now: float) -> None:
        loop = self._loop
        if loop is None:
            return
        if self._beat_sent is None:
            try:
                self._suspect = asyncio.current_task(loop)
                self._beat_sent = now
                loop.call_soon_threadsafe(self._beat)
            except RuntimeError:  # closed: from here on there are but threads
                self._loop = None
            return
        running = asyncio.current_task(loop)
        if running is None or running is not self._suspect:
            self._suspect = running
            self._beat_sent = now
        elif now - self._beat_sent >= (BLOCKED_AGAIN if self.interrupted else BLOCKED):
            self._beat_sent = now
            if running is not self._told_of:
                self._told_of = running
                stacks = sys._current_frames()  # noqa: SLF001 # pyright: ignore[reportPrivateUsage]
                self._noticed(running, stacks.get(_main_thread_id()))
            if INTERRUPT is not None and self._old_handler is not None:
                signal.pthread_kill(_main_thread_id(), INTERRUPT)

    def _beat(self) -> None:
        self._beat_sent = self._told_of = None

    # -- the main thread

    def _interrupt(self, _signum: int, frame: FrameType | None) -> None:
        """Cancel the blocking call that the main thread is in, if a task made it."""
        try:
            task = asyncio.current_task()
        except RuntimeError:
            return
        if task is None or task is not self._suspect or not self._may_interrupt(task):
            return
        self._suspect = None
        self.interrupted.append(frames.authors_line(frame, self._whose_code))
        self._after_interrupt()
        raise asyncio.CancelledError("blocked the event loop")


class _Speaker:
    """Says the last words beside the watchdog, which has to go on.

    A sink may block for good: a terminal on hold, a lock of the main thread's. The thread is there
    beforehand, since CPython 3.12 makes none while the interpreter waits for others at its end.

    Args:
        last_words: Says them.

    """

    def __init__(self, last_words: Callable[[str], None]) -> None:
        self._last_words = last_words
        self._words: queue.SimpleQueue[str | None] = queue.SimpleQueue()
        self._said = _thread.allocate_lock()
        self._said.acquire()
        self._there = False
        with contextlib.suppress(RuntimeError):  # no more threads
            _thread.start_new_thread(self._run, ())
            self._there = True

    def say(self, why: str, timeout: float) -> None:
        """Say them, and wait so many seconds for that at most."""
        if not self._there:
            self._last_words(why)
            return
        self._words.put(why)
        self._said.acquire(timeout=timeout)

    def close(self) -> None:
        """Go away."""
        self._words.put(None)

    def _run(self) -> None:
        why = self._words.get()
        if why is None:
            return
        # Code that never waits gets the lock of the interpreter back before each call to the system
        # returns, and keeps it for this long: dozens of those are seconds.
        sys.setswitchinterval(AT_ONCE)
        try:
            self._last_words(why)
        finally:
            self._said.release()


def threads_in_the_way() -> list[threading.Thread]:
    """Threads that the interpreter would join before it ends."""
    return [
        thread
        for thread in threading.enumerate()
        if thread is not threading.main_thread()
        and not thread.daemon
        and "_do_shutdown" not in thread.name  # asyncio's own, that waits for the others
    ]


def thread_stacks(*, main: bool) -> dict[str, str]:
    """The stack of every thread that is in the way, by its name. Reads files for it.

    Args:
        main: The main thread's, too.

    """
    running = sys._current_frames()  # noqa: SLF001 # pyright: ignore[reportPrivateUsage]
    stacks: dict[str, str] = {}
    threads = threads_in_the_way()
    if main:
        threads.append(threading.main_thread())
    for thread in threads:
        frame = running.get(thread.ident or 0)
        if frame is not None:
            # AnyIO's workers all have the same name
            name = f"{thread.name} ({thread.ident})" if thread.name in stacks else thread.name
            stacks[name] = "".join(traceback.format_stack(frame))
    return stacks


def _main_thread_id() -> int:
    return threading.main_thread().ident or 0


def _has_stderr() -> bool:
    # pythonw and some service managers run without
    try:
        return sys.stderr.fileno() >= 0
    except (AttributeError, OSError, ValueError):
        return False
