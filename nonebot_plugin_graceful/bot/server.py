"""The server: how it is told to stop, and what it would wait for without end."""

import asyncio
from collections.abc import Callable
from typing import Any, cast

from nonebot.drivers import Driver

from nonebot_plugin_graceful.core import frames

__all__ = ["Server"]

PACE = 0.02
"""Seconds between two looks at whether somebody has told the server to leave out its shutdown. It
looks itself after a tenth of a second."""

RESPONSES_TIMEOUT = 0.5
"""Seconds that responses which are still open get once the server closes."""


class Server:
    """uvicorn's server under a driver, or none.

    Args:
        driver: NoneBot's.

    """

    def __init__(self, driver: Driver) -> None:
        self._driver = driver
        self._uvicorn: Any = None
        self._undo: Callable[[], None] | None = None
        self._timer: asyncio.TimerHandle | None = None

    def find(self) -> None:
        """Find the server that runs in this event loop, whoever has started it."""
        try:
            from uvicorn import Server as Uvicorn
        except ImportError:
            return
        called = (frames.calls(task, Uvicorn.serve.__code__) for task in asyncio.all_tasks())
        servers: list[Any] = [frame.f_locals["self"] for frame in called if frame is not None]
        # A plugin may have one of its own in the same loop: NoneBot's is yet to listen.
        self._uvicorn = min(servers, key=lambda server: server.started, default=None)

    @property
    def found(self) -> bool:
        """Whether there is one."""
        return self._uvicorn is not None

    @property
    def told_to_exit(self) -> bool:
        """Whether somebody has told it to stop already."""
        return bool(getattr(self._uvicorn, "should_exit", False))

    @property
    def tasks(self) -> "set[asyncio.Task[Any]]":
        """What it runs for its connections: not ours to cancel."""
        state = getattr(self._uvicorn, "server_state", None)
        return set(cast("set[asyncio.Task[Any]]", getattr(state, "tasks", ())))

    async def started(self) -> None:
        """Wait until it listens: told to stop before that, it may leave out the shutdown hooks."""
        # It sets a flag and tells nobody.
        while self._uvicorn is not None and not self._uvicorn.started and not self.told_to_exit:  # noqa: ASYNC110
            await asyncio.sleep(0.01)

    def is_own(self, callback: Any) -> bool:
        """Whether what an event loop is to call at a signal is the server's own.

        Args:
            callback: None: the loop does not tell.

        """
        if hasattr(self._driver, "exit"):  # ~none has asked it through AnyIO
            return True
        if callback is None:  # uvicorn before 0.29 asks the loop, later ones do not
            return self.found and not hasattr(self._uvicorn, "capture_signals")
        return self.found and getattr(callback, "__self__", None) is self._uvicorn

    def prepare(self) -> None:
        """Somebody is about to tell it to stop."""
        if self._uvicorn is not None:
            self._bound_responses()
            self._see_that_hooks_run()

    def exit(self, signum: int | None) -> bool:
        """Tell it to stop, as the signal would, or without one. False if there is none to tell."""
        if self._uvicorn is not None:
            if signum is None:
                self._uvicorn.should_exit = True
            else:
                self._uvicorn.handle_exit(signum, None)
            self.prepare()
            return True
        leave: Any = getattr(self._driver, "exit", None)  # of ~none
        if leave is not None:
            leave()
        return leave is not None

    def restore(self) -> None:
        """Take back what was changed of it."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._undo is not None:
            self._undo()
            self._undo = None

    def _see_that_hooks_run(self) -> None:
        """Take back what a second signal does to it: the shutdown hooks would be left out.

        People's further presses come to us. This one is a plugin's that passes signals on.
        """
        self._uvicorn.force_exit = False
        self._timer = asyncio.get_running_loop().call_later(PACE, self._see_that_hooks_run)

    def _bound_responses(self) -> None:
        """Bound how long it waits for open responses, if nobody else has.

        An open page of events holds it for ever (uvicorn #2829).
        """
        config = self._uvicorn.config
        if getattr(config, "timeout_graceful_shutdown", 0) is None:
            config.timeout_graceful_shutdown = RESPONSES_TIMEOUT
            self._undo = lambda: setattr(config, "timeout_graceful_shutdown", None)
        elif not hasattr(config, "timeout_graceful_shutdown"):  # before 0.22
            loop = asyncio.get_running_loop()
            self._undo = loop.call_later(RESPONSES_TIMEOUT, self._end_responses).cancel

    def _end_responses(self) -> None:
        for task in self.tasks:
            task.cancel()
        for connection in list(self._uvicorn.server_state.connections):
            transport = getattr(connection, "transport", None)
            if transport is not None:
                transport.close()
