"""tenacity's loops, ending the moment the shutdown begins.

Whatever strategies are combined: no attempt is made once the bot is being stopped, a wait ends at
once, and what is no ``Exception`` (``CancelledError``, ``Interrupted``, ``KeyboardInterrupt``,
``SystemExit``) is an order and not a failure, so no strategy is asked about it (tenacity #529).
"""

import asyncio
import functools
import inspect
import sys
import threading
import time
from collections.abc import Callable, Generator
from types import CoroutineType, TracebackType
from typing import Any, cast

import tenacity
from loguru import logger
from tenacity import (
    AttemptManager,
    BaseRetrying,
    DoAttempt,
    DoSleep,
    Future,
    RetryAction,
    RetryCallState,
    RetryError,
    TryAgain,
    sleep_using_event,
)
from tenacity.after import after_nothing
from tenacity.before import before_nothing

from nonebot_plugin_graceful.core import installed
from nonebot_plugin_graceful.core.api import sleep as sleep_until_shutdown
from nonebot_plugin_graceful.core.errors import Interrupted
from nonebot_plugin_graceful.core.lifecycle import Phase

from .signatures import with_resolved_signature
from .state import CallState, current_record
from .strategies import log_retry, retry_by_default, stop_by_default, wait_by_default

__all__ = ["AsyncRetrying", "Retrying", "is_coroutine_callable"]

Step = Callable[[RetryCallState], Any]
"""A strategy or a hook; in ``AsyncRetrying`` it may be a coroutine function."""

Verdict = DoAttempt | DoSleep | Callable[[], Any]
"""What to do, or how to end."""

_STOP = stop_by_default()
_WAIT = wait_by_default()
_RETRY = retry_by_default()
_ATTEMPT = DoAttempt()
_COPIED = (*functools.WRAPPER_ASSIGNMENTS, "__defaults__", "__kwdefaults__")
_PATIENCE = 0.05
"""Seconds between two looks at the phase while the event loop's own thread is blocked by a wait."""
_FOREVER = 365 * 86400.0
"""Seconds. Not infinity, which uvloop and Windows cannot wait for."""


class Attempt(AttemptManager):
    """``with attempt:`` of the iteration form, which lets everything through that is an order."""

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc_value: BaseException | None,
        traceback: TracebackType | None,
    ) -> bool | None:
        """Take in what the block raised, unless it is not to be retried by anybody."""
        if exc_value is not None and not isinstance(exc_value, Exception):
            cast("CallState", self.retry_state).clear_note()
            return False
        return super().__exit__(exc_type, exc_value, traceback)

    async def __aenter__(self) -> None:  # tenacity has it from 9.2 on
        """Begin the attempt."""

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc_value: BaseException | None,
        traceback: TracebackType | None,
    ) -> bool | None:
        """End the attempt."""
        return self.__exit__(exc_type, exc_value, traceback)


class _Loop(BaseRetrying):
    """What both loops have in common: tenacity's keywords with other defaults, and each decision."""

    def __init__(  # noqa: PLR0917 - as tenacity has it
        self,
        sleep: Callable[[float], Any] = sleep_until_shutdown,
        stop: Step = _STOP,
        wait: Step | None = _WAIT,
        retry: Step = _RETRY,
        before: Step = before_nothing,
        after: Step = after_nothing,
        before_sleep: Step | None = log_retry,
        reraise: bool = False,
        retry_error_cls: type[RetryError] = RetryError,
        retry_error_callback: Step | None = None,
        name: str | None = None,
        enabled: bool = True,
    ) -> None:
        super().__init__(
            sleep=sleep,
            stop=stop,
            wait=cast("Any", wait),
            retry=retry,
            before=before,
            after=after,
            before_sleep=before_sleep,
            reraise=reraise,
            retry_error_cls=retry_error_cls,
            retry_error_callback=retry_error_callback,
        )
        # tenacity has these two from 9.2 on
        self.name = self._name = name
        self.enabled = enabled
        self._statistics = threading.local()

    # tenacity's allows positions and, before 9.2, lacks two of the keywords
    def copy(self, **changes: Any) -> Any:  # pyright: ignore[reportIncompatibleMethodOverride]
        """Copy this object with some keywords changed."""
        return type(self)(**{**self._keywords(), **changes})

    def _keywords(self) -> dict[str, Any]:
        return {
            "sleep": self.sleep,
            "stop": self.stop,
            "wait": self.wait,
            "retry": self.retry,
            "before": self.before,
            "after": self.after,
            "before_sleep": self.before_sleep,
            "reraise": self.reraise,
            "retry_error_cls": self.retry_error_cls,
            "retry_error_callback": self.retry_error_callback,
            "name": self.name,
            "enabled": self.enabled,
        }

    def __reduce__(self) -> tuple[Any, ...]:
        return functools.partial(type(self), **self._keywords()), ()

    @property
    def statistics(self) -> dict[str, Any]:
        """How the last call in this thread went, as tenacity tells it."""
        try:
            return self._statistics.values
        except AttributeError:
            self._statistics.values = values = dict[str, Any]()
            return values

    def _expose(self, wrapped: Any, fn: Callable[..., Any]) -> dict[str, Any]:
        """Give a retried function the attributes that tenacity gives it."""

        def retry_with(**changes: Any) -> Any:
            return self.copy(**changes).wraps(fn)

        with_resolved_signature(wrapped, fn)
        wrapped.retry = self
        wrapped.retry_with = retry_with
        # Always this one dict: a decorator outside of us copies the attribute (tenacity #519).
        wrapped.statistics = statistics = dict[str, Any]()
        return statistics

    def start(
        self, fn: Callable[..., Any] | None, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> CallState:
        """Begin a call."""
        self.begin()
        return CallState(self, cast("Any", fn), args, kwargs)

    def _decide(self, state: CallState) -> Generator[Step, Any, Verdict]:
        """Decide what comes next, as tenacity does.

        Yields the strategies to ask, one after the other, and is sent what they say: whoever
        drives it calls them, and awaits them if he can.
        """
        outcome = state.outcome
        if outcome is None:
            if self.before is not before_nothing:
                yield self.before
            return _ATTEMPT
        if not (isinstance(outcome.exception(), TryAgain) or (yield self.retry)):
            return outcome.result
        if self.after is not after_nothing:
            yield self.after
        state.upcoming_sleep = (yield self.wait) if callable(self.wait) else 0
        self.statistics["delay_since_first_attempt"] = state.seconds_since_start
        if (yield self.stop):
            if self.retry_error_callback is None:
                return functools.partial(self._give_up, outcome)
            value = yield self.retry_error_callback
            return lambda: value
        refuse_another(state)
        seconds = state.upcoming_sleep
        state.next_action = RetryAction(seconds)
        state.idle_for += seconds
        self.statistics["idle_for"] = state.idle_for
        self.statistics["attempt_number"] = state.attempt_number + 1
        if self.before_sleep is not None:
            yield self.before_sleep
        state.note_wait()
        return DoSleep(seconds)

    def _give_up(self, outcome: Future) -> None:
        error = self.retry_error_cls(outcome)
        if self.reraise:
            error.reraise()
        raise error from outcome.exception()


class AsyncRetrying(_Loop, tenacity.AsyncRetrying):  # pyright: ignore[reportIncompatibleMethodOverride]
    """``tenacity.AsyncRetrying`` that stops at once.

    All keywords are tenacity's; where ``stop``, ``wait``, ``retry`` and ``before_sleep`` are left
    out, they are made for AI services (:mod:`.strategies`). A ``sleep`` of one's own is run beside
    the shutdown, and cancelled when it begins.

    Raises:
        Interrupted: The bot is being stopped: by the attempt that is not made, or the wait that is
            cut short. ``__cause__`` is what the last attempt raised.
        TypeError: What is to be retried, or waited with, is not made for an event loop.

    """

    def __init__(self, *args: Any, **keywords: Any) -> None:
        super().__init__(*args, **keywords)
        if isinstance(self.sleep, sleep_using_event):
            raise TypeError(
                "sleep_using_event blocks the event loop; leave sleep= out,"
                " every wait ends with the shutdown anyway"
            )

    async def __call__(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any:
        """Call a function until it succeeds.

        Args:
            fn: A coroutine function, or another that returns something to await.
            args: Its arguments.
            kwargs: Its keyword arguments.

        """
        if not self.enabled:
            return await _awaited(fn(*args, **kwargs))
        state = self.start(fn, args, kwargs)
        try:
            while True:
                do = await self.iter(state)
                if do is _ATTEMPT:
                    if installed.tree.lifecycle.phase is not Phase.RUNNING:
                        refuse_attempt(state)
                    try:
                        result = fn(*args, **kwargs)
                        if hasattr(result, "__await__"):
                            result = await result
                    except Exception:
                        state.set_exception(cast("Any", sys.exc_info()))
                    else:
                        state.set_result(result)
                elif isinstance(do, DoSleep):
                    await self.pause(state, do)
                else:
                    return do
        finally:
            state.clear_note()

    async def iter(self, retry_state: RetryCallState) -> Any:
        """Ask the strategies what comes next."""
        steps = self._decide(cast("CallState", retry_state))
        answer: Any = None
        while True:
            try:
                step = steps.send(answer)
            except StopIteration as end:
                verdict: Verdict = end.value
                break
            answer = await _awaited(step(retry_state))
        return verdict if isinstance(verdict, DoAttempt | DoSleep) else verdict()

    def __aiter__(self) -> "_Attempts":  # pyright: ignore[reportIncompatibleMethodOverride]
        """Begin anew: other than tenacity's, one object may be iterated in many tasks at once."""
        return _Attempts(self)

    def wraps(self, fn: Callable[..., Any], /) -> Any:  # pyright: ignore[reportIncompatibleMethodOverride]
        """Make a function that is retried."""
        refuse_generator(fn)

        @functools.wraps(fn, _COPIED)
        async def wrapped(*args: Any, **kwargs: Any) -> Any:
            if self.enabled:
                self._statistics.values = statistics
            return await self(fn, *args, **kwargs)

        statistics = self._expose(wrapped, fn)
        return wrapped

    async def pause(self, state: CallState, seconds: float) -> None:
        """Wait for the next attempt."""
        if self.sleep is not sleep_until_shutdown:
            await self._wait_with(self.sleep, state, seconds)
        elif seconds > 0:
            try:
                await installed.tree.lifecycle.wait(seconds)
            except Interrupted as error:
                raise error from state.last_error
        else:
            await asyncio.sleep(0)
        refuse_another(state)
        state.prepare_for_next_attempt()

    async def _wait_with(
        self, sleep: Callable[[float], Any], state: CallState, seconds: float
    ) -> None:
        """Wait with somebody else's sleep, which knows of no shutdown."""
        waiting = sleep(seconds)
        if not hasattr(waiting, "__await__"):
            raise TypeError(
                f"{sleep!r} blocks the event loop; sleep= has to be a coroutine function"
            )
        shutdown = asyncio.ensure_future(installed.tree.lifecycle.wait(_FOREVER))
        sleeping = asyncio.ensure_future(waiting)
        try:
            await asyncio.wait((shutdown, sleeping), return_when=asyncio.FIRST_COMPLETED)
        finally:
            shutdown.cancel()
            sleeping.cancel()
        refuse_another(state)
        await sleeping


class _Attempts:
    """``async for attempt in AsyncRetrying(…)``."""

    def __init__(self, retrying: AsyncRetrying) -> None:
        self._retrying = retrying
        self._state = retrying.start(None, (), {})
        self._asked = False

    def __aiter__(self) -> "_Attempts":
        return self

    async def __anext__(self) -> Attempt:
        retrying, state = self._retrying, self._state
        if self._asked:
            refuse_unused(state)
            if not retrying.enabled:
                end_disabled(state)
                raise StopAsyncIteration
        self._asked = True
        while retrying.enabled:
            do = await retrying.iter(state)
            if do is _ATTEMPT:
                break
            if not isinstance(do, DoSleep):
                raise StopAsyncIteration
            await retrying.pause(state, do)
        if installed.tree.lifecycle.phase is not Phase.RUNNING:
            refuse_attempt(state)
        return Attempt(state)


class Retrying(_Loop, tenacity.Retrying):  # pyright: ignore[reportIncompatibleMethodOverride]
    """``tenacity.Retrying`` that stops at once; for threads.

    All keywords are as of :class:`AsyncRetrying`. A ``sleep`` of one's own cannot be cut short in a
    thread: it is waited out, and no attempt follows.

    Raises:
        Interrupted: As of :class:`AsyncRetrying`.
        TypeError: What is to be retried is made for an event loop.

    """

    def __call__(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any:
        """Call a function until it succeeds.

        Args:
            fn: A function.
            args: Its arguments.
            kwargs: Its keyword arguments.

        """
        if not self.enabled:
            return fn(*args, **kwargs)
        state = self.start(fn, args, kwargs)
        try:
            while True:
                do = self.iter(state)
                if do is _ATTEMPT:
                    if installed.tree.lifecycle.phase is not Phase.RUNNING:
                        refuse_attempt(state)
                    try:
                        result = fn(*args, **kwargs)
                    except Exception:
                        state.set_exception(cast("Any", sys.exc_info()))
                    else:
                        if isinstance(result, CoroutineType):
                            result.close()
                            raise TypeError(
                                f"{fn!r} returned a coroutine, which Retrying does not await;"
                                " use AsyncRetrying, or make it a coroutine function"
                            )
                        state.set_result(result)
                elif isinstance(do, DoSleep):
                    self.pause(state, do)
                else:
                    return do
        finally:
            state.clear_note()

    def iter(self, retry_state: RetryCallState) -> Any:
        """Ask the strategies what comes next."""
        steps = self._decide(cast("CallState", retry_state))
        answer: Any = None
        while True:
            try:
                step = steps.send(answer)
            except StopIteration as end:
                verdict: Verdict = end.value
                break
            answer = step(retry_state)
        return verdict if isinstance(verdict, DoAttempt | DoSleep) else verdict()

    def __iter__(self) -> Generator[AttemptManager, None, None]:
        """Give one attempt after the other, until one succeeds."""
        state = self.start(None, (), {})
        while True:
            do = self.iter(state) if self.enabled else _ATTEMPT
            if do is _ATTEMPT:
                if installed.tree.lifecycle.phase is not Phase.RUNNING:
                    refuse_attempt(state)
                yield Attempt(state)
                refuse_unused(state)
                if not self.enabled:
                    end_disabled(state)
                    return
            elif isinstance(do, DoSleep):
                self.pause(state, do)
            else:
                return

    def wraps(self, fn: Callable[..., Any], /) -> Any:  # pyright: ignore[reportIncompatibleMethodOverride]
        """Make a function that is retried."""
        refuse_generator(fn)
        if is_coroutine_callable(fn):
            raise TypeError(f"{fn!r} is a coroutine function; use AsyncRetrying")

        @functools.wraps(fn, _COPIED)
        def wrapped(*args: Any, **kwargs: Any) -> Any:
            if self.enabled:
                self._statistics.values = statistics
            return self(fn, *args, **kwargs)

        statistics = self._expose(wrapped, fn)
        return wrapped

    def pause(self, state: CallState, seconds: float) -> None:
        """Wait for the next attempt."""
        if self.sleep is not sleep_until_shutdown:
            self.sleep(seconds)
        elif seconds > 0:
            _block(seconds, state)
        refuse_another(state)
        state.prepare_for_next_attempt()


def refuse_another(state: CallState) -> None:
    """Refuse another attempt if there is to be none."""
    if installed.tree.lifecycle.phase is not Phase.RUNNING:
        raise Interrupted(installed.tree.lifecycle.reason) from state.last_error
    record = current_record()  # this task alone may have been cancelled, and have swallowed it
    if record is not None and (reason := record.stop_reason) is not None:
        raise Interrupted(reason) from state.last_error


def refuse_attempt(state: CallState) -> None:
    """Refuse an attempt during a shutdown, be it the first one.

    Inside ``shield()`` the first attempt is made: it is part of a stretch that is not to be cut.
    """
    if state.attempt_number == 1 and _is_shielded():
        return
    raise Interrupted(installed.tree.lifecycle.reason) from state.last_error


def refuse_unused(state: CallState) -> None:
    """Refuse to go on for ever: without ``with attempt:`` nobody knows whether it succeeded."""
    if state.outcome is None:
        raise RuntimeError("the attempt was not used: its block has to begin with `with attempt:`")


def refuse_generator(fn: Callable[..., Any]) -> None:
    """Refuse what has not done anything yet when it returns, and so never fails."""
    if inspect.isgeneratorfunction(fn) or inspect.isasyncgenfunction(fn):
        raise TypeError(
            f"{fn!r} is a generator function: calling it does nothing that could be retried."
            " Retry what opens the stream, and iterate over it outside"
        )


def end_disabled(state: CallState) -> None:
    """End the iteration form where ``enabled`` is false: one attempt, and its own error."""
    assert state.outcome is not None
    state.outcome.result()


def is_coroutine_callable(fn: Callable[..., Any]) -> bool:
    """Tell whether calling it gives something to await; partials and callable objects included."""
    while isinstance(fn, functools.partial):
        fn = fn.func
    if inspect.isclass(fn):
        return False
    return inspect.iscoroutinefunction(fn) or inspect.iscoroutinefunction(
        getattr(fn, "__call__", None)  # noqa: B004
    )


async def _awaited(value: Any) -> Any:
    return await value if hasattr(value, "__await__") else value


def _is_shielded() -> bool:
    try:
        return asyncio.current_task() in installed.tree.shields
    except RuntimeError:  # no event loop in this thread
        return False


def _block(seconds: float, state: CallState) -> None:
    """Wait in a thread."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        installed.tree.lifecycle.stopped.wait(seconds)
        return
    _warn_of_blocking(state.what)
    end = time.monotonic() + seconds
    # Who would tell of the shutdown is blocked himself; the signal handler is not.
    while installed.tree.lifecycle.phase is Phase.RUNNING and (left := end - time.monotonic()) > 0:
        installed.tree.lifecycle.stopped.wait(min(left, _PATIENCE))


@functools.lru_cache(maxsize=256)
def _warn_of_blocking(what: str) -> None:
    """Log it once."""
    logger.warning(
        f"The retry of {what} waits in the event loop's thread: everything else stands still."
        " Make it a coroutine function, or call it with run_sync()"
    )
