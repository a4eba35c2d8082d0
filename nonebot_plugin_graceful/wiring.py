"""What is connected to what when the plugin is loaded. Importing this does nothing."""

import os
from pathlib import Path

from nonebot import get_loaded_plugins, require
from nonebot.drivers import Driver
from nonebot.log import logger

from . import config as settings
from .bot.process import Process
from .core import installed
from .core.kinds import Kinds
from .core.tree import Limits, Tree

__all__ = ["wire"]


def wire(driver: Driver, values: dict[str, object]) -> Process:
    """Make the objects and connect them; the one place that does.

    Args:
        driver: NoneBot's.
        values: Its settings, by lower-case name.

    Raises:
        ConfigError: A setting of ours has a value that it cannot have.

    """
    config = settings.load(values)
    require("nonebot_plugin_localstore")
    require("nonebot_plugin_apscheduler")
    from nonebot_plugin_apscheduler import scheduler
    from nonebot_plugin_localstore import get_plugin_data_dir

    from . import http, logs
    from .bot.deliveries import leave_deliveries
    from .bot.matchers import Matchers
    from .bot.scheduler import Jobs
    from .bot.world import NoneBotWorld
    from .chat import back, commands, notices, recall, saying, withdrawals
    from .journal.journal import Journal
    from .ops import health, metrics, page, systemd
    from .retry.settings import configure as configure_retry
    from .workers.calls import Calls

    world = NoneBotWorld()
    limits = Limits(cancel=config.graceful_cancel_timeout, shield=config.graceful_shield_timeout)
    tree = Tree(Kinds(config.kind_overrides, config.graceful_plugin_kinds), limits, world)
    installed.install(tree)
    matchers, jobs = Matchers(tree), Jobs(tree, scheduler)
    world.connect(matchers, jobs)
    folder = get_plugin_data_dir()
    logs.install(config, folder)
    configure_retry(
        attempts=config.graceful_retry_attempts,
        max_wait=config.graceful_retry_max_wait,
        budget=config.graceful_retry_budget,
        throttle=config.graceful_retry_throttle,
    )
    http.configure(connect_timeout=config.graceful_http_connect_timeout)
    process = Process(
        driver,
        config,
        tree,
        jobs=jobs,
        # a drill wants the report for itself
        report_file=Path(os.environ.get("GRACEFUL_REPORT_FILE") or folder / "last_shutdown.json"),
        flush=logs.flush_sinks,
    )
    matchers.install()
    jobs.install()
    process.install()
    journal = Journal(config, tree, folder, saying.say)
    journal.install(driver, process, world)
    Calls(tree, journal.requests, config.graceful_database_url, folder).install(driver)
    notices.install(config, process, world, journal.requests.resumes)
    withdrawals.install(config, tree, world)
    process.beginnings.append(lambda: leave_deliveries(driver))
    commands.install(config, process, journal.requests, folder)
    if config.graceful_commands:
        world.on_refuse.append(commands.Refusals(tree).tell)
    back.install(config, driver, process, folder)
    recall.install(config, tree, matchers, journal.requests)
    health.install(config, driver, tree)
    metrics.install(config, driver, tree, journal.storage, process.report_file)
    page.install(config, driver, process, journal.requests, folder)
    systemd.install(config, driver, tree, comes_back=lambda: process.restarting.in_place)
    driver.on_shutdown(http.close_clients)

    @driver.on_startup
    async def tell_doubts() -> None:  # pyright: ignore[reportUnusedFunction]
        # Only now are all plugins loaded.
        plugins = [plugin.id_ for plugin in get_loaded_plugins()]
        for doubt in settings.doubts(
            config, {*values, *os.environ}, kinds=tree.kinds, plugins=plugins
        ):
            logger.warning(doubt)

    return process
