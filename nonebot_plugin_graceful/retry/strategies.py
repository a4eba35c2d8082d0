"""What is done where nothing else was said: tenacity strategies made for AI services."""

import random

from loguru import logger
from tenacity import RetryCallState
from tenacity.retry import retry_base
from tenacity.stop import stop_base
from tenacity.wait import wait_base

from nonebot_plugin_graceful.core.failures import _host_of as host_of  # pyright: ignore[reportPrivateUsage]
from nonebot_plugin_graceful.core.failures import describe_failure

from .headers import retry_after
from .settings import settings
from .telling import what
from .throttle import CAPACITY, bucket_of, give_back
from .transient import is_transient
from .work import current, kind_name, meters, stopping

__all__ = [
    "retry_if_transient",
    "stop_by_default",
    "stop_on_shutdown",
    "wait_by_default",
]


class _stop_on_shutdown(stop_base):  # noqa: N801 - named as tenacity names its strategies
    """Stops as soon as the bot is being stopped."""

    def __call__(self, retry_state: RetryCallState) -> bool:  # noqa: ARG002
        return stopping() is not None

    def __repr__(self) -> str:
        return "stop_on_shutdown"


stop_on_shutdown: _stop_on_shutdown = _stop_on_shutdown()
"""A stop strategy for code that uses tenacity directly: ``stop=stop_after_attempt(5) | stop_on_shutdown``.

tenacity asks it after an attempt has failed, not during a wait; give ``sleep=sleep`` too.
"""


class retry_if_transient(retry_base):  # noqa: N801
    """Retry what may be over the next time; see :func:`is_transient`.

    Not so where another attempt would only do harm, and the log says so then: the server asks to
    be left alone for longer than ``GRACEFUL_RETRY_MAX_WAIT``, or than ``GRACEFUL_RETRY_BUDGET``
    has left; or it has had nothing but failures to give of late (``GRACEFUL_RETRY_THROTTLE``).
    """

    def __call__(self, retry_state: RetryCallState) -> bool:
        """Tell whether to try again."""
        outcome = retry_state.outcome
        error = outcome.exception() if outcome is not None else None
        if error is None:
            give_back(retry_state)
            return False
        if not is_transient(error):
            return False
        objection = _too_long(error, retry_state) or _throttled(error, retry_state)
        if objection:
            logger.warning(
                f"Not retrying {what(retry_state)}: {objection}: {describe_failure(error)}"
            )
        return not objection

    def __repr__(self) -> str:
        return f"{type(self).__name__}()"


def _too_long(error: BaseException, retry_state: RetryCallState) -> str:
    """Say so if the server asks for a longer wait than there is to be."""
    asked = retry_after(error)
    if asked is None:
        return ""
    left = settings.budget - (retry_state.seconds_since_start or 0)
    limit, setting = min((settings.max_wait, "MAX_WAIT"), (left, "BUDGET"))
    if asked <= limit:
        return ""
    return f"it is to wait {asked:.0f} s, longer than GRACEFUL_RETRY_{setting} lets it"


def _throttled(error: BaseException, retry_state: RetryCallState) -> str:
    """Take a token for a failure, or say that there is none left."""
    host = host_of(error)
    if not host or not settings.throttle:
        return ""
    kind = kind_name(current())
    if bucket_of(host, kind).take(retry_state):
        return ""
    for meter in meters():
        meter.throttled(host)
    whats = f"{kind} retries" if kind else "retries"
    return f"{whats} for {host} are throttled after {CAPACITY:g} failures (GRACEFUL_RETRY_THROTTLE)"


class stop_by_default(stop_base):  # noqa: N801
    """Stop after ``GRACEFUL_RETRY_ATTEMPTS``, or before a wait that exceeds ``GRACEFUL_RETRY_BUDGET``.

    Args:
        attempts: Instead of the setting.

    """

    def __init__(self, attempts: int | None = None) -> None:
        self._attempts = attempts

    @property
    def attempts(self) -> int:
        """How often a call is tried."""
        return settings.attempts if self._attempts is None else self._attempts

    def __call__(self, retry_state: RetryCallState) -> bool:
        """Tell whether to give up."""
        elapsed = retry_state.seconds_since_start or 0
        return (
            retry_state.attempt_number >= self.attempts
            or elapsed + retry_state.upcoming_sleep > settings.budget
        )

    def __repr__(self) -> str:
        return f"stop_by_default(attempts={self._attempts})"


class wait_by_default(wait_base):  # noqa: N801
    """Wait as long as the server asks and up to a tenth more, else 1, 2, 4, … seconds or down to half.

    Many calls fail at once when a service does; they are not to come back at once. Never longer
    than ``GRACEFUL_RETRY_MAX_WAIT``.
    """

    def __call__(self, retry_state: RetryCallState) -> float:
        """Tell how many seconds to wait."""
        outcome = retry_state.outcome
        asked = retry_after(outcome.exception()) if outcome is not None else None
        if asked is not None:
            seconds = asked * random.uniform(1, 1.1)  # noqa: S311
        else:
            power = min(retry_state.attempt_number - 1, 30)
            seconds = min(2.0**power, settings.max_wait) * random.uniform(0.5, 1)  # noqa: S311
        return min(seconds, settings.max_wait)

    def __repr__(self) -> str:
        return "wait_by_default()"
