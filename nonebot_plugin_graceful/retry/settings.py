"""What the operator has set for every retry that does not say otherwise."""

from dataclasses import dataclass

__all__ = ["Settings", "configure", "settings"]


@dataclass(slots=True)
class Settings:
    """The defaults of the defaults. They are read at each retry, so they may change at any time."""

    attempts: int = 3
    """How often a call is tried, the first time included."""
    max_wait: float = 30.0
    """Seconds one wait may take, be it backing off or what the server asked for."""
    budget: float = 300.0
    """Seconds all attempts and waits of one call may take together."""
    throttle: bool = True
    """Whether retries stop for a host at which nothing but failures come back."""


settings: Settings = Settings()
"""There is one operator in a process."""


def configure(
    *,
    attempts: int | None = None,
    max_wait: float | None = None,
    budget: float | None = None,
    throttle: bool | None = None,
) -> None:
    """Change what is not None.

    Args:
        attempts: ``GRACEFUL_RETRY_ATTEMPTS``.
        max_wait: ``GRACEFUL_RETRY_MAX_WAIT``, in seconds.
        budget: ``GRACEFUL_RETRY_BUDGET``, in seconds.
        throttle: ``GRACEFUL_RETRY_THROTTLE``.

    """
    if attempts is not None:
        settings.attempts = attempts
    if max_wait is not None:
        settings.max_wait = max_wait
    if budget is not None:
        settings.budget = budget
    if throttle is not None:
        settings.throttle = throttle
