"""Matcher runs: registering them, refusing them, and keeping a cancelled event cancelled."""

import asyncio
import functools
from collections.abc import Awaitable, Callable
from typing import Any
from weakref import WeakValueDictionary

from nonebot.adapters import Bot, Event
from nonebot.exception import FinishedException, IgnoredException
from nonebot.log import logger
from nonebot.matcher import Matcher, current_bot, current_event, current_matcher
from nonebot.message import (
    _apply_run_postprocessors,  # pyright: ignore[reportPrivateUsage]
    check_and_run_matcher,
    run_preprocessor,
)

from nonebot_plugin_graceful.core import frames
from nonebot_plugin_graceful.core.ending import admit, take_place
from nonebot_plugin_graceful.core.errors import Interrupted, Refused
from nonebot_plugin_graceful.core.orders import TIMED_OUT, run_time
from nonebot_plugin_graceful.core.tree import Tree
from nonebot_plugin_graceful.core.work import Section, Work, owner
from nonebot_plugin_graceful.core.world import Origin, Recognized

from .chats import Chat, chat_of, user_of
from .events import look_at_events

__all__ = ["MatcherOrigin", "Matchers", "refuse_events"]


class MatcherOrigin:
    """Whose request a matcher run works on. Worked out when asked for, not for every event."""

    __slots__ = ("bot_object", "event", "matcher_class")

    def __init__(self, matcher_class: type[Matcher] | None, bot: Bot, event: Event) -> None:
        self.matcher_class: type[Matcher] | None = matcher_class
        self.bot_object: Bot = bot
        self.event: Event = event

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
        return user_of(self.event)

    @property
    def chat(self) -> str | None:
        """The group or channel the event came from, else who sent it."""
        place = self.place
        return place.id if place is not None else None

    @property
    def place(self) -> Chat | None:
        """The same, told from every other."""
        return chat_of(self.event)


def refuse_events(tree: Tree) -> Callable[[], None]:
    """Take on no more events.

    Returns:
        Takes it back.

    """

    def refuse(bot: Bot, event: Event) -> None:
        tree.world.event_refused(MatcherOrigin(None, bot, event))
        raise IgnoredException(tree.lifecycle.reason)

    return look_at_events(refuse)


class Matchers:
    """The matcher runs of a bot.

    Args:
        tree: Where they are registered.

    """

    def __init__(self, tree: Tree) -> None:
        self._tree = tree
        self._cancelled: WeakValueDictionary[int, Event] = WeakValueDictionary()
        """Events of which a run was cancelled that would have blocked the others, by their id."""
        self._blocked: dict[int, int] = {}
        """After which priority nobody takes such an event over."""
        self._silenced: set[tuple[int, str | None, str | None, str]] = set()
        """Whose rule was refused, and why: in the drain that lasts, by its number."""

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

    def rule_refused(self, origin: Origin, reason: str) -> None:
        """Say that a matcher stays silent whose rule may not ask; once a drain.

        To NoneBot it does not match, and those of lower priority get the event.
        """
        if not isinstance(origin, MatcherOrigin):
            return
        turn = self._tree.admission.turns
        self._silenced = {each for each in self._silenced if each[0] == turn}
        silenced = (turn, origin.plugin, origin.matcher, reason)
        if silenced not in self._silenced:
            self._silenced.add(silenced)
            logger.info(
                f"{origin.plugin}: the matcher at {origin.matcher} does not match,"
                f" its rule was refused: {reason}"
            )

    def run_ended(self, work: Work, *, told: bool) -> None:
        """After a run that was told to end during its rule."""
        origin = work.origin
        if told and not work.begun and isinstance(origin, MatcherOrigin) and origin.matcher_class:
            self._stop_propagation(origin.event, origin.matcher_class)

    def withdraw(self, event: Event) -> None:
        """Let no further run of an event begin: its message is not there any more."""
        self._block(event, 0)

    def _block(self, event: Event, priority: int) -> None:
        self._cancelled[id(event)] = event
        blocked = {key: self._blocked.get(key, priority) for key in self._cancelled}
        blocked[id(event)] = min(priority, blocked[id(event)])
        self._blocked = blocked

    def _stop_propagation(self, event: Event, matcher: type[Matcher] | Matcher) -> None:
        """Let nobody take an event over who would not have got it, had the run not been cancelled.

        NoneBot itself goes on to the matchers of lower priority.
        """
        if matcher.block:
            self._block(event, matcher.priority)

    async def _prepare(self) -> None:
        # NoneBot runs this in a task of its own; so it only sends word into the matcher's. It takes
        # no parameters because NoneBot solves each one in a further task.
        event = current_event.get()
        matcher = current_matcher.get()
        if self._cancelled.get(id(event)) is event and matcher.priority > self._blocked[id(event)]:
            raise IgnoredException("the event was cancelled")
        if self._tree.lifecycle.stopping:
            self._refused(matcher, current_bot.get(), event)
            raise IgnoredException(self._tree.lifecycle.reason)
        matcher.run = functools.partial(self._run, matcher)  # pyright: ignore[reportAttributeAccessIssue]

    def _refused(self, matcher: Matcher, bot: Bot, event: Event) -> None:
        self._tree.world.run_refused(MatcherOrigin(type(matcher), bot, event))

    async def _run(self, matcher: Matcher, bot: Bot, event: Event, *arguments: Any) -> None:
        """Run a matcher as NoneBot does, in its task, which is registered before."""
        run = functools.partial(type(matcher).run, matcher, bot, event, *arguments)
        task = asyncio.current_task()
        known = self._tree.works.get(task) if task is not None else None
        if task is None or (known is not None and known.begun):  # inside another one's handler
            return await run()
        work = self._register(task, known, MatcherOrigin(type(matcher), bot, event))
        try:
            await self._begin(work, task)
            await _run_handlers(work, run)
        except asyncio.CancelledError:
            if self._tree.lifecycle.stopping:
                self._stop_propagation(event, matcher)
            elif work.outcome is not None:
                self._stop_propagation(event, matcher)
                await _postprocess(matcher, bot, event, work.outcome)
            raise
        except TimeoutError as error:
            work.sections[0].raised = type(error)
            if work.outcome == TIMED_OUT:
                self._tree.world.run_timed_out(work)
            raise
        except FinishedException:  # refused
            work.sections[0].raised = Refused
        except Exception as error:
            work.sections[0].raised = type(error)
            raise

    def _register(
        self, task: "asyncio.Task[Any]", known: Work | None, origin: MatcherOrigin
    ) -> Work:
        if known is not None:  # somebody looked at it while its rule was checked
            known.begun = True
            known.sections[0].name = None
            owner.set(known)
            return known
        # Not of its kind before it was admitted: whoever is in AI work, has been.
        return self._tree.open_work(Section(self._tree.kinds["handler"]), task, origin, root=True)

    async def _begin(self, work: Work, task: "asyncio.Task[Any]") -> None:
        tree, section = self._tree, work.sections[0]
        assert work.origin is not None
        kind = tree.kinds.of_plugin(work.origin.plugin, "handler")
        if tree.lifecycle.stopping:
            tree.world.run_refused(work.origin)
            raise Interrupted(tree.lifecycle.reason)
        if tree.admission.refusing:
            await admit(tree, kind, task)
        section.kind = kind
        tree.world.section_opened(section, work)
        if kind.limit is not None:
            await take_place(tree, section)
        run_time(tree, section)


async def _run_handlers(work: Work, run: Callable[[], Awaitable[None]]) -> None:
    """Run a matcher's handlers; what would end the event loop when they are stopped does not.

    Clean-up that only runs because we have cancelled it would cost everybody else's work and hooks.
    """
    try:
        await run()
    except (SystemExit, KeyboardInterrupt) as error:
        if work.outcome is None:
            raise
        plugin = work.origin.plugin if work.origin else None
        logger.error(f"{plugin} raised {error!r} when it was stopped: the bot goes on")
        raise Interrupted(work.outcome) from error


class WasCancelled(Exception):  # noqa: N818
    """What ``run_postprocessor`` hooks are given for a run that was told to end."""


async def _postprocess(matcher: Matcher, bot: Bot, event: Event, reason: str) -> None:
    """Run the others' ``run_postprocessor`` hooks, which a cancellation passes by.

    They hold locks and cool-downs (nonebot/message.py, ``_run_matcher``).
    """
    try:
        await _apply_run_postprocessors(
            bot=bot, event=event, matcher=matcher, exception=WasCancelled(reason)
        )
    except Exception as error:
        logger.opt(exception=error).debug("Postprocessing a cancelled run failed")
