"""What stands in the place of a blob."""

import hashlib
import re
from collections.abc import Iterable

__all__ = ["Blob", "Glance", "end_of", "label", "put_labels"]

Blob = tuple[int, int, str]
"""Where a blob begins, where it ends, and its label."""


class Glance:
    """Tells in a fiftieth of the time of a search that there is nothing to be found.

    A stretch of twice a length has all of a window of that length in it, wherever it begins: so
    only the windows are looked at, and most of them end with their first character.

    Args:
        characters: What the stretch consists of, as in a regular expression's brackets.
        length: Half of what it has at least.

    """

    __slots__ = ("_match",)

    # Each window takes memory while the expression runs, and a long text is worth a search.
    _LONGEST = 65536

    def __init__(self, characters: str, length: int) -> None:
        self._match = re.compile(rf"(?s:.{{{length}}})*?[{characters}]{{{length}}}").match

    def __call__(self, text: str) -> bool:
        """Tell whether a search is worth it."""
        return len(text) > self._LONGEST or self._match(text) is not None


# By the first bytes; ftyp and RIFF containers name their content a few bytes on.
_MAGIC: tuple[tuple[int, bytes, str], ...] = (
    (0, b"\x89PNG\r\n\x1a\n", "image/png"),
    (0, b"\xff\xd8\xff", "image/jpeg"),
    (0, b"GIF8", "image/gif"),
    (8, b"WEBP", "image/webp"),
    (8, b"WAVE", "audio/wav"),
    (0, b"BM", "image/bmp"),
    (0, b"II*\x00", "image/tiff"),
    (0, b"MM\x00*", "image/tiff"),
    (4, b"ftypavif", "image/avif"),
    (4, b"ftyphei", "image/heic"),
    (4, b"ftyp", "video/mp4"),
    (0, b"\x1aE\xdf\xa3", "video/webm"),
    (0, b"OggS", "audio/ogg"),
    (0, b"ID3", "audio/mpeg"),
    (0, b"\xff\xfb", "audio/mpeg"),
    (0, b"fLaC", "audio/flac"),
    (0, b"#!AMR", "audio/amr"),
    (0, b"#!SILK", "audio/silk"),
    (1, b"#!SILK", "audio/silk"),  # QQ's voice messages
    (0, b"%PDF", "application/pdf"),
    (0, b"PK\x03\x04", "application/zip"),
    (0, b"\x1f\x8b", "application/gzip"),
    (0, b"7z\xbc\xaf", "application/7z"),
    (0, b"Rar!", "application/rar"),
)


def label(encoding: str, data: bytes | None, *, mime: str = "", size: int = 0) -> str:
    """Tell what was left out: its type, how it was written, its size and its hash.

    Args:
        encoding: How it was written: base64, hex, bytes...
        data: The bytes themselves, or None if they cannot be told.
        mime: The type it was declared to be; what it looks like goes first.
        size: Bytes it has about, for when they cannot be told.

    """
    if data is None:
        return f"<{mime} {encoding}, {_size(size)}>" if mime else f"<{encoding}, {_size(size)}>"
    # a file of the same name can be told from this one by `sha1sum`
    digest = hashlib.sha1(data, usedforsecurity=False).hexdigest()[:8]
    mime = _guess(data[:16]) or mime
    what = f"{mime} {encoding}" if mime else encoding
    return f"<{what}, {_size(len(data))}, sha1 {digest}>"


def put_labels(text: str, blobs: Iterable[Blob]) -> str:
    """Put each label in the place of its blob. They come in order."""
    pieces: list[str] = []
    done = 0
    for start, end, said in blobs:
        pieces += (text[done:start], said)
        done = end
    return "".join([*pieces, text[done:]]) if pieces else text


def end_of(more: re.Pattern[str], text: str, position: int) -> int:
    """Go on to where a stretch ends. A long one is matched in parts: each takes memory."""
    while found := more.match(text, position):
        position = found.end()
    return position


def _guess(head: bytes) -> str:
    for offset, magic, mime in _MAGIC:
        if head.startswith(magic, offset):
            return mime
    return ""


def _size(count: int) -> str:
    if count < 1000:
        return f"{count} B"
    if count < 999_950:
        return f"{count / 1e3:.1f} kB"
    return f"{count / 1e6:.1f} MB"
