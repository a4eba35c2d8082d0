"""``python -m nonebot_plugin_graceful worker MODULE``: do the work that bots enqueue."""

import argparse
import asyncio
import importlib
import os
import signal
from collections.abc import Iterable

import nonebot
from loguru import logger
from nonebot.compat import model_dump

from nonebot_plugin_graceful import config as settings
from nonebot_plugin_graceful import logs
from nonebot_plugin_graceful.bot.signals import Signals, numbers
from nonebot_plugin_graceful.config import Config
from nonebot_plugin_graceful.core import installed
from nonebot_plugin_graceful.core.children import end_children
from nonebot_plugin_graceful.core.drain import Drain
from nonebot_plugin_graceful.core.failures import describe_failure
from nonebot_plugin_graceful.core.kinds import Kinds
from nonebot_plugin_graceful.core.tree import Limits, Tree
from nonebot_plugin_graceful.core.watchdog import Watchdog

from .database import connect, declare
from .engine import Engine
from .functions import functions
from .presence import PostgresPresence

__all__ = ["DESCRIPTION", "HELP", "add_arguments", "run"]

HELP: str = "do the work of @on_worker functions, for bots on any machine"
DESCRIPTION: str = (
    "As many of these as you like may run, on as many machines. GRACEFUL_DATABASE_URL and the other "
    "settings are read as a bot reads them, from the environment and from .env."
)
PATIENCE = 2.0
"""Seconds after which a worker without a connection to the database is taken for gone."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Tell what the command can be given."""
    parser.add_argument(
        "modules",
        nargs="+",
        metavar="MODULE",
        help="has @on_worker functions, by the name under which the bot imports it",
    )


def run(options: argparse.Namespace) -> int:
    """Work until told to stop."""
    nonebot.init(driver="~none")
    config = settings.load(model_dump(nonebot.get_driver().config))
    if config.graceful_redact:
        logs.wrap_sinks(
            config.graceful_redact_length,
            redacting=True,
            links_for=config.graceful_redact_links_after,
        )
    if not config.graceful_database_url:
        logger.error("Set GRACEFUL_DATABASE_URL to the PostgreSQL that the bots use")
        return 2
    worker = Worker(config)
    for module in options.modules:
        importlib.import_module(module)
    if not functions:
        logger.error(f"There is no @on_worker function in {', '.join(options.modules)}")
        return 2
    return asyncio.run(worker.work({function.kind for function in functions.values()}))


class Worker:
    """A process that does the work of functions.

    It stops as a bot does: told so, it begins nothing more, lets work finish that has a grace,
    cancels what is left, and has ended by the deadline whatever happens. What it has not finished
    is begun again by another worker, or by the next one.

    Args:
        config: The settings.

    """

    def __init__(self, config: Config) -> None:
        self._config = config
        limits = Limits(
            cancel=config.graceful_cancel_timeout, shield=config.graceful_shield_timeout
        )
        self._tree = Tree(Kinds(config.kind_overrides), limits)
        installed.install(self._tree)
        self._signals = Signals(numbers(config.graceful_signals), self._pressed)
        self._signals.install_early()
        self._loop: asyncio.AbstractEventLoop
        self._told: asyncio.Event
        self._watchdog: Watchdog

    async def work(self, kinds: Iterable[str]) -> int:
        """Work on some kinds until told to stop.

        Returns:
            The exit code.

        """
        config, tree = self._config, self._tree
        self._loop, self._told = asyncio.get_running_loop(), asyncio.Event()
        self._watchdog = Watchdog(
            loop=self._loop,
            deadline=config.graceful_deadline,
            thread_timeout=config.graceful_thread_timeout,
            last_words=_last_words,
            leave=_leave,
            may_interrupt=lambda task: not tree.is_shielded(task) and task in tree.works,
        )
        self._signals.install()
        starting = self._loop.run_in_executor(None, self._launch, tuple(kinds))
        told = tree.run_internal(self._told.wait(), "told to stop")
        await asyncio.wait([starting, told], return_when=asyncio.FIRST_COMPLETED)
        if starting.done():
            if (error := starting.exception()) is not None:
                logger.error("Cannot begin: {}", describe_failure(error))
                return 1
            logger.success(f"Working on {', '.join(sorted(kinds))}")
        await told
        drain = Drain(
            tree,
            grace_cap=config.longest_grace,
            hook_timeout=config.graceful_hook_timeout,
            hooks_are_over=lambda: True,
        )
        await drain.run()
        for work, task, _ in drain.stopping.stuck():
            logger.error(f"Does not stop: {work.work.name} ({task.get_name()})")
        stopped = len(drain.stopping.outcomes().cancelled)
        logger.success(f"{tree.lifecycle.reason}: stopped, {stopped} to be begun again")
        self._watchdog.start_thread_clock()
        return 0

    def _launch(self, kinds: tuple[str, ...]) -> None:
        url = self._config.graceful_database_url
        client = connect(url)
        declare(client, [self._tree.kinds[kind] for kind in kinds], ours=False)
        client.destroy()
        presence = PostgresPresence(url)
        engine = Engine(url, self._tree, presence, patience=PATIENCE, listed=True)
        engine.launch(self._loop, kinds)

    def _pressed(self, signum: int) -> None:
        """Take note of a signal, at any bytecode of the main thread."""
        lifecycle = self._tree.lifecycle
        lifecycle.press()
        if lifecycle.presses == 1:
            lifecycle.begin(signal.Signals(signum).name)
            self._watchdog.arm(signum)
            self._loop.call_soon_threadsafe(self._told.set)
        elif lifecycle.presses > 2:
            _leave(128 + signum)


def _leave(code: int) -> None:
    end_children()
    os._exit(code)


def _last_words(why: str) -> None:
    logger.critical(f"Ending the process: {why}")
    logs.flush_sinks()
