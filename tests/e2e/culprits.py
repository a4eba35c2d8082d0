"""Code by strangers that keeps a bot from ending: how to have it in a bot, and to set it off."""

import json
from pathlib import Path

from examples.sandbox import HANG

from .harness import NONE

PLUGINS = Path(__file__).with_name("plugins")
WITNESS = PLUGINS / "culprit_witness.py"
WORK = PLUGINS / "culprit_work.py"
HOOKS = PLUGINS / "culprit_hooks.py"
SERVER = PLUGINS / "culprit_server.py"

REQUESTING = {
    "swallow_some",
    "thread_socket",
    "thread_loop",
    "loop_recv",
    "loop_several",
    "restart",
    "child_restart",
    "locked_0",
}
"""Those that have a request under way; the API never answers it."""
PATHS = {"loop_several": "loop_recv"}
QUEUED = [f"locked_{number}" for number in range(5)]
"""Handlers that wait for a lock behind the first one's request."""
SHUTDOWN_HOOKS = ["hook_hangs", "hook_raises", "hook_swallows", "hook_blocks", "hook_sleeps"]
"""Those that show only when the bot ends."""


def plugins_for(culprits, driver):
    """Tell what to load. The witness comes first, so that its hooks run last."""
    plugins = [WITNESS]
    if any(not name.startswith(("hook_", "telling_", "second_")) for name in culprits):
        plugins.append(WORK)
    if any(name.startswith(("hook_", "telling_")) for name in culprits):
        plugins.append(HOOKS)
    if "second_server" in culprits:
        assert driver is not NONE, "uvicorn wants a server's loop"
        plugins.append(SERVER)
    return plugins


def settings_for(culprits):
    """Tell the plugins which hooks to have."""
    return {"culprit_hooks": [name for name in culprits if name.startswith(("hook_", "telling_"))]}


async def provoke(culprits, bot, onebot, api):
    """Have every culprit be at it; returns when they are."""
    for user, name in enumerate(culprits):
        path = f"/v1/{PATHS.get(name, name)}"
        if name in REQUESTING:
            api.on(path, HANG)
        if not name.startswith(("hook_", "telling_", "second_")):
            await onebot.say(user + 1, f"/{name}")
        if not name.startswith(("hook_", "telling_")):
            await bot.wait_mark(f"{name} begins")
        if name in REQUESTING:
            await api.wait_for_requests(1, path)


def last_shutdown(folder):
    """Read the report that the only bot below a folder has left."""
    [path] = folder.rglob("last_shutdown.json")
    return json.loads(path.read_text(encoding="utf-8"))
