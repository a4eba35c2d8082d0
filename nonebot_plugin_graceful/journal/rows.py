"""What the journal keeps of a request."""

from dataclasses import dataclass

__all__ = ["Reply", "Row"]


@dataclass(frozen=True, slots=True)
class Row:
    """One request, as it is on disk."""

    id: int
    adapter: str
    bot: str
    """The account that was asked."""
    key: str
    """What tells the event from every other; empty if nothing does."""
    event: str
    """JSON, of ``codec.dump``."""
    plugin: str
    """Empty: of none."""
    matcher: str
    """Which of the plugin's, of ``identity.describe_matcher``. Empty: a message that arrived while
    the bot was stopping, and that every matcher is to see."""
    kind: str
    """Empty: it was not begun; it is not known to be a request at all."""
    user: str
    chat: str
    asked: float
    """``time.time()`` when it was first taken up."""
    attempts: int
    """How often it was taken up again, but for the times the bot was stopped in order meanwhile."""
    unfit: str
    """Why it cannot be taken up again; empty if it can."""
    owner: str
    """The life of a process that has it, or had it last."""


@dataclass(frozen=True, slots=True)
class Reply:
    """A message that a request has sent."""

    place: str
    """From where in its author's code."""
    said: str
    """What tells its words, and whom they were for, from others; not the words."""
    result: str | None
    """JSON, of what the platform answered."""
