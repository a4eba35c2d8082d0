"""The plugins' ``on_bot_disconnect`` hooks: each runs to its end, whatever the others do.

And what those of ``on_bot_connect`` raise at their end, which ends nothing else.
"""

import asyncio
import functools
import inspect
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any, cast

import anyio
from nonebot.dependencies import Dependent
from nonebot.exception import SkippedException
from nonebot.internal.driver import Driver
from nonebot.log import logger
from nonebot.utils import is_coroutine_callable, run_coro_with_catch

from nonebot_plugin_graceful.core import frames
from nonebot_plugin_graceful.core.drain import name_of
from nonebot_plugin_graceful.core.lifecycle import Lifecycle

from .hooks import LEAST_TURN, PACE, contained, how_it_failed, is_being_closed

__all__ = ["Disconnecting", "disconnect_hook_in", "guard_connect_hooks"]

SETTLING = 20
"""Loop iterations in which a bot whose connection was cancelled has come to its disconnection's hooks."""

Hook = Dependent[Any]


class Disconnecting:
    """One shutdown's ``on_bot_disconnect`` hooks.

    NoneBot runs those of a bot side by side, in a task group of anyio's: one that raises, or ends
    with a ``CancelledError``, ends the others. What is no ``Exception`` goes further: it ends the
    group around it, and with that the task that runs the ``on_shutdown`` hooks; ``sys.exit()`` ends
    the event loop. So nothing of that may come out of a hook.
    """

    def __init__(self) -> None:
        self.failures: dict[str, str] = {}
        """What became of the hooks that did not end as they should, by their names."""
        self._guards: dict[Hook, Hook] = {}
        self._began: dict[asyncio.Task[Any], float] = {}
        self._over: set[asyncio.Task[Any]] = set()

    def guard(self) -> Callable[[], None]:
        """Guard every hook that begins from now on.

        Returns:
            Takes it back.

        """
        self._guards.update(_guard_all(_hooks(), self._guarded))
        return lambda: _replace(_hooks(), self._guards)

    def _guarded(self, hook: Hook) -> Callable[..., Any]:
        @functools.wraps(hook)
        async def guarded(**of_the_bot: Any) -> None:
            task = asyncio.current_task()
            assert task is not None
            self._began[task] = time.monotonic()
            try:
                await run_coro_with_catch(_run(hook, of_the_bot), (SkippedException,))
            except asyncio.CancelledError:
                pass  # as of the most written hook of all: worker.cancel(); await worker
            except BaseException as error:
                if is_being_closed(error, task):
                    raise
                # Who is told of it may take long, and is not to be interrupted: see `is_over`.
                self._over.add(task)
                name = name_of(hook.call)
                self._failed(name, how_it_failed(error))
                logger.opt(exception=error).debug(f"on_bot_disconnect hook {name} failed")
            finally:
                del self._began[task]
                self._over.discard(task)

        return guarded

    def _failed(self, name: str, what: str) -> None:
        self.failures[name] = f"(on_bot_disconnect) {what}"
        logger.error(f"on_bot_disconnect hook {name} {what}")

    def is_over(self, task: "asyncio.Task[Any]") -> bool:
        """Whether a task has run its hook, and only says yet how that failed."""
        return task in self._over

    def running(self) -> "dict[asyncio.Task[Any], str]":
        """Give the tasks of the hooks that are running, and their names.

        Also of those that began before the shutdown did. NoneBot shields them, and waits for them
        after every ``on_shutdown`` hook.
        """
        tasks = asyncio.all_tasks() if _hooks() else ()
        found = {task: disconnect_hook_in(task) for task in tasks}
        return {task: name_of(hook) for task, hook in found.items() if hook is not None}

    async def wait(self, time_left: Callable[[], float]) -> None:
        """Let them run to their end, as long as there is time.

        Args:
            time_left: Seconds until a hook that still runs is to be cancelled.

        """
        # The group that NoneBot runs them in surrounds us, too, and is cancelled with any task in it.
        with anyio.CancelScope(shield=True):
            await self._wait(time_left)

    async def _wait(self, time_left: Callable[[], float]) -> None:
        began = time.monotonic()
        # Discord's adapter cancels its connections, and does not wait until they say so. And the bot
        # of one that has just said so is gone, while no hook of it has begun.
        for _ in range(SETTLING if _hooks() else 0):
            await asyncio.sleep(0)
        while running := self.running():
            youngest = max(self._began.get(task, began) for task in running)
            if time_left() <= 0 and time.monotonic() - youngest >= LEAST_TURN:
                for task, name in running.items():
                    task.cancel()
                    self._failed(name, "was cancelled: the time is up")
                await asyncio.wait(running, timeout=PACE)
                return
            await asyncio.wait(running, timeout=PACE)


def disconnect_hook_in(task: "asyncio.Task[Any]") -> Callable[..., Any] | None:
    """Give the ``on_bot_disconnect`` hook that a task runs, guarded or not."""
    frame = frames.calls(task, Dependent.__call__.__code__)  # pyright: ignore[reportUnknownMemberType]
    if frame is None:
        return None
    function = inspect.unwrap(frame.f_locals["self"].call)
    hooks = (inspect.unwrap(hook) for hook in _hooks())  # what each guard stands for
    return next((function for hook in hooks if inspect.unwrap(hook.call) is function), None)


async def _run(hook: Hook, of_the_bot: dict[str, Any]) -> None:
    if is_coroutine_callable(hook.call):
        await hook(**of_the_bot)
        return
    error = await replace(hook, call=contained(hook.call))(**of_the_bot)
    if error is not None:
        raise error


def guard_connect_hooks(lifecycle: Lifecycle) -> Callable[[], None]:
    """See to it that ``on_bot_connect`` hooks that are ended with the bot cost no hook its turn.

    They run in the same group as the others. Until the bot is to stop the guard does nothing.

    Args:
        lifecycle: Tells whether it is.

    Returns:
        Takes it back.

    """

    def guarded(hook: Hook) -> Callable[..., Any]:
        async def guarded(**of_the_bot: Any) -> None:
            try:
                await hook(**of_the_bot)
            except (Exception, asyncio.CancelledError):
                raise  # NoneBot logs it
            except BaseException as error:
                if not lifecycle.stopping or isinstance(error, GeneratorExit):
                    raise
                name, how = name_of(hook.call), how_it_failed(error)
                logger.warning(
                    f"on_bot_connect hook {name} was ended: {lifecycle.reason}; it {how}"
                )
                logger.opt(exception=error).debug(f"on_bot_connect hook {name} failed")

        return guarded

    hooks: set[Hook] = Driver._bot_connection_hook  # noqa: SLF001 # pyright: ignore[reportPrivateUsage]
    guards = _guard_all(hooks, guarded)
    return lambda: _replace(hooks, guards)


def _hooks() -> set[Hook]:
    return Driver._bot_disconnection_hook  # noqa: SLF001 # pyright: ignore[reportPrivateUsage]


def _guard_all(hooks: set[Hook], guarded: Callable[[Hook], Any]) -> dict[Hook, Hook]:
    """Put a guard in front of each hook. Gives what each guard stands for."""
    # Whatever can be called with a bot: NoneBot asks no more of what is in there.
    guards = {cast("Hook", guarded(hook)): hook for hook in hooks}
    _replace(hooks, {hook: guard for guard, hook in guards.items()})
    return guards


def _replace(hooks: set[Hook], others: dict[Hook, Hook]) -> None:
    """Put others in the place of the hooks that are still there."""
    found = {hook: other for hook, other in others.items() if hook in hooks}
    hooks.difference_update(found)
    hooks.update(found.values())
