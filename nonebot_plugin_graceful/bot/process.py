"""What lives as long as the process: the driver, the settings, the signals."""

import asyncio
import contextlib
import signal
from collections.abc import Callable
from contextvars import Context
from pathlib import Path
from typing import Any

from nonebot.drivers import Driver
from nonebot.log import logger

from nonebot_plugin_graceful.config import Config
from nonebot_plugin_graceful.core.drain import Farewell
from nonebot_plugin_graceful.core.report import current_folder
from nonebot_plugin_graceful.core.tree import Tree
from nonebot_plugin_graceful.core.work import Section, Work

from .console import PATIENCE, Console
from .restart import Restart
from .run import Run
from .scheduler import Jobs
from .server import Server
from .signals import Signals, numbers

__all__ = ["Process"]

CONSOLE_MARGIN = 0.5
"""Seconds by which the process ends before a console's patience does."""


class Process:
    """A process with a bot in it, whose driver may be started more than once.

    Args:
        driver: The driver to stop.
        config: The settings.
        tree: What is in flight.
        jobs: The scheduler's jobs.
        report_file: Where the report of a shutdown is left.
        flush: Called last before the process is ended by force.

    """

    def __init__(
        self,
        driver: Driver,
        config: Config,
        tree: Tree,
        *,
        jobs: Jobs,
        report_file: Path,
        flush: Callable[[], object],
    ) -> None:
        self.driver = driver
        self.config = config
        self.tree = tree
        self.jobs = jobs
        self.report_file = report_file
        self.folder: str = current_folder()
        """Where the bot is run, whatever folder a plugin goes to afterwards."""
        self.flush = flush
        self.farewells: list[Farewell] = []
        """Run when all work has been stopped and the bot can still talk."""
        self.beginnings: list[Callable[[], Callable[[], None]]] = []
        """Called before anything is stopped; each returns what takes it back in the end."""
        self.mutes: list[Callable[[], Callable[[], None]]] = []
        """Called before anything that was stopped goes on; each returns what takes it back. At any
        bytecode of the main thread."""
        self.server: Server = Server(driver)
        self.signum: int | None = None
        """The signal that began the shutdown, if one did."""
        self.noted: dict[Work, tuple[Section, ...]] = {}
        """What was at work when it began."""
        self.handed_over: bool = False
        self._runs: list[Run] = []
        """The run that is on, if one is."""
        self._loop: asyncio.AbstractEventLoop | None = None
        self._signals = Signals(numbers(config.graceful_signals), self._pressed, self._is_over)
        self.on_restart: list[Callable[[str], None]] = []
        """Told that a restart was asked for, and why, by who asks for it."""
        self.console: Console = Console(self.begin_quickly)
        self.restarting: Restart = Restart(
            config.graceful_restart, called_off=lambda: self._signals.heard, flush=flush
        )

    # NoneBot offers no public way to be the first and the last of all, nor to guard another's hook.

    @property
    def start_hooks(self) -> list[list[Callable[[], Any]]]:
        """NoneBot's own lists of the hooks that it runs at the start."""
        lifespan = self.driver._lifespan  # noqa: SLF001 # pyright: ignore[reportPrivateUsage]
        return [lifespan._startup_funcs, lifespan._ready_funcs]  # noqa: SLF001 # pyright: ignore[reportPrivateUsage]

    @property
    def stop_hooks(self) -> list[Callable[[], Any]]:
        """NoneBot's own list of ``on_shutdown`` hooks."""
        return self.driver._lifespan._shutdown_funcs  # noqa: SLF001 # pyright: ignore[reportPrivateUsage]

    def install(self) -> None:
        """Hook into the driver's lifecycle, before every other plugin's hooks."""
        self.start_hooks[0].insert(0, self.start)
        self._signals.install_early()
        self.console.install()
        self.restarting.install()

    async def start(self) -> None:
        """Begin a run. The first of all start-up hooks."""
        for run in self._runs:  # one that was not followed by a shutdown
            run.watchdog.disarm()
        early = (
            self.tree.lifecycle.reason if self.tree.lifecycle.stopping and not self._runs else ""
        )
        self.tree.lifecycle.reopen()
        if not early:  # a restart may have been asked for while plugins were imported
            self.restarting.forget()
        self.handed_over, self.signum = False, None
        self._loop = asyncio.get_running_loop()
        self.server.find()
        self._runs[:] = [Run(self)]
        left = self._signals.install(self.server.is_own)
        if left != numbers(self.config.graceful_signals) or not self.server.found:
            left = self._signals.hidden  # the others are ignored, say, and mean nothing
        if left:
            names = ", ".join(signal.Signals(signum).name for signum in left)
            logger.warning(f"{names}: somebody else handles them, so the bot cannot drain first")
        if early or self.server.told_to_exit:
            self.begin(early or "told to stop during the start")

    def run_ended(self) -> None:
        """Be as before the run."""
        self._signals.restore()
        self.server.restore()
        if not self._runs[0].watchdog.armed:
            self._runs.clear()
            self.tree.lifecycle.reopen()

    # -- a signal: at any bytecode of the main thread, so there is no lock and no log here

    def _pressed(self, signum: int) -> None:
        lifecycle, run = self.tree.lifecycle, self._runs[0]
        lifecycle.press()
        if lifecycle.presses == 1:
            self.signum = signum
            self._note()
            lifecycle.begin(signal.Signals(signum).name)
            run.watchdog.arm(signum)
            self._soon(run.begin)
        elif lifecycle.presses == 2:
            self._soon(run.say_that_it_hurries)  # everything that waits sees it by itself
        else:
            run.watchdog.end_now("told to end at once")

    def _is_over(self) -> bool:
        """Whether the loop was closed without a shutdown, as after a start that failed."""
        return self._loop is None or self._loop.is_closed()

    def _note(self) -> None:
        with contextlib.suppress(RuntimeError):  # from a thread, while something else begins
            self.noted = self.tree.snapshot()

    def _soon(self, step: Callable[[], None]) -> None:
        # Without a context of its own the callback would run in that of the interrupted task,
        # and what it starts would belong to that task's handler.
        try:
            assert self._loop is not None
            self._loop.call_soon_threadsafe(step, context=Context())
        except RuntimeError:
            pass  # closed: the watchdog ends what is left

    def begin(self, reason: str) -> None:
        """Shut down as at a signal. From any thread.

        Args:
            reason: For the log.

        """
        if not self.tree.lifecycle.begin(reason):
            return
        if self._runs:
            self._note()
            self._runs[0].watchdog.arm(int(signal.SIGTERM))
            self._soon(self._runs[0].begin)

    def begin_quickly(self, reason: str) -> None:
        """Shut down within what a console grants, which may be less than the deadline.

        Of a shutdown that is on, nothing is waited for any more. From any thread.

        Args:
            reason: For the log.

        """
        self._signals.heard = True  # a restart would be none: the process is ended
        lifecycle = self.tree.lifecycle
        for run in self._runs:
            run.watchdog.end_within(PATIENCE - CONSOLE_MARGIN)
        if lifecycle.stopping:
            lifecycle.presses = max(lifecycle.presses, 1)
            lifecycle.press()
        else:
            self.begin(reason)

    def restart(self, reason: str) -> None:
        """Shut down as ever, then begin anew; nothing while the bot is being stopped. From any thread.

        Args:
            reason: For the log and the chats.

        """
        if self.tree.lifecycle.stopping:
            return
        for hook in self.on_restart:
            hook(reason)
        self._signals.heard = False
        self.restarting.ask()
        self.begin(reason)

    def hand_over(self) -> None:
        """Tell the server, once: at its second signal uvicorn skips the ``on_shutdown`` hooks."""
        if self.handed_over:
            return
        self.handed_over = True
        if self._signals.tell_who_asked(self.signum):
            self.server.prepare()
            return
        # A server ends the process by the signal that it was told of.
        signum = None if self.restarting.wanted else self.signum or int(signal.SIGTERM)
        if not self.server.exit(signum):
            self._signals.deliver(signum or int(signal.SIGINT))
