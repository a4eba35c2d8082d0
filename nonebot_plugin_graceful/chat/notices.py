"""A word to whoever's request is stopped by the shutdown, while the bot can still talk."""

import asyncio
import time
from collections.abc import Callable, Iterable

from nonebot.adapters import Bot, Event
from nonebot.log import logger
from nonebot.rule import TrieRule

from nonebot_plugin_graceful.bot import chats
from nonebot_plugin_graceful.bot.deliveries import comes_again
from nonebot_plugin_graceful.bot.matchers import MatcherOrigin
from nonebot_plugin_graceful.bot.process import Process
from nonebot_plugin_graceful.bot.world import NoneBotWorld
from nonebot_plugin_graceful.config import Config
from nonebot_plugin_graceful.core.drain import Drain
from nonebot_plugin_graceful.core.failures import describe_failure
from nonebot_plugin_graceful.core.stopping import Stopping
from nonebot_plugin_graceful.core.tree import Tree
from nonebot_plugin_graceful.core.work import Work

from .mute import mute_cancelled
from .saying import say
from .texts import fill, text_for

__all__ = ["install"]

LEAST_LEFT = 1.0
"""Seconds of the deadline that are not spent on notices."""

Chat = tuple[str, chats.Chat | None]
"""By which bot, and which chat."""


def install(
    config: Config, process: Process, world: NoneBotWorld, resumes: Callable[[Event], bool]
) -> None:
    """Send notices when work has been stopped, and mute what was cancelled.

    Args:
        config: The settings.
        process: Whose work it is.
        world: Tells of messages that came too late.
        resumes: Whether the request that an event began will be taken up again.

    """
    notices = _Notices(config, process.tree, resumes)
    process.farewells.append(notices.send)
    world.on_refused_event.append(notices.came_too_late)
    if config.graceful_mute_cancelled:
        process.mutes.append(lambda: mute_cancelled(process.tree))


class _Notices:
    """The notices of one bot.

    Args:
        config: The settings.
        tree: Whose tasks of ours send them.
        resumes: Whether the request that an event began will be taken up again.

    """

    def __init__(self, config: Config, tree: Tree, resumes: Callable[[Event], bool]) -> None:
        self._tree = tree
        self._resumes = resumes
        self._text = config.graceful_notice
        self._resume_text = config.graceful_resume_notice
        self._limit = config.graceful_notice_limit
        self._timeout = config.graceful_notice_timeout
        self._deadline = config.graceful_deadline
        self._late: list[MatcherOrigin] = []
        """Of messages to the bot that were taken, and will not be handled in this life."""

    def came_too_late(self, origin: MatcherOrigin) -> None:
        """Take note of a message that is not handled any more."""
        if (self._text or self._resume_text) and _is_for_the_bot(origin):
            self._late.append(origin)

    async def send(self, drain: Drain) -> None:
        """Send one to each chat that has lost a request."""
        outcomes = drain.stopping.outcomes()
        stopped = [*outcomes.cancelled, *outcomes.stragglers, *drain.orphans()]
        told = self._by_chat(stopped, drain.stopping)
        late, self._late = self._late, []
        for origin in late:
            _add(told, origin, self._text_too_late(origin))
        left = self._tree.lifecycle.began + self._deadline - LEAST_LEFT - time.monotonic()
        timeout = min(self._timeout, left)
        if not told or timeout <= 0:
            return
        chosen = list(told)[: self._limit]
        if len(chosen) < len(told):
            logger.warning(f"Notices go to {len(chosen)} chats of {len(told)}")
        if not chosen:
            return
        sending = {
            self._tree.run_internal(say(origin.bot_object, origin.event, text), "notice"): origin
            for origin, text in (told[chat] for chat in chosen)
        }
        # wait(), because it also ends when an adapter swallows its cancellation
        done, pending = await asyncio.wait(sending, timeout=timeout)
        for task in pending:
            task.cancel()
            logger.warning(
                f"The notice to {sending[task].chat} was not confirmed within {timeout:.1f} s:"
                " it may not have arrived"
            )
        for task in done:
            if not task.cancelled() and (error := task.exception()) is not None:
                logger.warning(f"No notice to {sending[task].chat}: {describe_failure(error)}")

    def _by_chat(
        self, works: Iterable[Work], stopping: Stopping
    ) -> dict[Chat, tuple[MatcherOrigin, str]]:
        """Choose what each chat is told, and in answer to which request."""
        requests: dict[int, list[Work]] = {}
        for work in sorted(works, key=lambda work: work.started):
            if isinstance(work.origin, MatcherOrigin) and work.origin.user is not None:
                requests.setdefault(id(work.origin.event), []).append(work)
        told: dict[Chat, tuple[MatcherOrigin, str]] = {}
        for stopped in requests.values():
            origin = stopped[0].origin
            if isinstance(origin, MatcherOrigin) and not any(work.answered for work in stopped):
                _add(told, origin, self._text_for(stopped, origin, stopping))
        return told

    def _text_for(self, works: list[Work], origin: MatcherOrigin, stopping: Stopping) -> str:
        if not self._resumes(origin.event):
            reason = self._tree.lifecycle.reason
            return text_for(works, self._text, reason, stopping.sections_of)
        first = works[0]
        return fill(
            self._resume_text,
            kind=stopping.kind_of(first).name,
            plugin=origin.plugin,
            reason=self._tree.lifecycle.reason,
            elapsed=time.monotonic() - first.started,
        )

    def _text_too_late(self, origin: MatcherOrigin) -> str:
        text = self._resume_text if self._resumes(origin.event) else self._text
        reason = self._tree.lifecycle.reason
        return fill(text, kind="handler", plugin=None, reason=reason, elapsed=0)


def _add(told: dict[Chat, tuple[MatcherOrigin, str]], origin: MatcherOrigin, text: str) -> None:
    if text:
        told.setdefault((origin.bot_object.self_id, origin.place), (origin, text))


def _is_for_the_bot(origin: MatcherOrigin) -> bool:
    """Whether somebody waits for an answer to a message that no matcher has seen.

    It may be a word among friends. One that the platform sends again has time.
    """
    bot, event = origin.bot_object, origin.event
    if event.get_type() != "message" or comes_again(bot):
        return False
    return event.is_tome() or _begins_with_command(bot, event)


def _begins_with_command(bot: Bot, event: Event) -> bool:
    try:
        return TrieRule.get_value(bot, event, {})["command"] is not None
    except Exception:  # an empty message
        return False
