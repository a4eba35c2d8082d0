"""The OpenAI SDK, whose requests and retries are seen and stopped: by its HTTP client alone.

Try it: ``uv run bot.py examples.06_openai``, and Ctrl+C while chats time out. The client's own kind
is enough, so the handler needs no ``track``. Services that are compatible are the same.
"""

# Matcher.finish() is not fully typed:
# pyright: reportUnknownMemberType=false

from nonebot import get_driver, on_command, require
from openai import AsyncOpenAI

require("nonebot_plugin_graceful")
from nonebot_plugin_graceful import http_client  # noqa: E402

openai = AsyncOpenAI(
    base_url=get_driver().config.ai_base_url,
    api_key="sandbox",
    max_retries=0,  # the client's own retries know when the bot stops
    # from version 3 on, the SDK is typed for httpx2, and takes httpx as ever
    http_client=http_client(kind="llm", timeout=120, retries=2),  # pyright: ignore[reportArgumentType]
)
chat = on_command("聊天")


@chat.handle()
async def _() -> None:
    completion = await openai.chat.completions.create(
        model="sandbox", messages=[{"role": "user", "content": "你好"}]
    )
    await chat.finish(completion.choices[0].message.content or "没有回答")
