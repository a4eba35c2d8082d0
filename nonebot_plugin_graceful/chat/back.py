"""Whoever asked for a restart hears when the bot is back: once."""

import json
import re
import time
from pathlib import Path
from typing import Any

from nonebot.adapters import Bot
from nonebot.drivers import Driver
from nonebot.log import logger

from nonebot_plugin_graceful.bot.matchers import MatcherOrigin
from nonebot_plugin_graceful.bot.process import Process
from nonebot_plugin_graceful.config import Config
from nonebot_plugin_graceful.core.errors import Interrupted
from nonebot_plugin_graceful.core.failures import describe_failure
from nonebot_plugin_graceful.journal import codec

from .saying import say

__all__ = ["Back", "install"]

FILE = "restart.json"
SETTLING = 0.5
"""Seconds after a connection, for the adapter to be ready."""
PLACEHOLDER = re.compile(r"\{(reason|elapsed)\}")


def install(config: Config, driver: Driver, process: Process, folder: Path) -> None:
    """Note which chat asks for a restart, and tell it afterwards, if there is something to tell."""
    if not config.graceful_back_notice:
        return
    back = Back(config.graceful_back_notice, process, folder / FILE)
    process.on_restart.append(back.remember)
    process.restarting.before.append(back.write)
    driver.on_bot_connect(back.connected)


class Back:
    """The chat that asked, over the end of one life to the next.

    Args:
        text: What it is told, with ``{reason}`` and ``{elapsed}`` (whole seconds) filled in.
        process: Which is restarted.
        file: Where the chat is noted.

    """

    def __init__(self, text: str, process: Process, file: Path) -> None:
        self._text = text
        self._tree = process.tree
        self._file = file
        self._mark: dict[str, Any] | None = None

    def remember(self, reason: str) -> None:
        """Remember the chat whose request asks for a restart now; nobody, if none does."""
        self._mark = None
        work = self._tree.current()
        origin = work.origin if work is not None else None
        if isinstance(origin, MatcherOrigin):
            event, _ = codec.dump(origin.event)
            self._mark = {
                "adapter": origin.bot_object.type,
                "bot": origin.bot_object.self_id,
                "event": event,
                "reason": reason,
                "asked": time.time(),
            }

    def write(self) -> None:
        """Leave it for the next life: not before it is certain that there will be one."""
        if self._mark is not None:
            self._file.write_text(json.dumps(self._mark), encoding="utf-8")

    async def connected(self, bot: Bot) -> None:
        """Tell the chat, if it was asked through this bot."""
        if self._read(bot) is not None:
            self._tree.run_internal(self._tell(bot), "back")

    def _read(self, bot: Bot) -> dict[str, Any] | None:
        try:
            mark: dict[str, Any] = json.loads(self._file.read_text(encoding="utf-8"))
            mine = (mark["adapter"], mark["bot"]) == (bot.type, bot.self_id)
        except (OSError, ValueError, KeyError, TypeError):
            return None
        return mark if mine else None

    async def _tell(self, bot: Bot) -> None:
        try:
            await self._tree.lifecycle.wait(SETTLING)
        except Interrupted:
            return
        mark = self._read(bot)
        if mark is None:
            return
        try:
            # Before it is said: a bot that dies of saying it is not to say it for ever.
            self._file.unlink()
            elapsed = f"{max(time.time() - mark['asked'], 0):.0f}"
            values = {"reason": mark["reason"], "elapsed": elapsed}
            text = PLACEHOLDER.sub(lambda found: values[found[1]], self._text)
            await say(bot, codec.load(mark["event"]), text)
        except Exception as error:
            logger.warning(f"Nobody hears that the bot is back: {describe_failure(error)}")
