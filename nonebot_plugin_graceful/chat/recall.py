"""Members who think better of it: a recalled request is cancelled, and one's own may be."""

# Matcher.finish() is not fully typed:
# pyright: reportUnknownMemberType=false

from collections.abc import Callable
from typing import NamedTuple

from nonebot import on_command, on_notice
from nonebot.adapters import Bot, Event
from nonebot.log import logger
from nonebot.matcher import Matcher

from nonebot_plugin_graceful.bot.chats import chat_of, user_of, value_of
from nonebot_plugin_graceful.bot.matchers import MatcherOrigin, Matchers
from nonebot_plugin_graceful.config import Config
from nonebot_plugin_graceful.core.info import others_in_flight
from nonebot_plugin_graceful.core.orders import stop
from nonebot_plugin_graceful.core.tree import Tree
from nonebot_plugin_graceful.journal.requests import Requests

from .words import IS_WHOLE, Arguments, words_of

__all__ = ["install"]


class _Saying(NamedTuple):
    """Where the event of a recall says what: paths of attributes, empty if it does not."""

    message: str
    author: str
    operator: str
    in_chat: bool
    """Whether it tells its chat as a message does, whose number is of that chat alone."""


ONEBOT = _Saying("message_id", "user_id", "operator_id", in_chat=True)
RECALLS = {
    "notice.group_recall": ONEBOT,  # V11
    "notice.friend_recall": ONEBOT,
    "notice.group_message_delete": ONEBOT,  # V12
    "notice.private_message_delete": ONEBOT,
    "notice.channel_message_delete": ONEBOT,
    "recall:": _Saying(  # Milky
        "data.message_seq", "data.sender_id", "data.operator_id", in_chat=True
    ),
    "notice.deleted_private_message": _Saying(  # Kaiheila
        "extra.body.msg_id", "extra.body.author_id", "", in_chat=False
    ),
    "DirectMessageDeleteEvent": _Saying("id", "", "", in_chat=True),  # Discord
}
"""How recalls begin to be called. Those of which it is not known whether the bot itself has done it,
as a plugin that tidies up does, are left out."""
NUMBERS = ("message_id", "msg_id", "id")


def install(config: Config, tree: Tree, matchers: Matchers, requests: Requests) -> None:
    """Watch recalls, and offer the command, if they are wanted."""
    members = _Members(tree, matchers, requests)
    if config.graceful_cancel_on_recall:
        on_notice(rule=_is_recall, priority=1, block=False, handlers=[members.recalled])
    if config.graceful_cancel_command:
        on_command(
            config.graceful_cancel_command,
            IS_WHOLE,
            priority=1,
            block=True,
            handlers=[members.cancel_own],
        )


def _is_recall(event: Event) -> bool:
    return _saying(event) is not None


def _saying(event: Event) -> _Saying | None:
    name = event.get_event_name()
    return next((saying for start, saying in RECALLS.items() if name.startswith(start)), None)


class _Members:
    """What members do about their own requests."""

    def __init__(self, tree: Tree, matchers: Matchers, requests: Requests) -> None:
        self._tree = tree
        self._matchers = matchers
        self._requests = requests

    async def recalled(self, bot: Bot, event: Event) -> None:
        """Cancel the request that a recalled message began."""
        saying = _saying(event)
        assert saying is not None  # the rule has seen to it
        message, author, operator = (
            str(value_of(event, path) or "") if path else "" for path in saying[:3]
        )
        if operator == bot.self_id:  # a plugin that tidies up, not somebody who changed his mind
            return
        # That a recall is the author's own or an admin's, the platform sees to.
        place = chat_of(event) if saying.in_chat else None

        def is_recalled(asked: Event) -> bool:
            numbers = filter(None, (value_of(asked, name) for name in NUMBERS))
            return (
                # others' handlers of this very notice are not what the message began
                asked.get_type() == "message"
                and str(next(numbers, "")) == message
                and author in ("", user_of(asked))
                and place in (None, chat_of(asked))
            )

        def is_its(origin: MatcherOrigin) -> bool:
            is_it = origin.bot == bot.self_id and is_recalled(origin.event)
            if is_it:
                self._matchers.withdraw(origin.event)
            return is_it

        count = self._stop(is_its, "its message was recalled")
        count += self._withdraw(bot, is_recalled)
        if count:
            who = author or "its author"
            logger.info(f"Cancelled {count} tasks: {who} recalled message {message}, or an admin")

    async def cancel_own(
        self,
        bot: Bot,
        event: Event,
        matcher: Matcher,
        arguments: Arguments,
    ) -> None:
        """Cancel a member's own requests in this chat."""
        if words_of(bot, arguments):
            await matcher.finish("单独发送这条命令，就会取消你在这里的全部请求。")
        ours = MatcherOrigin(type(matcher), bot, event)
        user, place = ours.user, ours.place
        count = self._stop(
            lambda origin: (origin.bot, origin.user, origin.place) == (bot.self_id, user, place),
            "cancelled by its user",
        )
        count += self._withdraw(
            bot, lambda asked: (user_of(asked), chat_of(asked)) == (user, place)
        )
        await matcher.finish("已取消你的请求。" if count else "你在这里没有进行中的请求。")

    def _withdraw(self, bot: Bot, fits: Callable[[Event], bool]) -> int:
        """Take out what the journal has of such messages, and has not come to yet."""
        found = self._requests.withdraw(bot.type, bot.self_id, fits)
        for event in found:
            self._matchers.withdraw(event)
        return len(found)

    def _stop(self, fits: Callable[[MatcherOrigin], bool], reason: str) -> int:
        """Stop the work on every request that fits, but not the command that asks.

        A background task is left alone, and so is one that nobody has registered and that has
        outlived its handler: somebody may have started a worker that serves everybody.

        Returns:
            How much work was told to stop.

        """
        targets = [
            work.sections[0]
            for work in others_in_flight(self._tree, begun=False)
            if isinstance(work.origin, MatcherOrigin)
            and not (work.spawned and work.sections[0].kind.name == "background")
            and not work.adopted
            and fits(work.origin)
        ]
        return len(stop(self._tree, targets, reason, of_requests=True))
