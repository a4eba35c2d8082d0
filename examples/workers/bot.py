"""A bot whose pictures others paint."""

import nonebot
from nonebot.adapters.onebot.v11 import Adapter

nonebot.init()
nonebot.get_driver().register_adapter(Adapter)  # pyright: ignore[reportUnknownMemberType]
nonebot.load_plugin("nonebot_plugin_graceful")
nonebot.load_plugin("drawing")

if __name__ == "__main__":
    nonebot.run()
