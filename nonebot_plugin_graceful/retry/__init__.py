"""tenacity that stops at once, with defaults made for AI services."""

from .decorator import Retried, retry
from .headers import retry_after
from .loops import AsyncRetrying, Retrying
from .settings import configure
from .strategies import retry_if_transient, stop_by_default, stop_on_shutdown, wait_by_default
from .telling import log_retry
from .transient import is_transient

__all__ = [
    "AsyncRetrying",
    "Retried",
    "Retrying",
    "configure",
    "is_transient",
    "log_retry",
    "retry",
    "retry_after",
    "retry_if_transient",
    "stop_by_default",
    "stop_on_shutdown",
    "wait_by_default",
]
