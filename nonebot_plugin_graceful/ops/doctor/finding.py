"""What a check has found, and what is asked of all of them."""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from nonebot_plugin_graceful.config import Config

__all__ = [
    "MARGIN",
    "RUNNERS",
    "Finding",
    "Folder",
    "needed",
    "seconds_of",
    "starts_by_a_shell",
    "too_short",
]

MARGIN = 1.0
"""Seconds by which whoever kills the process has to be more patient than its deadline."""
RUNNERS = re.compile(r"\b(uv|nb|pdm|poetry|rye|hatch|pipenv|npm|npx)\b.*\brun\b")
"""They run the bot as a child of theirs."""
_SHELL = re.compile(
    r"^\s*(?:/usr/bin/env\s+)?(?:/\S+/)?(?:ba|da|z|a)?sh\s+-\w*c\s+(?P<script>.*)$", re.DOTALL
)
_UNITS = {
    **dict.fromkeys(("us", "usec"), 1e-6),
    **dict.fromkeys(("ms", "msec"), 1e-3),
    **dict.fromkeys(("", "s", "sec", "second", "seconds"), 1.0),
    **dict.fromkeys(("m", "min", "minute", "minutes"), 60.0),
    **dict.fromkeys(("h", "hr", "hour", "hours"), 3600.0),
    **dict.fromkeys(("d", "day", "days"), 86400.0),
}
_SKIPPED = {"node_modules", "site-packages", "venv", "env", "__pycache__", "data"}


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that does not fit."""

    where: str
    what: str
    advice: str
    wrong: bool = True
    """False: it may be as it is meant."""


@dataclass(slots=True)
class Folder:
    """The bot's folder, and what was read of it."""

    path: Path
    read: list[str] = field(default_factory=list[str])
    """Names of the files that were looked at."""
    unread: list[str] = field(default_factory=list[str])
    """What could not be looked at, and why."""

    def texts(self, *patterns: str) -> Iterator[tuple[str, str]]:
        """Read the files that fit, here and one folder down, with their names."""
        folders = [self.path, *(each for each in sorted(self.path.iterdir()) if _is_own(each))]
        seen: set[Path] = set()
        for folder in folders:
            for pattern in patterns:
                for file in sorted(folder.glob(pattern)):
                    if file in seen or not file.is_file():
                        continue
                    seen.add(file)
                    name = file.relative_to(self.path).as_posix()
                    try:
                        text = file.read_text(encoding="utf-8")
                    except (OSError, ValueError) as error:
                        self.unread.append(f"{name}: {error}")
                        continue
                    yield name, text

    def looked_at(self, name: str) -> None:
        """Note that a file was understood."""
        if name not in self.read:
            self.read.append(name)


def _is_own(path: Path) -> bool:
    return path.is_dir() and not path.name.startswith(".") and path.name not in _SKIPPED


def needed(config: Config) -> float:
    """Give the seconds that whoever ends the process has to wait before he kills it."""
    return config.graceful_deadline + MARGIN


def too_short(
    where: str, name: str, seconds: float | None, config: Config, advice: str
) -> Finding | None:
    """Find a time-out that comes before the deadline does, if it could be read."""
    if seconds is None or seconds >= needed(config):
        return None
    return Finding(
        where,
        f"{name} is {seconds:g} s, GRACEFUL_DEADLINE {config.graceful_deadline:g} s:"
        " the process is killed before its hooks have run",
        f"{advice}, or a shorter GRACEFUL_DEADLINE",
    )


def seconds_of(text: object) -> float | None:
    """Read a time as systemd and Docker write it, ``1min 30s``; None: it cannot be read."""
    words = str(text).strip().lower()
    if words in ("infinity", "infinite"):
        return float("inf")
    parts = re.findall(r"(\d+(?:\.\d+)?)\s*([a-z]*)", words)
    if not parts or re.sub(r"(\d+(?:\.\d+)?)\s*([a-z]*)", "", words).strip():
        return None
    if any(unit not in _UNITS for _, unit in parts):
        return None
    return sum(float(number) * _UNITS[unit] for number, unit in parts)


def starts_by_a_shell(command: str | list[str]) -> bool:
    """Whether a shell stands between whoever sends signals and the bot: it passes none on."""
    if isinstance(command, list):
        command = " ".join(command[:2]) + " " + (json.dumps(command[2]) if command[2:] else "")
    found = _SHELL.match(command)
    if found is None:
        return False
    script = found["script"].strip().strip("'\"")
    return not re.search(r"(^|[;&]\s*)exec\s", script)
