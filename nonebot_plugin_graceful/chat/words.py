"""The words of a command, also as Telegram's menus send it: ``/graceful@cat_bot list``."""

from typing import Annotated, Any

from nonebot.adapters import Bot, Message
from nonebot.params import CommandArg, CommandWhitespace
from nonebot.rule import Rule

__all__ = ["IS_WHOLE", "Arguments", "words_of"]

Arguments = Annotated[Message[Any], CommandArg()]


def words_of(bot: Bot, arguments: Message[Any]) -> str:
    """Give what follows a command, without the bot's own name behind it."""
    text = arguments.extract_plain_text().strip()
    name, _, rest = text.partition(" ")
    return rest.strip() if _is_our_name(bot, name) else text


def _is_our_name(bot: Bot, name: str) -> bool:
    own = getattr(bot, "username", None)  # of a bot of Telegram's
    return isinstance(own, str) and name.lower() == f"@{own}".lower()


async def _is_whole(
    bot: Bot, arguments: Arguments, whitespace: Annotated[str | None, CommandWhitespace()]
) -> bool:
    """Whether the command is not the beginning of some other word, nor another bot's."""
    if not arguments or whitespace is not None:
        return True
    first, *_ = (*arguments.extract_plain_text().split(), "")
    return _is_our_name(bot, first)


IS_WHOLE = Rule(_is_whole)
"""As ``force_whitespace=True``, but that the bot's name may follow the command."""
