"""Secrets that are known by what carries them: PEM, addresses with a password, cookies, curl."""

import re
from collections.abc import Iterator

from .label import Blob, put_labels
from .quotes import QUOTE, end_of_quoted

__all__ = ["mask_cookies", "mask_curl", "mask_pem", "mask_user_info"]

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

# `docker run -u 1000:1000` has the same option: only what stands in a command of curl's counts.
_SEPARATOR = rf"(?:{QUOTE},[ \t]{{0,4}}|[ \t]{{1,4}}|=)"
_OF_CURL = re.compile(
    r"(?P<begins>\bcurl\b)|(?P<ends>(?<!\\)\n|&&|\|\||[ \t]\|[ \t])"
    rf"|(?<![\w-])(?:-u{_SEPARATOR}?|(?:-[A-Za-z#]{{1,8}}[uU]|-U|--(?:proxy-)?user){_SEPARATOR})"
    rf"(?P<open>(?:{QUOTE})?)[^\s:'\"`\\]{{1,128}}:"
)
_BARE = re.compile(r"[^\s'\"`\\]{4,256}")
_LONGEST_PASSWORD = 256
_SHORTEST_PASSWORD = 4
_WORD_IN_BRACKETS = re.compile(r"<.*>")

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


def mask_curl(text: str) -> str:
    """Put ``***`` in the place of a password that curl is given: ``curl -u user:***``."""
    return put_labels(text, _passwords_of_curl(text))


def _passwords_of_curl(text: str) -> Iterator[Blob]:
    position, in_command = 0, False
    while found := _OF_CURL.search(text, position):
        position = start = found.end()
        if found["begins"] or found["ends"]:
            in_command = found["begins"] is not None
        elif in_command:
            position = _end_of_password(text, start, found["open"])
            if start < position and not _is_template(text[start:position]):
                yield start, position, _MASK


def _end_of_password(text: str, start: int, quote: str) -> int:
    """Tell where a password ends; where it begins, if there is none."""
    end = end_of_quoted(text, start, quote, _LONGEST_PASSWORD) if quote else -1
    if end < 0:
        bare = _BARE.match(text, start)
        end = bare.end() if bare else start
    return end if end - start >= _SHORTEST_PASSWORD else start


def _is_template(secret: str) -> bool:
    return (
        _TEMPLATE.fullmatch(secret) is not None or _WORD_IN_BRACKETS.fullmatch(secret) is not None
    )


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
