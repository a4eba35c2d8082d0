"""What is raised."""

import asyncio

__all__ = ["Interrupted", "Refused"]


class Interrupted(asyncio.CancelledError):
    """Work was told to end, or may not begin because the bot is shutting down.

    A subclass of ``asyncio.CancelledError``, so ``except Exception`` lets it through. Whoever
    catches it to clean up raises it again.

    Attributes:
        reason: Why, in a few words, for a log or a chat.

    """

    def __init__(self, reason: str = "cancelled") -> None:
        super().__init__(reason)
        self.reason = reason


class Refused(Exception):  # noqa: N818 - it is no error of anybody's
    """Work may not begin, though the bot runs on: it is being drained, or no place became free.

    A plain exception, so a queue worker that survives a failed job survives this one too.

    Attributes:
        reason: Why, in a few words, for a log or a chat.

    """

    def __init__(self, reason: str = "refused") -> None:
        super().__init__(reason)
        self.reason = reason

    def __str__(self) -> str:
        return self.reason  # also where it is one of a framework's own exceptions, too
