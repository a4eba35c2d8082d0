"""Saying something where an event came from, in reply to it where the adapter can."""

import inspect
from typing import Any, cast

from nonebot.adapters import Bot, Event

from nonebot_plugin_graceful.bot.chats import value_of

__all__ = ["say"]

KEYWORDS = ("reply_message", "reply_sender")  # OneBot and Discord; Kaiheila
"""What makes a reply of a message, given to ``Bot.send``."""
SEGMENTS = ("reply", "quote")  # Telegram, Milky; Satori
"""What makes a reply of a message, put at its head."""
NUMBERS = ("message_id", "msg_id")


async def say(bot: Bot, event: Event, text: str) -> None:
    """Send a text where an event came from, as a reply to it where the adapter can."""
    if await _replied_by_api(bot, event, text):
        return
    keyword = _keyword(bot)
    if keyword:
        await bot.send(event, text, **{keyword: True})  # pyright: ignore[reportUnknownMemberType]
    else:
        await bot.send(event, _quoting(event, text) or text)  # pyright: ignore[reportUnknownMemberType]


def _keyword(bot: Bot) -> str | None:
    """Find the keyword that the adapter's way to send has for it."""
    # Bot.send of OneBot and its like passes everything on to a handler, which may be exchanged.
    functions: list[Any] = [getattr(type(bot), name, None) for name in ("send", "send_handler")]
    chosen: Any = getattr(bot.adapter, "get_send", None)  # OneBot V12: one for each platform
    if chosen is not None:
        functions.append(chosen(getattr(bot, "impl", ""), getattr(bot, "platform", "")))
    parameters = {
        name
        for function in functions
        if callable(function)
        for name in inspect.signature(function).parameters
    }
    return next((name for name in KEYWORDS if name in parameters), None)


def _quoting(event: Event, text: str) -> Any:
    """Make a message that quotes an event; None if its adapter has no segment for that."""
    number = next(filter(None, (value_of(event, name) for name in NUMBERS)), None)
    kind = _kind_of_message(event)
    if kind is None:
        return None
    segments: Any = kind.get_segment_class()
    kinds = (segments, *segments.__subclasses__())  # Telegram has it in one of these
    makes = (getattr(each, name, None) for each in kinds for name in SEGMENTS)
    make: Any = next(filter(callable, makes), None)
    if number is None or make is None:
        return None
    # Nobody is to go without a word because he has deleted what he had asked.
    optional = "allow_sending_without_reply"
    keywords = {optional: True} if optional in inspect.signature(make).parameters else {}
    return kind(make(number, **keywords)) + text


async def _replied_by_api(bot: Bot, event: Event, text: str) -> bool:
    """Reply by an API of its own, as Feishu has it. False if there is none."""
    reply: Any = getattr(type(bot), "reply_msg", None)
    number = value_of(event, "event.message.message_id")
    if reply is None or number is None:
        return False
    kind, content = _kind_of_message(event)(text).serialize()
    await reply(bot, number, content, kind)
    return True


def _kind_of_message(event: Event) -> Any:
    """Give the adapter's class of messages; None if the event is none."""
    try:
        return cast("Any", event.get_message()).__class__  # pyright: ignore[reportUnknownMemberType]
    except Exception:
        return None
