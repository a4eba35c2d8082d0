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
    ``<image/png base64, 512.3 kB, sha1 3f2a9c1b>``. Keys, tokens, passwords and what cookies hold
    become ``***``: `names` has the table of names that tell a secret, `looks` that of secrets
    which are known by their looks, `carriers` has what stands in PEM, addresses, cookies
    and commands of curl.

    Everything else stays to the letter: see `runs` for how it is told from a blob. Redacting
    twice is the same as once.

    Args:
        text: Any text.
        limit: Characters an encoded run may have; at least `SHORTEST_LIMIT`.

    """
    if len(text) > limit:
        text = _without_blobs(text, max(limit, SHORTEST_LIMIT))
    return secrets.mask(text)


def _without_blobs(text: str, limit: int) -> str:
    # What has quotes or backslashes first: then base64 is looked for in what is left of it.
    for hide in (literals.hide, escapes.hide, runs.hide, dumps.hide):
        text = hide(text, limit)
        if len(text) <= limit:
            break
    return text
