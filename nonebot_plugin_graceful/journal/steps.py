"""Steps of a request: done once, and paid once, also over a restart."""

import asyncio
import functools
import json
from collections.abc import Callable, Coroutine
from typing import Any, ParamSpec, TypeVar

from loguru import logger

from nonebot_plugin_graceful.core import installed as core
from nonebot_plugin_graceful.core.signatures import resolved_signature

from . import installed
from .keeper import LARGE, Keeper, is_large
from .request import Request
from .requests import LATE, is_late
from .storage import Storage

__all__ = ["request_key", "step"]

P = ParamSpec("P")
T = TypeVar("T")

JSON, BYTES, FILE = b"j", b"b", b"f"
"""What a kept result begins with."""
MISSING: Any = object()
"""Stands for a result that was not kept."""


def step(function: Callable[P, Coroutine[Any, Any, T]]) -> Callable[P, Coroutine[Any, Any, T]]:
    """Keep what a coroutine function returns, so that a resumed request does not do it twice.

    A decorator. Inside a request that is resumed after a restart (``track(…, resume=True)``, or
    ``GRACEFUL_RESUME``) the result is kept under the request, the function, its arguments and how
    often it was called with them; when the request is taken up again, the call returns it. A call
    that fails is not kept. Anywhere else it is a plain call.

    Args:
        function: What is done. Its return annotation says how the result is kept: text, bytes,
            numbers, pydantic models, dataclasses, and containers of such. It names the very
            classes: a subclass would not come back as it was.

    Raises:
        TypeError: It is no coroutine function, or its result or an argument cannot be kept; the
            message names it.

    """
    keeper: Keeper[T] = Keeper(function, "step")

    @functools.wraps(function)
    async def kept(*args: P.args, **kwargs: P.kwargs) -> T:
        keeper.check()
        journal = installed.requests
        if journal is None or (not journal.wanted and not journal.busy):
            return await function(*args, **kwargs)
        key = await keeper.key_of(keeper.arguments(args, kwargs))
        request = journal.of(core.tree.current())
        number = 0 if request is None else request.begin_step(key)
        try:
            if request is not None:
                data = await _fetch(journal.storage, request, key, number)
                try:
                    if data is not MISSING:
                        result = keeper.decode(data)
                        logger.info(f"Not done again: {keeper.name}, whose result was kept")
                        return result
                except ValueError:  # its plugin was updated meanwhile
                    logger.warning(
                        f"Done again: {keeper.name}, since its kept result does not fit it"
                    )
                    journal.storage.drop_steps(request.id, key)
            result = await function(*args, **kwargs)
        except BaseException:
            if request is not None:
                request.fail_step(key, number)
            raise
        # Its first section that is resumed may have been opened meanwhile.
        before, request = request, journal.of(core.tree.current())
        if request is not None:
            if request is not before:
                number = request.begin_step(key)
            await _keep(journal.storage, request, key, number, keeper.encode(result))
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
    if key is None and work is not None and is_late(work):
        raise RuntimeError(f"request_key() has no request here: {LATE}")
    if key is None:
        raise RuntimeError("request_key() belongs into a handler, or what it has spawned")
    return key


async def _fetch(storage: Storage, request: Request, step: str, number: int) -> Any:
    """Give the n-th kept result of a step, or ``MISSING``."""
    data = storage.step(request.id, step, number)
    if data is not None and data[:1] == FILE:
        data = await asyncio.to_thread(storage.read_file, data[1:])
    if data is None:
        return MISSING
    return _read(data) if len(data) < LARGE else await asyncio.to_thread(_read, data)


async def _keep(storage: Storage, request: Request, step: str, number: int, encoded: Any) -> None:
    """Keep a result. A failure to do so is said, and costs nobody his answer."""
    if not is_large(encoded):
        storage.add_step(request.id, step, number, _write(encoded))
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
            storage.add_step(request.id, step, number, FILE + done.result())

    writing.add_done_callback(written)
    # Whoever is told to end meanwhile has paid already: only the waiting ends.
    await asyncio.wait([asyncio.shield(writing)])


def _write(encoded: Any) -> bytes:
    return BYTES + encoded if isinstance(encoded, bytes) else JSON + json.dumps(encoded).encode()


def _read(data: bytes) -> Any:
    return data[1:] if data[:1] == BYTES else json.loads(data[1:])
