"""Bytes in escapes, outside of a literal: of one that was cut, or in JSON."""

import re
from collections.abc import Iterator

from .label import Blob, end_of, label, put_labels
from .literals import decode
from .readable import is_text

__all__ = ["hide"]

# \x89 and the like among a few characters that happened to be printable. A quote that ends
# something is none of these: a comma, a bracket or a blank stands behind it.
_ESCAPED_BYTE = r"\\+(?:x[0-9a-fA-F]{2}|u00[0-9a-fA-F]{2})"
_NO_END = r"(?!\s|[]})]|[,:][\s'\"\[{0-9tfn-])"
_PLAIN = r"[^\\\r\n'\"]{0,12}"
_SPECIAL = rf"(?:\\+(?:[^xu\\\r\n]|[xu](?![0-9a-fA-F]{{2}}))|['\"]{_NO_END})"
_BETWEEN = rf"{_PLAIN}(?:{_SPECIAL}{_PLAIN}){{0,4}}"
_ESCAPES = re.compile(rf"(?<!\\){_ESCAPED_BYTE}(?:{_BETWEEN}{_ESCAPED_BYTE}){{1,250}}")
_MORE_ESCAPES = re.compile(rf"(?:{_BETWEEN}{_ESCAPED_BYTE}){{1,250}}")


def hide(text: str, limit: int) -> str:
    """Put a label in the place of every run of escapes."""
    has_escapes = "\\" in text and ("\\x" in text or "\\u00" in text)
    return put_labels(text, _escaped_bytes(text, limit)) if has_escapes else text


def _escaped_bytes(text: str, limit: int) -> Iterator[Blob]:
    position = 0
    while found := _ESCAPES.search(text, position):
        start, position = found.span()
        position = end_of(_MORE_ESCAPES, text, position)
        run = text[start:position]
        escapes = run.count("\\x") + run.count("\\u00")
        if len(run) > limit and escapes * 8 >= len(run):
            data = decode(run)
            if data is None or not is_text(data):
                size = len(run) - 3 * run.count("\\x") - 5 * run.count("\\u00")
                yield start, position, label("escaped bytes", data, size=size)
