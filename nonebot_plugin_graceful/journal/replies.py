"""Replies are counted: what a request had said before it was stopped, its replay does not say again."""

import json
from typing import Any

from nonebot.adapters import Bot
from nonebot.exception import MockApiException
from nonebot.log import logger

from nonebot_plugin_graceful.bot.adapters import sends
from nonebot_plugin_graceful.core.work import living, owner

from . import codec
from .requests import Request, Requests

__all__ = ["Replies"]


class Replies:
    """The messages of requests that are in the journal.

    Its hooks are there only while there are such requests: NoneBot runs a task group for each call
    of each API once there is a hook.

    Args:
        requests: Whose they are.

    """

    def __init__(self, requests: Requests) -> None:
        self._requests = requests

    def watch(self, busy: bool) -> None:
        """Count from now on, or no more."""
        if busy:
            Bot.on_calling_api(self._calling)
            Bot.on_called_api(self._called)
        else:
            Bot._calling_api_hook.discard(self._calling)  # noqa: SLF001 # pyright: ignore[reportPrivateUsage]
            Bot._called_api_hook.discard(self._called)  # noqa: SLF001 # pyright: ignore[reportPrivateUsage]

    # NoneBot runs these in child tasks of the one that calls the API; they inherit its work.

    async def _calling(self, bot: Bot, api: str, data: dict[str, Any]) -> None:
        """Hold back what had been sent, and give what the platform said of it then."""
        del bot
        request = self._replying(api, data)
        if request is None or request.sent >= len(request.replies):
            return
        kept = request.replies[request.sent]
        request.sent += 1
        request.held += 1
        logger.info(f"Not sent again: message {request.sent} of a resumed request")
        raise MockApiException(result=_load(kept))

    async def _called(
        self,
        bot: Bot,
        exception: Exception | None,
        api: str,
        data: dict[str, Any],
        result: Any,
    ) -> None:
        """Count what has been sent."""
        del bot
        request = self._replying(api, data)
        if request is None or exception is not None:
            return
        if request.held:  # it was held back, and is counted
            request.held -= 1
            return
        self._requests.storage.add_reply(request.id, request.sent, _dump(result))
        request.sent += 1

    def _replying(self, api: str, data: dict[str, Any]) -> Request | None:
        """Give the request that sends a message on its way to its end.

        What it says of being stopped is no part of that way: a replay will not come to it.
        """
        if not sends(api, data):
            return None
        work = living(owner.get())
        request = self._requests.of(work)
        if request is None or work is None:
            return None
        for each in work.ancestors():
            if each.ending is not None and each.ending.cancels:
                return None
        return request


def _dump(result: Any) -> str | None:
    text, exact = codec.dump(result)
    return text if exact else None


def _load(text: str | None) -> Any:
    try:
        return codec.load(text) if text else None
    except (codec.CannotReadError, json.JSONDecodeError):
        return None
