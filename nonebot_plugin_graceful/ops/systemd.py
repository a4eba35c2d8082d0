"""Tells systemd how the bot is, for a unit with ``Type=notify``."""

import os
import socket

from nonebot.drivers import Driver
from nonebot.log import logger

from nonebot_plugin_graceful.config import Config
from nonebot_plugin_graceful.core.tree import Tree

__all__ = ["install", "notify"]

MARGIN = 1.0
"""Seconds systemd waits on top of the deadline."""


def install(config: Config, driver: Driver, tree: Tree) -> None:
    """Say when the bot is ready and when it stops, if systemd wants to know."""
    if not os.environ.get("NOTIFY_SOCKET"):
        return
    microseconds = int((config.graceful_deadline + MARGIN) * 1_000_000)

    def stopping() -> None:
        notify(f"STOPPING=1\nEXTEND_TIMEOUT_USEC={microseconds}")

    driver.on_startup(_ready)
    tree.lifecycle.hooks.append(stopping)


async def _ready() -> None:
    notify("READY=1")


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
            connection.sendto(state.encode(), address)
    except OSError as error:
        logger.warning(f"systemd does not hear {state}: {error}")
