"""A thread: nobody can cancel one, so its code asks now and then, or waits by ``sleep``.

Try it: ``uv run bot.py examples.07_thread``, and Ctrl+C after "Tile 1". The handler is freed at once,
the thread ends at its next tile, and the process does not wait for its deadline.
"""

# Matcher.finish() is not fully typed:
# pyright: reportUnknownMemberType=false

from nonebot import logger, on_command, require

require("nonebot_plugin_graceful")
from nonebot_plugin_graceful import is_shutting_down, run_sync, sleep, track  # noqa: E402

TILES = 1000
draw = on_command("画图")


@draw.handle()
@track("image")
async def _() -> None:
    await run_sync(render)
    await draw.finish("画好了")


def render() -> None:
    for tile in range(TILES):
        if is_shutting_down():
            logger.info(f"No tile {tile}: the bot stops")
            return
        logger.info(f"Tile {tile}")
        sleep(0.2)  # raises Interrupted the moment the shutdown begins; time.sleep() would not
