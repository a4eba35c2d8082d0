"""What a bug report needs, in one zip: logs, the last shutdown, versions; secrets masked."""

import argparse
import json
import sqlite3
import sys
import zipfile
from collections.abc import Iterable, Iterator
from datetime import datetime
from pathlib import Path

from nonebot_plugin_graceful.journal.storage import FILE, numbers
from nonebot_plugin_graceful.logs import read_recent
from nonebot_plugin_graceful.redaction import redact

from .surroundings import RECENT, REPORT, Bundle, find_out
from .tail import BROKEN, is_compressed, read_tail
from .versions import versions

__all__ = ["DESCRIPTION", "HELP", "add_arguments", "pack", "run"]

HELP: str = "pack logs, the last shutdown report and versions into a zip for a bug report"
DESCRIPTION: str = (
    "Run it where the bot is run: its settings are read from there. "
    "Secrets are masked, but have a look at what you publish."
)

LOGS_AT_MOST = 50_000_000
"""Bytes of logs, the newest; packed, that is less than what a tracker lets one attach."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Tell what the command can be given."""
    parser.add_argument("--out", type=Path, metavar="FILE", help="the zip to write")
    parser.add_argument("--log", type=Path, metavar="FILE", help="the log, if no setting tells it")
    parser.add_argument(
        "--folder", type=Path, help="the plugin's data folder, if no setting tells it"
    )


def run(options: argparse.Namespace) -> int:
    """Pack, and say what was packed and what could not be."""
    out: Path = options.out or Path(f"graceful-{datetime.now().astimezone():%Y%m%d-%H%M%S}.zip")
    found = find_out(folder=options.folder, log=options.log)
    try:
        packed = pack(found, out)
    except OSError as error:
        sys.stderr.write(f"cannot write {out}: {error.strerror or error}\n")
        return 1
    width = max(len(name) for name, _ in packed)
    lines = [found.doubt] if found.doubt else []
    lines += [f"no log file: {found.no_log_file}"] if found.no_log_file else []
    lines += [f"{out.absolute()}, {out.stat().st_size:,} bytes, secrets masked:"]
    lines += [f"  {name:<{width}}  {size:>12,} bytes" for name, size in packed]
    lines += [f"  without {what}" for what in found.missing]
    sys.stdout.write("\n".join(lines) + "\n")
    return 0


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
    yield "versions.txt", "\n".join([*versions(bundle.driver), ""])
    yield "settings.json", bundle.config.model_dump_json(indent=1)
    if bundle.folder is None:
        bundle.missing.append("the last shutdown: its folder is not known, see --folder")
    elif (text := _try_to_read(bundle, bundle.folder / REPORT)) is not None:
        yield REPORT, text
    if (counted := _journal(bundle)) is not None:
        yield "journal.json", counted
    if (recent := _recent(bundle)) is not None:
        yield RECENT, recent
    yield from _logs(bundle)
    if bundle.missing or bundle.no_log_file or bundle.doubt:
        first = filter(None, [bundle.doubt, bundle.no_log_file])
        yield "missing.txt", "\n".join([*first, *bundle.missing, ""])


def _journal(bundle: Bundle) -> str | None:
    """Tell how much is in the journal; never what."""
    if bundle.folder is None or not (bundle.folder / FILE).is_file():
        return None
    try:
        return json.dumps(numbers(bundle.folder / FILE), indent=1)
    except sqlite3.Error as error:
        bundle.missing.append(f"the journal: {error}")
        return None


def _recent(bundle: Bundle) -> str | None:
    """Get the last lines of the console, which are kept without anybody's asking."""
    lines = bundle.config.graceful_log_buffer
    text = ""
    if bundle.folder is not None and lines:
        try:
            text = read_recent(bundle.folder, lines)
        except OSError as error:
            bundle.missing.append(f"{RECENT}: {error.strerror or error}")
            return None
    if not text:
        why = "there are none yet" if lines else "GRACEFUL_LOG_BUFFER is 0"
        bundle.missing.append(f"{RECENT}, the last lines of the console: {why}")
        return None
    return text


def _logs(bundle: Bundle) -> Iterator[tuple[str, str]]:
    """Read the logs, the newest first, as far as there is room."""
    left = LOGS_AT_MOST
    names: set[str] = set()
    for number, path in enumerate(bundle.logs):
        if left <= 0:
            older = ", ".join(path.name for path in bundle.logs[number:])
            bundle.missing.append(
                f"logs: {len(bundle.logs) - number} older files, too much: {older}"
            )
            return
        try:
            text, before = read_tail(path, left)
        except (OSError, *BROKEN) as error:
            bundle.missing.append(f"{path}: {getattr(error, 'strerror', None) or error}")
            continue
        left -= len(text.encode("utf-8", "replace"))
        if before:
            left = 0
            bundle.missing.append(f"the first {before:,} bytes of {path.name}, too much")
            text = f"<{before:,} bytes before this are left out>\n{text}"
        yield _own_name(path, names), text


def _own_name(path: Path, taken: set[str]) -> str:
    """Give a log a name that no other has. What was compressed is text in the bundle."""
    name = path.name + ".txt" * is_compressed(path)
    number = 2
    while name in taken:
        name = f"{path.stem}-{number}{path.suffix}"
        number += 1
    taken.add(name)
    return f"logs/{name}"


def _try_to_read(bundle: Bundle, path: Path) -> str | None:
    try:
        return path.read_text("utf-8", "replace")
    except OSError as error:
        bundle.missing.append(f"{path}: {error.strerror or error}")
        return None


def _clean(text: str, secrets: Iterable[str]) -> str:
    for secret in secrets:
        text = text.replace(secret, "***")
    return redact(text)
