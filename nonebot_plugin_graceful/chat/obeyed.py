"""Commands that end the process are obeyed once, though a platform may deliver them again to the next one."""

import json
import time
from pathlib import Path

from nonebot.adapters import Bot, Event
from nonebot.log import logger

from nonebot_plugin_graceful.journal.identity import key_of
from nonebot_plugin_graceful.journal.storage import DONE_FOR

__all__ = ["FILE", "Obeyed"]

FILE = "obeyed.json"
"""In localstore's data folder."""


class Obeyed:
    """The commands that have ended a process, by their events' keys.

    Args:
        file: Where they are noted.

    """

    def __init__(self, file: Path) -> None:
        self._file = file

    def is_new(self, bot: Bot, event: Event) -> bool:
        """Whether a command has not been obeyed yet; from now on it has."""
        key = key_of(bot, event)
        if not key:
            return True
        now = time.time()
        known = {each: at for each, at in self._read().items() if now - at < DONE_FOR}
        if key in known:
            logger.warning(f"Dropped a second delivery of a command that was obeyed: {key}")
            return False
        try:
            self._file.parent.mkdir(parents=True, exist_ok=True)
            self._file.write_text(json.dumps({**known, key: now}), encoding="utf-8")
        except OSError as error:  # a full disk is no reason not to stop
            logger.warning(f"A second delivery of this command would be obeyed, too: {error}")
        return True

    def _read(self) -> dict[str, float]:
        try:
            known = json.loads(self._file.read_text(encoding="utf-8"))
            return {str(key): float(at) for key, at in known.items()}
        except (OSError, ValueError, AttributeError, TypeError):
            return {}
