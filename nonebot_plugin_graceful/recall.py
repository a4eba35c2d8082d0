"""Members who think better of it: a recalled request is cancelled, and one's own may be."""

# Matcher.finish() is not fully typed:
# pyright: reportUnknownMemberType=false

from collections.abc import Callable
from typing import Annotated, Any

from nonebot import on_command, on_notice
from nonebot.adapters import Bot, Event, Message
from nonebot.log import logger
from nonebot.matcher import Matcher
from nonebot.params import CommandArg

from .config import Config
from .core.control import stop
from .core.registry import Record, registry
from .matchers import MatcherOrigin
from .notices import chat_of

__all__ = ["install"]

RECALLS = (
    "notice.group_recall",  # OneBot V11
    "notice.friend_recall",
    "notice.group_message_delete",  # OneBot V12
    "notice.private_message_delete",
    "notice.channel_message_delete",
)


def install(config: Config) -> None:
    """Watch recalls, and offer the command, if they are wanted."""
    if config.graceful_cancel_on_recall:
        on_notice(rule=_is_recall, priority=1, block=False, handlers=[_cancel_recalled])
    if config.graceful_cancel_command:
        on_command(
            config.graceful_cancel_command,
            force_whitespace=True,
            priority=1,
            block=True,
            handlers=[_cancel_own],
        )


def _is_recall(event: Event) -> bool:
    return event.get_event_name().startswith(RECALLS)


async def _cancel_recalled(bot: Bot, event: Event) -> None:
    operator = str(getattr(event, "operator_id", ""))
    if operator == bot.self_id:  # a plugin that tidies up, not somebody who changed his mind
        return
    # That a recall is the author's own or an admin's, the platform sees to.
    author, message = str(getattr(event, "user_id", "")), str(getattr(event, "message_id", ""))
    place = [str(getattr(event, name, "")) for name in ("group_id", "channel_id")]

    def is_recalled(origin: MatcherOrigin) -> bool:
        asked = origin.event
        return (
            origin.bot == bot.self_id
            and str(getattr(asked, "message_id", "")) == message
            and origin.user == author
            and [str(getattr(asked, name, "")) for name in ("group_id", "channel_id")] == place
        )

    count = _stop(is_recalled, "its message was recalled")
    if count:
        logger.info(f"Cancelled {count} tasks: {author} recalled message {message}, or an admin")


async def _cancel_own(
    bot: Bot, event: Event, matcher: Matcher, arguments: Annotated[Message[Any], CommandArg()]
) -> None:
    if arguments.extract_plain_text().strip():
        await matcher.finish("单独发送这条命令，就会取消你在这里的全部请求。")
    ours = MatcherOrigin(type(matcher), bot, event)
    user, chat = ours.user, chat_of(ours)
    count = _stop(
        lambda origin: origin.user == user and chat_of(origin) == chat, "cancelled by its user"
    )
    await matcher.finish("已取消你的请求。" if count else "你在这里没有进行中的请求。")


def _stop(fits: Callable[[MatcherOrigin], bool], reason: str) -> int:
    """Stop the work on every request that fits, but not the command that asks.

    Returns:
        How many tasks were told to stop.

    """
    current = registry.current()
    records: set[Record] = {
        family.record
        for family in registry.families()
        if family.record is not current
        and isinstance(family.record.origin, MatcherOrigin)
        and fits(family.record.origin)
    }
    if records:
        stop(records, reason)
    return len(records)
