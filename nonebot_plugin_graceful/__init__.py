"""Make a NoneBot2 bot stop the moment it is told to, and take up again what was asked of it."""

from typing import TYPE_CHECKING

from nonebot import get_driver
from nonebot.compat import model_dump
from nonebot.plugin import PluginMetadata

from .config import Config
from .core.api import (
    cancel,
    is_shutting_down,
    on_shutting_down,
    run_sync,
    shield,
    sleep,
    spawn,
    tasks,
    track,
)
from .core.errors import Interrupted, Refused
from .core.info import TaskInfo
from .http import GracefulTransport, http_client
from .journal.steps import request_key, step
from .retry import (
    AsyncRetrying,
    Retrying,
    is_transient,
    retry_if_transient,
    stop_by_default,
    stop_on_shutdown,
    wait_by_default,
)
from .workers.functions import WorkerError, on_worker

if TYPE_CHECKING:  # at run time the module of this name, which is callable, is bound already
    from .retry import retry

__all__ = [
    "AsyncRetrying",
    "GracefulTransport",
    "Interrupted",
    "Refused",
    "Retrying",
    "TaskInfo",
    "WorkerError",
    "cancel",
    "http_client",
    "is_shutting_down",
    "is_transient",
    "on_shutting_down",
    "on_worker",
    "request_key",
    "restart",
    "retry",
    "retry_if_transient",
    "run_sync",
    "shield",
    "shutdown",
    "sleep",
    "spawn",
    "step",
    "stop_by_default",
    "stop_on_shutdown",
    "tasks",
    "track",
    "wait_by_default",
]

__plugin_meta__: PluginMetadata = PluginMetadata(
    name="优雅停机",
    description="让机器人说停就停：进行中的 AI 请求在连接断开之前分级取消，能续的请求重启后续上",
    usage="安装即生效。发送 /graceful 查看进行中的任务；插件作者见 README。",
    type="library",
    homepage="https://github.com/nonebot-plugin-graceful/nonebot-plugin-graceful",
    config=Config,
    supported_adapters=None,
)


def shutdown(reason: str = "shutdown()") -> None:
    """Shut the bot down, as SIGTERM would. From any thread.

    Args:
        reason: Why, for the log and the chats.

    """
    if _process is None:
        raise RuntimeError("there is no bot to shut down: the plugin was not loaded by NoneBot")
    _process.begin(reason)


def restart(reason: str = "restart()") -> None:
    """Shut the bot down as ever, then begin anew: see ``GRACEFUL_RESTART``. From any thread.

    The chat whose request calls it hears when the bot is back: see ``GRACEFUL_BACK_NOTICE``. A
    signal that comes meanwhile ends the bot for good. While it is being stopped this does nothing.

    Args:
        reason: Why, for the log and the chats.

    """
    if _process is None:
        raise RuntimeError("there is no bot to restart: the plugin was not loaded by NoneBot")
    _process.restart(reason)


try:
    _driver = get_driver()
except ValueError:
    # `python -m nonebot_plugin_graceful` imports this package before there is a bot.
    _process = None
else:
    from .wiring import wire

    _process = wire(_driver, model_dump(_driver.config))
