"""Values that nobody who reads a log may learn: keys, tokens, passwords."""

import re
from functools import partial

__all__ = ["mask"]

_VALUE = r"[A-Za-z0-9_~+/.-]"
_SCHEMES = "Bearer|bearer|Basic|basic|Token|token|Digest|Bot|QQBot"
# Behind the name: what stands between it and its value (a quote or an escaped one on either side,
# a comma between the two of a tuple), the scheme of an Authorization, the value.
_BEHIND_NAME = (
    r"(?P<gap>\\{0,8}[\"']?\s{0,4}(?:[:=]|(?<=[\"']),)\s{0,4}"
    r"(?P<open>(?:b(?=\\{0,8}[\"']))?\\{0,8}[\"']?))"
    rf"(?:(?:{_SCHEMES})\s{{1,4}})?(?!(?:{_SCHEMES})\b)"
    rf"(?P<value>{_VALUE}{{4,}}={{0,2}})"
)
# A search for a fixed word is quick; where a name begins is looked at when its end is found.
_NAMED = {
    end: re.compile(f"{end}{_BEHIND_NAME}")
    for end in ("key", "Key", "KEY", "oken", "OKEN", "ecret", "uthorization", "assword", "asswd")
}
_NAME_START = re.compile(r"[A-Za-z_-]{0,24}\Z")
_STRONG = (
    "apikey",
    "accesskey",
    "secretkey",
    "appkey",
    "accesstoken",
    "refreshtoken",
    "authtoken",
    "idtoken",
    "sessiontoken",
    "clientsecret",
    "appsecret",
    "apisecret",
    "authorization",
)
_WEAK = frozenset({"token", "secret", "password", "passwd", "bottoken"})


def _starting(sign: str, rest: str) -> re.Pattern[str]:
    # not in the middle of a word, unless that is the m of a colour code
    return re.compile(
        rf"({sign})(?:(?<![A-Za-z0-9_-]{sign})"
        rf"|(?<=\x1b\[[0-9]m{sign})|(?<=\x1b\[[0-9][0-9]m{sign})){rest}"
    )


_STARTING = {
    sign: (_starting(sign, rest), length)
    for sign, rest, length in (
        ("Bearer ", rf"\s{{0,3}}({_VALUE}{{8,}}={{0,2}})", 8),
        ("sk-", "([A-Za-z0-9_-]{16,})", 16),
        ("AIza", "([A-Za-z0-9_-]{30,})", 30),
    )
}
_JWT = _starting("eyJ", r"[A-Za-z0-9_-]{8,}\.(?:[A-Za-z0-9_-]{8,}|<[^<>\n]{1,80}>)\.[A-Za-z0-9_-]*")
_DIGIT = re.compile(r"[0-9]")
_MASK = "***"


def mask(text: str) -> str:
    """Put ``***`` in the place of every secret."""
    if "eyJ" in text:
        text = _JWT.sub("eyJ" + _MASK, text)
    for end, pattern in _NAMED.items():
        if end in text:
            text = pattern.sub(_mask_named, text)
    for sign, (pattern, length) in _STARTING.items():
        if sign in text:
            text = pattern.sub(partial(_mask_dense, length=length), text)
    return text


def _mask_dense(found: re.Match[str], length: int) -> str:
    value = found[2]
    return found[0][: -len(value)] + _MASK if _is_dense(value, length) else found[0]


def _mask_named(found: re.Match[str]) -> str:
    text, start, end = found.string, found.start(), found.end()
    name_start = _NAME_START.search(text, max(0, start - 24), start)
    prefix = name_start[0] if name_start else ""
    name = (prefix + text[start : found.start("gap")]).lower().replace("_", "").replace("-", "")
    in_query = text[start - len(prefix) - 1 : start - len(prefix)] in ("?", "&")
    strong = name.endswith(_STRONG)
    if not (strong or name in _WEAK or (in_query and name == "key")):
        return found[0]
    value = found["value"]
    opened = found["open"].lstrip("b")
    is_literal = bool(opened) and text.startswith(opened, end)
    after = text[end : end + 1]
    if (is_literal and "," not in found["gap"]) or (in_query and found["gap"] == "="):
        is_secret = True
    elif after in ("(", "[", "{") or _is_attribute(value):  # code
        is_secret = False
    else:
        is_secret = _is_dense(value, 8 if strong else 16)
    return found[0][: -len(value)] + _MASK if is_secret else found[0]


def _is_attribute(value: str) -> bool:
    return "." in value and value.replace("_", "").replace(".", "").islower() and "-" not in value


def _is_dense(value: str, length: int) -> bool:
    """Tell a key from a word: digits among letters."""
    digits = len(_DIGIT.findall(value))
    return len(value) >= length and 2 <= digits < len(value)
