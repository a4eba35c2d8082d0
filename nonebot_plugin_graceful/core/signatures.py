"""Signatures that still mean the same in another module."""

import inspect
from collections.abc import Callable
from typing import Any

__all__ = ["resolved_signature"]


def resolved_signature(function: Callable[..., Any]) -> inspect.Signature:
    """Give the signature with its annotations evaluated where they were written.

    NoneBot evaluates a handler's string annotations in the globals of the function that it is
    given, and a wrapper's globals are those of its own module (nonebot/dependencies/utils.py).
    """
    signature = inspect.signature(function)
    namespace = getattr(inspect.unwrap(function), "__globals__", {})
    return signature.replace(
        parameters=[
            parameter.replace(annotation=_evaluated(parameter.annotation, namespace))
            for parameter in signature.parameters.values()
        ]
    )


def _evaluated(annotation: Any, namespace: dict[str, Any]) -> Any:
    if isinstance(annotation, str):
        try:
            return eval(annotation, namespace)  # noqa: S307 - the author's own annotation
        except Exception:
            return annotation  # only there for type checkers; NoneBot says so itself
    return annotation
