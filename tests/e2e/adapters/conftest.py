"""Bots of other adapters, connected to platforms of our own."""

import sys

import pytest

from examples.sandbox import free_port
from tests.e2e.harness import Process
from tests.e2e.harness import _as_setting as as_setting

from .servers import PLATFORMS

BOT = """
import asyncio
import nonebot
from nonebot.adapters.{module} import Adapter

nonebot.init()
driver = nonebot.get_driver()
driver.register_adapter(Adapter)
adapter = nonebot.get_adapter(Adapter)
{tweak}
if {graceful}:
    assert nonebot.load_plugin("nonebot_plugin_graceful")
assert nonebot.load_plugin("painter")
nonebot.run()
"""


@pytest.fixture
async def platform(request):
    """A platform: the parameter is its name."""
    async with PLATFORMS[request.param]() as platform:
        yield platform


@pytest.fixture
async def start(platform, tmp_path):
    """Start a bot with one plugin, and wait until it is connected. None outlives the test."""
    bots = []

    async def start(plugin, *, graceful=True, folder=None, **settings):
        folder = tmp_path / (folder or f"bot{len(bots)}")
        folder.mkdir(exist_ok=True)
        tweak = platform.tweak.replace("{url}", platform.url)
        source = BOT.format(module=platform.adapter, tweak=tweak, graceful=graceful)
        (folder / "bot.py").write_text(source, encoding="utf-8")
        (folder / "painter.py").write_text(plugin, encoding="utf-8")
        values = {"driver": "~httpx+~websockets", "localstore_use_cwd": True}
        if platform.server:
            values = {"driver": "~fastapi+~httpx+~websockets", "host": "127.0.0.1"}
            values |= {"port": free_port(), "localstore_use_cwd": True}
        values |= platform.settings | settings
        lines = (f"{name.upper()}={as_setting(value)}\n" for name, value in values.items())
        (folder / ".env").write_text("".join(lines), encoding="utf-8")
        platform.connected = False
        bot = Process([sys.executable, "bot.py"], cwd=folder)
        platform.bot_port = values.get("port")
        bots.append(bot)
        await platform.wait_for_connection()
        return bot

    yield start
    for bot in bots:
        bot.kill()
        await bot.wait()
