"""How the calls of a function are kept: what tells them apart, and what they return."""

import asyncio
import hashlib
import inspect
import json
import typing
from collections.abc import Callable, Coroutine
from typing import Any, Generic, TypeVar

from pydantic import TypeAdapter

from . import codec
from .loss import find_loss

__all__ = ["LARGE", "Keeper", "is_large"]

T = TypeVar("T")

LARGE = 64 * 1024
"""Bytes from which on a result is written, and arguments are read, in a thread."""


class Keeper(Generic[T]):
    """How the calls of one function are kept.

    Args:
        function: What is called.
        decorator: What its author has put on it, for the messages.

    Raises:
        TypeError: It is no coroutine function, or its result cannot be kept.

    """

    def __init__(self, function: Callable[..., Coroutine[Any, Any, T]], decorator: str) -> None:
        # A functools.partial of one passes for one, but has no name to find its results by.
        if not inspect.iscoroutinefunction(function) or not hasattr(function, "__qualname__"):
            raise TypeError(f"{decorator} decorates coroutine functions, and {function!r} is none")
        self.name: str = f"{function.__module__}.{function.__qualname__}"
        self._function = function
        self._decorator = decorator
        self._signature = inspect.signature(function)
        self._adapter: TypeAdapter[Any] | None = None
        if self._signature.return_annotation is inspect.Signature.empty:
            raise TypeError(
                f"{decorator} has to know what {self.name} returns: give it a return annotation,"
                " as in -> bytes"
            )
        if not isinstance(self._signature.return_annotation, str):
            self.check()

    def check(self) -> None:
        """See to it that its result can be kept.

        Raises:
            TypeError: It cannot.

        """
        if self._adapter is not None:
            return
        try:  # a name in an annotation may be defined below the function
            annotation = typing.get_type_hints(self._function, include_extras=True)["return"]
            if annotation in (Any, object):
                raise TypeError("it may be anything")
            self._adapter = TypeAdapter(annotation)
        except Exception as error:
            annotation = self._signature.return_annotation
            raise TypeError(
                f"{self._decorator} cannot keep what {self.name} returns ({annotation!r}): it has to be text,"
                f" bytes, numbers, pydantic models, dataclasses, or containers of such: {error}"
            ) from error

    def arguments(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Give the arguments of a call as what JSON knows.

        Raises:
            TypeError: One of them cannot be.

        """
        bound = self._signature.bind(*args, **kwargs)
        bound.apply_defaults()
        try:
            return codec.encode(bound.arguments)
        except TypeError as error:
            raise TypeError(
                f"{self._decorator} cannot tell the calls of {self.name} apart by its arguments:"
                f" {error}. Give it those that the result depends on, and no others"
            ) from None

    def call(self, arguments: Any) -> Coroutine[Any, Any, T]:
        """Call the function with arguments that were given as what JSON knows."""
        bound = self._signature.bind_partial()
        bound.arguments.update(codec.decode(arguments))
        return self._function(*bound.args, **bound.kwargs)

    async def key_of(self, arguments: Any) -> str:
        """Tell the calls with these arguments from all others."""
        if is_large(arguments):
            return await asyncio.to_thread(self._digest, arguments)
        return self._digest(arguments)

    def _digest(self, arguments: Any) -> str:
        text = json.dumps([self.name, arguments], sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:32]

    def encode(self, result: T) -> Any:
        """Give what is to be written: bytes, or what JSON knows.

        Raises:
            TypeError: It cannot be kept.

        """
        if isinstance(result, bytes):
            return result
        assert self._adapter is not None
        try:
            plain = self._adapter.dump_python(
                result, by_alias=True, round_trip=True, warnings="error"
            )
            encoded = codec.encode(plain)
            loss = find_loss(result, self._adapter.validate_python(codec.decode(encoded)))
            if loss is not None:
                annotation = inspect.formatannotation(self._signature.return_annotation)
                raise TypeError(
                    f"{loss}. The return annotation ({annotation}) has to name its very classes, and"
                    " those have to come back from pydantic's dump as they were"
                )
        except Exception as error:
            raise TypeError(
                f"{self._decorator} cannot keep what {self.name} has returned, a {type(result).__qualname__}: "
                f"{error}"
            ) from error
        return encoded

    def decode(self, encoded: Any) -> T:
        """Give the result that was written.

        Raises:
            ValueError: It is none of the function's any more.

        """
        assert self._adapter is not None
        plain = encoded if isinstance(encoded, bytes) else codec.decode(encoded)
        return self._adapter.validate_python(plain)


def is_large(encoded: Any) -> bool:
    """Whether it takes noticeable time to write."""
    if isinstance(encoded, str | bytes):
        return len(encoded) >= LARGE
    if isinstance(encoded, dict):
        return any(is_large(each) for each in typing.cast("dict[str, Any]", encoded).values())
    if isinstance(encoded, list):
        return any(is_large(each) for each in typing.cast("list[Any]", encoded))
    return False
