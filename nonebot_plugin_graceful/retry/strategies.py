"""What is done where nothing else was said: tenacity strategies made for AI services."""

import random

from loguru import logger
from tenacity import RetryCallState
from tenacity.retry import retry_base
from tenacity.stop import stop_base
from tenacity.wait import wait_base

from nonebot_plugin_graceful.core import installed
from nonebot_plugin_graceful.core.failures import _host_of as host_of  # pyright: ignore[reportPrivateUsage]
from nonebot_plugin_graceful.core.failures import describe_failure
from nonebot_plugin_graceful.core.lifecycle import Phase

from .retry_after import retry_after
from .settings import settings
from .state import CallState
from .throttle import CAPACITY, bucket_of
from .transient import is_transient

__all__ = [
    "log_retry",
    "retry_if_transient",
    "stop_by_default",
    "stop_on_shutdown",
    "wait_by_default",
]


class _stop_on_shutdown(stop_base):  # noqa: N801 - named as tenacity names its strategies
    """Stops as soon as the bot is being stopped."""

    def __call__(self, retry_state: RetryCallState) -> bool:  # noqa: ARG002
        return installed.tree.lifecycle.phase is not Phase.RUNNING

    def __repr__(self) -> str:
        return "stop_on_shutdown"


stop_on_shutdown = _stop_on_shutdown()
"""A stop strategy for code that uses tenacity directly: ``stop=stop_after_attempt(5) | stop_on_shutdown``.

tenacity asks it after an attempt has failed, not during a wait; give ``sleep=sleep`` too.
"""


class retry_if_transient(retry_base):  # noqa: N801
    """Retry what may be over the next time; see :func:`is_transient`.

    A server that asks to be left alone for longer than the budget has left is not asked again.
    """

    def __call__(self, retry_state: RetryCallState) -> bool:
        """Tell whether to try again."""
        outcome = retry_state.outcome
        error = outcome.exception() if outcome is not None else None
        if error is None or not is_transient(error):
            return False
        asked = retry_after(error)
        return asked is None or asked <= settings.budget - (retry_state.seconds_since_start or 0)

    def __repr__(self) -> str:
        return f"{type(self).__name__}()"


class retry_by_default(retry_if_transient):  # noqa: N801
    """Retry what is transient, unless the host has had nothing but failures of late."""

    def __call__(self, retry_state: RetryCallState) -> bool:
        if not super().__call__(retry_state):
            return False
        if not settings.throttle or not isinstance(retry_state, CallState):
            return True
        error = retry_state.last_error
        host = host_of(error) if error is not None else ""
        if error is None or not host:
            return True
        bucket = bucket_of(host)
        if bucket.take():
            retry_state.bucket = bucket
            retry_state.tokens += 1
            return True
        logger.warning(
            f"Not retrying {retry_state.what}: retries for {host} are throttled after"
            f" {CAPACITY:g} failures (GRACEFUL_RETRY_THROTTLE): {describe_failure(error)}"
        )
        return False


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
    """Wait as long as the server asks, else 1, 2, 4, … seconds, of which up to half is left out.

    Never longer than ``GRACEFUL_RETRY_MAX_WAIT``.
    """

    def __call__(self, retry_state: RetryCallState) -> float:
        """Tell how many seconds to wait."""
        outcome = retry_state.outcome
        seconds = retry_after(outcome.exception()) if outcome is not None else None
        if seconds is None:
            # many calls fail at once when a service does; they are not to come back at once
            power = min(retry_state.attempt_number - 1, 30)
            seconds = min(2.0**power, settings.max_wait) * random.uniform(0.5, 1)  # noqa: S311
        return min(seconds, settings.max_wait)

    def __repr__(self) -> str:
        return "wait_by_default()"


def log_retry(retry_state: RetryCallState) -> None:
    """Log one line: what is tried again, which attempt it will be, when, and why.

    The default ``before_sleep``.
    """
    if not isinstance(retry_state, CallState):
        return
    outcome = retry_state.outcome
    error = outcome.exception() if outcome is not None else None
    logger.warning(
        f"Retrying {retry_state.what}, {retry_state.upcoming},"
        f" in {retry_state.upcoming_sleep:.1f} s: "
        + (describe_failure(error) if error else "the result was not accepted")
    )
