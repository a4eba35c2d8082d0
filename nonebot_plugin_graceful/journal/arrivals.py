"""Messages as they arrive: a second delivery is dropped, and what comes too late for this life is kept."""

from collections.abc import Callable
from weakref import WeakValueDictionary

from nonebot.adapters import Bot, Event
from nonebot.exception import IgnoredException
from nonebot.log import logger

from nonebot_plugin_graceful.bot.events import look_at_events
from nonebot_plugin_graceful.bot.matchers import MatcherOrigin

from .requests import Requests

__all__ = ["Arrivals"]


class Arrivals:
    """The messages a bot is told of.

    Args:
        requests: Those that are known already.

    """

    def __init__(self, requests: Requests) -> None:
        self._requests = requests
        self._handled: WeakValueDictionary[str, Event] = WeakValueDictionary()
        """Messages that are being handled, by their keys."""
        self._unwatch: Callable[[], None] | None = None

    def watch(self) -> None:
        """Look at each from now on. More than once does no harm."""
        if self._unwatch is None:
            self._unwatch = look_at_events(self._look)

    def unwatch(self) -> None:
        """Look at them no more."""
        if self._unwatch is not None:
            self._unwatch()
            self._unwatch = None

    def _look(self, bot: Bot, event: Event) -> None:
        requests = self._requests
        if requests.is_replayed(event):
            return
        key = requests.key_of(bot, event)
        if not key:
            return
        first = self._handled.get(key)
        if requests.is_known(key) or (first is not None and first is not event):
            logger.info(f"Dropped a second delivery of a message to {bot.self_id}: {key}")
            raise IgnoredException("a second delivery")
        self._handled[key] = event

    def refused(self, origin: MatcherOrigin) -> None:
        """Keep a message that came while the bot stops: after the restart every matcher sees it."""
        requests, bot, event = self._requests, origin.bot_object, origin.event
        if requests.is_replayed(event):
            requests.too_late(event)
            return
        key = requests.key_of(bot, event) if requests.wanted else ""
        # NoneBot checks for a second delivery at the same time, if it comes to it at all.
        if key and not requests.is_known(key) and self._handled.get(key, event) is event:
            row = requests.keep(origin, key)
            if row is not None and not row.unfit:
                requests.leave_event(event)
            logger.info(f"Kept a message to {bot.self_id} that came while the bot stops: {key}")
