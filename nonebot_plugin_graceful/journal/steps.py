"""Steps of a request: done once, and paid once, also over a restart."""

import asyncio
import functools
import hashlib
import inspect
import json
import typing
from collections.abc import Callable, Coroutine
from typing import Any, Generic, ParamSpec, TypeVar

from loguru import logger
from pydantic import TypeAdapter

from nonebot_plugin_graceful.core import installed as core
from nonebot_plugin_graceful.core.signatures import resolved_signature

from . import codec, installed

__all__ = ["request_key", "step"]

P = ParamSpec("P")
T = TypeVar("T")

LARGE = 64 * 1024
"""Bytes from which on a result is written, and arguments are read, in a thread."""


def step(function: Callable[P, Coroutine[Any, Any, T]]) -> Callable[P, Coroutine[Any, Any, T]]:
    """Keep what a coroutine function returns, so that a resumed request does not do it twice.

    A decorator. Inside a request that is resumed after a restart (``track(…, resume=True)``, or
    ``GRACEFUL_RESUME``) the result is kept under the request, the function, its arguments and how
    often it was called with them; when the request is taken up again, the call returns it. A call
    that fails is not kept. Anywhere else it is a plain call.

    Args:
        function: What is done. Its return annotation says how the result is kept: text, bytes,
            numbers, pydantic models, dataclasses, and containers of such.

    Raises:
        TypeError: It is no coroutine function, or its result or an argument cannot be kept; the
            message names it.

    """
    if not inspect.iscoroutinefunction(function):
        raise TypeError(f"step decorates coroutine functions, and {function!r} is none")
    name = f"{function.__module__}.{function.__qualname__}"
    keeper: _Keeper[T] = _Keeper(function, name)

    @functools.wraps(function)
    async def kept(*args: P.args, **kwargs: P.kwargs) -> T:
        keeper.check()
        journal = installed.requests
        if journal is None or (not journal.wanted and not journal.busy):
            return await function(*args, **kwargs)
        key = await keeper.key_of(args, kwargs)
        request = journal.of(core.tree.current())
        if request is not None:
            number = request.calls.get(key, 0)
            data = journal.storage.step(request.id, key, number)
            if data is not None:
                request.calls[key] = number + 1
                logger.info(f"Not done again: {name}, whose result was kept")
                return await keeper.load(data)
        result = await function(*args, **kwargs)
        # Its first section that is resumed may have been opened meanwhile.
        request = journal.of(core.tree.current())
        if request is not None:
            encoded = keeper.encode(result)
            request.calls[key] = request.calls.get(key, 0) + 1
            if not _is_large(encoded):
                journal.storage.add_step(request.id, key, _write(encoded))
                return result
            add = functools.partial(journal.storage.add_large_step, request.id, key)
            # Whoever is told to end now has paid already: only the waiting ends.
            await asyncio.shield(
                asyncio.get_running_loop().run_in_executor(None, lambda: add(_write(encoded)))
            )
        return result

    kept.__signature__ = resolved_signature(function)  # pyright: ignore[reportAttributeAccessIssue]
    return kept


def request_key() -> str:
    """Give a text that is the same for a request and for its replay after a restart.

    For an idempotency key that a provider takes, or the id of a job in a queue.

    Raises:
        RuntimeError: There is no request here.

    """
    journal, work = installed.requests, core.tree.current()
    key = journal.name_of(work) if journal is not None and work is not None else None
    if key is None:
        raise RuntimeError("request_key() belongs into a handler, or what it has spawned")
    return key


class _Keeper(Generic[T]):
    """How the calls of one function are kept."""

    def __init__(self, function: Callable[..., Coroutine[Any, Any, T]], name: str) -> None:
        self._function = function
        self._name = name
        self._signature = inspect.signature(function)
        self._adapter: TypeAdapter[Any] | None = None
        if self._signature.return_annotation is inspect.Signature.empty:
            raise TypeError(
                f"step has to know what {name} returns: give it a return annotation, as in -> bytes"
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
                f"step cannot keep what {self._name} returns ({annotation!r}): it has to be text,"
                f" bytes, numbers, pydantic models, dataclasses, or containers of such: {error}"
            ) from error

    async def key_of(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> str:
        """Tell the calls with these arguments from all others."""
        bound = self._signature.bind(*args, **kwargs)
        bound.apply_defaults()
        try:
            encoded = codec.encode(bound.arguments)
        except TypeError as error:
            raise TypeError(
                f"step cannot tell the calls of {self._name} apart by its arguments: {error}."
                " Give it those that the result depends on, and no others"
            ) from None
        if _is_large(encoded):
            return await asyncio.to_thread(self._digest, encoded)
        return self._digest(encoded)

    def _digest(self, encoded: Any) -> str:
        text = json.dumps([self._name, encoded], sort_keys=True)
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
            plain = self._adapter.dump_python(result, by_alias=True, warnings="error")
            encoded = codec.encode(plain)
            self._adapter.validate_python(codec.decode(encoded))
        except Exception as error:
            raise TypeError(
                f"step cannot keep what {self._name} has returned, a {type(result).__qualname__}: "
                f"{error}"
            ) from error
        return encoded

    async def load(self, data: bytes) -> T:
        """Give the result that was written."""
        encoded = _read(data) if len(data) < LARGE else await asyncio.to_thread(_read, data)
        if isinstance(encoded, bytes):
            return encoded  # pyright: ignore[reportReturnType]
        assert self._adapter is not None
        return self._adapter.validate_python(codec.decode(encoded))


def _write(encoded: Any) -> bytes:
    return b"b" + encoded if isinstance(encoded, bytes) else b"j" + json.dumps(encoded).encode()


def _read(data: bytes) -> Any:
    return data[1:] if data[:1] == b"b" else json.loads(data[1:])


def _is_large(encoded: Any) -> bool:
    """Whether it takes noticeable time to write."""
    if isinstance(encoded, str | bytes):
        return len(encoded) >= LARGE
    if isinstance(encoded, dict):
        return any(_is_large(each) for each in typing.cast("dict[str, Any]", encoded).values())
    if isinstance(encoded, list):
        return any(_is_large(each) for each in typing.cast("list[Any]", encoded))
    return False
