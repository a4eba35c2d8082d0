"""Text without blobs and secrets: pure functions, linear in the length of the text."""

from .text import SHORTEST_LIMIT, redact

__all__ = ["SHORTEST_LIMIT", "redact"]
