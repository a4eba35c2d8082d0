"""Keys told from words: what a machine drew at random, and what somebody wrote."""

import re

__all__ = ["changes", "is_random"]

_CLASSES = (
    "".join(
        "u" if char.isupper() else "l" if char.islower() else "d" if char.isdigit() else "s"
        for char in map(chr, range(128))
    ).encode()
    + b"s" * 128
)
_CHANGES = (b"ul", b"lu", b"ud", b"du", b"ld", b"dl")
_CAMEL_CASE = re.compile(r"[A-Z]?[a-z]{2,}(?:[A-Z][a-z]{2,})*")
_SEPARATORS = re.compile(r"[^A-Za-z0-9]+")
_LONGER_THAN_WORDS = 32


def changes(raw: bytes) -> tuple[bytes, int]:
    """Count how often a text changes between capitals, small letters and digits.

    Returns:
        The class of each character (``u``, ``l``, ``d``, or ``s`` for anything else), and how
        often two neighbours differ in it, both of them being letters or digits.

    """
    classes = raw.translate(_CLASSES)
    return classes, sum(map(classes.count, _CHANGES))


def is_random(value: str, least: int) -> bool:
    """Tell a key from words and numbers.

    A key changes between letters and digits, or between capitals and small letters, where neither
    a word begins nor one that is followed by a number ends; or it is longer than any word.

    Args:
        value: ASCII.
        least: Characters a key has at least; 0: everything is taken for one.

    """
    if len(value) < least or not least:
        return not least
    return any(map(_is_random_part, _SEPARATORS.split(value)))


def _is_random_part(part: str) -> bool:
    classes, count = changes(part.encode("ascii"))
    digits = classes.count(b"d")
    if count < 2:
        return len(part) >= _LONGER_THAN_WORDS and digits < len(part)
    if digits:
        return digits > 1 or count > 2
    return count > 2 and not _CAMEL_CASE.fullmatch(part)
