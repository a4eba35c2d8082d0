"""The log file."""

import glob
import re
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from loguru import logger

from nonebot_plugin_graceful.config import Config

__all__ = ["add_log_file", "find_log_files"]

_FORMAT = "{time:YYYY-MM-DD HH:mm:ss.SSS} [{level}] {name} | {message}"
_SETTINGS = {
    "level": "graceful_log_level",
    "rotation": "graceful_log_rotation",
    "retention": "graceful_log_retention",
    "compression": "graceful_log_compression",
}


def add_log_file(config: Config, folder: Path) -> Callable[[], None]:
    """Add a file to loguru's sinks: UTF-8, every line written out at once.

    A file that cannot be written is one warning and no file; a rotation or the like that loguru
    does not understand is one warning and its default.

    Args:
        config: The settings. ``GRACEFUL_LOG_*`` are looked at.
        folder: Where a relative path lies.

    Returns:
        What takes the file out of the sinks again, and closes it.

    """
    path = _path(config, folder)
    options = {name: getattr(config, setting) for name, setting in _SETTINGS.items()}
    options["compression"] = options["compression"] or None
    try:
        number = _add_or_default(path, options)
    except (OSError, ValueError, LookupError) as error:
        why = getattr(error, "strerror", None) or error
        logger.warning(f"GRACEFUL_LOG_FILE: cannot write {path} ({why}): there is no log file")
        return lambda: None
    logger.info("Logs are written to {}", path)

    def remove() -> None:
        with suppress(ValueError):  # somebody removed it before
            logger.remove(number)

    return remove


def find_log_files(config: Config, folder: Path) -> list[Path]:
    """Find the log file and what rotation made of its predecessors, the newest first.

    Args:
        config: The settings.
        folder: Where a relative path lies.

    """
    if not config.graceful_log_file:
        return []
    # as loguru names them: bot.log, bot.2024-01-01_12-00-00_123456.log, the same with .gz
    path = re.sub(r"\{[^}]*\}", "*", glob.escape(str(_path(config, folder))))
    root, dot, extension = path.rpartition(".") if "." in Path(path).name else (path, "", "")
    patterns = {path, f"{path}.*", f"{root}.*{dot}{extension}", f"{root}.*{dot}{extension}.*"}
    found = {Path(name) for pattern in patterns for name in glob.glob(pattern)}  # noqa: PTH207
    files = [path for path in found if path.is_file()]
    return sorted(files, key=lambda path: path.stat().st_mtime, reverse=True)


def _path(config: Config, folder: Path) -> Path:
    return folder / Path(config.graceful_log_file).expanduser()


def _add_or_default(path: Path, options: dict[str, Any]) -> int:
    """Add the file; where loguru refuses an option, with that option's default."""
    try:
        return _add(path, options)
    except (ValueError, TypeError) as error:
        first = error
    for name, setting in _SETTINGS.items():
        with suppress(ValueError, TypeError):
            default = _default(setting)
            number = _add(path, {**options, name: default})
            logger.warning(f"{setting.upper()}: {first}; {default!r} is used")
            return number
    number = _add(path, {name: _default(setting) for name, setting in _SETTINGS.items()})
    names = ", ".join(setting.upper() for setting in _SETTINGS.values())
    logger.warning(f"{first}, and more of {names} are wrong; their defaults are used")
    return number


def _default(setting: str) -> Any:
    return Config.model_fields[setting].default or None


def _add(path: Path, options: dict[str, Any]) -> int:
    # Not enqueued: a queue is lost when the process is ended by force. loguru opens its files
    # with line buffering, so each line is the system's before the next is formatted.
    return logger.add(
        path,
        **options,
        format=_FORMAT,
        encoding="utf-8",
        errors="backslashreplace",  # half a surrogate pair, as chats send it, costs no line
        backtrace=False,
        diagnose=False,  # values of variables: keys and pictures among them
    )
