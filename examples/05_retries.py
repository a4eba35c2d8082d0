"""Retries: tenacity's, which end with the shutdown; no further attempt is made.

Try it: ``uv run bot.py examples.05_retries``, and Ctrl+C after "Retrying" in the log. Bare ``@retry``
makes three attempts, at what may pass only, and waits as long as ``Retry-After`` says. Given any of
``stop``, ``wait`` and ``retry``, all is as in tenacity.
"""

# Matcher.finish() is not fully typed:
# pyright: reportUnknownMemberType=false

import httpx
from nonebot import get_driver, on_command, require

require("nonebot_plugin_graceful")
from nonebot_plugin_graceful import retry, track  # noqa: E402

client = httpx.AsyncClient(base_url=get_driver().config.ai_base_url, timeout=180)
draw = on_command("画图")


@draw.handle()
@track("image")
async def _() -> None:
    await paint("猫")
    await draw.finish("画好了")


@retry
async def paint(prompt: str) -> bytes:
    response = await client.post("/images/generations", json={"prompt": prompt})
    return response.raise_for_status().content
