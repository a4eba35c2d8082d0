"""What is told of a retry."""

from typing import Any

from loguru import logger
from tenacity import RetryCallState
from tenacity.stop import stop_after_attempt, stop_any

from nonebot_plugin_graceful.core.failures import _host_of as host_of  # pyright: ignore[reportPrivateUsage]
from nonebot_plugin_graceful.core.failures import describe_failure, status_of

from .transient import is_transient
from .work import current, meters, name_of, title, whose

__all__ = ["attempts_of", "log_retry", "next_attempt", "tell_meters", "what"]


def log_retry(retry_state: RetryCallState) -> None:
    """Log one line: what is tried again and for whom, which attempt it will be, when, and why.

    The default ``before_sleep``.
    """
    outcome = retry_state.outcome
    error = outcome.exception() if outcome is not None else None
    logger.warning(
        f"Retrying {what(retry_state)}, {next_attempt(retry_state)},"
        f" in {retry_state.upcoming_sleep:.1f} s: "
        + (describe_failure(error) if error else "the result was not accepted")
    )


def tell_meters(error: BaseException | None) -> None:
    """Tell those who count that something is tried again.

    Args:
        error: What it failed with; None: the result was not accepted.

    """
    for meter in meters():
        meter.retried(host_of(error) if error is not None else "", _reason(error))


def _reason(error: BaseException | None) -> str:
    if error is None:
        return "result"
    status = status_of(error)
    if status is not None:
        return str(status)
    names = " ".join(each.__name__ for each in type(error).__mro__)
    if "Timeout" in names:
        return "timeout"
    return "connection" if is_transient(error) else "error"


def what(retry_state: RetryCallState) -> str:
    """Tell what is retried, of which plugin and for which user."""
    work = current()
    name: str = getattr(retry_state.retry_object, "name", None) or ""  # tenacity's own has none
    if not name and retry_state.fn is not None:
        name = name_of(retry_state.fn)
    if not name:
        name = title(work) if work is not None else "a block"
    return name + whose(work)


def next_attempt(retry_state: RetryCallState) -> str:
    """Tell which attempt comes next, of how many."""
    limit = attempts_of(retry_state.retry_object.stop)
    return f"attempt {retry_state.attempt_number + 1}" + (f" of {limit}" if limit else "")


def attempts_of(stop: Any) -> int | None:
    """Tell how many attempts a stop strategy allows, or None if it does not go by their number."""
    if isinstance(stop, stop_after_attempt):
        return stop.max_attempt_number
    if isinstance(stop, stop_any):
        return min(filter(None, map(attempts_of, stop.stops)), default=None)
    attempts = getattr(stop, "attempts", None)
    return attempts if isinstance(attempts, int) else None
