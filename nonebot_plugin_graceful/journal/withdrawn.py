"""Whether a message is still there: people withdraw what they no longer want, also while a bot is down."""

import asyncio
import re
from typing import Any
from weakref import WeakSet

from nonebot.adapters import Bot, Event
from nonebot.exception import ActionFailed

__all__ = ["is_withdrawn"]

PATIENCE = 3.0
"""Seconds a platform has to answer."""
_silent: "WeakSet[Bot]" = WeakSet()
"""Those whose platform did not answer, and is asked no more: each request would wait for it."""
SAYS_SO = re.compile(r"撤回|recall|withdr|deleted|Unknown Message", re.IGNORECASE)
"""A platform may as well have forgotten the message, being restarted itself: then it was not withdrawn."""


async def is_withdrawn(bot: Bot, event: Event) -> bool:
    """Ask the platform, where it can be asked; elsewhere, and in doubt, it is not."""
    question = _question(bot, event)
    if question is None or bot in _silent:
        return False
    api, arguments = question
    try:
        await asyncio.wait_for(bot.call_api(api, **arguments), PATIENCE)
    except ActionFailed as error:
        return SAYS_SO.search(f"{error} {error!r} {vars(error)}") is not None
    except asyncio.TimeoutError:  # on 3.10 it is not the builtin one
        _silent.add(bot)
        return False
    except Exception:  # it cannot be asked
        return False
    return False


def _question(bot: Bot, event: Event) -> tuple[str, dict[str, Any]] | None:
    if event.get_type() != "message":
        return None
    if bot.type == "OneBot V11":
        return "get_msg", {"message_id": getattr(event, "message_id", None)}
    if bot.type == "Discord":
        place, number = getattr(event, "channel_id", None), getattr(event, "id", None)
        return "get_channel_message", {"channel_id": place, "message_id": number}
    return None
