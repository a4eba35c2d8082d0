"""Tells systemd how the bot is, for a unit with ``Type=notify`` and, maybe, ``WatchdogSec=``."""

import asyncio
import os
import socket
import time
from collections import Counter
from collections.abc import Callable

from nonebot.drivers import Driver
from nonebot.log import logger

from nonebot_plugin_graceful.config import Config
from nonebot_plugin_graceful.core.tree import Tree

__all__ = ["Manager", "install", "notify", "watchdog_seconds"]

MARGIN = 1.0
"""Seconds systemd waits on top of the deadline."""
PACE = 5.0
"""Seconds between two looks at what is in flight."""
SIGNS_OF_LIFE = 3
"""How many systemd is sent within its ``WatchdogSec=``."""


def install(
    config: Config, driver: Driver, tree: Tree, *, comes_back: Callable[[], bool] = lambda: False
) -> None:
    """Tell systemd, if it wants to know.

    Args:
        config: The settings.
        driver: Whose start is told of.
        tree: What is in flight.
        comes_back: Whether the bot that stops begins anew in the same process.

    """
    if not os.environ.get("NOTIFY_SOCKET"):
        return
    manager = Manager(tree, config.graceful_deadline, comes_back)
    driver.on_startup(manager.ready)
    tree.lifecycle.hooks.append(manager.stopping)


class Manager:
    """What systemd is told, from one start to one end.

    It hears that the bot lives from the event loop itself: one that is blocked does not tell.

    Args:
        tree: What is in flight.
        deadline: Seconds that a shutdown may take.
        comes_back: Whether the bot that stops begins anew in the same process.

    """

    def __init__(self, tree: Tree, deadline: float, comes_back: Callable[[], bool]) -> None:
        self._tree = tree
        self._stop_microseconds = int((deadline + MARGIN) * 1_000_000)
        self._comes_back = comes_back
        self._watchdog = watchdog_seconds()
        self._pace = min(PACE, self._watchdog / SIGNS_OF_LIFE) if self._watchdog else PACE
        self._timer: asyncio.TimerHandle | None = None
        self._status = ""

    async def ready(self) -> None:
        """Say that the bot has started, and go on to say how it is."""
        if self._timer is not None:
            self._timer.cancel()
        notify("READY=1")
        self._status = ""
        self._tell()

    def stopping(self) -> None:
        """Say that it stops, and how long that may take."""
        if self._comes_back():
            # A service that has said STOPPING=1 is killed by and by, for it is to go.
            microseconds = int(time.monotonic() * 1_000_000)
            notify(f"RELOADING=1\nMONOTONIC_USEC={microseconds}\nSTATUS=Restarting")
            return
        reason = self._tree.lifecycle.reason
        notify(
            f"STOPPING=1\nEXTEND_TIMEOUT_USEC={self._stop_microseconds}\n"
            f"STATUS=Stopping: {reason.splitlines()[0] if reason else '?'}"
        )

    def _tell(self) -> None:
        lines: list[str] = []
        if self._watchdog:
            lines.append("WATCHDOG=1")
        status = self._describe()
        if status != self._status:
            self._status = status
            lines.append(f"STATUS={status}")
        if lines:
            notify("\n".join(lines))
        self._timer = asyncio.get_running_loop().call_later(self._pace, self._tell)

    def _describe(self) -> str:
        tree = self._tree
        if tree.lifecycle.stopping:
            return self._status  # that was told already
        kinds = Counter(work.kind.name for work in tree.snapshot())
        counts = ", ".join(f"{kind} {count}" for kind, count in kinds.most_common())
        state = "Drained" if tree.admission.refusing else "Running"
        return f"{state}: {counts or 'nothing in flight'}"


def watchdog_seconds() -> float:
    """Give the unit's ``WatchdogSec=``; 0 if there is none, or if it is another process's."""
    try:
        if int(os.environ.get("WATCHDOG_PID") or os.getpid()) != os.getpid():
            return 0.0
        return int(os.environ["WATCHDOG_USEC"]) / 1_000_000
    except (KeyError, ValueError):
        return 0.0


def notify(state: str) -> None:
    """Send lines to ``NOTIFY_SOCKET`` (sd_notify(3)), if it is set. Does not raise.

    Args:
        state: Such as ``READY=1``.

    """
    address = os.environ.get("NOTIFY_SOCKET", "")
    if not address or not hasattr(socket, "AF_UNIX"):
        return
    if address.startswith("@"):  # in the abstract namespace, where names begin with a zero byte
        address = "\0" + address[1:]
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as connection:
            connection.setblocking(False)
            connection.sendto(state.encode(errors="replace"), address)
    except OSError as error:
        logger.warning(f"systemd does not hear {state}: {error}")
