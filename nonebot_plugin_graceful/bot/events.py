"""Events as they come: looking at each before anybody else's code has it."""

from collections.abc import Callable
from typing import Any, cast

from nonebot.adapters import Bot, Event
from nonebot.dependencies import Dependent
from nonebot.message import (
    _event_preprocessors,  # pyright: ignore[reportPrivateUsage]
)

__all__ = ["look_at_events"]

Look = Callable[[Bot, Event], object]


class _Look(Dependent[Any]):
    """An event preprocessor that is done in its first step.

    NoneBot solves each parameter of an ordinary one in a further task: it could be stopped before
    it has come to the event, and the event with it.
    """

    async def __call__(self, *, bot: Bot, event: Event, **_: Any) -> None:  # pyright: ignore[reportIncompatibleMethodOverride]
        cast("Look", self.call)(bot, event)


def look_at_events(look: Look) -> Callable[[], None]:
    """Look at every event from now on.

    Args:
        look: Called before the event is handled; it may raise NoneBot's ``IgnoredException``.

    Returns:
        Takes it back.

    """
    hook = _Look(call=look)
    _event_preprocessors.add(hook)
    return lambda: _event_preprocessors.discard(hook)
