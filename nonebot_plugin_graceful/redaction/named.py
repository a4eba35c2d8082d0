"""Values that are secret because of the name they stand behind.

``password=...``, ``"api_key": "..."``, ``('x-api-key', '...')``, ``--token ...``, ``密钥：...``: in
quotes, the value is what stands between them; without, it ends where a word does.
"""

# ruff: noqa: SIM905  (words in a sentence are easier to read than in a column)

import re
from collections.abc import Iterator
from typing import NamedTuple

from .names import ENDS, Kind, kind_of
from .quotes import QUOTE, end_of_quoted
from .randomness import is_random

__all__ = ["mask_named", "mask_value"]

_MASK = "***"
_NAMED = re.compile(
    rf"(?P<end>{ENDS})"
    r"(?:_?[0-9]{1,2})?(?P<several>s?)"
    rf"(?P<closed>(?:{QUOTE}\]?)?)[ \t]{{0,4}}"
    r"(?P<sign>:=|[:=：]>?|[,(]|[是为][:：]?|(?=“)|(?<=[ \t])(?:(?:is|was|provided):?[ \t]|(?=[!-~])))"
    rf"[ \t]{{0,4}}(?P<open>(?:(?:[bBfFrRuU](?={QUOTE}))?(?P<quote>{QUOTE})|“)?)"
)
_OF_NAMES = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz_-"
_LONGEST_NAME = 40
_NUMBER = re.compile(r"(?:_?[0-9]{1,2})?s?\Z")  # api_key_2, api_keys
_WORD_BEFORE = re.compile(r"(?i)(?:api|app|access|secret|private|client|auth|refresh|bot) \Z")
_IN_URL = ("?", "&", "#", "&amp;", "\\u0026")
_SIGNS = frozenset(("=", ":", "：", "=>", ":>", ":="))

_LONGEST = 512
_SHORTEST = 4
_BARE = re.compile(
    r"[!#-%*+./0-9:?@A-Z^_a-z~-]"
    # no further assignment, and no further parameter of a URL
    rf"(?:[!#-%*+./0-9:?@A-Z^_a-z~-]|&(?![\w.%-]{{1,64}}=|amp;)){{0,{_LONGEST}}}={{0,2}}"
)
_SCHEME = re.compile(r"(?:(?i:Bearer|Basic|Token)|Bot|QQBot|ApiKey|Key)[ \t]{1,4}(?=\S)")
_ITEM = re.compile(rf"[ \t\n]{{0,32}},?[ \t\n]{{0,32}}(?P<quote>{QUOTE})")
_MOST_ITEMS = 100

# What is written where a value would be: words about it, its own name, templates, addresses, masks.
_WORDS_ABOUT = frozenset(
    "none null nil nan true false undefined required optional unset unknown empty missing invalid"
    " valid expired wrong incorrect denied failed error str string bytes int integer bool boolean"
    " object any yes no on off ok default disabled enabled hidden redacted masked secure header"
    " authentication authorization user name key apikey api_key api-key token access_token secret"
    " secret_key password passwd pass pwd".split()
)
_NO_VALUE = re.compile(
    r"(?i:x{3,}|your[_-].*)|\.{3,}|[-_/…]+|<.*>|\{.*\}|\[.*\]|\$\{.*\}|\$[A-Z_]+|%\(\w+\)s|%\w+%"
    r"|[a-z]{2,10}://.*",
    re.DOTALL,
)
_PATH = re.compile(r"(?:~|\.{1,2}|[A-Za-z]:)?(?:[/\\](?![A-Za-z0-9]{20})[\w.@-]+)+")
_CHINESE = re.compile(r"[\u2e80-\uffef]")
_PUNCTUATION = ",.:;!?()'…"
_CODE = re.compile(r"[A-Za-z_]+(?:\.[A-Za-z_]+)+|_?[a-z]+(?:_[a-z]+)+|_?[A-Z]+(?:_[A-Z]+)+")
_MORE_PROSE = re.compile(r" [a-z]")
_WORD = re.compile(r"[A-Za-z]+(?:[-'][A-Za-z]+)*[!]?")
# One run of small letters, or of capitals: no word and no name in code is so long, but for these.
_LETTERS = re.compile(r"(?:[a-z]{16,}|[A-Z]{16,})={0,2}")
_LONG_WORDS = re.compile(
    r"(?i:(?:your|put|enter|insert|replace|change|example|placeholder|not|un|invalid|missing)[a-z]*"
    r"|[a-z]*(?:ations?|ments?|ness|ity|ities|ically|ingly|i[sz](?:ed|ing)|required|failed|expired"
    r"|missing|invalid|denied|error))"
)


class _Value(NamedTuple):
    """What stands behind a name, and where."""

    start: int
    end: int
    text: str
    quoted: bool
    has_scheme: bool
    """Whether ``Bearer`` or the like stands before it."""


class _Place(NamedTuple):
    """What a name, and the sign behind it, say of a value."""

    kind: Kind
    sign: str
    certain: bool
    """Whether nothing but a value can stand here: in a URL, behind an option, in an .env file."""


def mask_named(text: str) -> str:
    """Put ``***`` in the place of every value whose name says that it is a secret."""
    pieces: list[str] = []
    done = position = 0
    while found := _NAMED.search(text, position):
        position = found.end()
        values = _values(text, found)
        place = _place(text, found) if values else None
        if place is None:
            continue
        for value in values:
            if _is_secret(place, value):
                pieces += (text[done : value.start], _MASK)
                done = position = value.end
    return "".join([*pieces, text[done:]]) if pieces else text


def mask_value(name: str, text: str) -> str:
    """Put ``***`` in the place of a value that is kept under a name, if that says it is a secret.

    Args:
        name: A key of a dictionary, say.
        text: The value: as it would stand in quotes.

    """
    kind = kind_of(_NUMBER.sub("", name)) if len(name) <= _LONGEST_NAME else None
    if kind is None or kind is Kind.PARAMETER or len(text) < _SHORTEST:
        return text
    scheme = _SCHEME.match(text)
    begin = scheme.end() if scheme else 0
    value = _Value(begin, len(text), text[begin:], quoted=True, has_scheme=scheme is not None)
    return text[:begin] + _MASK if _is_secret(_Place(kind, ":", certain=False), value) else text


def _place(text: str, found: re.Match[str]) -> _Place | None:
    """Tell what kind of value may stand behind a name; None if it is no name of a secret."""
    start = found.start()
    end, sign = found.group("end", "sign")
    before = text[max(0, start - _LONGEST_NAME) : start]
    rest = before.rstrip(_OF_NAMES)
    prefix = before[len(rest) :]
    if not prefix and (word := _WORD_BEFORE.search(before)):  # "API key"
        prefix = word[0]
    kind = kind_of(prefix + end)
    if kind is None or not _is_sign(found):
        return None
    in_url = sign == "=" and rest.endswith(_IN_URL)
    if kind is Kind.PARAMETER:
        return _Place(kind, sign, certain=False) if in_url else None
    certain = (
        in_url
        or (sign == "=" and (prefix + end).isupper())
        or (sign in ("", "=", ",") and prefix.startswith("--"))
        or (not end.isascii() and (sign != "" or found["open"] == "“"))
    )
    return _Place(kind, sign, certain)


def _is_sign(found: re.Match[str]) -> bool:
    """Tell whether what stands behind a name leads to its value: in a tuple, both have quotes."""
    sign = found["sign"]
    return sign not in (",", "(") or bool(found["open"] and (found["closed"] or sign == "("))


def _values(text: str, found: re.Match[str]) -> list[_Value]:
    position = found.end()
    if found["several"] and text.startswith("[", position):
        return list(_items(text, position + 1))
    value = _quoted(text, position, found["quote"] or "”") if found["open"] else None
    value = value or _bare(text, position)
    return [value] if value and len(value.text) >= _SHORTEST else []


def _items(text: str, position: int) -> Iterator[_Value]:
    for _ in range(_MOST_ITEMS):
        item = _ITEM.match(text, position)
        value = _quoted(text, item.end(), item["quote"]) if item else None
        if item is None or value is None:
            return
        if len(value.text) >= _SHORTEST:
            yield value
        position = value.end + len(item["quote"])


def _quoted(text: str, start: int, quote: str) -> _Value | None:
    """Get what stands between quotes; None if they are not closed."""
    end = end_of_quoted(text, start, quote, _LONGEST)
    if end < 0:
        return None
    scheme = _SCHEME.match(text, start, end)
    begin = scheme.end() if scheme else start
    return _Value(begin, end, text[begin:end], quoted=True, has_scheme=scheme is not None)


def _bare(text: str, start: int) -> _Value | None:
    """Get the word that begins here; None if that is code, or prose."""
    scheme = _SCHEME.match(text, start)
    begin = scheme.end() if scheme else start
    found = _BARE.match(text, begin)
    if found is None or text[found.end() : found.end() + 1] in ("(", "[", "{"):
        return None
    value = found[0].rstrip(".:?")
    if scheme and value.islower() and value.isalpha() and _MORE_PROSE.match(text, found.end()):
        return None
    end = begin + len(value)
    return _Value(begin, end, value, quoted=False, has_scheme=scheme is not None)


def _is_secret(place: _Place, value: _Value) -> bool:
    least = _least(place, value)
    if not is_random(value.text, least) and not _is_letters(place, value):
        return False
    return not _is_said_about(place, value)


def _is_letters(place: _Place, value: _Value) -> bool:
    """Tell a secret of letters alone: where there can be no other value, what is no word is one."""
    return (
        place.kind in (Kind.KEY, Kind.HEADER, Kind.PASSWORD)
        and (place.sign in _SIGNS or place.sign == ",")
        and _LETTERS.fullmatch(value.text) is not None
        and not _LONG_WORDS.fullmatch(value.text)
    )


def _is_said_about(place: _Place, value: _Value) -> bool:
    """Tell whether what stands there is no value, but words, code or a path."""
    text = value.text
    if _MASK in text or text.lower() in _WORDS_ABOUT:
        return True
    if _NO_VALUE.fullmatch(text) or _PATH.fullmatch(text):
        return True
    if value.quoted:
        return _is_sentence(text)
    return not place.certain and _CODE.fullmatch(text) is not None


def _least(place: _Place, value: _Value) -> int:
    """Tell how long a value has to be, and look random, to be a secret; 0: it is one anyway."""
    kind, sign, certain = place
    if value.has_scheme or (certain and (kind is Kind.PASSWORD or not value.text.isdigit())):
        return 0
    if sign in _SIGNS or (sign == "" and kind is Kind.PASSWORD and value.quoted):
        if kind is Kind.PASSWORD:  # what follows a colon may be said about it
            if value.quoted or sign == "=" or not _WORD.fullmatch(value.text):
                return 0
        elif kind is Kind.COOKIE or (kind is Kind.KEY and value.quoted):
            return 0
    if kind is Kind.TOKEN and not value.quoted:
        return 10
    in_prose = sign not in _SIGNS and sign != ","
    return 12 if in_prose or kind is Kind.PARAMETER else 8


def _is_sentence(text: str) -> bool:
    """Tell what a form says from what was entered: "Enter your password"."""
    if _CHINESE.search(text):
        return True
    words = [word.strip(_PUNCTUATION) for word in text.split()]
    return len(words) > 1 and all(not word or word.isalpha() or word.isdigit() for word in words)
