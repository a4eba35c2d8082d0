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
    _apply_run_postprocessors,  # pyright: ignore[reportPrivateUsage]
    _event_preprocessors,  # pyright: ignore[reportPrivateUsage]
    check_and_run_matcher,
    event_preprocessor,
    run_preprocessor,
)

from nonebot_plugin_graceful.core import frames
from nonebot_plugin_graceful.core.ending import admit, take_place
from nonebot_plugin_graceful.core.errors import Interrupted
from nonebot_plugin_graceful.core.stopping import time_out
from nonebot_plugin_graceful.core.work import Section, Tree, Work, owner
from nonebot_plugin_graceful.core.world import Recognized

__all__ = ["MatcherOrigin", "Matchers", "refuse_events"]


class MatcherOrigin:
    """Whose request a matcher run works on. Worked out when asked for, not for every event."""

    __slots__ = ("bot_object", "event", "matcher_class")

    def __init__(self, matcher_class: type[Matcher] | None, bot: Bot, event: Event) -> None:
        self.matcher_class = matcher_class
        self.bot_object = bot
        self.event = event

    @property
    def plugin(self) -> str | None:
        """The plugin's id."""
        return self.matcher_class.plugin_id if self.matcher_class is not None else None

    @property
    def matcher(self) -> str | None:
        """Where the matcher was defined, as ``module:line``."""
        if self.matcher_class is None:
            return None
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


def refuse_events(tree: Tree) -> Callable[[], None]:
    """Take on no more events.

    Returns:
        Takes it back.

    """

    async def refuse() -> None:
        raise IgnoredException(tree.lifecycle.reason)

    before = set(_event_preprocessors)
    event_preprocessor(refuse)
    ours = _event_preprocessors - before

    def restore() -> None:
        _event_preprocessors.difference_update(ours)

    return restore


class Matchers:
    """The matcher runs of a bot.

    Args:
        tree: Where they are registered.

    """

    def __init__(self, tree: Tree) -> None:
        self._tree = tree
        self._cancelled: WeakValueDictionary[int, Event] = WeakValueDictionary()
        """Events one of whose runs was cancelled, by their id, for as long as they live."""
        self._runs: dict[Work, Matcher] = {}
        self._enter = Dependent[Any](call=self._register)
        """First of all handlers: it runs in the very task that will run the plugin's."""

    def install(self) -> None:
        """Have every matcher run register itself."""

        async def prepare() -> None:
            await self._prepare()

        run_preprocessor(prepare)

    def recognize(self, task: "asyncio.Task[Any]") -> Recognized | None:
        """Recognize a run that has not come to its handlers: its rule may ask an AI, too."""
        frame = frames.calls(task, check_and_run_matcher.__code__)
        if frame is None:
            return None
        arguments = frame.f_locals
        matcher: type[Matcher] = arguments["Matcher"]
        origin = MatcherOrigin(matcher, arguments["bot"], arguments["event"])
        kind = self._tree.kinds.of_plugin(matcher.plugin_id, "handler").name
        return Recognized(kind, "rule", origin, begun=False)

    def request_of(self, event: Any) -> Work | None:
        """Give the matcher run that an event began, while it is in flight."""
        for work in self._tree.all():
            if work.root and getattr(work.origin, "event", None) is event:
                return work
        return None

    def run_ended(self, work: Work, *, told: bool) -> None:
        """After a run that was told to end: nobody takes its event over, and others hear of it."""
        matcher = self._runs.pop(work, None)
        origin = work.origin
        if not told or not isinstance(origin, MatcherOrigin):
            return
        self._cancelled[id(origin.event)] = origin.event
        if matcher is not None and not self._tree.lifecycle.stopping:
            self._tree.run_internal(_postprocess(matcher, origin, work), "postprocessors")

    async def _prepare(self) -> None:
        # NoneBot runs this in a task of its own; so it only sends word into the matcher's. It takes
        # no parameters because NoneBot solves each one in a further task.
        event = current_event.get()
        if self._tree.lifecycle.stopping:
            raise IgnoredException(self._tree.lifecycle.reason)
        if self._cancelled.get(id(event)) is event:
            raise IgnoredException("the event was cancelled")
        current_matcher.get().remain_handlers.insert(0, self._enter)

    async def _register(self) -> None:
        """Register the task that is about to run the plugin's handlers."""
        tree = self._tree
        task = asyncio.current_task()
        if tree.lifecycle.stopping:
            raise Interrupted(tree.lifecycle.reason)
        known = tree.works.get(task) if task is not None else None
        if task is None or (known is not None and known.begun):  # inside another one's handler
            return
        matcher = current_matcher.get()
        kind = tree.kinds.of_plugin(type(matcher).plugin_id, "handler")
        if known is not None:  # somebody looked at it while its rule was checked
            known.begun = True
            work, section = known, known.sections[0]
        else:
            # Not of its kind before it was admitted: whoever is in AI work, has been.
            section = Section(tree.kinds["handler"])
            origin = MatcherOrigin(type(matcher), current_bot.get(), current_event.get())
            work = tree.open_work(section, task, origin, root=True)
        self._runs[work] = matcher
        owner.set(work)
        section.name = None
        if tree.admission.refusing:
            admit(tree, kind, task)
        section.kind = kind
        if kind.limit is not None:
            await take_place(tree, section)
        if section.timeout is not None:
            loop = asyncio.get_running_loop()
            section.timer = loop.call_later(section.timeout, time_out, tree, section)


class WasCancelled(Exception):  # noqa: N818
    """What ``run_postprocessor`` hooks are given for a run that was told to end."""


async def _postprocess(matcher: Matcher, origin: MatcherOrigin, work: Work) -> None:
    """Run the others' ``run_postprocessor`` hooks, which a cancellation passes by.

    They hold locks and cool-downs (nonebot/message.py, ``_run_matcher``).
    """
    try:
        await _apply_run_postprocessors(
            bot=origin.bot_object,
            event=origin.event,
            matcher=matcher,
            exception=WasCancelled(work.outcome),
        )
    except Exception as error:
        logger.opt(exception=error).debug("Postprocessing a cancelled run failed")
