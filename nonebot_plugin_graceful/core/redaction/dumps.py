"""Bytes written out one by one, in hexadecimal: pairs of digits, and dumps."""

import re
from collections.abc import Iterator

from .label import Blob, Glance, end_of, label, put_labels

__all__ = ["hide"]

# 89 50 4e, 89:50:4e, 0x89, 0x50: more of them than a SHA-512 has when it is written so
_PAIR = r"(?:0[xX])?[0-9a-fA-F]{2}"
_GAP = r"(?:[:-][ \r\n]{0,8}|,?[ \r\n]{1,8})"
_PAIRS = re.compile(
    # not from the middle of what was tried from its start
    r"[0-9a-fA-F](?<![0-9A-Za-z:.-].)(?<![^0-9A-Za-z][0-9a-fA-F]{2} .)(?<![0-9a-fA-F], .)"
    rf"(?:(?<=0)[xX][0-9a-fA-F])?[0-9a-fA-F](?:{_GAP}{_PAIR}){{64,250}}(?![0-9A-Za-z])",
    re.DOTALL,
)
_MORE_PAIRS = re.compile(rf"(?:{_GAP}{_PAIR}){{1,250}}(?![0-9A-Za-z])")
_may_have_pairs = Glance(r"0-9a-fA-FxX:, \r\n-", 80)
_DIGITS = re.compile(r"[0-9a-fA-F]{2}")
_LETTER = re.compile(r"[a-fA-F]")

# a line of xxd, hexdump -C, od -x, Wireshark: an offset, groups of digits, the same as text
_DUMP_LINE = re.compile(
    r"^[ \t|]{0,32}([0-9a-fA-F]{4,16}):?[ \t]{1,4}"
    r"((?:[0-9a-fA-F]{2,8}[ \t]{1,3}){1,32})([^\n]*)(?:\n|\Z)",
    re.MULTILINE,
)
_may_have_dump = Glance(r"0-9a-fA-F: \t|", 15)
_TEXT_COLUMN = 40
_SAMPLE = 4096


def hide(text: str, limit: int) -> str:
    """Put a label in the place of everything that is written out byte by byte."""
    for may_have, blobs in ((_may_have_dump, _dumps), (_may_have_pairs, _pairs)):
        if len(text) > limit and may_have(text):
            text = put_labels(text, blobs(text, limit))
    return text


def _pairs(text: str, limit: int) -> Iterator[Blob]:
    position = 0
    while found := _PAIRS.search(text, position):
        start, position = found.span()
        position = end_of(_MORE_PAIRS, text, position)
        run = text[start:position]
        if len(run) > limit and _has_letters(run[:_SAMPLE]):
            yield start, position, label("hex", bytes.fromhex("".join(_DIGITS.findall(run))))


def _dumps(text: str, limit: int) -> Iterator[Blob]:
    position = 0
    while found := _DUMP_LINE.search(text, position):
        start, offset = found.start(), -1
        groups: list[str] = []
        while found and len(found[3].strip()) <= _TEXT_COLUMN and int(found[1], 16) > offset:
            groups.append(found[2])
            offset, position = int(found[1], 16), found.end()
            found = _DUMP_LINE.match(text, position)
        if not groups:
            position = found.end() if found else len(text)
            continue
        end = position - (text[position - 1] == "\n")  # the last line's end is no part of it
        digits = "".join("".join(groups).split())
        if end - start > limit and len(groups) > 1 and _has_letters(digits[:_SAMPLE]):
            yield start, end, label("hex dump", bytes.fromhex(digits[: len(digits) // 2 * 2]))


def _has_letters(digits: str) -> bool:
    """Tell bytes from a table of numbers: of random digits, six in sixteen are letters."""
    return len(_LETTER.findall(digits)) * 10 >= len(digits)
