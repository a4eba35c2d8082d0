"""What a bug report needs, in one zip: logs, the last shutdown, versions; secrets masked."""

import asyncio
import bz2
import gzip
import json
import lzma
import os
import platform
import re
import sqlite3
import sys
import tarfile
import zipfile
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from datetime import datetime
from importlib.metadata import distributions
from pathlib import Path
from typing import IO, Any, cast
from urllib.parse import urlsplit

from loguru import logger
from pydantic import SecretStr

from nonebot_plugin_graceful.config import Config, ConfigError, load
from nonebot_plugin_graceful.core.redaction import redact
from nonebot_plugin_graceful.journal.storage import FILE, numbers
from nonebot_plugin_graceful.logs import find_log_files

__all__ = ["REPORT", "Bundle", "find_out", "pack"]

REPORT = "last_shutdown.json"
PLUGIN = "nonebot_plugin_graceful"
LOGS_AT_MOST = 50_000_000
"""Bytes of logs, of the newest; what a tracker lets one attach is less than that, packed."""

_CONCERNED = re.compile(
    r"(?i)nonebot|^(adapter|anyio|aiohttp|apscheduler|fastapi|httpx|hypercorn|loguru|openai"
    r"|pydantic|quart|starlette|tenacity|uvicorn|uvloop|websockets)"
)
_SECRET_NAME = re.compile(r"(?i)token|secret|passw|key|authorization|credential")
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
    missing: list[str] = field(default_factory=list[str])


def find_out(*, folder: Path | None = None, log: Path | None = None) -> Bundle:
    """Find out what there is, as the bot in the current folder would.

    NoneBot is initialised for its settings, but no plugin of the bot is loaded, and it is not
    run. What ``bot.py`` passes to ``nonebot.init()`` is not seen.

    Args:
        folder: The plugin's data folder, if it is not where NoneBot's settings put it.
        log: The log file, if ``GRACEFUL_LOG_FILE`` is not what the bot used.

    """
    bundle = Bundle(folder=folder)
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
    bundle.logs = find_log_files(bundle.config, bundle.folder or Path.cwd())
    if not bundle.config.graceful_log_file:
        bundle.missing.append("logs: GRACEFUL_LOG_FILE is not set, so none are written")
    elif not bundle.logs:
        bundle.missing.append(f"logs: there is no {bundle.config.graceful_log_file}")
    return bundle


def pack(bundle: Bundle, out: Path) -> list[tuple[str, int]]:
    """Write the zip.

    Args:
        bundle: What to pack. What turns out to be unreadable is added to its ``missing``.
        out: The file to write. One that is there already is replaced.

    Returns:
        The name of each file in it, and its bytes before it was packed.

    Raises:
        OSError: It cannot be written.

    """
    packed: list[tuple[str, int]] = []
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, text in _texts(bundle):
            content = _clean(text, bundle.secrets).encode()
            archive.writestr(name, content)
            packed.append((name, len(content)))
    return packed


def _texts(bundle: Bundle) -> Iterator[tuple[str, str]]:
    yield "versions.txt", "\n".join([*_versions(bundle), ""])
    yield "settings.json", bundle.config.model_dump_json(indent=1)
    if bundle.folder is None:
        bundle.missing.append("the last shutdown: its folder is not known, see --folder")
    elif (text := _try_to_read(bundle, bundle.folder / REPORT)) is not None:
        yield REPORT, text
    if bundle.folder is not None:
        try:
            counted = numbers(bundle.folder / FILE)
        except sqlite3.Error as error:
            bundle.missing.append(f"the journal: {error}")
        else:
            yield "journal.json", json.dumps(counted, indent=1)
    left = LOGS_AT_MOST
    for number, path in enumerate(bundle.logs):
        if left <= 0:
            bundle.missing.append(f"logs: {len(bundle.logs) - number} older files, too much")
            return
        if (text := _try_to_read(bundle, path)) is not None:
            left -= len(text)
            yield f"logs/{path.name.removesuffix(path.suffix)}.log", text


def _try_to_read(bundle: Bundle, path: Path) -> str | None:
    try:
        with _open(path) as file:
            return file.read(LOGS_AT_MOST).decode("utf-8", "replace")
    except (OSError, EOFError, ValueError, LookupError, *_BROKEN) as error:
        bundle.missing.append(f"{path}: {getattr(error, 'strerror', None) or error}")
        return None


_BROKEN = (lzma.LZMAError, tarfile.TarError, zipfile.BadZipFile)


@contextmanager
def _open(path: Path) -> Generator[IO[bytes]]:
    """Open a log, also one that loguru has compressed."""
    with ExitStack() as stack:
        if ".tar" in path.suffixes[-2:]:
            archive = stack.enter_context(tarfile.open(path))
            file = archive.extractfile(archive.next() or "")
            assert file is not None
            yield stack.enter_context(file)
        elif path.suffix == ".zip":
            packed = stack.enter_context(zipfile.ZipFile(path))
            yield stack.enter_context(packed.open(packed.namelist()[0]))
        else:
            opener = _OPENERS.get(path.suffix, Path.open)
            yield stack.enter_context(opener(path, "rb"))


_OPENERS: dict[str, Callable[[Path, str], Any]] = {
    ".gz": gzip.open,
    ".bz2": bz2.open,
    ".xz": lzma.open,
    ".lzma": lzma.open,
}


def _clean(text: str, secrets: Iterable[str]) -> str:
    for secret in secrets:
        text = text.replace(secret, "***")
    return redact(text)


def _init_nonebot(bundle: Bundle) -> dict[str, Any]:
    import nonebot
    from nonebot.compat import model_dump

    logger.disable("nonebot")
    try:
        nonebot.init()
    except Exception as error:  # a driver that is not installed here, most likely
        bundle.missing.append(f"NoneBot's driver: {error}")
        nonebot.init(driver="~none")
    driver = nonebot.get_driver()
    bundle.driver = f"{driver.type} (DRIVER={driver.config.driver})"
    if bundle.folder is None:
        nonebot.require("nonebot_plugin_localstore")
        from nonebot_plugin_localstore import BASE_DATA_DIR, plugin_config

        own = plugin_config.localstore_plugin_data_dir.get(PLUGIN)
        bundle.folder = own or BASE_DATA_DIR / PLUGIN
    return model_dump(driver.config)


def _versions(bundle: Bundle) -> Iterator[str]:
    yield f"Python {sys.version}"
    yield f"{platform.platform()}, {os.cpu_count()} CPUs"
    yield f"driver {bundle.driver}"
    yield f"event loop {_event_loop()}"
    yield f"bundled {datetime.now().astimezone().isoformat(timespec='seconds')}"
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
