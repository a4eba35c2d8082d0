"""``shield``: the few lines that must happen whole. Here a picture, once it has come, is booked.

Try it: ``uv run bot.py examples.03_shield``, and Ctrl+C right after "Booking" in the log. The file
``bills.txt`` has both lines; what comes after the shield is left out. A reply needs no shield: one
that is being sent is sent.
"""

import asyncio
from pathlib import Path

from nonebot import get_driver, logger, on_command, require

require("nonebot_plugin_graceful")
from nonebot_plugin_graceful import http_client, shield, track  # noqa: E402

client = http_client(kind="image", base_url=get_driver().config.ai_base_url)
bills = Path("bills.txt")


@on_command("画图").handle()
@track("image")
async def _() -> None:
    (await client.post("/images/generations", json={"prompt": "猫"})).raise_for_status()
    async with shield():
        logger.info("Booking")
        await asyncio.to_thread(_book, "begun")
        await asyncio.sleep(1)  # a database that takes its time
        await asyncio.to_thread(_book, "done")
    logger.info("What is not shielded any more")


def _book(line: str) -> None:
    with bills.open("a", encoding="utf-8") as file:
        file.write(f"{line}\n")
