"""A word to a member whose request is ended while the bot runs on: by an operator, or its time-out."""

import asyncio
from weakref import WeakValueDictionary

from nonebot.adapters import Event
from nonebot.log import logger

from nonebot_plugin_graceful.bot import chats
from nonebot_plugin_graceful.bot.matchers import MatcherOrigin
from nonebot_plugin_graceful.bot.world import NoneBotWorld
from nonebot_plugin_graceful.config import Config
from nonebot_plugin_graceful.core.failures import describe_failure
from nonebot_plugin_graceful.core.orders import TIMED_OUT
from nonebot_plugin_graceful.core.tree import Tree
from nonebot_plugin_graceful.core.work import Section, Work

from .saying import say
from .texts import text_for

__all__ = ["BY_OPERATOR", "install"]

BY_OPERATOR = "cancelled by the operator"
REASONS = {BY_OPERATOR: "管理员取消", TIMED_OUT: "超时"}
"""What members read for ``{reason}``."""
TOGETHER = 0.05
"""Seconds in which those of one chat share a notice."""


def install(config: Config, tree: Tree, world: NoneBotWorld) -> None:
    """Tell those members."""
    withdrawals = _Withdrawals(config, tree)
    world.on_tell.append(withdrawals.told_to_end)
    world.on_end.append(withdrawals.ended)
    world.on_timeout.append(withdrawals.timed_out)


class _Withdrawals:
    """The notices of requests that are ended one by one.

    Args:
        config: The settings.
        tree: Whose tasks of ours send them.

    """

    def __init__(self, config: Config, tree: Tree) -> None:
        self._tree = tree
        self._text = config.graceful_cancel_notice
        self._limit = config.graceful_notice_limit
        self._sections: dict[Work, tuple[Section, ...]] = {}
        """What was in flight, and was told to end: while it unwinds it leaves its sections."""
        self._ended: dict[int, dict[Work, tuple[Section, ...]]] = {}
        """By event: what has ended of each request, and what it was in."""
        self._told: WeakValueDictionary[int, Event] = WeakValueDictionary()
        """The requests of which that was told: what of one takes longer to end, is not told once more."""

    def told_to_end(self, work: Work) -> None:
        """Take note of what work is in as it is told to end."""
        self._sections[work] = tuple(work.sections)

    def ended(self, work: Work) -> None:
        """Tell whoever asked, if his request has ended with this."""
        sections = self._sections.pop(work, None)
        if work.outcome not in REASONS or self._tree.lifecycle.stopping:
            return
        if work.outcome == TIMED_OUT:
            if not work.root or work.task is None or not work.task.cancelled():
                return  # its author hears of it, and may have something to say himself
        elif not work.root and self._is_in_flight(work):
            return  # it ends with this, and is told of then
        self._tell(work, sections)

    def timed_out(self, work: Work) -> None:
        """Tell whoever asked: a time-out of a section has gone through to the end."""
        self._tell(work, self._sections.get(work))

    def _is_in_flight(self, work: Work) -> bool:
        event = getattr(work.origin, "event", None)
        return self._tree.world.request_of(event) is not None

    def _tell(self, work: Work, sections: tuple[Section, ...] | None) -> None:
        origin = work.origin
        if not isinstance(origin, MatcherOrigin) or origin.user is None or work.answered:
            return
        if self._told.get(id(origin.event)) is origin.event:
            return
        if not self._ended:
            asyncio.get_running_loop().call_later(TOGETHER, self._send)
        self._ended.setdefault(id(origin.event), {})[work] = sections or tuple(work.sections)

    def _send(self) -> None:
        """Send one to each chat."""
        ended, self._ended = self._ended, {}
        told: set[tuple[str, chats.Chat | None]] = set()
        for sections in ended.values():
            first = next(iter(sections))
            origin = first.origin
            assert isinstance(origin, MatcherOrigin)
            self._told[id(origin.event)] = origin.event
            reason = REASONS[first.outcome or BY_OPERATOR]
            text = text_for(sections, self._text, reason, sections.__getitem__)
            chat = origin.bot_object.self_id, origin.place
            if text and chat not in told and len(told) < self._limit:
                told.add(chat)
                self._tree.run_internal(_say(origin, text), "notice")


async def _say(origin: MatcherOrigin, text: str) -> None:
    try:
        await say(origin.bot_object, origin.event, text)
    except Exception as error:
        logger.warning(f"No notice to {origin.chat}: {describe_failure(error)}")
