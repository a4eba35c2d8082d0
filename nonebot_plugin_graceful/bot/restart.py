"""The same command once more, when the process has ended all that it had begun."""

import atexit
import logging
import multiprocessing
import os
import sys
from collections.abc import Callable
from contextlib import suppress
from typing import Literal

from nonebot.log import logger

from nonebot_plugin_graceful.core.children import end_children

__all__ = ["EXIT_CODE", "Restart", "command"]

EXIT_CODE = 75
"""``EX_TEMPFAIL``, "try again": what whoever watches over the process is to start it again for."""

How = Literal["exec", "exit"]


class Restart:
    """What becomes of the process at its very end.

    Args:
        how: ``exec``: the same command in the same process, where that can be. ``exit``: the exit
            code says that the bot is to be started again.
        called_off: Whether a signal has come since, which says to end and not to come back.
        flush: Called before the process is replaced.

    """

    def __init__(
        self, how: How, *, called_off: Callable[[], bool], flush: Callable[[], object]
    ) -> None:
        self.before: list[Callable[[], None]] = []
        """Called at the very end, if there is to be another life: to leave a word for it."""
        self._called_off = called_off
        self._flush = flush
        self._asked = False
        self._command = command() if how == "exec" else None
        self.possible: bool = how == "exit" or self._command is not None
        """Whether it is known that the bot would come back."""
        self._folder = os.getcwd() if self._command else ""  # noqa: PTH109 - it is given to chdir

    @property
    def wanted(self) -> bool:
        """Whether the bot is to come back."""
        return self._asked and not self._called_off()

    @property
    def in_place(self) -> bool:
        """Whether it is to come back in this very process."""
        return self.wanted and self._command is not None

    def ask(self) -> None:
        """Have the bot come back when it has ended."""
        self._asked = True

    def forget(self) -> None:
        """Have it end for good: a driver may be started again in the same process."""
        self._asked = False

    def install(self) -> None:
        """Be the last of what the interpreter runs at its exit, but for what is there already."""
        atexit.register(self._at_exit)

    def leave(self, code: int) -> None:
        """End the process by force, or begin anew.

        Args:
            code: The exit code, if it is to end.

        """
        end_children()  # the next life would know nothing of them either
        if self.wanted:
            self._begin_anew()
        os._exit(code)

    def _at_exit(self) -> None:
        # Threads have been joined, and what was registered later than us has run.
        if not self.wanted:
            return
        for child in multiprocessing.active_children():
            if child.daemon:  # the interpreter would end them, too
                child.terminate()
        logging.shutdown()
        self._begin_anew()

    def _begin_anew(self) -> None:
        for leave_word in self.before:
            try:
                leave_word()
            except Exception as error:
                logger.warning(f"No word for the next life: {error}")
        how = f"exit code {EXIT_CODE}" if self._command is None else "the same command again"
        logger.success(f"Restarting: {how}")
        self._flush()
        for stream in (sys.stdout, sys.stderr):
            with suppress(Exception):
                stream.flush()
        if self._command is not None:
            try:
                os.chdir(self._folder)
                os.execv(self._command[0], self._command)  # noqa: S606 - what ran until now
            except OSError as error:
                logger.error(f"Cannot restart in this process: {error}")
                self._flush()
        os._exit(EXIT_CODE)


def command() -> list[str] | None:
    """Give the command that this process runs; None where it cannot be run again in its place.

    ``sys.orig_argv`` has it whole, be it a script, ``-m``, ``-c`` or what ``uv run`` and
    ``nb run`` made of it.
    """
    cannot = (
        sys.platform
        == "win32"  # its exec makes another process, which the console does not wait for
        or not sys.executable
        or getattr(sys, "frozen", False)
        or sys.argv[:1] in ([], [""], ["-"])  # what it ran came from a pipe, and has been read
        # a worker of somebody's, who has given it pipes and will miss it
        or multiprocessing.parent_process() is not None
        or "gunicorn" in sys.modules
    )
    return None if cannot else [sys.executable, *sys.orig_argv[1:]]
