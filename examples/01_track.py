"""A handler that says what it does, by ``track``: the client is anybody's, and knows nothing of it.

Try it: ``uv run bot.py examples.01_track``, and Ctrl+C while a picture times out. The request is
cancelled at once, the log counts one ``image``, and the chat reads ``notice``.
"""

# Matcher.finish() is not fully typed:
# pyright: reportUnknownMemberType=false

import httpx
from nonebot import get_driver, on_command, require

require("nonebot_plugin_graceful")
from nonebot_plugin_graceful import track  # noqa: E402

client = httpx.AsyncClient(base_url=get_driver().config.ai_base_url, timeout=180)
draw = on_command("画图")


@draw.handle()
@track("image", notice="画笔先收起来了，请稍后再画。")
async def _() -> None:
    (await client.post("/images/generations", json={"prompt": "猫"})).raise_for_status()
    await draw.finish("画好了")
