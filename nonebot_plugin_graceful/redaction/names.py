"""Names of what nobody who reads a log may learn.

`NAMES` is the table to extend: one row is ``api_key``, ``apiKey``, ``API-KEY`` and
``OPENAI_API_KEY`` alike. `is_ordinary` has to see the end of each name, too; a test goes through
the table and says so where it does not.
"""

# ruff: noqa: SIM905  (words in a sentence are easier to read than in a column)

import re
from enum import Enum, auto
from functools import lru_cache

__all__ = ["ENDS", "NAMES", "Kind", "kind_of"]


class Kind(Enum):
    """What a value of a name may be, and so which of them are secrets."""

    PASSWORD = auto()
    """Whatever somebody thought up."""
    KEY = auto()
    """Whatever is written there, unless it says that there is none."""
    TOKEN = auto()
    """A key, or a word that a language model reads."""
    HEADER = auto()
    """A scheme and what belongs to it, or a key."""
    COOKIE = auto()
    """Whatever is written there."""
    PARAMETER = auto()
    """A key in a URL; anything at all elsewhere."""


NAMES: dict[str, Kind] = {
    # what a name ends with
    **dict.fromkeys(("password", "passwd", "pwd", "密码", "口令", "授权码"), Kind.PASSWORD),
    **dict.fromkeys(
        (
            *("api_key", "access_key", "secret_key", "private_key", "app_key", "auth_key"),
            *("account_key", "master_key", "session_key", "verify_key", "sign_key", "signing_key"),
            *("encrypt_key", "encryption_key", "aes_key", "license_key", "密钥", "私钥", "令牌"),
        ),
        Kind.KEY,
    ),
    # with another word before them, these are keys
    **dict.fromkeys(("token", "secret"), Kind.TOKEN),
    "authorization": Kind.HEADER,
    # cookies of Bilibili and QQ
    **dict.fromkeys(("sessdata", "bili_jct", "skey", "p_skey"), Kind.COOKIE),
    "key": Kind.PARAMETER,
}

# The first word of names that end in the same way, and are something else: what language models
# read and counters count, what documents go by, and what is said about a password.
_OTHER_TOKENS = frozenset(
    "eos bos pad unk sep cls mask stop end start begin special image audio text speech next page"
    " previous prev continuation cursor first last current max min total num prompt completion"
    " input output cached reasoning per each sub word byte new sync file doc folder sheet node obj"
    " space".split()
)
_ABOUT_PASSWORDS = frozenset(
    "forgot forgotten reset change invalid wrong incorrect bad missing no without has have is need"
    " needs requires require show hide".split()
)
_OTHER = {Kind.TOKEN: _OTHER_TOKENS, Kind.PASSWORD: _ABOUT_PASSWORDS}
# Names that these only end are other things: primary_key, redis_key.
_ALONE = frozenset({"key", "skey", "pskey"})
_FIRST_WORD = re.compile(r"[A-Za-z]?[a-z]+|[A-Z]+|[^A-Za-z]")
_WITHOUT_SEPARATORS = str.maketrans("", "", "_- ")
_PLAIN = {name.translate(_WITHOUT_SEPARATORS): kind for name, kind in NAMES.items()}
_LONGEST_FIRST = sorted(_PLAIN, key=len, reverse=True)


@lru_cache(1024)
def kind_of(name: str) -> Kind | None:
    """Tell what a value of a name may be; None if it is no secret whatever it is."""
    plain = name.translate(_WITHOUT_SEPARATORS).lower()
    if plain in _PLAIN:
        return _PLAIN[plain]
    ending = next(filter(plain.endswith, _LONGEST_FIRST), None)
    if ending is None or ending in _ALONE:
        return None
    kind = _PLAIN[ending]
    first = _FIRST_WORD.search(name)
    if first and first[0].lower() in _OTHER.get(kind, ()):
        return None
    return Kind.KEY if kind is Kind.TOKEN else kind


def _end(word: str) -> str:
    """Make a pattern of a word that begins with its rarest letter: so a search is quickest."""
    start = min(range(len(word)), key=lambda index: _RAREST_FIRST.find(word[index].lower()))
    return word[start:] + f"(?<={word})" * (start > 0)


_RAREST_FIRST = "zjqxkvbpygfwmucldrhsnioate"
_LAST_WORDS = dict.fromkeys(name.rpartition("_")[2] for name in NAMES)
_WRITTEN = dict.fromkeys(
    variant for word in _LAST_WORDS for variant in (word, word.capitalize(), word.upper())
)
ENDS = "|".join(map(_end, _WRITTEN))
"""The last words of all names, as a regular expression. What is before them is left to `kind_of`."""
