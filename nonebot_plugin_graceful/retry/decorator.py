"""``@retry``."""

from collections.abc import Callable
from typing import Any, Concatenate, ParamSpec, Protocol, TypeVar, overload

from tenacity import RetryError
from tenacity.retry import retry_base
from tenacity.stop import stop_base
from tenacity.wait import wait_base

from .functions import is_coroutine_callable
from .loops import AsyncRetrying, Retrying, Step

__all__ = ["Retried", "retry"]

P = ParamSpec("P")
Q = ParamSpec("Q")
R = TypeVar("R")
R_co = TypeVar("R_co", covariant=True)


class Retried(Protocol[P, R_co]):
    """A function that is retried. What tenacity adds to it is here too."""

    retry: AsyncRetrying | Retrying
    statistics: dict[str, Any]
    """How its last call went."""

    def retry_with(self, *positions: Any, **changes: Any) -> "Retried[P, R_co]":
        """Make the same with some of tenacity's keywords changed."""
        ...

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R_co:
        """Call it, again and again if need be."""
        ...

    @overload
    def __get__(self, instance: None, owner: Any = None, /) -> "Retried[P, R_co]": ...
    @overload
    def __get__(
        self: "Retried[Concatenate[Any, Q], R_co]", instance: object, owner: Any = None, /
    ) -> "Retried[Q, R_co]": ...


class _Decorator(Protocol):
    def __call__(self, function: Callable[P, R], /) -> Retried[P, R]: ...


@overload
def retry(function: Callable[P, R], /) -> Retried[P, R]: ...
@overload
def retry(
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
) -> _Decorator: ...
def retry(*positions: Any, **keywords: Any) -> Any:
    """Call a function again when it fails, until it succeeds or the bot is being stopped.

    Bare (``@retry``) or with tenacity's keywords (``@retry(stop=stop_after_attempt(5))``), for
    coroutine functions and, in threads, for others. What tenacity gives its functions
    (``.retry``, ``.retry_with()``, ``.statistics``) is there too.

    Where one of ``stop``, ``wait`` and ``retry`` is given, it does what tenacity does. Where none
    is, it does what an AI service needs, since tenacity would try for ever, at once, whatever went
    wrong; those three are there for whoever combines:

    * ``retry_if_transient()``: what may be over the next time: connection errors, time-outs, 408,
      425, 429 and 5xx.
    * ``wait_by_default()``: as long as ``Retry-After`` says, else 1, 2, 4, … seconds, of which up
      to half is left out; never over ``GRACEFUL_RETRY_MAX_WAIT``.
    * ``stop_by_default()``: after ``GRACEFUL_RETRY_ATTEMPTS`` attempts, or when the next wait
      exceeds ``GRACEFUL_RETRY_BUDGET``.

    Args:
        positions: Without parentheses, the function that is decorated; else as in tenacity.
        keywords: tenacity's: ``stop``, ``wait``, ``retry``, ``sleep``, ``before``, ``after``,
            ``before_sleep`` (by default logs one line a retry; None: silence), ``reraise``,
            ``retry_error_cls``, ``retry_error_callback``, ``name``, ``enabled``.

    Raises:
        Interrupted: By the function, when the bot is being stopped: at once where it waits, and
            before any further attempt, the first one included (but not inside ``shield()``).
            ``__cause__`` is what the last attempt raised.
        RetryError: By the function, when the last attempt has failed, unless ``reraise`` is true.
        TypeError: The function is a generator function, or no function at all.

    """
    if len(positions) == 1 and callable(positions[0]):
        return _decorate(positions[0], (), keywords)
    return lambda function: _decorate(function, positions, keywords)  # pyright: ignore[reportUnknownLambdaType,reportUnknownVariableType]


def _decorate(function: Any, positions: tuple[Any, ...], keywords: dict[str, Any]) -> Any:
    if not callable(function) or isinstance(function, stop_base | wait_base | retry_base):
        raise TypeError(
            f"@retry decorates functions, and {function!r} is none;"
            " strategies are given by keyword, as in @retry(stop=stop_after_attempt(3))"
        )
    sleep = positions[0] if positions else keywords.get("sleep")
    if is_coroutine_callable(function) or (sleep is not None and is_coroutine_callable(sleep)):
        return AsyncRetrying(*positions, **keywords).wraps(function)
    return Retrying(*positions, **keywords).wraps(function)
