"""tenacity's loops, ending the moment the shutdown begins.

The loops are tenacity's own. What they do next they ask their ``iter``, and that is what is
replaced here: no attempt is made once the bot is being stopped, a wait ends at once, and what is
no ``Exception`` (``CancelledError``, ``Interrupted``, ``KeyboardInterrupt``, ``SystemExit``) is an
order and not a failure, so no strategy is asked about it.
"""

import asyncio
import inspect
from collections.abc import Callable, Generator
from contextlib import contextmanager
from types import TracebackType
from typing import TYPE_CHECKING, Any

import tenacity
from tenacity import (
    AttemptManager,
    DoAttempt,
    DoSleep,
    RetryCallState,
    RetryError,
    before_nothing,
    sleep_using_event,
)

from . import older, work
from .calls import Call
from .functions import awaiting, is_coroutine_callable, with_resolved_signature
from .refusals import (
    refuse_another,
    refuse_coroutine,
    refuse_first,
    refuse_generator,
    refuse_unused,
)
from .strategies import retry_if_transient, stop_by_default, wait_by_default
from .telling import log_retry, next_attempt, tell_meters, what
from .throttle import give_back
from .waits import block, wait
from .work import Interrupted

if TYPE_CHECKING:
    from typing_extensions import Self

__all__ = ["AsyncRetrying", "Retrying", "Step"]

Step = Callable[[RetryCallState], Any]
"""A strategy or a hook; in ``AsyncRetrying`` it may be a coroutine function."""

_FOR_AI_SERVICES: dict[str, Any] = {
    "stop": stop_by_default(),
    "wait": wait_by_default(),
    "retry": retry_if_transient(),
}


class Attempt(AttemptManager):
    """``with attempt:`` of the iteration form, which lets everything through that is an order."""

    def __init__(self, retry_state: RetryCallState, call: Call) -> None:
        super().__init__(retry_state)
        self._call = call

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc_value: BaseException | None,
        traceback: TracebackType | None,
    ) -> bool | None:
        """Take in what came of the block. It may have been the last that is heard of the loop."""
        self._call.hide()
        if exc_value is None:
            give_back(self.retry_state)
        elif not isinstance(exc_value, Exception):
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


class _Loop(older.Loop):
    """What both loops have in common."""

    _unusable_sleep: type | tuple[()] = ()

    if TYPE_CHECKING:

        def __init__(  # noqa: PLR0917 - as tenacity has it
            self,
            sleep: Callable[[float], Any] = ...,
            stop: Step = ...,
            wait: Step | None = ...,
            retry: Step = ...,
            before: Step | None = ...,
            after: Step | None = ...,
            before_sleep: Step | None = ...,
            reraise: bool = ...,
            retry_error_cls: type[RetryError] = ...,
            retry_error_callback: Step | None = ...,
            name: str | None = ...,
            enabled: bool = ...,
        ) -> None: ...

    else:  # as tenacity has it, whatever it comes to have

        def __init__(self, *positions: Any, **keywords: Any) -> None:
            if len(positions) < 2 and keywords.keys().isdisjoint(_FOR_AI_SERVICES):
                keywords |= _FOR_AI_SERVICES
            if len(positions) < 1:
                keywords.setdefault("sleep", work.sleep)
            if len(positions) < 7:
                keywords.setdefault("before_sleep", log_retry)
            super().__init__(*positions, **keywords)
            if isinstance(self.sleep, self._unusable_sleep):
                raise TypeError(
                    "sleep_using_event blocks the event loop; leave sleep= out,"
                    " every wait ends with the shutdown anyway"
                )

    def _begin_call(self) -> "Self":
        """Begin a call with this object, or while it is in use with a copy of it.

        tenacity keeps what belongs to a call in the object, a thread's own; so do we.
        """
        loop = self
        if getattr(self._local, "call", None) is not None:
            loop = self.copy()
            loop._local.statistics = self.statistics  # noqa: SLF001
        loop._local.call = Call()  # noqa: SLF001
        return loop

    def _end_call(self) -> None:
        """Be free for the next, and hold on to nothing that was raised."""
        self._local.call = None

    @property
    def _call(self) -> Call:
        call = getattr(self._local, "call", None)
        if call is None:
            call = self._local.call = Call()
        return call

    def _stop_too(self) -> None:
        """Make no further attempt where the strategies would, before anybody is told of a retry."""
        if self._call.was_cut():
            self.iter_state.stop_run_result = True
        if not self.iter_state.stop_run_result:
            refuse_another(self._call.error)

    @contextmanager
    def _between_attempts(self, retry_state: RetryCallState) -> Generator[None]:
        """Show what is waited for, and what an interruption of it was preceded by."""
        call = self._call
        following = next_attempt(retry_state)
        tell_meters(call.error)
        call.show(f"{following}, waits {retry_state.upcoming_sleep:.1f} s")
        try:
            refuse_another()
            yield
        except Interrupted as error:
            call.hide()
            raise error from call.error
        except BaseException:
            call.hide()
            raise
        call.show(following)


class AsyncRetrying(_Loop, tenacity.AsyncRetrying):
    """``tenacity.AsyncRetrying`` that stops at once.

    All keywords are tenacity's, and so are their defaults, but that each retry is logged. Without
    ``stop``, ``wait`` and ``retry``, those are made for AI services (:mod:`.strategies`). A
    ``sleep`` of one's own is run beside the shutdown, and cancelled when it begins.

    Raises:
        Interrupted: The bot is being stopped: by the attempt that is not made, or the wait that is
            cut short. ``__cause__`` is what the last failed attempt raised.
        TypeError: What is to be retried, or waited with, is not made for an event loop.

    """

    _unusable_sleep = sleep_using_event

    async def __call__(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any:  # pyright: ignore[reportIncompatibleMethodOverride]
        """Call a function until it succeeds.

        Args:
            fn: A coroutine function, or another that returns something to await.
            args: Its arguments.
            kwargs: Its keyword arguments.

        """
        loop = self._begin_call()
        try:
            return await super(AsyncRetrying, loop).__call__(awaiting(fn), *args, **kwargs)
        finally:
            loop._end_call()  # noqa: SLF001

    def __aiter__(self) -> "Self":
        """Begin a loop; other than with tenacity's, many tasks at once may do so with one object."""
        loop = self._begin_call()
        super(AsyncRetrying, loop).__aiter__()
        return loop

    async def __anext__(self) -> Attempt:
        """Give the next attempt."""
        call = self._call
        if call.attempt is not None:
            refuse_unused(call.attempt)
        try:
            manager = await super().__anext__()
        except BaseException:
            self._end_call()
            raise
        call.attempt = Attempt(manager.retry_state, call)
        return call.attempt

    async def iter(self, retry_state: RetryCallState) -> Any:
        """Tell what comes next."""
        if not self.enabled:
            return older.once(retry_state)
        if retry_state.outcome is not None:
            self._call.take_in(retry_state.outcome)
        do = await self._next(retry_state)
        if isinstance(do, DoSleep):
            with self._between_attempts(retry_state):
                await wait(do, self.sleep)
                refuse_another()
                retry_state.prepare_for_next_attempt()
                do = await self._next(retry_state)
                refuse_another()
        elif isinstance(do, DoAttempt):
            try:
                refuse_first()
            except Interrupted:
                # who tries again and again, whatever is raised, is not to hold the event loop up
                await asyncio.sleep(0)
                raise
        if isinstance(do, DoAttempt):
            self._call.begin_attempt()
        return do

    async def _next(self, retry_state: RetryCallState) -> Any:
        if retry_state.outcome is None and self.before is before_nothing:
            return DoAttempt()  # as tenacity says too, which makes a coroutine of nothing first
        return await super().iter(retry_state)

    async def _run_stop(self, retry_state: RetryCallState) -> None:  # pyright: ignore[reportIncompatibleMethodOverride]
        await super()._run_stop(retry_state)
        self._stop_too()

    def wraps(self, fn: Callable[..., Any], /) -> Any:  # pyright: ignore[reportIncompatibleMethodOverride]
        """Make a function that is retried."""
        refuse_generator(fn)
        return with_resolved_signature(super().wraps(awaiting(fn)), fn)


class Retrying(_Loop, tenacity.Retrying):
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
        loop = self._begin_call()
        try:
            return super(Retrying, loop).__call__(fn, *args, **kwargs)
        finally:
            loop._end_call()  # noqa: SLF001

    def __iter__(self) -> Generator[Attempt, None, None]:
        """Give one attempt after the other, until one succeeds."""
        loop = self._begin_call()
        try:
            for manager in super(Retrying, loop).__iter__():
                attempt = Attempt(manager.retry_state, loop._call)  # noqa: SLF001
                yield attempt
                refuse_unused(attempt)
        finally:
            loop._end_call()  # noqa: SLF001

    def iter(self, retry_state: RetryCallState) -> Any:
        """Tell what comes next."""
        if not self.enabled:
            return older.once(retry_state)
        if retry_state.outcome is not None:
            self._call.take_in(retry_state.outcome)
        do = self._next(retry_state)
        if isinstance(do, DoSleep):
            with self._between_attempts(retry_state):
                block(do, self.sleep, what(retry_state))
                refuse_another()
                retry_state.prepare_for_next_attempt()
                do = self._next(retry_state)
                refuse_another()
        elif isinstance(do, DoAttempt):
            refuse_first()
        elif inspect.iscoroutine(do):
            refuse_coroutine(do)
        if isinstance(do, DoAttempt):
            self._call.begin_attempt()
        return do

    def _next(self, retry_state: RetryCallState) -> Any:
        if retry_state.outcome is None and self.before is before_nothing:
            return DoAttempt()
        return super().iter(retry_state)

    def _run_stop(self, retry_state: RetryCallState) -> None:
        super()._run_stop(retry_state)
        self._stop_too()

    def wraps(self, fn: Callable[..., Any], /) -> Any:  # pyright: ignore[reportIncompatibleMethodOverride]
        """Make a function that is retried."""
        refuse_generator(fn)
        if is_coroutine_callable(fn):
            raise TypeError(f"{fn!r} is a coroutine function; use AsyncRetrying")
        return with_resolved_signature(super().wraps(fn), fn)
