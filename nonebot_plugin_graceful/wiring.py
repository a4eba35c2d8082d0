"""What is connected to what when the plugin is loaded."""

from nonebot import get_driver, require
from nonebot.compat import model_dump

from . import config as settings
from . import matchers, scheduler
from .core.kinds import Kinds
from .core.registry import registry
from .shutdown import Shutdown

require("nonebot_plugin_localstore")

from nonebot_plugin_localstore import get_plugin_data_dir  # noqa: E402

__all__ = ["config", "shutdown"]

driver = get_driver()
config = settings.load(model_dump(driver.config))
registry.reset(Kinds(config.kind_overrides))
registry.plugin_kinds.update(config.graceful_plugin_kinds)

matchers.install()
scheduler.install()

shutdown = Shutdown(driver, config, get_plugin_data_dir() / "last_shutdown.json")
shutdown.install()
