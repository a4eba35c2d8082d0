"""``python -m examples.sandbox ws://… history``: both halves of the sandbox, beside one bot."""

import asyncio
import sys
from pathlib import Path

from .api import FakeOpenAI
from .onebot import FakeOneBot
from .process import parent_gone, tell_parent
from .scenario import play


async def main(bot_url: str, history: str) -> None:
    """Play the scenario until the parent has ended."""
    async with FakeOpenAI() as api, FakeOneBot(history=Path(history)) as onebot:
        tell_parent(api_url=f"{api.url}/v1")
        onebot.dial(bot_url)
        playing = asyncio.create_task(play(api, onebot))
        await parent_gone()
        playing.cancel()


asyncio.run(main(*sys.argv[1:]))
