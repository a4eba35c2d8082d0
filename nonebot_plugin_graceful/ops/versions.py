"""What a bot runs on."""

import asyncio
import os
import platform
import re
import sys
from collections.abc import Iterator
from datetime import datetime
from importlib.metadata import distributions

__all__ = ["versions"]

_CONCERNED = re.compile(
    r"(?i)nonebot|^(adapter|anyio|aiohttp|apscheduler|fastapi|httpx|hypercorn|loguru|openai"
    r"|pydantic|quart|starlette|tenacity|uvicorn|uvloop|websockets)"
)


def versions(driver: str) -> Iterator[str]:
    """Tell Python, system, driver, event loop, and the packages that have to do with it."""
    yield f"Python {sys.version}"
    yield f"{platform.platform()}, {os.cpu_count()} CPUs"
    yield f"driver {driver}"
    yield f"event loop {_event_loop()}"
    yield f"as of {datetime.now().astimezone().isoformat(timespec='seconds')}"
    yield ""
    found = {
        name: distribution.version
        for distribution in distributions()
        if (name := distribution.metadata["Name"]) and _CONCERNED.search(name)
    }
    yield from (f"{name} {found[name]}" for name in sorted(found, key=str.lower))


def _event_loop() -> str:
    loop = asyncio.new_event_loop()
    loop.close()
    return type(loop).__name__ + " by default; uvicorn takes uvloop if it is installed"
