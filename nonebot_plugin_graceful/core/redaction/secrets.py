"""Values that nobody who reads a log may learn: keys, tokens, passwords."""

import re

__all__ = ["mask"]

_VALUE = r"[A-Za-z0-9_~+/.-]"
_SCHEMES = "Bearer|bearer|Basic|basic|Token|token|Digest|Bot|QQBot"
# The name's end, what stands between it and its value (a quote or an escaped one on either side,
# a comma between the two of a tuple), the scheme of an Authorization, the value. What is left of
# the name is looked at afterwards: searching for it would mean to try it at every letter.
_NAMED = re.compile(
    r"(?P<end>key|Key|KEY|oken|OKEN|ecret|ECRET|uthorization|UTHORIZATION|assword|ASSWORD|asswd)"
    r"(?P<gap>(?P<shut>\\{0,8}[\"']?)\s{0,4}(?:[:=]|(?<=[\"']),)\s{0,4}"
    r"(?P<open>(?:b(?=\\{0,8}[\"']))?\\{0,8}[\"']?))"
    rf"(?P<scheme>(?:(?:{_SCHEMES})\s{{1,4}})?)(?!(?:{_SCHEMES})\b)"
    rf"(?P<value>{_VALUE}{{4,}}={{0,2}})"
)
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

_BEARER = re.compile(rf"(?<![A-Za-z])(Bearer\s{{1,4}})({_VALUE}{{8,}}={{0,2}})")
_BOUNDARY = r"(?<![A-Za-z0-9_-])"
_SK = re.compile(rf"{_BOUNDARY}(sk-)([A-Za-z0-9_-]{{16,}})")
_GOOGLE = re.compile(rf"{_BOUNDARY}(AIza)([A-Za-z0-9_-]{{30,}})")
_JWT = re.compile(
    rf"{_BOUNDARY}eyJ[A-Za-z0-9_-]{{8,}}\.(?:[A-Za-z0-9_-]{{8,}}|<[^<>\n]{{1,80}}>)\.[A-Za-z0-9_-]*"
)
_DIGIT = re.compile(r"[0-9]")
_MASK = "***"


def mask(text: str) -> str:
    """Put ``***`` in the place of every secret."""
    text = _JWT.sub("eyJ" + _MASK, text)
    text = _NAMED.sub(_mask_named, text)
    text = _BEARER.sub(lambda found: _mask_if(found, _is_dense(found[2], 8)), text)
    text = _SK.sub(lambda found: _mask_if(found, _is_dense(found[2], 16)), text)
    return _GOOGLE.sub(lambda found: _mask_if(found, _is_dense(found[2], 30)), text)


def _mask_if(found: re.Match[str], condition: bool) -> str:
    return found[1] + _MASK if condition else found[0]


def _mask_named(found: re.Match[str]) -> str:
    text, start, end = found.string, found.start(), found.end()
    name_start = _NAME_START.search(text, max(0, start - 24), start)
    prefix = name_start[0] if name_start else ""
    name = (prefix + found["end"]).lower().replace("_", "").replace("-", "")
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
