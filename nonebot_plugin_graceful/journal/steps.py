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
from .requests import Request
from .storage import Storage

__all__ = ["request_key", "step"]

P = ParamSpec("P")
T = TypeVar("T")

JSON, BYTES, FILE = b"j", b"b", b"f"
"""What a kept result begins with."""
MISSING: Any = object()
"""Stands for a result that was not kept."""
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
            data = await _fetch(journal.storage, request, key)
            if data is not MISSING:
                logger.info(f"Not done again: {name}, whose result was kept")
                return keeper.decode(data)
        result = await function(*args, **kwargs)
        # Its first section that is resumed may have been opened meanwhile.
        request = journal.of(core.tree.current())
        if request is not None:
            await _keep(journal.storage, request, key, keeper.encode(result))
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

    def decode(self, encoded: Any) -> T:
        """Give the result that was written."""
        if isinstance(encoded, bytes):
            return encoded  # pyright: ignore[reportReturnType]
        assert self._adapter is not None
        return self._adapter.validate_python(codec.decode(encoded))


async def _fetch(storage: Storage, request: Request, step: str) -> Any:
    """Give the next kept result of a step, or ``MISSING``."""
    number = request.calls.get(step, 0)
    data = storage.step(request.id, step, number)
    if data is not None and data[:1] == FILE:
        data = await asyncio.to_thread(storage.read_file, data[1:])
    if data is None:
        return MISSING
    request.calls[step] = number + 1
    return _read(data) if len(data) < LARGE else await asyncio.to_thread(_read, data)


async def _keep(storage: Storage, request: Request, step: str, encoded: Any) -> None:
    """Keep a result. A failure to do so is said, and costs nobody his answer."""
    request.calls[step] = request.calls.get(step, 0) + 1
    if not _is_large(encoded):
        storage.add_step(request.id, step, _write(encoded))
        return
    writing = asyncio.get_running_loop().run_in_executor(
        None, lambda: storage.write_file(request.id, _write(encoded))
    )

    def written(done: "asyncio.Future[bytes]") -> None:
        if done.cancelled():
            return
        if (error := done.exception()) is not None:
            logger.warning(f"The result of a step cannot be kept: {error}")
        else:
            storage.add_step(request.id, step, FILE + done.result())

    writing.add_done_callback(written)
    # Whoever is told to end meanwhile has paid already: only the waiting ends.
    await asyncio.wait([asyncio.shield(writing)])


def _write(encoded: Any) -> bytes:
    return BYTES + encoded if isinstance(encoded, bytes) else JSON + json.dumps(encoded).encode()


def _read(data: bytes) -> Any:
    return data[1:] if data[:1] == BYTES else json.loads(data[1:])


def _is_large(encoded: Any) -> bool:
    """Whether it takes noticeable time to write."""
    if isinstance(encoded, str | bytes):
        return len(encoded) >= LARGE
    if isinstance(encoded, dict):
        return any(_is_large(each) for each in typing.cast("dict[str, Any]", encoded).values())
    if isinstance(encoded, list):
        return any(_is_large(each) for each in typing.cast("list[Any]", encoded))
    return False
