"""What a plugin's author says of the work, and asks of it."""

import asyncio
import functools
import inspect
from collections.abc import Awaitable, Callable, Coroutine
from types import TracebackType
from typing import Any, ParamSpec, TypeVar

import anyio.to_thread

from . import installed
from .admission import INHERITED
from .current import current_task
from .ending import admit, admit_at_once, end_hosts, interrupt_if_told, left_cancelled, take_place
from .errors import Interrupted
from .info import TaskInfo, describe, in_flight, others_in_flight
from .lifecycle import ShuttingDownHook
from .orders import run_time, stop
from .signatures import resolved_signature
from .work import Section

__all__ = [
    "cancel",
    "is_shutting_down",
    "on_shutting_down",
    "run_sync",
    "shield",
    "sleep",
    "spawn",
    "tasks",
    "track",
]

P = ParamSpec("P")
T = TypeVar("T")


class track(Section):  # noqa: N801 - it is used as a function
    """Say that the current task does work of a kind.

    An async context manager, and a decorator for coroutine functions and handlers. No new task is
    made. Sections nest: the innermost one gives kind and name, and grace where it says one; the
    lowest tier counts.

    Args:
        kind: ``image``, ``llm``, … or a name of your own.
        name: What the log calls it. By default the task's or the function's name.
        grace: Seconds after the shutdown began during which it may still finish by itself.
            By default the kind's, or what was asked for around it if that is more.
        timeout: Seconds it may take. By default the kind's.
        notice: What the chat is told when it is stopped, instead of ``GRACEFUL_NOTICE``;
            False for nothing.
        resume: Whether the request it is part of is to survive a restart, and to be taken up
            again after it. By default as ``GRACEFUL_RESUME`` says. What is taken up is the handler: a
            queue worker's job can be resumed if its handler awaits the result, and not once that has
            ended, which is warned about.
        event: For whom it is, where the surrounding work does not tell: a queue worker does one
            person's job after another's, whoever has started it. None: for nobody. What was told to
            end then is this section, and not the worker around it. While the event's handler runs,
            the job is a part of its request.

    Raises:
        Interrupted: It was stopped; or the bot is shutting down, so it does not begin.
        Refused: The bot is being drained, or no place of the kind's limit became free in time.
        TimeoutError: It took longer than ``timeout``.
        TypeError: It decorates something that is no coroutine function.
        ValueError: An argument cannot be used; the message names it.

    """

    __slots__ = ()

    event: Any = INHERITED
    timer: asyncio.TimerHandle | None
    raised: type[BaseException] | None

    def __init__(
        self,
        kind: str,
        *,
        name: str | None = None,
        grace: float | None = None,
        timeout: float | None = None,
        notice: str | bool | None = None,
        resume: bool | None = None,
        event: Any = INHERITED,
    ) -> None:
        if grace is not None or timeout is not None:
            _check(grace, timeout)
        super().__init__(installed.tree.kinds[kind], name, grace, timeout, notice, resume)
        if event is not INHERITED:
            self.event = event

    async def __aenter__(self) -> None:
        task = current_task()
        if task is None or self.started:
            raise RuntimeError("track() needs an asyncio task, and to be made anew for each use")
        tree = installed.tree
        if tree.lifecycle.stopping or tree.admission.refusing:
            await admit(tree, self.kind, task, self.event, resume=self.resume)
        if self.event is INHERITED:
            work = tree.open(self, task)
        else:
            work = tree.open_work(self, task, tree.world.origin_of(self.event), event=self.event)
        work.aware = True
        if self.kind.limit is not None:
            await take_place(tree, self)
        if self.timeout is not None:
            run_time(tree, self)

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        work = self.work
        if work is None:  # closed from outside: its task has gone already
            return
        if exc_type is not None:
            self.raised = exc_type
        if isinstance(exc, asyncio.CancelledError):
            left_cancelled(installed.tree, self, work, exc)
        else:
            installed.tree.close(self)

    def __call__(
        self, function: Callable[P, Coroutine[Any, Any, T]]
    ) -> Callable[P, Coroutine[Any, Any, T]]:
        """Decorate a coroutine function: each call is a section."""
        if not inspect.iscoroutinefunction(function):
            raise TypeError(
                f"track() decorates coroutine functions, and {function!r} is none;"
                " for sync code there is run_sync()"
            )
        kind, name = self.kind.name, self.name or function.__name__
        keywords: dict[str, Any] = {
            "grace": self.own_grace,
            "timeout": self.own_timeout,
            "notice": self.notice,
            "resume": self.resume,
            "event": self.event,
        }

        @functools.wraps(function)
        async def tracked(*args: P.args, **kwargs: P.kwargs) -> T:
            async with track(kind, name=name, **keywords):
                return await function(*args, **kwargs)

        tracked.__signature__ = resolved_signature(function)  # pyright: ignore[reportAttributeAccessIssue]
        return tracked


def spawn(
    coro: Coroutine[Any, Any, T],
    *,
    kind: str = "background",
    name: str | None = None,
    grace: float | None = None,
    timeout: float | None = None,
    notice: str | bool | None = None,
    event: Any = INHERITED,
) -> "asyncio.Task[T]":
    """Run a coroutine as a task of its own, as ``asyncio.create_task`` does.

    The task is held until it ends, stopped in its kind's tier, and its failure is logged if nobody
    awaits it. Of a kind of its own it is part of the request it is spawned in, and ends with that
    if that is cancelled while the bot runs on. As ``background`` it is nobody's, as a queue worker
    is that serves everybody: say ``event=`` where it is not.

    Args:
        coro: The coroutine to run.
        kind: As of :class:`track`.
        name: The task's name.
        grace: As of :class:`track`.
        timeout: As of :class:`track`.
        notice: As of :class:`track`.
        event: As of :class:`track`. None for a worker that is nobody's.

    Raises:
        Interrupted: The bot is shutting down; the coroutine is closed.
        Refused: The bot is being drained; the coroutine is closed.
        ValueError: An argument cannot be used; the message names it.

    """
    if grace is not None or timeout is not None:
        _check(grace, timeout)
    tree = installed.tree
    section = Section(tree.kinds[kind], name, grace, timeout, notice)
    if tree.lifecycle.stopping or tree.admission.refusing:
        try:
            admit_at_once(tree, section.kind, asyncio.current_task(), event)
        except BaseException:
            coro.close()
            raise
    inner = coro
    if section.kind.limit is not None or section.timeout is not None:
        coro = _bounded(coro, section)
    origin = None if event is INHERITED else tree.world.origin_of(event)
    task = tree.start(section, coro, origin, inherit=event is INHERITED, event=event)
    if inner is not coro:  # cancelled before its first step, the wrapper never came to close it
        task.add_done_callback(lambda _: inner.close())
    return task


async def _bounded(coro: Coroutine[Any, Any, T], section: Section) -> T:
    """Run a coroutine in a section that is open, when it has a place and for as long as it may."""
    tree, work = installed.tree, section.work
    assert work is not None
    await take_place(tree, section)
    run_time(tree, section)
    try:
        return await coro
    except asyncio.CancelledError as error:
        section.raised = type(error)
        left_cancelled(tree, section, work, error)
        raise
    except BaseException as error:
        section.raised = type(error)
        raise
    finally:
        tree.close(section)


class shield:  # noqa: N801 - it is used as a function
    """Do not cut this: a cancellation of the plugin's waits for the end of the stretch.

    An async context manager, for the few lines that must happen whole. It holds for at most
    ``GRACEFUL_SHIELD_TIMEOUT`` seconds of a shutdown, and no longer than the task it was entered in.

    Raises:
        Interrupted: On leaving, if the task was to be stopped meanwhile.

    """

    __slots__ = ("_task",)

    async def __aenter__(self) -> None:
        self._task = asyncio.current_task()
        if self._task is None:
            raise RuntimeError("shield() needs an asyncio task to run in")
        installed.tree.shield(self._task)

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        tree, task = installed.tree, self._task
        if task is None or not tree.unshield(task) or task is not asyncio.current_task():
            return
        if exc_type is None:
            interrupt_if_told(tree)


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
    work = installed.tree.current()
    async with track(work.kind.name if work else "background", name=f"thread {name}"):
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
    lifecycle = installed.tree.lifecycle
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        if lifecycle.stopping or lifecycle.stopped.wait(seconds):
            raise Interrupted(lifecycle.reason) from None
        return _Done()
    return _sleep(seconds)


async def _sleep(seconds: float) -> None:
    tree = installed.tree
    try:
        await tree.lifecycle.wait(seconds)
    except Interrupted as error:
        end_hosts(tree, error.reason)
        raise


class _Done:
    """What a wait that is over gives to those who await it all the same."""

    def __await__(self) -> Any:
        return iter(())


def tasks() -> list[TaskInfo]:
    """List what is in flight, the longest first. Needs a running event loop."""
    return [describe(installed.tree, work) for work in in_flight(installed.tree)]


def cancel(
    id: int | None = None,  # noqa: A002 - it is what TaskInfo calls it
    *,
    kind: str | None = None,
    plugin: str | None = None,
    user: str | None = None,
    chat: str | None = None,
    reason: str = "cancelled",
) -> list[TaskInfo]:
    """Cancel what is in flight and fits every criterion given, but never the caller.

    Needs a running event loop.

    It returns at once; who swallows the cancellation is cancelled again. With it ends what belongs
    to it, and who can only be waiting for it; matchers of lower priority do not take the event
    over. By ``kind``, only the sections of that kind end: a worker goes on with its next job.

    Args:
        id: As :class:`TaskInfo` tells it.
        kind: Its kind.
        plugin: The plugin whose handler or job it is.
        user: On whose behalf it works.
        chat: The group, channel or person it works for.
        reason: What ``Interrupted`` says.

    Returns:
        What was told to stop.

    Raises:
        TypeError: No criterion was given.

    """
    criteria = {"id": id, "kind": kind, "plugin": plugin, "user": user, "chat": chat}
    wanted = {name: value for name, value in criteria.items() if value is not None}
    if not wanted:
        raise TypeError(f"cancel() needs one of {', '.join(criteria)}")
    tree = installed.tree
    wanted.pop("kind", None)
    of_requests = id is None and (user is not None or chat is not None)
    infos: dict[Section, TaskInfo] = {}
    for work in others_in_flight(tree):
        info = describe(tree, work)
        section = work.sections[0]
        if kind is not None:
            section = next((each for each in work.sections if each.kind.name == kind), None)
        if of_requests and section is work.sections[0] and work.adopted:
            continue  # maybe a worker, that serves others as well
        if section is not None and all(getattr(info, n) == value for n, value in wanted.items()):
            infos[section] = info
    told = stop(tree, list(infos), reason, of_requests=of_requests)
    return [infos[section] for section in told]


def is_shutting_down() -> bool:
    """Whether the shutdown has begun. From any thread."""
    return installed.tree.lifecycle.stopping


def on_shutting_down(hook: ShuttingDownHook) -> ShuttingDownHook:
    """Be told that the bot is being stopped while it can still talk.

    A decorator. The hooks start together when the shutdown begins, before anything is cancelled;
    each has ``GRACEFUL_HOOK_TIMEOUT`` seconds.

    Args:
        hook: A function without parameters, sync or async. A sync one runs in a thread.

    """
    installed.tree.lifecycle.hooks.append(hook)
    return hook


def _check(grace: float | None, timeout: float | None) -> None:
    if grace is not None and not grace >= 0:
        raise ValueError(f"grace has to be a number of seconds from 0 on; it is {grace!r}")
    if timeout is not None and not timeout > 0:
        raise ValueError(f"timeout has to be a number of seconds above 0; it is {timeout!r}")
