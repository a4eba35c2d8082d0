"""What every end-to-end test may ask for."""

from pathlib import Path

import pytest

from examples.sandbox import FakeOneBot, FakeOpenAI

from .harness import ROOT, BotProcess, start_bot


def pytest_collection_modifyitems(items):
    """Mark everything in this folder."""
    here = Path(__file__).parent
    for item in items:
        if here in item.path.parents:
            item.add_marker(pytest.mark.e2e)


@pytest.fixture
async def api():
    """An AI service."""
    async with FakeOpenAI() as api:
        yield api


@pytest.fixture
async def onebot():
    """A chat platform."""
    async with FakeOneBot() as onebot:
        yield onebot


async def end(bot):
    """End a bot; what it had said is told with a test that fails."""
    bot.kill()
    await bot.wait()
    print(f"-- {bot.pid} ended with {bot.exit_code}, and had said\n{bot.log}")  # noqa: T201


@pytest.fixture
async def bot_factory(tmp_path, api, onebot):
    """Start bots, connected to ``onebot`` (one at a time) and told where ``api`` is.

    ``bot = await bot_factory(source_or_path, ..., driver=..., graceful=..., settings=...)``, with
    the keywords of ``start_bot``. Returns when the bot is connected, unless ``connect`` is false. Each has ``AI_BASE_URL``
    among its settings. None outlives the test.
    """
    bots: list[BotProcess] = []

    async def start(*plugins, connect=True, settings=None, **keywords):
        settings = {"ai_base_url": f"{api.url}/v1", **(settings or {})}
        folder = tmp_path / f"bot{len(bots)}"
        bot = await start_bot(folder, onebot, *plugins, settings=settings, **keywords)
        bots.append(bot)
        if connect:
            await bot.connected()
        return bot

    yield start
    for bot in bots:
        await end(bot)


@pytest.fixture
async def lives(tmp_path, api, onebot):
    """Start the same bot again and again, with the keywords of ``start_bot``; the AI assistant's by default."""
    bots = []

    async def start(*plugins, settings=None, **keywords):
        settings = {"ai_base_url": f"{api.url}/v1", **(settings or {})}
        plugins = plugins or (ROOT / "examples" / "ai_assistant.py",)
        bot = await start_bot(tmp_path / "bot", onebot, *plugins, settings=settings, **keywords)
        bots.append(bot)
        await bot.connected()
        return bot

    yield start
    for bot in bots:
        await end(bot)
