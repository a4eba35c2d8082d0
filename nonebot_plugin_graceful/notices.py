"""A word to whoever's request is stopped, while the bot can still talk; and no false alarms."""

import asyncio
import inspect
import re
import time
from collections.abc import Callable, Iterable
from typing import Any

from nonebot.adapters import Bot, Event
from nonebot.exception import MockApiException
from nonebot.log import logger

from .config import Config
from .core.drain import Drain
from .core.failures import describe_failure
from .core.lifecycle import lifecycle
from .core.registry import Record, owner, registry
from .core.stopping import Stopping
from .matchers import MatcherOrigin
from .shutdown import Shutdown

__all__ = ["chat_of", "fill", "install", "say"]

LEAST_LEFT = 1.0
"""Seconds of the deadline that are not spent on notices."""
PLACEHOLDER = re.compile(r"\{(kind|plugin|reason|elapsed)\}")
SENDS = re.compile(r"send|(create|post|reply)\w*message|message\w*(create|post|reply)|/messages")
"""What adapters call the APIs that send a message, in lower case."""

Chat = tuple[str, str | None, str | None]


def install(config: Config, shutdown: Shutdown) -> None:
    """Send notices when work has been stopped, and mute what was cancelled."""
    shutdown.farewells.append(_Notices(config).send)
    if config.graceful_mute_cancelled:
        shutdown.beginnings.append(_mute_cancelled)


def chat_of(origin: MatcherOrigin) -> Chat:
    """Tell a chat from every other: a group may have the number of a person."""
    event = origin.event
    place = getattr(event, "message_type", None) or getattr(event, "detail_type", None)
    return origin.bot_object.self_id, place, origin.chat


def fill(text: str, record: Record, kind: str) -> str:
    """Fill the placeholders of a notice.

    Args:
        text: May contain ``{kind}``, ``{plugin}``, ``{reason}`` and ``{elapsed}`` (whole seconds);
            any other brace is left alone.
        record: What was stopped.
        kind: What it did.

    """
    values = {
        "kind": kind,
        "plugin": (record.origin.plugin if record.origin else None) or "",
        "reason": record.reason or lifecycle.reason,
        "elapsed": f"{time.monotonic() - record.started:.0f}",
    }
    return PLACEHOLDER.sub(lambda found: values[found[1]], text)


async def say(bot: Bot, event: Event, text: str) -> None:
    """Send a text where an event came from, as a reply to it where the adapter can."""
    # Whoever's request this is may be muted; we are not. The context is this task's own.
    owner.set(None)
    keywords = {"reply_message": True} if _can_reply(bot) else {}
    await bot.send(event, text, **keywords)  # pyright: ignore[reportUnknownMemberType]


def _can_reply(bot: Bot) -> bool:
    # OneBot's Bot.send passes everything on to its send_handler.
    functions: list[Any] = [getattr(type(bot), name, None) for name in ("send", "send_handler")]
    return any(
        "reply_message" in inspect.signature(function).parameters
        for function in functions
        if callable(function)
    )


class _Notices:
    """The notices of one bot.

    Args:
        config: The settings.

    """

    def __init__(self, config: Config) -> None:
        self._text = config.graceful_notice
        self._limit = config.graceful_notice_limit
        self._timeout = config.graceful_notice_timeout
        self._deadline = config.graceful_deadline

    async def send(self, drain: Drain) -> None:
        """Send one to each chat that has lost a request."""
        outcomes = drain.stopping.outcomes()
        chats = self._by_chat([*outcomes.cancelled, *outcomes.stragglers], drain.stopping)
        left = lifecycle.began + self._deadline - LEAST_LEFT - time.monotonic()
        timeout = min(self._timeout, left)
        if not chats or timeout <= 0:
            return
        chosen = list(chats)[: self._limit]
        if len(chosen) < len(chats):
            logger.warning(f"Notices go to {len(chosen)} chats of {len(chats)}")
        if not chosen:
            return
        sending = {
            registry.run_internal(say(origin.bot_object, origin.event, text), "notice"): origin
            for origin, text in (chats[chat] for chat in chosen)
        }
        # wait(), because it also ends when an adapter swallows its cancellation
        done, pending = await asyncio.wait(sending, timeout=timeout)
        for task in pending:
            task.cancel()
            logger.warning(f"No notice to {sending[task].chat}: not sent after {timeout:.1f} s")
        for task in done:
            if not task.cancelled() and (error := task.exception()) is not None:
                logger.warning(f"No notice to {sending[task].chat}: {describe_failure(error)}")

    def _by_chat(
        self, records: Iterable[Record], stopping: Stopping
    ) -> dict[Chat, tuple[MatcherOrigin, str]]:
        """Choose what each chat is told, and in answer to which request."""
        requests: dict[MatcherOrigin, list[Record]] = {}
        for record in sorted(records, key=lambda record: record.started):
            if isinstance(record.origin, MatcherOrigin) and record.origin.user is not None:
                requests.setdefault(record.origin, []).append(record)
        chats: dict[Chat, tuple[MatcherOrigin, str]] = {}
        for origin, stopped in requests.items():
            text = self._text_for(stopped, stopping)
            if text:
                chats.setdefault(chat_of(origin), (origin, text))
        return chats

    def _text_for(self, records: list[Record], stopping: Stopping) -> str:
        """Choose the text for one request, whose work may have been in several tasks."""
        chosen = min(records, key=lambda record: stopping.kind_of(record).tier)
        wish: str | bool | None = None
        for record in records:
            for section in reversed(record.sections):
                if section.notice is None or section.notice is True:
                    continue
                if isinstance(section.notice, str):
                    return fill(section.notice, record, stopping.kind_of(record).name)
                wish = False
                break
        if wish is False:
            return ""
        return fill(self._text, chosen, stopping.kind_of(chosen).name)


def _mute_cancelled() -> Callable[[], None]:
    """Send nothing that a handler says of being cancelled, unless its author knows of it.

    Returns:
        Takes it back.

    """
    Bot.on_calling_api(_mute)

    def restore() -> None:
        Bot._calling_api_hook.discard(_mute)  # noqa: SLF001 # pyright: ignore[reportPrivateUsage]

    return restore


async def _mute(bot: Bot, api: str, data: dict[str, Any]) -> None:  # noqa: ARG001
    # NoneBot runs this in a child task of the one that calls the API; it inherits the record.
    record = owner.get()
    if record is None or record.aware or not record.cancelled or not lifecycle.stopping:
        return
    if SENDS.search(api.lower()):
        plugin = record.origin.plugin if record.origin else None
        logger.info(f"Muted what {plugin or 'no plugin'} says of being cancelled: {api}")
        raise MockApiException(result=None)
