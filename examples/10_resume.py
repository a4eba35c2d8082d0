"""``resume`` and ``step``: a restart, a crash or kill -9, and the request goes on; steps are paid once.

Try it: ``uv run bot.py examples.10_resume``, end it while a picture times out, and start it again. The
story is not asked for a second time, and who had asked gets the picture, once.
"""

# Matcher.finish() is not fully typed:
# pyright: reportUnknownMemberType=false

from nonebot import get_driver, on_command, require

require("nonebot_plugin_graceful")
from nonebot_plugin_graceful import http_client, request_key, step, track  # noqa: E402

client = http_client(kind="image", base_url=get_driver().config.ai_base_url)
draw = on_command("画图")


@draw.handle()
@track("image", resume=True)
async def _() -> None:
    picture = await paint(await tell("猫"))
    await draw.finish(f"画好了，{len(picture)} 个字符")


@step
async def tell(of: str) -> str:
    question = {"messages": [{"role": "user", "content": of}]}
    answer = await client.post("/chat/completions", json=question)
    return answer.raise_for_status().json()["choices"][0]["message"]["content"]


@step
async def paint(story: str) -> str:
    key = {"Idempotency-Key": request_key()}  # not even what was under way need be paid twice
    answer = await client.post("/images/generations", json={"prompt": story}, headers=key)
    return answer.raise_for_status().json()["data"][0]["b64_json"]
