"""tenacity that stops at once, with defaults made for AI services."""

import sys
from types import ModuleType
from typing import Any

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


class _Module(ModuleType):
    """The module that is the decorator too.

    ``import nonebot_plugin_graceful.retry as r`` and ``from nonebot_plugin_graceful import retry``
    look up the same attribute of the package, so whatever is there has to serve both.
    """

    def __call__(self, *positions: Any, **keywords: Any) -> Any:
        """Decorate; see the function of this name."""
        return retry(*positions, **keywords)


sys.modules[__name__].__class__ = _Module
