"""Text and values without blobs and secrets: pure functions, linear in the length of the text."""

from .ordinary import is_ordinary
from .text import SHORTEST_LIMIT, redact
from .values import redact_value

__all__ = ["SHORTEST_LIMIT", "is_ordinary", "redact", "redact_value"]
