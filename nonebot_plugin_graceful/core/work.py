"""What a plugin's author says of the work: ``track``, ``spawn``, ``shield``, ``run_sync``."""

import asyncio
import functools
import inspect
import time
from collections.abc import Awaitable, Callable, Coroutine
from types import TracebackType
from typing import Any, ParamSpec, TypeVar

import anyio
import anyio.to_thread

from .errors import Interrupted
from .failures import log_failure
from .lifecycle import Phase, lifecycle
from .registry import Record, Section, owner, registry

__all__ = ["run_sync", "shield", "sleep", "spawn", "track"]

P = ParamSpec("P")
T = TypeVar("T")


class track(Section):  # noqa: N801 - it is used as a function
    """Say that the current task does work of a kind.

    An async context manager, and a decorator for coroutine functions and handlers. No new task is
    made. Sections nest: the innermost one gives kind, name and grace; the lowest tier counts.

    Args:
        kind: ``image``, ``llm``, … or a name of your own.
        name: What the log calls it. By default the task's or the function's name.
        grace: Seconds after the shutdown began during which it may still finish by itself.
            By default the kind's.
        timeout: Seconds it may take. By default the kind's.
        notice: What the chat is told when it is stopped, instead of ``GRACEFUL_NOTICE``;
            False for nothing.

    Raises:
        Interrupted: It was stopped; or the bot is shutting down, so it does not begin.
        TimeoutError: It took longer than ``timeout``.
        TypeError: It decorates something that is no coroutine function.
        ValueError: An argument cannot be used; the message names it.

    """

    __slots__ = ()

    def __init__(
        self,
        kind: str,
        *,
        name: str | None = None,
        grace: float | None = None,
        timeout: float | None = None,
        notice: str | bool | None = None,
    ) -> None:
        if grace is not None or timeout is not None:
            _check(grace, timeout)
        super().__init__(registry.kinds[kind], name, grace, timeout, notice)

    async def __aenter__(self) -> None:
        task = asyncio.current_task()
        if task is None or self.started:
            raise RuntimeError("track() needs an asyncio task, and to be made anew for each use")
        if lifecycle.phase is not Phase.RUNNING and task not in registry.shields:
            raise Interrupted(lifecycle.reason)
        if registry.refusing:
            registry.admit(self.kind)
        self.started = time.monotonic()
        record = registry.records.get(task)
        if record is not None:
            record.sections.append(self)
        else:
            parent = owner.get()
            record = Record(task, self, parent, parent.origin if parent is not None else None)
            if parent is not None:
                parent.aware = True
            registry.records[task] = record
            owner.set(record)
        record.aware = True
        if self.kind.limit is not None:
            try:
                await registry.acquire(record, self)
            except BaseException:
                _leave(task, record, self)
                raise
        if self.timeout is not None:
            self.scope = anyio.CancelScope(deadline=anyio.current_time() + self.timeout)
            self.scope.__enter__()

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        task = asyncio.current_task()
        record = registry.records.get(task) if task is not None else None
        if task is None or record is None:  # closed from outside: its task has gone already
            return
        _leave(task, record, self)
        if self.scope is not None and self.scope.__exit__(exc_type, exc, traceback):
            raise TimeoutError(f"{self.kind.name} took longer than {self.timeout:g} s") from exc
        if isinstance(exc, Interrupted) and record.reason is None and lifecycle.stopping:
            record.reason = exc.reason  # it was waiting, and the announcement ended it
        if isinstance(exc, asyncio.CancelledError) and not isinstance(exc, Interrupted):
            reason = record.stop_reason
            if reason is not None:
                raise Interrupted(reason) from exc

    def __call__(
        self, function: Callable[P, Coroutine[Any, Any, T]]
    ) -> Callable[P, Coroutine[Any, Any, T]]:
        """Decorate a coroutine function: each call is a section."""
        if not inspect.iscoroutinefunction(function):
            raise TypeError(
                f"track() decorates coroutine functions, and {function!r} is none;"
                " for sync code there is run_sync()"
            )
        make = functools.partial(
            track,
            self.kind.name,
            name=self.name or function.__name__,
            grace=self._grace,
            timeout=self.timeout,
            notice=self.notice,
        )

        @functools.wraps(function)
        async def tracked(*args: P.args, **kwargs: P.kwargs) -> T:
            async with make():
                return await function(*args, **kwargs)

        tracked.__signature__ = _resolved_signature(function)  # pyright: ignore[reportAttributeAccessIssue]
        return tracked


def spawn(
    coro: Coroutine[Any, Any, T],
    *,
    kind: str = "background",
    name: str | None = None,
    grace: float | None = None,
    timeout: float | None = None,
    notice: str | bool | None = None,
) -> "asyncio.Task[T]":
    """Run a coroutine as a task of its own, as ``asyncio.create_task`` does.

    The task is held until it ends, stopped in its kind's tier and not with the handler that
    spawned it, and its failure is logged if nobody awaits it.

    Args:
        coro: The coroutine to run.
        kind: As of :class:`track`.
        name: The task's name.
        grace: As of :class:`track`.
        timeout: As of :class:`track`.
        notice: As of :class:`track`.

    Raises:
        Interrupted: The bot is shutting down; the coroutine is closed.
        ValueError: An argument cannot be used; the message names it.

    """
    if grace is not None or timeout is not None:
        _check(grace, timeout)
    if lifecycle.phase is not Phase.RUNNING and asyncio.current_task() not in registry.shields:
        coro.close()
        raise Interrupted(lifecycle.reason)
    section = Section(registry.kinds[kind], name, grace, timeout, notice)
    if registry.refusing:
        try:
            registry.admit(section.kind)
        except Interrupted:
            coro.close()
            raise
    inner = coro
    if section.kind.limit is not None or section.timeout is not None:
        coro = _in_section(coro, track(kind, name=name, grace=grace, timeout=timeout))
    section.started = time.monotonic()
    maker = owner.get()
    record = Record(None, section, None, maker.origin if maker is not None else None)
    record.aware = True
    # What is made under it belongs to it. (create_task takes a context only from 3.11 on.)
    owner.set(record)
    try:
        task = asyncio.get_running_loop().create_task(coro, name=name)
    finally:
        owner.set(maker)
    record.task = task
    registry.records[task] = record
    task.add_done_callback(_spawned_ended)
    if inner is not coro:  # cancelled before its first step, the section never came to close it
        task.add_done_callback(lambda _: inner.close())
    return task


async def _in_section(coro: Coroutine[Any, Any, T], section: track) -> T:
    async with section:
        return await coro


def _spawned_ended(task: "asyncio.Task[Any]") -> None:
    registry.discard(task)
    if _is_unretrieved(task):
        # Whoever awaits it is woken in the same iteration, after us.
        task.get_loop().call_soon(_report_unless_awaited, task)


def _report_unless_awaited(task: "asyncio.Task[Any]") -> None:
    if _is_unretrieved(task) and (error := task.exception()) is not None:
        log_failure(f"Task {task.get_name()}", error)


def _is_unretrieved(task: "asyncio.Task[Any]") -> bool:
    # What asyncio itself goes by for "Task exception was never retrieved".
    return bool(getattr(task, "_log_traceback", False))


class shield:  # noqa: N801 - it is used as a function
    """Do not cut this: a cancellation of the plugin's waits for the end of the stretch.

    An async context manager, for the few lines that must happen whole. It holds for at most
    ``GRACEFUL_SHIELD_TIMEOUT`` seconds of a shutdown.

    Raises:
        Interrupted: On leaving, if the task was to be stopped meanwhile.

    """

    __slots__ = ()

    async def __aenter__(self) -> None:
        task = asyncio.current_task()
        if task is None:
            raise RuntimeError("shield() needs an asyncio task to run in")
        registry.shields[task] = registry.shields.get(task, 0) + 1

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        task = asyncio.current_task()
        if task is None:
            return
        depth = registry.shields.pop(task, 0)
        if depth > 1:
            registry.shields[task] = depth - 1
            return
        record = registry.current()
        reason = record.stop_reason if record is not None else None
        if exc_type is None and reason is not None:
            raise Interrupted(reason)


async def run_sync(
    function: Callable[P, T],
    /,
    *args: P.args,
    **kwargs: P.kwargs,
) -> T:
    """Run a blocking function in a thread, as ``asyncio.to_thread`` does, seen by the registry.

    When the bot stops, the awaiting task is freed at once. A thread cannot be ended from outside,
    so its function should ask :func:`is_shutting_down` now and then and wait with :func:`sleep`.

    Args:
        function: The function to run.
        args: Its arguments.
        kwargs: Its keyword arguments.

    Raises:
        Interrupted: The bot is shutting down.

    """
    name = getattr(function, "__qualname__", repr(function))
    record = registry.current()
    async with track(record.kind.name if record else "background", name=f"thread {name}"):
        return await anyio.to_thread.run_sync(
            functools.partial(function, *args, **kwargs), abandon_on_cancel=True
        )


def sleep(seconds: float) -> Awaitable[None]:
    """Wait, but not into the shutdown.

    In a coroutine ``await sleep(3)``; in a thread that runs no event loop ``sleep(3)``, which
    blocks.

    Args:
        seconds: How long.

    Raises:
        Interrupted: The shutdown began, or had begun already.

    """
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        if lifecycle.stopping or lifecycle.stopped.wait(seconds):
            raise Interrupted(lifecycle.reason) from None
        return _Done()
    return lifecycle.wait(seconds)


class _Done:
    """What a wait that is over gives to those who await it all the same."""

    def __await__(self) -> Any:
        return iter(())


def _leave(task: "asyncio.Task[Any]", record: Record, section: Section) -> None:
    sections = record.sections
    if section.limiter is not None:
        registry.release(section)
    if len(sections) > 1:
        if record.reason is None:  # else it is remembered for what it was stopped in
            sections.pop()
    else:
        registry.drop(task, record)


def _check(grace: float | None, timeout: float | None) -> None:
    if grace is not None and not grace >= 0:
        raise ValueError(f"grace has to be a number of seconds from 0 on; it is {grace!r}")
    if timeout is not None and not timeout > 0:
        raise ValueError(f"timeout has to be a number of seconds above 0; it is {timeout!r}")


def _resolved_signature(function: Callable[..., Any]) -> inspect.Signature:
    """Give the signature with its annotations evaluated where they were written.

    NoneBot evaluates a handler's string annotations in the globals of the function that it is
    given, and a wrapper's globals are those of this module (nonebot/dependencies/utils.py).
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
