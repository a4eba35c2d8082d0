"""No false alarms: what a handler says of being cancelled by the shutdown is not sent."""

from collections.abc import Callable
from typing import Any

from nonebot.adapters import Bot
from nonebot.exception import MockApiException
from nonebot.log import logger

from nonebot_plugin_graceful.bot.adapters import sends
from nonebot_plugin_graceful.core.tree import Tree
from nonebot_plugin_graceful.core.work import living, owner

__all__ = ["mute_cancelled"]


def mute_cancelled(tree: Tree) -> Callable[[], None]:
    """Send nothing that a handler says of being cancelled, unless its author knows of it.

    Returns:
        Takes it back.

    """

    async def mute(bot: Bot, api: str, data: dict[str, Any]) -> None:
        # NoneBot runs this in a child task of the one that calls the API; it inherits the work.
        del bot
        work = living(owner.get())
        if work is None or work.aware or not tree.lifecycle.stopping:
            return
        if work.ending is not None and work.ending.cancelled and sends(api, data):
            plugin = work.origin.plugin if work.origin else None
            logger.info(f"Muted what {plugin or 'no plugin'} says of being cancelled: {api}")
            raise MockApiException(result=None)

    Bot.on_calling_api(mute)

    def restore() -> None:
        Bot._calling_api_hook.discard(mute)  # noqa: SLF001 # pyright: ignore[reportPrivateUsage]

    return restore
