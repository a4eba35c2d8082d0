"""画图 by workers: a plugin that enqueues, waits, and waits on after a restart."""

# Matcher.finish() is not fully typed:
# pyright: reportUnknownMemberType=false

from typing import Annotated

from nonebot import logger, on_command, require
from nonebot.adapters.onebot.v11 import Message, MessageSegment
from nonebot.params import CommandArg
from nonebot.plugin import PluginMetadata

require("nonebot_plugin_graceful")

from painting import paint  # noqa: E402

from nonebot_plugin_graceful import WorkerError, track  # noqa: E402

__plugin_meta__ = PluginMetadata(
    name="画图",
    description="由别的机器画图，机器人重启也不耽误",
    usage="/画图 描述",
    type="application",
    supported_adapters={"~onebot.v11"},
)

draw = on_command("画图", block=True)


@draw.handle()
@track("image", resume=True)
async def _(args: Annotated[Message, CommandArg()]) -> None:
    prompt = args.extract_plain_text().strip()
    if not prompt:
        await draw.finish("想画什么？例如：/画图 一只戴帽子的猫")
    try:
        picture = await paint(prompt)
    except WorkerError as error:
        logger.warning(f"No picture: {error}")
        await draw.finish("没有画出来，请稍后再试。")
    await draw.finish(MessageSegment.image(f"base64://{picture}"))
