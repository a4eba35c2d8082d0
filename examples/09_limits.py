"""Limits: so many of a kind at once, the rest queue in their order, and can be told where they are.

Try it: ``GRACEFUL_KINDS='{"image":{"limit":1}}' uv run bot.py examples.09_limits``. The second who asks
waits for the first. Ctrl+C ends both, and who only queued has asked nothing of the service.
"""

# Matcher.send() is not fully typed:
# pyright: reportUnknownMemberType=false

from nonebot import get_driver, on_command, require

require("nonebot_plugin_graceful")
from nonebot_plugin_graceful import http_client, tasks, track  # noqa: E402

client = http_client(kind="image", base_url=get_driver().config.ai_base_url)
draw = on_command("画图")


@draw.handle()
async def _() -> None:
    ahead = sum(task.kind == "image" for task in tasks())
    if ahead:
        await draw.send(f"前面还有 {ahead} 位")
    async with track("image"):  # waits for a place; what is in it uses the same one
        (await client.post("/images/generations", json={"prompt": "猫"})).raise_for_status()
    await draw.finish("画好了")
