"""What there is to be packed, and what may not leave this machine."""

import os
import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast
from urllib.parse import urlsplit

from loguru import logger
from pydantic import SecretStr

from nonebot_plugin_graceful.config import Config, ConfigError, load
from nonebot_plugin_graceful.core.report import current_folder, load_report
from nonebot_plugin_graceful.logs import find_log_files

__all__ = ["RECENT", "REPORT", "Bundle", "find_out", "init_nonebot", "whose"]

PLUGIN = "nonebot_plugin_graceful"
REPORT = "last_shutdown.json"
RECENT = "recent.log"

_SECRET_NAME = re.compile(
    r"(?i)token|secret|passw|pwd|key|authorization|credential|cookie|sessdata|jct|密[码钥]|令牌"
)
_SECRET_LENGTH = 6  # replacing shorter ones everywhere would leave no text to read
_URL_NAME = re.compile(r"(?i)url|uri|dsn|proxy")


@dataclass(slots=True)
class Bundle:
    """What is to be packed, and what could not be found."""

    config: Config = field(default_factory=Config)
    driver: str = "unknown"
    folder: Path | None = None
    """localstore's data folder of this plugin."""
    logs: list[Path] = field(default_factory=list[Path])
    secrets: list[str] = field(default_factory=list[str])
    """Values of settings and of the environment that may not leave this machine."""
    no_log_file: str = ""
    """What to tell first, if there is no log but the last lines of the console."""
    missing: list[str] = field(default_factory=list[str])
    doubt: str = ""
    """What to tell first, if what is in the folder may be another bot's."""


def find_out(*, folder: Path | None = None, log: Path | None = None) -> Bundle:
    """Find out what there is, as the bot in the current folder would.

    NoneBot is initialised for its settings, but no plugin of the bot is loaded, and it is not
    run. What ``bot.py`` passes to ``nonebot.init()`` is not seen; where that may have moved the
    data folder, what is in the folders tells.

    Args:
        folder: The plugin's data folder, if it is not where NoneBot's settings put it.
        log: The log file, if ``GRACEFUL_LOG_FILE`` is not what the bot used.

    """
    bundle = Bundle(folder=folder.absolute() if folder else None)
    values: Mapping[str, Any] = {}
    try:
        values = _init_nonebot(bundle)
    except Exception as error:
        bundle.missing.append(f"NoneBot's settings: {type(error).__name__}: {error}")
    # Not all that is a KEY in the environment is a secret: "default" is to stay readable.
    keys = (value for value in _secrets(os.environ) if re.search("[0-9]", value))
    bundle.secrets = sorted({*_secrets(values), *keys} - {""}, key=len, reverse=True)
    try:
        bundle.config = load(values)
    except ConfigError as error:
        bundle.missing.append(f"GRACEFUL_* settings, defaults are taken: {error}")
    if log is not None:
        bundle.config.graceful_log_file = str(log.absolute())
    if bundle.folder is not None:
        doubt = whose(bundle.folder / REPORT, given=folder is not None)
        bundle.doubt = f"{REPORT}, and maybe {RECENT}, is {doubt}" if doubt else ""
    bundle.logs = find_log_files(bundle.config, bundle.folder or Path.cwd())
    if not bundle.logs:
        name = bundle.config.graceful_log_file
        bundle.no_log_file = (
            f"there is no {name}" if name else "GRACEFUL_LOG_FILE is not set, so none is written"
        )
    return bundle


def _init_nonebot(bundle: Bundle) -> dict[str, Any]:
    values, bundle.driver = init_nonebot(bundle.missing)
    if bundle.folder is None:
        import nonebot

        nonebot.require("nonebot_plugin_localstore")
        from nonebot_plugin_localstore import BASE_DATA_DIR, plugin_config

        own = plugin_config.localstore_plugin_data_dir.get(PLUGIN)
        bundle.folder = own or BASE_DATA_DIR / PLUGIN
        if not (own or plugin_config.localstore_use_cwd or plugin_config.localstore_data_dir):
            bundle.folder = _likelier(Path.cwd() / "data" / PLUGIN, bundle.folder)
    return values


def _likelier(in_bots: Path, in_users: Path) -> Path:
    """Choose between the folder that ``localstore_use_cwd`` in bot.py makes, and the user's.

    The user's is that of all his bots, so that it is ours only if its report says so. It may be
    the newer one: a folder of data stays when a setting goes.
    """
    if not in_bots.is_dir():
        return in_users
    report = load_report(in_users / REPORT)
    is_ours = report is not None and report.folder == current_folder() != ""
    return in_users if is_ours and _newest(in_users) > _newest(in_bots) else in_bots


def _newest(folder: Path) -> float:
    """Tell when a bot has last written what we show."""
    times = [0.0]
    for name in (REPORT, RECENT):
        with suppress(OSError):
            times.append((folder / name).stat().st_mtime)
    return max(times)


def whose(file: Path, *, given: bool) -> str:
    """Tell if a report may be another bot's, and whose; an empty text if not, or if there is none.

    It is shown all the same: a bot may have been moved, and in a container its folder has another
    name.

    Args:
        file: The report.
        given: Whether somebody has asked for this file or its folder.

    """
    report, here = load_report(file), current_folder()
    if report is None:
        return ""
    if elsewhere := report.elsewhere(here):
        return f"of a bot in {elsewhere}, not in {here}: {file}"
    if report.folder or given or file.is_relative_to(Path.cwd()):
        return ""
    return f"of a bot nobody knows where, since its report is of an older version: {file}"


def init_nonebot(missing: list[str]) -> tuple[dict[str, Any], str]:
    """Initialise NoneBot for its settings, as the bot in the current folder would.

    Args:
        missing: Is told what could not be found.

    Returns:
        The settings, and what the driver is.

    """
    import nonebot
    from nonebot.compat import model_dump

    logger.disable("nonebot")
    try:
        nonebot.init()
    except Exception as error:  # a driver that is not installed here, most likely
        missing.append(f"NoneBot's driver: {error}")
        nonebot.init(driver="~none")
    driver = nonebot.get_driver()
    return model_dump(driver.config), f"{driver.type} (DRIVER={driver.config.driver})"


def _secrets(values: Mapping[str, Any]) -> Iterator[str]:
    """Find what is secret among settings, however deep, and among environment variables."""
    for name, value in values.items():
        yield from _secrets_of(str(name), value)


def _secrets_of(name: str, value: Any) -> Iterator[str]:
    if isinstance(value, Mapping):
        yield from _secrets(cast("Mapping[str, Any]", value))
    elif isinstance(value, list | tuple | set):
        for item in cast("Iterable[Any]", value):
            yield from _secrets_of(name, item)
    elif isinstance(value, SecretStr):
        yield from _secrets_of("secret", value.get_secret_value())
    elif isinstance(value, str):
        if _SECRET_NAME.search(name) and len(value) >= _SECRET_LENGTH:
            yield value
        elif _URL_NAME.search(name):
            with suppress(ValueError):
                yield urlsplit(value).password or ""
