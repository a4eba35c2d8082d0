"""A queue: one worker does one person's job after another's, and says by ``event=`` whose it is.

Try it: ``uv run bot.py examples.04_queue``. Who recalls the message ends that job alone, and the
worker goes on with the next one; Ctrl+C ends both.
"""

# pyright: reportUnknownMemberType=false

from asyncio import Queue

from nonebot import get_driver, on_command, require
from nonebot.adapters import Bot, Event

require("nonebot_plugin_graceful")
from nonebot_plugin_graceful import Interrupted, http_client, is_shutting_down, spawn, track  # noqa: E402

client = http_client(kind="image", base_url=get_driver().config.ai_base_url)
jobs: Queue[tuple[Bot, Event]] = Queue()


@get_driver().on_startup
async def _() -> None:
    spawn(work())


@on_command("画图").handle()
async def _(bot: Bot, event: Event) -> None:
    jobs.put_nowait((bot, event))


async def work() -> None:
    while True:
        bot, event = await jobs.get()
        try:
            async with track("image", event=event):
                await client.post("/images/generations", json={"prompt": "猫"})
                await bot.send(event, "画好了")
        except Interrupted:
            if is_shutting_down():
                raise
