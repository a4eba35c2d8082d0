r"""Base64 as encoders of JSON (PHP's, .NET's) and of URLs write it: ``\/``, ``\u002B``, ``%3D``."""

import re
from collections.abc import Iterable, Iterator

from .label import Blob

__all__ = ["has_escapes", "in_original", "unescape"]

_ESCAPE = re.compile(r"\\{1,8}(?:/|u00(?:2[bBfF]|3[dD]))|%(?:2[bBfF]|3[dD])")
_MEANING = {"b": "+", "B": "+", "f": "/", "F": "/", "/": "/", "d": "=", "D": "="}


def has_escapes(text: str) -> bool:
    """Tell whether there may be any: nearly all text has none."""
    return ("\\" in text and ("\\/" in text or "\\u00" in text)) or ("%" in text and "%2" in text)


def unescape(text: str) -> str:
    """Put the character in the place of each escape."""
    return _ESCAPE.sub(lambda found: _MEANING[found[0][-1]], text)


def in_original(text: str, blobs: Iterable[Blob]) -> Iterator[Blob]:
    """Tell where in a text the blobs are that were found in it unescaped. They come in order."""
    escapes = _ESCAPE.finditer(text)
    escape = next(escapes, None)
    longer = 0  # characters the text has more than the unescaped one, up to here

    def original(position: int) -> int:
        nonlocal escape, longer
        while escape and escape.start() - longer < position:
            longer += len(escape[0]) - 1
            escape = next(escapes, None)
        return position + longer

    for start, end, said in blobs:
        yield original(start), original(end), said
