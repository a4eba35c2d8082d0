"""``on_shutting_down``: be told while the bot can still talk. ``on_shutdown`` hooks come too late.

Try it: ``uv run bot.py examples.08_on_shutting_down``, and Ctrl+C: group 30001 reads good-bye before
the connection closes. Each hook has a second (``GRACEFUL_HOOK_TIMEOUT``).
"""

from nonebot import get_bots, get_driver, logger, require

require("nonebot_plugin_graceful")
from nonebot_plugin_graceful import on_shutting_down  # noqa: E402

GROUP = 30001


@on_shutting_down
async def say_good_bye() -> None:
    for bot in get_bots().values():
        await bot.send_group_msg(group_id=GROUP, message="我去重启一下，马上回来。")


@get_driver().on_shutdown
async def too_late() -> None:
    logger.info(f"{len(get_bots())} bots are connected now")
