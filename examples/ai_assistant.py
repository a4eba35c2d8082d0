"""聊天, 识图 and 画图 with any OpenAI-compatible API: a plugin that stops when it is told to.

What makes it so is ``http_client``, ``retry`` and ``track``; the rest is as it would be without.
A picture that was asked for survives a restart (``resume=True``), and is paid once (``step``). Catch ``Exception`` or narrower: being stopped is no exception of that kind, and passes through.
"""

# Matcher.finish() is not fully typed:
# pyright: reportUnknownMemberType=false

import base64
from typing import Annotated

import httpx
from nonebot import get_plugin_config, logger, on_command, require
from nonebot.adapters.onebot.v11 import Message, MessageEvent, MessageSegment
from nonebot.params import CommandArg
from nonebot.plugin import PluginMetadata
from openai import AsyncOpenAI, OpenAIError
from openai.types.chat import ChatCompletionContentPartParam
from pydantic import BaseModel

require("nonebot_plugin_graceful")

from nonebot_plugin_graceful import http_client, request_key, retry, step, track  # noqa: E402


class Config(BaseModel):
    """The settings, for ``.env``."""

    ai_base_url: str = "https://api.openai.com/v1"
    ai_api_key: str = ""
    ai_chat_model: str = "gpt-4o-mini"
    """Has to understand pictures for 识图."""
    ai_image_model: str = "gpt-image-1"
    ai_timeout: float = 180.0
    """Seconds one request may take, retries included."""


__plugin_meta__ = PluginMetadata(
    name="AI 助手",
    description="聊天、识图、画图，用任何兼容 OpenAI 的接口",
    usage="/聊天 问题\n/识图 [图片] 问题（也可以回复一张图片）\n/画图 描述",
    type="application",
    config=Config,
    supported_adapters={"~onebot.v11"},
)

config = get_plugin_config(Config)
Args = Annotated[Message, CommandArg()]
NO_ANSWER = "AI 服务没有回应，请稍后再试。"


def _service(kind: str) -> AsyncOpenAI:
    return AsyncOpenAI(
        base_url=config.ai_base_url,
        api_key=config.ai_api_key or "none",  # services at home want none, but the SDK does
        # from version 3 on, the SDK is typed for httpx2, and takes httpx as ever
        http_client=http_client(kind=kind, timeout=config.ai_timeout, retries=2),  # pyright: ignore[reportArgumentType]
        max_retries=0,  # the client's own retries know when the bot stops
    )


llm, painter = _service("llm"), _service("image")
pictures = http_client(kind="llm", timeout=30, follow_redirects=True)

chat = on_command("聊天", block=True)
look = on_command("识图", block=True)
draw = on_command("画图", block=True)


@chat.handle()
async def _(args: Args) -> None:
    question = args.extract_plain_text().strip()
    if not question:
        await chat.finish("想聊什么？例如：/聊天 今天吃什么")
    await chat.finish(await _ask({"type": "text", "text": question}))


@look.handle()
@track("llm")  # download and question are one piece of work
async def _(event: MessageEvent, args: Args) -> None:
    images = args["image"] or (event.reply.message["image"] if event.reply else None)
    if not images:
        await look.finish("要看哪张图？把图片和命令一起发，或者回复一张图片。")
    try:
        picture = await _download(images[0].data["url"])
    except httpx.HTTPError as error:
        logger.warning(f"Cannot load the picture: {error!r}")
        await look.finish("图片下载失败，请重新发一张。")
    question = args.extract_plain_text().strip() or "这张图里有什么？"
    answer = await _ask(
        {"type": "text", "text": question}, {"type": "image_url", "image_url": {"url": picture}}
    )
    await look.finish(answer)


@draw.handle()
@track("image", resume=True)
async def _(args: Args) -> None:
    prompt = args.extract_plain_text().strip()
    if not prompt:
        await draw.finish("想画什么？例如：/画图 一只戴帽子的猫")
    try:
        picture = await _paint(prompt)
    except OpenAIError as error:
        logger.warning(f"No picture: {error!r}")
        await draw.finish(NO_ANSWER)
    if not picture:
        await draw.finish("AI 服务没有给出图片，换个说法试试。")
    await draw.finish(MessageSegment.image(picture))


@step
async def _paint(prompt: str) -> str:
    """Return a picture as OneBot takes it; empty if there is none. A restart does not pay it again."""
    images = await painter.images.generate(
        model=config.ai_image_model,
        prompt=prompt,
        # for services that take one: not even what was under way at a kill is paid twice
        extra_headers={"Idempotency-Key": request_key()},
    )
    if not images.data:
        return ""
    image = images.data[0]
    # some services send the picture, some its address
    return f"base64://{image.b64_json}" if image.b64_json else image.url or ""


async def _ask(*content: ChatCompletionContentPartParam) -> str:
    try:
        completion = await llm.chat.completions.create(
            model=config.ai_chat_model, messages=[{"role": "user", "content": content}]
        )
    except OpenAIError as error:
        logger.warning(f"No answer: {error!r}")
        return NO_ANSWER
    return completion.choices[0].message.content or NO_ANSWER


@retry(reraise=True)
async def _download(url: str) -> str:
    """Return a picture as a data URL, which is how a model takes it."""
    response = (await pictures.get(url)).raise_for_status()
    kind = response.headers.get("content-type", "image/png")
    return f"data:{kind};base64,{base64.b64encode(response.content).decode()}"
