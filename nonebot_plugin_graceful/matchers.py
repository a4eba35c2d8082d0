"""Matcher runs: registering them, refusing them, and keeping a cancelled event cancelled."""

import asyncio
from collections.abc import Callable
from typing import Any
from weakref import WeakValueDictionary

from nonebot.adapters import Bot, Event
from nonebot.dependencies import Dependent
from nonebot.exception import IgnoredException
from nonebot.log import logger
from nonebot.matcher import Matcher, current_bot, current_event, current_matcher
from nonebot.message import (
    _event_preprocessors,  # pyright: ignore[reportPrivateUsage]
    check_and_run_matcher,
    event_preprocessor,
    run_preprocessor,
)
from nonebot.plugin import get_plugin_by_module_name

from .core import frames
from .core.control import stop
from .core.drain import name_of
from .core.errors import Interrupted
from .core.lifecycle import lifecycle
from .core.registry import PluginOrigin, Record, Section, owner, registry

__all__ = ["MatcherOrigin", "install", "refuse_events"]

_cancelled_events: WeakValueDictionary[int, Event] = WeakValueDictionary()
"""Events one of whose runs was cancelled, by their id, for as long as they live."""


class MatcherOrigin:
    """Whose request a matcher run works on. Worked out when asked for, not for every event."""

    __slots__ = ("bot_object", "event", "matcher_class")

    def __init__(self, matcher_class: type[Matcher], bot: Bot, event: Event) -> None:
        self.matcher_class = matcher_class
        self.bot_object = bot
        self.event = event

    @property
    def plugin(self) -> str | None:
        """The plugin's id."""
        return self.matcher_class.plugin_id

    @property
    def matcher(self) -> str | None:
        """Where the matcher was defined, as ``module:line``."""
        source = self.matcher_class._source  # noqa: SLF001 # pyright: ignore[reportPrivateUsage]
        if source is None or source.lineno is None:
            return self.matcher_class.module_name
        return f"{source.module_name}:{source.lineno}"

    @property
    def bot(self) -> str | None:
        """The bot's id."""
        return self.bot_object.self_id

    @property
    def user(self) -> str | None:
        """Who sent the event."""
        try:
            return self.event.get_user_id()
        except Exception:  # meta events are nobody's
            return None

    @property
    def chat(self) -> str | None:
        """The group or channel the event came from, else who sent it."""
        for name in ("group_id", "channel_id", "guild_id", "chat_id"):
            value = getattr(self.event, name, None)
            if value:
                return str(value)
        return self.user


def install() -> None:
    """Have every matcher run register itself."""
    run_preprocessor(_prepare)
    registry.recognizers += [_recognize, _recognize_hook]
    registry.on_cancel.append(_forget_event)


def refuse_events() -> Callable[[], None]:
    """Take on no more events.

    Returns:
        Takes it back.

    """
    before = set(_event_preprocessors)
    event_preprocessor(_refuse)
    ours = _event_preprocessors - before

    def restore() -> None:
        _event_preprocessors.difference_update(ours)

    return restore


async def _refuse() -> None:
    raise IgnoredException(lifecycle.reason)


async def _prepare() -> None:
    # NoneBot runs this in a task of its own; so it only sends word into the matcher's. It takes
    # no parameters because NoneBot solves each one in a further task.
    event = current_event.get()
    if lifecycle.stopping:
        raise IgnoredException(lifecycle.reason)
    if _cancelled_events.get(id(event)) is event:
        raise IgnoredException("the event was cancelled")
    current_matcher.get().remain_handlers.insert(0, _ENTER)


async def _enter() -> None:
    """Register the task that is about to run the plugin's handlers."""
    if lifecycle.stopping:
        raise Interrupted(lifecycle.reason)
    task = asyncio.current_task()
    known = registry.records.get(task) if task is not None else None
    if task is None or (known is not None and known.begun):  # inside another one's handler
        return
    matcher = type(current_matcher.get())
    origin = MatcherOrigin(matcher, current_bot.get(), current_event.get())
    kind = registry.kinds[registry.plugin_kinds.get(matcher.plugin_id or "", "handler")]
    section = Section(kind)
    # Not of its kind before it was admitted: whoever is in a section of AI work, has been.
    record = known or registry.add(task, Section(registry.kinds["handler"]), origin=origin)
    record.begun = True  # if somebody looked at it while its rule was checked, it had not
    owner.set(record)
    if registry.refusing:
        registry.admit(kind)
    section.started = record.started
    record.sections[0] = section
    if kind.limit is not None:
        await registry.acquire(record, section)
    if section.timeout is not None:
        timer = asyncio.get_running_loop().call_later(section.timeout, _time_out, record)
        task.add_done_callback(lambda _: timer.cancel())


_ENTER = Dependent[Any](call=_enter)
"""First of all handlers: it runs in the very task that will run the plugin's."""


def _recognize(task: "asyncio.Task[Any]") -> bool:
    """Register a matcher run that has not come to its handlers: its rule may ask an AI, too."""
    frame = frames.calls(task, check_and_run_matcher.__code__)
    if frame is None:
        return False
    arguments = frame.f_locals
    matcher: type[Matcher] = arguments["Matcher"]
    origin = MatcherOrigin(matcher, arguments["bot"], arguments["event"])
    kind = registry.kinds[registry.plugin_kinds.get(matcher.plugin_id or "", "handler")]
    registry.add(task, Section(kind, name="rule"), origin=origin).begun = False
    return True


def _recognize_hook(task: "asyncio.Task[Any]") -> bool:
    """Register what else NoneBot runs for a plugin and shields: a bot-connect hook, say.

    The driver waits for them at the very end (nonebot/internal/driver/_lifespan.py).
    """
    frame = frames.calls(task, Dependent.__call__.__code__)  # pyright: ignore[reportUnknownMemberType]
    if frame is None:
        return False
    function = frame.f_locals["self"].call
    plugin = get_plugin_by_module_name(getattr(function, "__module__", None) or "")
    section = Section(registry.kinds["handler"], name=name_of(function))
    registry.add(task, section, origin=PluginOrigin(plugin.id_ if plugin else None)).begun = False
    return True


def _time_out(record: Record) -> None:
    info = registry.info(record)
    logger.warning(f"{info.plugin} took longer than its {info.kind} time-out: at {info.where}")
    stop({record}, "timed out")


def _forget_event(record: Record) -> None:
    if isinstance(record.origin, MatcherOrigin):
        event = record.origin.event
        _cancelled_events[id(event)] = event
