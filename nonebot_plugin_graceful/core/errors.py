"""What is raised."""

import asyncio

__all__ = ["Interrupted"]


class Interrupted(asyncio.CancelledError):
    """A tracked section was stopped, or was refused because the bot is shutting down.

    A subclass of ``asyncio.CancelledError``, so ``except Exception`` lets it through. Whoever
    catches it to clean up raises it again.

    Attributes:
        reason: Why, in a few words, for a log or a chat.

    """

    def __init__(self, reason: str = "cancelled") -> None:
        super().__init__(reason)
        self.reason = reason
