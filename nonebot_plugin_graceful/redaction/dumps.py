"""Bytes written out one by one, in hexadecimal: pairs of digits, and dumps."""

import re
from collections import Counter
from collections.abc import Iterator

from .label import Blob, Glance, end_of, label, put_labels

__all__ = ["hide"]

# 89 50 4e, 89:50:4e, 0x89, 0x50: more of them than a SHA-512 has when it is written so
_PAIR = r"(?:0[xX])?[0-9a-fA-F]{2}"
_ENOUGH_PAIRS = 65
_DIGITS = re.compile(r"[0-9a-fA-F]{2}")
_LETTER = re.compile(r"[a-fA-F]")


class _Pairs:
    """Pairs with one kind of gap all along.

    Addresses of network cards have colons in them, but something else between each other.
    """

    def __init__(self, gap: str) -> None:
        # As few as this at first, so that not much is tried in vain; then as many as there are.
        self.first = re.compile(
            rf"[0-9a-fA-F](?<![0-9A-Za-z:.-].)(?:(?<=0)[xX][0-9a-fA-F])?[0-9a-fA-F]"
            rf"(?:{gap}{_PAIR}){{15,250}}(?![0-9A-Za-z])",
            re.DOTALL,
        )
        self.more = re.compile(rf"(?:{gap}{_PAIR}){{1,250}}(?![0-9A-Za-z])")


_PAIRS = (_Pairs(r"[:-][ \r\n]{0,8}"), _Pairs(r",?[ \r\n]{1,8}"))
_may_have_pairs = Glance(r"0-9a-fA-FxX:, \r\n-", 80)

# a line of xxd, hexdump -C, od -x, Wireshark: an offset, groups of digits, the same as text
_DUMP_LINE = re.compile(
    r"^[ \t|]{0,32}([0-9a-fA-F]{4,16}):?[ \t]{1,4}"
    r"((?:[0-9a-fA-F]{2,8}[ \t]{1,3}){1,32})([^\n]*)(?:\n|\Z)",
    re.MULTILINE,
)
_may_have_dump = Glance(r"0-9a-fA-F: \t|", 15)
_BORDERS = " \t\r|<>"
_SAMPLE = 4096


def hide(text: str, limit: int) -> str:
    """Put a label in the place of everything that is written out byte by byte."""
    if len(text) > limit and _may_have_dump(text):
        text = put_labels(text, _dumps(text, limit))
    if len(text) > limit and _may_have_pairs(text):
        for kind in _PAIRS:
            text = put_labels(text, _pairs(text, limit, kind))
    return text


def _pairs(text: str, limit: int, kind: _Pairs) -> Iterator[Blob]:
    position = 0
    while found := kind.first.search(text, position):
        start, position = found.span()
        position = end_of(kind.more, text, position)
        if position - start <= limit:
            continue
        pairs = _DIGITS.findall(text, start, position)
        if len(pairs) >= _ENOUGH_PAIRS and _has_letters("".join(pairs[:_SAMPLE])):
            yield start, position, label("hex", bytes.fromhex("".join(pairs)))


def _dumps(text: str, limit: int) -> Iterator[Blob]:
    position = 0
    while found := _DUMP_LINE.search(text, position):
        start, offset = found.start(), -1
        lines: list[tuple[str, str]] = []
        while found and int(found[1], 16) > offset:
            lines.append(("".join(found[2].split()), found[3].strip(_BORDERS)))
            offset, position = int(found[1], 16), found.end()
            found = _DUMP_LINE.match(text, position)
        end = position - (text[position - 1] == "\n")  # the last line's end is no part of it
        if end - start <= limit or len(lines) < 2 or not _is_dump(lines):
            continue
        digits = "".join(digits for digits, _ in lines)
        if _has_letters(digits[:_SAMPLE]):
            yield start, end, label("hex dump", bytes.fromhex(digits[: len(digits) // 2 * 2]))


def _is_dump(lines: list[tuple[str, str]]) -> bool:
    """Tell a dump from disassembly, where lines differ in length, and words stand behind them."""
    (width, usual) = Counter(len(digits) for digits, _ in lines).most_common(1)[0]
    as_text = sum(len(behind) <= width // 2 + 1 for _, behind in lines)
    return usual * 4 >= (len(lines) - 1) * 3 and as_text * 4 >= len(lines) * 3


def _has_letters(digits: str) -> bool:
    """Tell bytes from a table of numbers: of random digits, six in sixteen are letters."""
    return len(_LETTER.findall(digits)) * 10 >= len(digits)
