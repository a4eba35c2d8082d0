"""The functions that are retried."""

import functools
import inspect
from collections.abc import Callable
from typing import Any

from .work import resolved_signature

__all__ = ["awaiting", "is_coroutine_callable", "with_resolved_signature"]


def is_coroutine_callable(fn: Callable[..., Any]) -> bool:
    """Tell whether calling it gives something to await; partials and callable objects included."""
    while isinstance(fn, functools.partial):
        fn = fn.func
    if inspect.isclass(fn):
        return False
    if getattr(fn, "__tornado_coroutine__", False):  # Tornado's loop is asyncio's, too
        return True
    return inspect.iscoroutinefunction(fn) or inspect.iscoroutinefunction(
        getattr(fn, "__call__", None)  # noqa: B004
    )


def awaiting(fn: Callable[..., Any]) -> Callable[..., Any]:
    """Make a coroutine function of what may as well return something to await."""
    if inspect.iscoroutinefunction(fn):
        return fn

    @functools.wraps(fn)
    async def call(*args: Any, **kwargs: Any) -> Any:
        result = fn(*args, **kwargs)
        return await result if hasattr(result, "__await__") else result

    return call


def with_resolved_signature(wrapped: Any, function: Callable[..., Any]) -> Any:
    """Give a wrapper the signature of its function, if that has annotations written as text.

    NoneBot evaluates those in the globals of the wrapper, which are not the author's.
    """
    try:
        annotations = function.__annotations__
    except Exception:  # no function; from 3.14 on also names that are not there yet
        return wrapped
    if any(isinstance(annotation, str) for annotation in annotations.values()):
        wrapped.__signature__ = resolved_signature(function)
    return wrapped
