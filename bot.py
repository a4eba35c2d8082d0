"""A bot to try the plugin with: against the sandbox, or with a ``.env`` against the real world."""

import socket
from pathlib import Path

import nonebot
from nonebot.adapters.onebot.v11 import Adapter

from examples.sandbox import process as sandbox


def main() -> None:
    """Run until somebody presses Ctrl+C."""
    if Path(".env").is_file():
        nonebot.init()
        nonebot.logger.info("Settings from .env: a real OneBot client and a real AI service")
    else:
        port = _free_port()
        box = sandbox.start(f"ws://127.0.0.1:{port}/onebot/v11/ws")
        nonebot.init(
            driver="~fastapi",
            host="127.0.0.1",
            port=port,
            ai_base_url=box.api_url,
            ai_api_key="sandbox",
            localstore_use_cwd=True,
            # Ctrl+C, start it again: whoever had asked, gets his answer.
            graceful_resume=["image", "llm"],
            graceful_resume_notice="机器人正在重启，马上回来接着做。",
        )
        nonebot.logger.info(
            f"No .env: chats and AI service are the sandbox's (process {box.process.pid})"
        )
    nonebot.get_driver().register_adapter(Adapter)  # pyright: ignore[reportUnknownMemberType]
    nonebot.load_plugin("nonebot_plugin_graceful")
    nonebot.load_plugin("examples.ai_assistant")
    nonebot.run()


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return probe.getsockname()[1]


if __name__ == "__main__":
    main()
