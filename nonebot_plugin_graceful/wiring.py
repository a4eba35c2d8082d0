"""What is connected to what when the plugin is loaded."""

import os
from pathlib import Path

from nonebot import get_driver, require
from nonebot.compat import model_dump

from . import commands, health, http, logs, matchers, notices, recall, scheduler, systemd
from . import config as settings
from .core.kinds import Kinds
from .core.registry import registry
from .retry import configure as configure_retry
from .shutdown import Shutdown

require("nonebot_plugin_localstore")

from nonebot_plugin_localstore import get_plugin_data_dir  # noqa: E402

__all__ = ["config", "shutdown"]

driver = get_driver()
config = settings.load(model_dump(driver.config))
registry.reset(Kinds(config.kind_overrides))
registry.plugin_kinds.update(config.graceful_plugin_kinds)

folder = get_plugin_data_dir()
logs.install(config, folder)
matchers.install()
scheduler.install()
configure_retry(
    attempts=config.graceful_retry_attempts,
    max_wait=config.graceful_retry_max_wait,
    budget=config.graceful_retry_budget,
    throttle=config.graceful_retry_throttle,
)
http.configure(connect_timeout=config.graceful_http_connect_timeout)

# a drill wants the report for itself
report_file = Path(os.environ.get("GRACEFUL_REPORT_FILE") or folder / "last_shutdown.json")
shutdown = Shutdown(driver, config, report_file)
shutdown.flush = logs.flush_sinks
shutdown.install()
notices.install(config, shutdown)
commands.install(config, shutdown)
recall.install(config)
health.install(config, driver)
systemd.install(config, driver)
driver.on_shutdown(http.close_clients)
