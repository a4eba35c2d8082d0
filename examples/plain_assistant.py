"""聊天 and 画图 as they are often written: ten tries in a loop. ``bot.py --without`` runs it.

No example to follow: it is what the plugin is there for.
"""

# Matcher.finish() is not fully typed:
# pyright: reportUnknownMemberType=false

import asyncio
from typing import Annotated, Any

import httpx
from nonebot import get_plugin_config, logger, on_command
from nonebot.adapters.onebot.v11 import Message, MessageSegment
from nonebot.params import CommandArg
from pydantic import BaseModel

TRIES = 10
PAUSE = 2
"""Seconds between two tries."""


class Config(BaseModel):
    """The settings, for ``.env``."""

    ai_base_url: str


service = httpx.AsyncClient(base_url=get_plugin_config(Config).ai_base_url, timeout=60)
Args = Annotated[Message, CommandArg()]
chat = on_command("聊天", block=True)
draw = on_command("画图", block=True)


@chat.handle()
async def _(args: Args) -> None:
    messages = [{"role": "user", "content": args.extract_plain_text()}]
    answer = await _ask("/chat/completions", {"model": "sandbox", "messages": messages})
    await chat.finish(answer["choices"][0]["message"]["content"] if answer else "API 出错")


@draw.handle()
async def _(args: Args) -> None:
    prompt = args.extract_plain_text()
    answer = await _ask("/images/generations", {"model": "sandbox", "prompt": prompt})
    picture = f"base64://{answer['data'][0]['b64_json']}" if answer else None
    await draw.finish(MessageSegment.image(picture) if picture else "API 出错")


async def _ask(path: str, body: dict[str, Any]) -> dict[str, Any] | None:
    for attempt in range(1, TRIES + 1):
        try:
            return (await service.post(path, json=body)).raise_for_status().json()
        except Exception as error:
            logger.warning(f"POST {path} failed, attempt {attempt} of {TRIES}: {error!r}")
            await asyncio.sleep(PAUSE)
    return None
