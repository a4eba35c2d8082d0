r"""The repr of bytes, whole: ``b'\x89PNG\r\n...'``.

Bytes are a blob if a quarter of their repr is ``\x`` escapes. Bytes that are text stay, be it
Chinese, and with them the JSON of an API somebody logged before decoding it.
"""

import re
from collections.abc import Iterator

from .label import Blob, label, put_labels
from .readable import is_text

__all__ = ["decode", "hide"]

_OPENING = re.compile(r"(?<![A-Za-z0-9_])b(['\"])")


def hide(text: str, limit: int) -> str:
    """Put a label in the place of every literal that is binary."""
    has_escapes = "\\" in text and "\\x" in text
    return put_labels(text, _literals(text, limit)) if has_escapes else text


def decode(content: str) -> bytes | None:
    """Get the bytes back from what stands between the quotes; None if that is no repr."""
    if content.count("\\\\x") * 2 > content.count("\\x"):  # a repr in JSON: escaped twice
        content = content.replace("\\\\", "\\")
    try:
        return content.encode("latin-1").decode("unicode_escape").encode("latin-1")
    except (UnicodeError, Warning):  # Python warns of escapes that mean nothing
        return None


def _literals(text: str, limit: int) -> Iterator[Blob]:
    position, line_end = 0, -1
    while opening := _OPENING.search(text, position):
        first = opening.end()
        if line_end < first:  # a repr has no line breaks in it
            line_end = text.find("\n", first)
            line_end = len(text) if line_end < 0 else line_end
        closing = _closing(text, opening[1], first, line_end)
        if closing == line_end:  # it was cut; its escapes are found as such
            position = first
            continue
        position = closing + 1
        if closing - first > limit:
            content = text[first:closing]
            escapes = content.count("\\x")
            if escapes * 16 < len(content):
                continue
            data = decode(content)
            if data is None or not is_text(data):
                said = label("bytes", data, size=len(content) - 3 * escapes)
                yield opening.start(), position, said


def _closing(text: str, quote: str, first: int, line_end: int) -> int:
    position = first
    while (position := text.find(quote, position, line_end)) >= 0:
        backslash = position
        while backslash > first and text[backslash - 1] == "\\":
            backslash -= 1
        if (position - backslash) % 2 == 0:
            return position
        position += 1
    return line_end
