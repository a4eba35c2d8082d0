"""A bot to try the plugin with: against the sandbox, or with a ``.env`` against the real world."""

import argparse
import os
import sys
import threading
from pathlib import Path
from typing import Any

import nonebot
from nonebot.adapters.onebot.v11 import Adapter

from examples.sandbox import free_port
from examples.sandbox import process as sandbox

ASSISTANT = "examples.ai_assistant"
TWO_MINUTES = 120.0


def main() -> None:
    """Run until somebody presses Ctrl+C."""
    options = _options()
    without: float | None = options.without
    if without is not None:
        # NoneBot reads a .env whatever it is told, and that may name real accounts: not from there.
        os.chdir(Path(sandbox.__file__).parent)
        _init_with_sandbox(history=Path(os.devnull))
    elif Path(".env").is_file():
        nonebot.init()
        nonebot.logger.info("Settings from .env: a real OneBot client and a real AI service")
    elif options.plugins:
        _init_with_sandbox()
    else:
        # Ctrl+C, start it again: whoever had asked, gets his answer.
        _init_with_sandbox(
            graceful_resume=["image", "llm"],
            graceful_resume_notice="机器人正在重启，马上回来接着做。",
        )
    nonebot.get_driver().register_adapter(Adapter)  # pyright: ignore[reportUnknownMemberType]
    if without is None:
        nonebot.load_plugin("nonebot_plugin_graceful")
        for name in options.plugins or [ASSISTANT]:
            nonebot.load_plugin(name)
    else:
        nonebot.load_plugin("examples.plain_assistant")
        _end_after(without)
    nonebot.run()


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "plugins",
        metavar="PLUGIN",
        nargs="*",
        help=f"in place of {ASSISTANT}, such as examples.01_track",
    )
    parser.add_argument(
        "--without",
        metavar="SECONDS",
        nargs="?",
        type=float,
        const=TWO_MINUTES,
        help="the same sandbox without the plugin, for two minutes at most",
    )
    return parser.parse_args()


def _init_with_sandbox(history: Path = sandbox.HISTORY, **settings: Any) -> None:
    port = free_port()
    box = sandbox.start(f"ws://127.0.0.1:{port}/onebot/v11/ws", history)
    nonebot.init(
        driver="~fastapi",
        host="127.0.0.1",
        port=port,
        ai_base_url=box.api_url,
        ai_api_key="sandbox",
        localstore_use_cwd=True,
        **settings,
    )
    nonebot.logger.info(
        f"No .env: chats and AI service are the sandbox's (process {box.process.pid})"
    )


def _end_after(seconds: float) -> None:
    """Say how to end a bot that Ctrl+C does not end, and see to it that it ends."""
    by_force = f"taskkill /F /PID {os.getpid()}"
    if sys.platform != "win32":
        by_force = f"Ctrl+\\ or kill -9 {os.getpid()}"
    nonebot.logger.warning(
        "Without the plugin. Wait until the sandbox says that pictures time out, then press"
        f" Ctrl+C: it does not end the bot. {by_force} does; by itself it ends in {seconds:g} s"
    )

    def end() -> None:
        nonebot.logger.warning(f"{seconds:g} s are over: ended by force")
        os._exit(1)

    timer = threading.Timer(seconds, end)
    timer.daemon = True  # a bot that ends by itself is not to wait for it
    timer.start()


if __name__ == "__main__":
    main()
