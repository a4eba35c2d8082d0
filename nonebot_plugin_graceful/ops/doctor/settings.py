"""The bot's settings, and how it loads the plugin."""

import ast
import importlib
import importlib.util
import re
import sys
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, cast

from nonebot_plugin_graceful.config import Config, doubts
from nonebot_plugin_graceful.core.kinds import Kinds

from .finding import Finding, Folder

tomllib: Any = importlib.import_module(
    "tomllib" if sys.version_info >= (3, 11) else "tomli"  # which NoneBot needs, too
)

__all__ = ["check_loading", "check_settings"]

NAME = "nonebot_plugin_graceful"
_OF_ONE = re.compile(r"(GRACEFUL_(?:PLUGIN_KINDS|RESUME)\[.*?\]): (.*)", re.DOTALL)
"""A doubt about one entry of a setting; a sub-plugin's id has a colon of its own."""
LOADERS = {
    "load_plugin",
    "load_plugins",
    "load_all_plugins",
    "load_from_toml",
    "load_from_json",
    "load_builtin_plugin",
    "load_builtin_plugins",
    "require",
}


def check_settings(
    config: Config, values: Mapping[str, Any], names: set[str], folder: Folder
) -> Iterator[Finding]:
    """Find what is allowed, and hardly meant.

    Args:
        config: The settings.
        values: All that NoneBot has read.
        names: The names of all that is set.
        folder: The bot's.

    """
    kinds = Kinds(config.kind_overrides, config.graceful_plugin_kinds)
    declared = {*_declared(folder), *_in_folders(folder)}
    named = {*config.graceful_plugin_kinds, *config.graceful_resume}
    given = {each.partition(":")[0] for each in named}
    known = declared | {each for each in given if _is_installed(each)}
    plugins = {*known, *(each for each in named if each.partition(":")[0] in known)}
    for doubt in doubts(config, names, kinds=kinds, plugins=plugins):
        of_one = _OF_ONE.match(doubt)
        setting, what = of_one.groups() if of_one else ("settings", doubt)
        # Kinds of plugins' own are known once these are loaded, which is not done here.
        may_be_a_kind = setting.startswith("GRACEFUL_RESUME") and "Is it" not in what
        yield Finding(setting, what, "see .env.example", wrong=not may_be_a_kind)
    if config.graceful_health_path and not _serves(str(values.get("driver", ""))):
        yield Finding(
            "GRACEFUL_HEALTH_PATH",
            f"DRIVER={values.get('driver')} is no server, so nobody answers there",
            "DRIVER=~fastapi, or no health path",
        )


def check_loading(folder: Folder) -> Iterator[Finding]:
    """Find a plugin that is not loaded, or too late."""
    bot = folder.path / "bot.py"
    calls: list[tuple[str, str, int]] = []
    if bot.is_file():
        folder.looked_at("bot.py")
        with suppress(SyntaxError, OSError, ValueError):
            calls = list(_loading_calls(bot.read_text(encoding="utf-8")))
    elif not (folder.path / "pyproject.toml").is_file():
        folder.unread.append("how the bot is started: there is neither bot.py nor pyproject.toml")
        return
    declared = NAME in _declared(folder)
    reads_toml = not calls or any(name == "load_from_toml" for name, _, _ in calls)
    ours = next((line for _, what, line in calls if what == NAME), None)
    if ours is None and not (declared and reads_toml) and not _is_required(folder):
        yield Finding(
            "bot.py" if calls else "pyproject.toml",
            f"{NAME} is not loaded",
            f'nonebot.load_plugin("{NAME}") in bot.py, before any other plugin, or'
            " `nb plugin install nonebot-plugin-graceful`",
        )
        return
    before = [line for _, what, line in calls if ours is not None and line < ours and what != NAME]
    if before and ours is not None:
        yield Finding(
            f"bot.py:{ours}",
            f"{NAME} is loaded after what line {before[0]} loads: a signal during that is not heard"
            " (process 1 of a container loses it), and plugins that log pictures log them whole",
            f'nonebot.load_plugin("{NAME}") before line {before[0]}',
        )


def _serves(driver: str) -> bool:
    return any(name in driver for name in ("fastapi", "quart"))


def _declared(folder: Folder) -> set[str]:
    """Give the ids of the plugins that pyproject.toml tells of."""
    file = folder.path / "pyproject.toml"
    table: dict[str, Any] = {}
    with suppress(OSError, ValueError):
        table = tomllib.loads(file.read_text(encoding="utf-8")).get("tool", {}).get("nonebot", {})
        folder.looked_at("pyproject.toml")
    plugins: Any = table.get("plugins", [])
    if isinstance(plugins, dict):  # by the package they come in
        modules = [
            each for group in cast("dict[str, list[str]]", plugins).values() for each in group
        ]
    else:
        modules = cast("list[str]", plugins)
    found = {module.rpartition(".")[2] for module in modules}
    for each in cast("list[str]", table.get("plugin_dirs", [])):
        found |= set(_plugins_in(folder.path / each))
    return found


def _in_folders(folder: Folder) -> set[str]:
    """Give the ids of the plugins that bot.py tells of."""
    found: set[str] = set()
    with suppress(OSError, SyntaxError, ValueError):
        text = (folder.path / "bot.py").read_text(encoding="utf-8")
        for name, what, _ in _loading_calls(text):
            if name == "load_plugins":
                found |= set(_plugins_in(folder.path / what))
            else:
                found.add(what.rpartition(".")[2])
    return found


def _plugins_in(folder: Path) -> Iterator[str]:
    if not folder.is_dir():
        return
    for each in folder.iterdir():
        if not each.name.startswith("_") and (each.is_dir() or each.suffix == ".py"):
            yield each.stem


def _is_installed(module: str) -> bool:
    try:
        return importlib.util.find_spec(module) is not None
    except (ImportError, ValueError):
        return False


def _is_required(folder: Folder) -> bool:
    """Whether a plugin of the folder's own loads ours."""
    return any(NAME in text for name, text in folder.texts("*.py", "*/*.py") if name != "bot.py")


def _loading_calls(text: str) -> Iterator[tuple[str, str, int]]:
    """Give the calls by which a bot.py loads plugins, in their order: name, what, line."""
    calls = [node for node in ast.walk(ast.parse(text)) if isinstance(node, ast.Call)]
    for call in sorted(calls, key=lambda call: call.lineno):
        name = getattr(call.func, "attr", getattr(call.func, "id", ""))
        if name in LOADERS:
            first = call.args[0] if call.args else None
            what = str(first.value) if isinstance(first, ast.Constant) else ""
            yield name, what, call.lineno
