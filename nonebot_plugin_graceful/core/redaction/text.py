"""redact(): what is done to a text, and in which order."""

from . import dumps, escapes, literals, runs, secrets

__all__ = ["SHORTEST_LIMIT", "redact"]

SHORTEST_LIMIT = 128
"""A SHA-512 has 128 hexadecimal digits, and hashes are to be read."""


def redact(text: str, limit: int = 256) -> str:
    r"""Replace blobs by a word on what they are, and mask secrets.

    What is left out is a run of encoded bytes longer than the limit: base64 and base64url (bare,
    in data URIs, in OneBot's ``base64://``, wrapped into lines, JSON-escaped), hexadecimal digits
    and dumps, the repr of ``bytes``, binary in ``\u0000`` escapes. In its place stands e.g.
    ``<image/png base64, 512.3 kB, sha1 3f2a9c1b>``. Values of Authorization, api_key,
    access_token and their like, ``sk-...`` keys and JWTs become ``***``.

    Everything else stays to the letter: see `runs` for how it is told from a blob. Redacting
    twice is the same as once.

    Args:
        text: Any text.
        limit: Characters an encoded run may have; at least `SHORTEST_LIMIT`.

    """
    if len(text) > limit:
        text = _without_blobs(text, max(limit, SHORTEST_LIMIT))
    # Most lines hold no secret, and this runs for each of them: looking for one character costs
    # a quarter of looking for two, so the rarest character of each sign goes first.
    if (
        ("k" in text and ("key" in text or "oken" in text or "sk-" in text))
        or ("K" in text and ("Key" in text or "KEY" in text or "OKEN" in text))
        or ("z" in text and ("uthorization" in text or "AIza" in text))
        or ("J" in text and "eyJ" in text)
        or ("B" in text and "Bearer " in text)
        or ("w" in text and "assw" in text)
        or "ecret" in text
    ):
        return secrets.mask(text)
    return text


def _without_blobs(text: str, limit: int) -> str:
    # What has quotes or backslashes first: then base64 is looked for in what is left of it.
    for hide in (literals.hide, escapes.hide, runs.hide, dumps.hide):
        text = hide(text, limit)
        if len(text) <= limit:
            break
    return text
