"""The journal of a bot: its parts, and what it is hooked into."""

import sqlite3
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from nonebot.adapters import Bot
from nonebot.drivers import Driver

from nonebot_plugin_graceful.bot.process import Process
from nonebot_plugin_graceful.bot.world import NoneBotWorld
from nonebot_plugin_graceful.config import Config
from nonebot_plugin_graceful.core.tree import Tree

from . import installed
from .arrivals import Arrivals
from .lives import Lives
from .replay import Replay, Say
from .replies import Replies
from .requests import Requests
from .storage import FILE, Storage

__all__ = ["Journal"]


class Journal:
    """What survives a restart. It touches no file unless somebody asks for it.

    Args:
        config: The settings.
        tree: What is in flight.
        folder: Where the file is.
        say: Sends a text where an event came from.

    """

    def __init__(self, config: Config, tree: Tree, folder: Path, say: Say) -> None:
        self.storage: Storage = Storage(folder / FILE)
        self.lives: Lives = Lives(folder)
        self.requests: Requests = Requests(
            tree,
            self.storage,
            self.lives,
            config.graceful_resume,
            told=bool(config.graceful_notice),
        )
        self.arrivals: Arrivals = Arrivals(self.requests)
        self.replay: Replay = Replay(
            self.requests,
            self.lives,
            max_age=config.graceful_resume_max_age,
            attempts=config.graceful_resume_attempts,
            notice=config.graceful_resume_failed_notice,
            say=say,
        )
        self.replies: Replies = Replies(self.requests)
        self.requests.on_busy = self.replies.hold_back
        self.requests.on_wanted = self._watch

    def install(self, driver: Driver, process: Process, world: NoneBotWorld) -> None:
        """Hook into the bot."""
        self.listen(world)

        async def connected(bot: Bot) -> None:
            self.connected(bot)

        def wanted() -> None:
            self._watch()
            # Not before: NoneBot passes over a bot's connection quickly while nobody asks for it.
            if not asked:
                asked.append(driver.on_bot_connect(connected))

        asked: list[object] = []
        self.requests.on_wanted = wanted
        if self.used:
            wanted()
        process.beginnings.append(self.shutdown_begins)

    def listen(self, world: NoneBotWorld) -> Callable[[], None]:
        """Hear of everything that is begun and ended.

        Returns:
            Takes it back.

        """
        requests = self.requests
        before = installed.install(requests)
        hooks = (
            (world.on_open, requests.opened),
            (world.on_refused_section, requests.section_refused),
            (world.on_refused_run, requests.refused),
            (world.on_refused_event, self.arrivals.refused),
            (world.on_end, requests.ended),
        )
        for hooked, hook in hooks:
            hooked.append(hook)  # pyright: ignore[reportArgumentType]
        if requests.wanted:
            self._watch()

        def restore() -> None:
            for hooked, hook in hooks:
                hooked.remove(hook)  # pyright: ignore[reportArgumentType]
            self._unwatch()
            installed.install(before)

        return restore

    def _watch(self) -> None:
        self.arrivals.watch()
        self.replies.keep()

    def _unwatch(self) -> None:
        self.arrivals.unwatch()
        self.replies.stop()

    @property
    def used(self) -> bool:
        """Whether somebody asks for it, or has in an earlier life."""
        return self.requests.wanted or self.storage.file.exists()

    def connected(self, bot: Bot) -> None:
        """Take up what was asked of a bot before."""
        if self.used:
            self._watch()
            with suppress(sqlite3.Error):  # the storage will say so
                self.lives.begin()
            self.replay.connected(bot)

    def shutdown_begins(self) -> Callable[[], None]:
        """Take note that the bot was told to stop.

        Returns:
            Ends it.

        """
        if self.used:
            self.replay.told_to_stop()
        return self.close

    def close(self) -> None:
        """Leave the files."""
        self.storage.close()
        self.lives.end()
