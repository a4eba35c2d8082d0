"""A word to whoever's request is stopped, while the bot can still talk; and no false alarms."""

import asyncio
import re
import time
from collections.abc import Callable, Iterable
from typing import Any

from nonebot.adapters import Bot, Event
from nonebot.exception import MockApiException
from nonebot.log import logger

from nonebot_plugin_graceful.bot import chats
from nonebot_plugin_graceful.bot.adapters import sends
from nonebot_plugin_graceful.bot.matchers import MatcherOrigin
from nonebot_plugin_graceful.bot.process import Process
from nonebot_plugin_graceful.config import Config
from nonebot_plugin_graceful.core.drain import Drain
from nonebot_plugin_graceful.core.failures import describe_failure
from nonebot_plugin_graceful.core.stopping import Stopping
from nonebot_plugin_graceful.core.tree import Tree
from nonebot_plugin_graceful.core.work import Section, Work, living, owner

from .saying import say

__all__ = ["fill", "install"]

LEAST_LEFT = 1.0
"""Seconds of the deadline that are not spent on notices."""
PLACEHOLDER = re.compile(r"\{(kind|plugin|reason|elapsed)\}")

Chat = tuple[str, chats.Chat | None]
"""By which bot, and which chat."""


def install(config: Config, process: Process, resumes: Callable[[Event], bool]) -> None:
    """Send notices when work has been stopped, and mute what was cancelled.

    Args:
        config: The settings.
        process: Whose work it is.
        resumes: Whether the request that an event began will be taken up again.

    """
    process.farewells.append(_Notices(config, process.tree, resumes).send)
    if config.graceful_mute_cancelled:
        process.mutes.append(lambda: _mute_cancelled(process.tree))


def fill(text: str, work: Work, kind: str) -> str:
    """Fill the placeholders of a notice.

    Args:
        text: May contain ``{kind}``, ``{plugin}``, ``{reason}`` and ``{elapsed}`` (whole seconds);
            any other brace is left alone.
        work: What was stopped.
        kind: What it did.

    """
    values = {
        "kind": kind,
        "plugin": (work.origin.plugin if work.origin else None) or "",
        "reason": work.outcome or "",
        "elapsed": f"{time.monotonic() - work.started:.0f}",
    }
    return PLACEHOLDER.sub(lambda found: values[found[1]], text)


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

    async def send(self, drain: Drain) -> None:
        """Send one to each chat that has lost a request."""
        outcomes = drain.stopping.outcomes()
        stopped = [*outcomes.cancelled, *outcomes.stragglers, *drain.orphans()]
        told = self._by_chat(stopped, drain.stopping)
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
            if any(work.answered for work in stopped):
                continue
            origin = stopped[0].origin
            if isinstance(origin, MatcherOrigin) and self._resumes(origin.event):
                kind = stopping.kind_of(stopped[0]).name
                text = fill(self._resume_text, stopped[0], kind)
            else:
                text = self._text_for(stopped, stopping)
            if text and isinstance(origin, MatcherOrigin):
                told.setdefault((origin.bot_object.self_id, origin.place), (origin, text))
        return told

    def _text_for(self, works: list[Work], stopping: Stopping) -> str:
        """Choose the text for one request, on which there may have been work in several tasks."""
        chosen = min(works, key=lambda work: stopping.kind_of(work).tier)
        silent = False
        for work in works:
            section = _last_with_notice(stopping.sections_of(work))
            if section is not None and isinstance(section.notice, str):
                return fill(section.notice, work, stopping.kind_of(work).name)
            silent = silent or section is not None
        return "" if silent else fill(self._text, chosen, stopping.kind_of(chosen).name)


def _last_with_notice(sections: tuple[Section, ...]) -> Section | None:
    """Find the innermost section that says what the chat is told, be it nothing."""
    return next((each for each in reversed(sections) if each.notice not in (None, True)), None)


def _mute_cancelled(tree: Tree) -> Callable[[], None]:
    """Send nothing that a handler says of being cancelled, unless its author knows of it.

    Returns:
        Takes it back.

    """

    async def mute(bot: Bot, api: str, data: dict[str, Any]) -> None:
        # NoneBot runs this in a child task of the one that calls the API; it inherits the work.
        del bot
        work = living(owner.get())
        if work is None or work.aware or not tree.lifecycle.stopping:
            return
        if work.ending is not None and work.ending.cancels and sends(api, data):
            plugin = work.origin.plugin if work.origin else None
            logger.info(f"Muted what {plugin or 'no plugin'} says of being cancelled: {api}")
            raise MockApiException(result=None)

    Bot.on_calling_api(mute)

    def restore() -> None:
        Bot._calling_api_hook.discard(mute)  # noqa: SLF001 # pyright: ignore[reportPrivateUsage]

    return restore
