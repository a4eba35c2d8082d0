"""What makes an event, and a matcher, the same one after a restart."""

import hashlib
import json
import re
from collections.abc import Iterable
from typing import Any, cast
from weakref import WeakKeyDictionary

from nonebot.adapters import Bot, Event
from nonebot.matcher import Matcher, matchers

__all__ = ["describe_matcher", "find_matcher", "key_of"]

IDS = (
    "message_id",  # OneBot, Telegram, Milky, Feishu
    "msg_id",  # Kaiheila, Satori
    "id",  # QQ, Discord
    "event_id",
    "header.event_id",
)
TIMES = ("time", "date", "edit_date")
"""A message's number may come again, as after a reinstallation of the platform's client."""

_ADDRESS = re.compile(r" at 0x[0-9a-fA-F]+")
_WORD = re.compile(r"\w+")


def key_of(bot: Bot, event: Event) -> str:
    """Tell an event from every other; the platform's second delivery of it has the same.

    Returns:
        Empty if it is no message, or has nothing that identifies it.

    """
    if event.get_type() != "message":
        return ""
    number = next(iter(_found(event, IDS)), None)
    if number is None:
        return ""
    try:
        session = event.get_session_id()
    except Exception:  # of nobody
        session = ""
    # not a datetime: such may be the time of its parsing
    times = [each for each in _found(event, TIMES) if isinstance(each, int | float)]
    parts = [bot.type, bot.self_id, event.get_event_name(), session, str(number), *map(str, times)]
    return hashlib.sha256("\n".join(parts).encode("utf-8", "replace")).hexdigest()[:32]


def _found(event: Event, paths: Iterable[str]) -> Iterable[Any]:
    for path in paths:
        value: Any = event
        for name in path.split("."):
            value = getattr(value, name, None)
        if isinstance(value, str | int | float) and value != "":
            yield value


def describe_matcher(matcher: type[Matcher]) -> str:
    """Describe a matcher so that it is found again, also when its file has been edited.

    By its module, its type and what its rule says, and by its number among those alike. What it is
    written below or behind of does not matter.
    """
    if matcher not in _descriptions:
        _descriptions[matcher] = _describe(matcher)
    return _descriptions[matcher]


_descriptions: WeakKeyDictionary[type[Matcher], str] = WeakKeyDictionary()


def _describe(matcher: type[Matcher]) -> str:
    looks = _looks(matcher)
    alike = [each for each in _matchers(matcher.plugin_id or "") if _looks(each) == looks]
    number = alike.index(matcher) if matcher in alike else 0
    return json.dumps([*looks, _handlers(matcher), number])


def find_matcher(plugin: str, description: str) -> type[Matcher] | None:
    """Find the matcher that was described; None if it, or its plugin, has gone."""
    module, kind, rule, handlers, number = cast("list[Any]", json.loads(description))
    alike = [each for each in _matchers(plugin) if _looks(each) == (module, kind, rule)]
    if number < len(alike):
        return alike[int(number)]
    # Its rule has been edited, as by another alias; its handlers tell, where they have names.
    named = [
        each
        for each in _matchers(plugin)
        if each.module_name == module and each.type == kind and _handlers(each) == handlers
    ]
    return named[0] if len(named) == 1 else None


def _matchers(plugin_id: str) -> list[type[Matcher]]:
    """Give a plugin's matchers in the order of their lines; of "", those that are of none.

    Those of one line by their priorities, which NoneBot has in an order that other plugins make.
    """
    found = (each for some in matchers.values() for each in some if not each.temp)
    return sorted((each for each in found if (each.plugin_id or "") == plugin_id), key=_place)


def _place(matcher: type[Matcher]) -> tuple[int, int]:
    source = matcher._source  # noqa: SLF001 # pyright: ignore[reportPrivateUsage]
    return source.lineno or 0 if source is not None else 0, matcher.priority


def _looks(matcher: type[Matcher]) -> tuple[str, str, str]:
    checkers = (_words(checker.call) for checker in matcher.rule.checkers)
    return matcher.module_name or "", matcher.type, "; ".join(sorted(checkers))


def _words(checker: Any) -> str:
    """Give the words that a checker says of itself: sorted, for some come out of a set."""
    name = getattr(checker, "__qualname__", None)
    said = f"{checker.__module__}.{name}" if name else _ADDRESS.sub("", repr(checker))
    return " ".join(sorted(_WORD.findall(said)))


def _handlers(matcher: type[Matcher]) -> list[str]:
    return [getattr(handler.call, "__qualname__", "") for handler in matcher.handlers]
