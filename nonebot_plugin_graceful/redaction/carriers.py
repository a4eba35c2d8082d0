"""Secrets that are known by what carries them: PEM, addresses with a password, cookies."""

import re
from collections.abc import Iterator

from .label import Blob, put_labels
from .quotes import QUOTE

__all__ = ["mask_cookies", "mask_pem", "mask_user_info"]

_MASK = "***"

_PEM = re.compile(r"PRIVATE KEY(?: BLOCK)?-----")
_END_OF_PEM = "-----END"
_LONGEST_PEM = 16384
# one that was cut; its line breaks may be escaped, and a label may stand in it
_LINES_OF_PEM = re.compile(
    r"(?:(?:\s|\\{1,8}[rn]){0,8}(?:[A-Za-z0-9+/]{10,}={0,2}|<[^<>\n]{1,80}>|\*\*\*)){1,500}"
)

# What there may be between // and @, but for a slash. What follows @ is no digest of an image.
_USER_INFO = re.compile(r"://[^\s/@:?#'\"<>\\]{0,128}:(?P<secret>[^\s/'\"<>\\]{1,256})@(?!sha256:)")
_TEMPLATE = re.compile(r"[{$%(\[].*|\*+")

_COOKIES = re.compile(
    rf"(?:[Cc]ookies?2?|COOKIES?)(?P<closed>(?:{QUOTE}\]?)?)[ \t]{{0,4}}(?P<sign>[:=：,])[ \t]{{0,4}}"
    rf"(?P<open>(?:b?{QUOTE})?)"
)
_COOKIE = re.compile(r"(?P<name>[\w.$!-]{1,128})(?:=(?P<value>[^\s;,\"'`\\]{0,4096}))?")
_NEXT_COOKIE = re.compile(r";[ \t]{0,4}")
_NO_COOKIES = frozenset({"true", "false", "none", "null"})
_SHORTEST_COOKIE = 4
_LONGEST_ATTRIBUTE = 128
_ATTRIBUTES = frozenset(
    {"path", "domain", "expires", "max-age", "samesite", "version", "priority", "comment"}
)


def mask_pem(text: str) -> str:
    """Put ``***`` between the first line of a private key and its last."""
    return put_labels(text, _bodies(text))


def mask_user_info(text: str) -> str:
    """Put ``***`` in the place of a password in an address: ``redis://user:***@host``."""
    return put_labels(
        text,
        (
            (*found.span("secret"), _MASK)
            for found in _USER_INFO.finditer(text)
            if not _TEMPLATE.fullmatch(found["secret"])
        ),
    )


def mask_cookies(text: str) -> str:
    """Put ``***`` in the place of what cookies hold: ``Cookie: uin=***; skey=***``."""
    return put_labels(text, _cookies(text))


def _bodies(text: str) -> Iterator[Blob]:
    position = next_end = 0
    while found := _PEM.search(text, position):
        start = position = found.end()
        if 0 <= next_end < start:  # each end is looked for once
            next_end = text.find(_END_OF_PEM, start)
        if start < next_end <= start + _LONGEST_PEM:
            position = next_end
        elif lines := _LINES_OF_PEM.match(text, start):
            position = lines.end()
        if text[start:position].strip():
            yield start, position, _MASK


def _cookies(text: str) -> Iterator[Blob]:
    position = 0
    while found := _COOKIES.search(text, position):
        position = found.end()
        if found["sign"] == "," and not (found["closed"] and found["open"]):
            continue
        while cookie := _COOKIE.match(text, position):
            position = cookie.end()
            if cookie["name"].lower() in _ATTRIBUTES:  # a date has blanks in it
                end = text.find(";", position, position + _LONGEST_ATTRIBUTE)
                position = end if end >= 0 else position
            elif _is_told(cookie["value"]):
                yield *cookie.span("value"), _MASK
            following = _NEXT_COOKIE.match(text, position)
            if following is None:
                break
            position = following.end()


def _is_told(value: str | None) -> bool:
    return value is not None and len(value) >= _SHORTEST_COOKIE and value.lower() not in _NO_COOKIES
