"""The last lines of the log, without what people say in chats."""

import re
from collections.abc import Iterator
from pathlib import Path

from nonebot_plugin_graceful.logs import read_recent

__all__ = ["last_lines", "without_chats"]

SHOWN = 200
_BEGINS = re.compile(r"\d\d-\d\d \d\d:\d\d:\d\d \[")
"""NoneBot's own format; of another one each line stands for itself."""
_EVENT = re.compile(
    # what NoneBot tells of each event: adapter and bot, its name, and then what was said
    r"(.*?\[(?:SUCCESS|DEBUG|TRACE)\] nonebot \| [^|]+ \| (?:\[[\w.]+\])?"
    r"|.*?\[(?:message|notice|request)(?:\.\w+)*\])"
)


def last_lines(folder: Path) -> list[str]:
    """Read the last lines that the console has shown, masked.

    Args:
        folder: The plugin's data folder.

    """
    try:
        return list(without_chats(read_recent(folder, SHOWN)))
    except OSError:
        return []


def without_chats(text: str) -> Iterator[str]:
    """Leave out of a log what the messages of events are."""
    of_event = False
    for line in text.splitlines():
        found = _EVENT.match(line)
        if found is not None:
            yield f"{found[1]} …"
        elif not of_event or _BEGINS.match(line):
            yield line
        of_event = found is not None or (of_event and not _BEGINS.match(line))
