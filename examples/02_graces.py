"""Graces: who is nearly done may finish, counted from the signal; who is not is cancelled at once.

Try it: ``uv run bot.py examples.02_graces``, and Ctrl+C when both have been asked for something. The
answer still arrives, the picture does not. An operator says the same without touching a plugin, by
``GRACEFUL_KINDS={"llm":{"grace":5}}``. Press again to wait no longer.
"""

# Matcher.finish() is not fully typed:
# pyright: reportUnknownMemberType=false

import httpx
from nonebot import get_driver, on_command, require

require("nonebot_plugin_graceful")
from nonebot_plugin_graceful import track  # noqa: E402

client = httpx.AsyncClient(base_url=get_driver().config.ai_base_url, timeout=180)
chat, draw = on_command("聊天"), on_command("画图")


@chat.handle()
@track("llm", grace=5)
async def _() -> None:
    question = {"messages": [{"role": "user", "content": "你好"}]}
    (await client.post("/chat/completions", json=question)).raise_for_status()
    await chat.finish("说完了")


@draw.handle()
@track("image")
async def _() -> None:
    (await client.post("/images/generations", json={"prompt": "猫"})).raise_for_status()
    await draw.finish("画好了")
