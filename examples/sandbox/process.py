"""The sandbox as a child process that lives exactly as long as its parent.

The parent holds one end of a pipe, the child waits for its end of file: that comes however the
parent ends, also by ``kill -9``, and on Windows too.
"""

import asyncio
import json
import os
import signal
import subprocess
import sys
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Any

__all__ = ["Sandbox", "parent_gone", "start", "tell_parent"]

ROOT = Path(__file__).resolve().parents[2]
HISTORY = Path("data", "sandbox", "chat.jsonl")
"""In the folder where the bot is started, beside its own data."""


@dataclass(frozen=True, slots=True)
class Sandbox:
    """A running sandbox. It ends when this process does."""

    api_url: str
    """What an OpenAI client takes as its base URL."""
    process: "subprocess.Popen[str]"


# the parent's side


def start(bot_url: str, history: Path = HISTORY) -> Sandbox:
    """Start the sandbox beside a bot.

    Args:
        bot_url: Where the bot will listen for OneBot V11, ``ws://host:port/onebot/v11/ws``.
        history: The file in which its chats outlast it, as those of a platform outlast a bot.

    Raises:
        RuntimeError: The sandbox did not come up; its own words are on stderr.

    """
    process = subprocess.Popen(  # noqa: S603 - our own words
        [sys.executable, "-m", "examples.sandbox", bot_url, str(history.absolute())],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        **_out_of_reach_of_ctrl_c(),
    )
    assert process.stdout is not None
    line = process.stdout.readline()
    if not line:
        raise RuntimeError(f"the sandbox ended with exit code {process.wait()}")
    return Sandbox(json.loads(line)["api_url"], process)


def _out_of_reach_of_ctrl_c() -> dict[str, Any]:
    """Keep a Ctrl+C, which reaches the terminal's whole process group, from ending the child."""
    if sys.platform == "win32":
        return {"creationflags": subprocess.CREATE_NEW_PROCESS_GROUP}
    return {"start_new_session": True}


# the child's side


def tell_parent(**values: str) -> None:
    """Answer the parent's call of ``start``."""
    print(json.dumps(values), flush=True)
    if sys.platform == "win32":
        # Ctrl+Break reaches every process of the console, whatever its group
        signal.signal(signal.SIGBREAK, signal.SIG_IGN)


async def parent_gone() -> None:
    """Wait until the parent has ended."""
    loop = asyncio.get_running_loop()
    gone = asyncio.Event()

    def watch() -> None:
        # not sys.stdin, whose lock would be held for ever if we ended first
        while os.read(0, 1024):
            pass
        loop.call_soon_threadsafe(gone.set)

    threading.Thread(target=watch, name="parent", daemon=True).start()
    await gone.wait()
