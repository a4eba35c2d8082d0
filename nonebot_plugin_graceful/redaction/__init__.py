"""Text without blobs and secrets: pure functions, linear in the length of the text."""

from .ordinary import is_ordinary
from .text import SHORTEST_LIMIT, redact

__all__ = ["SHORTEST_LIMIT", "is_ordinary", "redact"]
