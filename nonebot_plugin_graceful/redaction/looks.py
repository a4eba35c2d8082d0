"""Secrets that are known by their looks, whatever they stand in.

`LOOKS` is the table to extend. `divert` has to see each sign, too; a test goes through the table
and says so where it does not.
"""

import re
from collections.abc import Callable, Iterator
from typing import NamedTuple

from .label import Blob, put_labels
from .randomness import is_random

__all__ = [
    "LOOKS",
    "SHORTEST_OF_PARTS",
    "Look",
    "find_parts",
    "mask_jwt",
    "mask_looks",
    "mask_parts",
]


class Look(NamedTuple):
    """What one kind of secret looks like."""

    sign: str
    """What it begins with, or what stands before it."""
    rest: str
    """What follows, as a regular expression. Its one group is the secret."""
    may_be_words: bool = False
    """Whether that could be ``sk-learn-and-more``, too, so that it has to look random as well."""


LOOKS = (
    # AI services
    Look("sk-", r"([A-Za-z0-9_-]{16,})", may_be_words=True),  # OpenAI, Anthropic, DeepSeek, ...
    Look("sk_", r"((?:live_|test_)?[A-Za-z0-9]{24,})"),  # Stripe, ElevenLabs
    Look("gsk_", r"([A-Za-z0-9]{20,})"),  # Groq
    Look("xai-", r"([A-Za-z0-9]{20,})"),
    Look("hf_", r"([A-Za-z0-9]{30,})"),  # Hugging Face
    Look("r8_", r"([A-Za-z0-9]{30,})"),  # Replicate
    Look("nvapi-", r"([A-Za-z0-9_-]{40,})"),
    Look("pplx-", r"([A-Za-z0-9]{40,})"),  # Perplexity
    Look("tvly-", r"([A-Za-z0-9-]{20,})", may_be_words=True),  # Tavily
    Look("AIza", r"([A-Za-z0-9_-]{30,})"),  # Google
    # clouds
    Look("AKIA", r"([A-Z0-9]{16})(?![A-Za-z0-9])"),  # AWS
    Look("ASIA", r"([A-Z0-9]{16})(?![A-Za-z0-9])"),  # AWS, for a session
    Look("LTAI", r"([A-Za-z0-9]{12,26})(?![A-Za-z0-9])"),  # Alibaba
    Look("AKID", r"([A-Za-z0-9]{28,36})(?![A-Za-z0-9])"),  # Tencent
    Look("AKLT", r"([A-Za-z0-9]{28,60}={0,2})"),  # Volcengine
    # code hosts
    Look("ghp_", r"([A-Za-z0-9]{30,})"),
    Look("gho_", r"([A-Za-z0-9]{30,})"),
    Look("ghu_", r"([A-Za-z0-9]{30,})"),
    Look("ghs_", r"([A-Za-z0-9]{30,})"),
    Look("ghr_", r"([A-Za-z0-9]{30,})"),
    Look("github_pat_", r"([A-Za-z0-9_]{40,})"),
    Look("glpat-", r"([A-Za-z0-9_-]{20,})"),
    # chats
    Look("xoxb-", r"([A-Za-z0-9-]{20,})"),  # Slack
    Look("xoxp-", r"([A-Za-z0-9-]{20,})"),
    Look("xapp-", r"([A-Za-z0-9-]{20,})"),
    Look("api/webhooks/", r"[0-9]{15,22}/([A-Za-z0-9_-]{40,})"),  # Discord
    Look("v2/hook/", r"([0-9A-Za-z-]{32,40})"),  # Feishu
    Look(":AA", r"([A-Za-z0-9_-]{30,})"),  # Telegram, behind the number of the bot
    # whatever else
    Look("Bearer ", r"\s{0,3}([A-Za-z0-9_~+/.-]{8,}={0,2})", may_be_words=True),
)
# its payload may be a label
_JWT = Look("eyJ", r"([A-Za-z0-9_-]{8,}\.(?:[A-Za-z0-9_-]{8,}|<[^<>\n]{1,80}>)\.[A-Za-z0-9_-]*)")
# Discord's tokens have no sign: the number of the bot in base64url, six characters, and the rest.
# A search is quickest that begins with a dot, and looks at what is before it then.
_OF_PARTS = "A-Za-z0-9_-"
_PARTS = re.compile(
    rf"\.(?<=[{_OF_PARTS}]{{23}}\.)[{_OF_PARTS}]{{6}}\.([{_OF_PARTS}]{{27,40}})(?![{_OF_PARTS}])"
)
_FIRST_PART = re.compile(
    rf"(?:(?<![{_OF_PARTS}])|(?<=\x1b\[[0-9]m)|(?<=\x1b\[[0-9][0-9]m))[MNO][{_OF_PARTS}]{{22,27}}\Z"
)
find_parts: Callable[[str], re.Match[str] | None] = _PARTS.search
"""Tell whether there may be a token of Discord's, and nothing else of any length."""
SHORTEST_OF_PARTS: int = 58
_LONGEST_FIRST_PART = 28
_LONGEST_COLOUR = 5
_MASK = "***"


def mask_jwt(text: str) -> str:
    """Put ``***`` behind the ``eyJ`` of every JWT."""
    return _JWT_PATTERN.sub(_mask, text)


def mask_parts(text: str) -> str:
    """Put ``***`` in the place of every token of Discord's."""
    return put_labels(text, _tokens(text))


def mask_looks(text: str) -> str:
    """Put ``***`` in the place of everything that looks like one of them."""
    for look, pattern in _PATTERNS:
        if look.sign in text:
            text = pattern.sub(_mask_random if look.may_be_words else _mask, text)
    return text


def _tokens(text: str) -> Iterator[Blob]:
    for found in _PARTS.finditer(text):
        dot = found.start()
        earliest = max(0, dot - _LONGEST_FIRST_PART - _LONGEST_COLOUR)
        first = _FIRST_PART.search(text[earliest:dot])
        # a module, a class and a function of it have dots between them as well
        if first and is_random(first[0], 8) and is_random(found[1], 8):
            yield earliest + first.start(), found.end(), _MASK


def _compile(look: Look) -> re.Pattern[str]:
    sign = re.escape(look.sign)
    if not look.sign[0].isalnum():
        return re.compile(f"(?<=[0-9]{{6}}){sign}{look.rest}")
    # not in the middle of a word, unless that is the m of a colour code
    return re.compile(
        rf"{sign}(?:(?<![A-Za-z0-9_-]{sign})"
        rf"|(?<=\x1b\[[0-9]m{sign})|(?<=\x1b\[[0-9][0-9]m{sign})){look.rest}"
    )


_JWT_PATTERN = _compile(_JWT)
_PATTERNS = tuple((look, _compile(look)) for look in LOOKS)


def _mask(found: re.Match[str]) -> str:
    return found[0][: found.start(1) - found.start()] + _MASK


def _mask_random(found: re.Match[str]) -> str:
    return _mask(found) if is_random(found[1], 8) else found[0]
