"""Signatures that still mean the same in another module."""

from collections.abc import Callable
from typing import Any

from nonebot_plugin_graceful.core.signatures import resolved_signature

__all__ = ["with_resolved_signature"]


def with_resolved_signature(wrapped: Any, function: Callable[..., Any]) -> None:
    """Give a wrapper the signature of its function, if that has annotations written as text.

    NoneBot evaluates those in the globals of the wrapper, which are not the author's.
    """
    try:
        annotations = function.__annotations__
    except Exception:  # no function; from 3.14 on also names that are not there yet
        return
    if any(isinstance(annotation, str) for annotation in annotations.values()):
        wrapped.__signature__ = resolved_signature(function)
