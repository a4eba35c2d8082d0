"""Replies are kept: what a request had said before it was stopped, its replay does not say again.

A replay need not take the way its request took: what was paid for comes at once, a service that was
busy is not any more. So its messages are not counted through, but told apart: one that reads the
same was sent before, and so was one that comes from the same place in its author's code, whatever
it reads now (an AI answers in other words). What was not sent before, is.
"""

import asyncio
import hashlib
import json
import linecache
from dataclasses import replace
from types import FrameType
from typing import Any, NamedTuple

from nonebot.adapters import Bot
from nonebot.exception import MockApiException
from nonebot.log import logger

from nonebot_plugin_graceful.bot.adapters import sends
from nonebot_plugin_graceful.core import frames
from nonebot_plugin_graceful.core.waiting import hosts
from nonebot_plugin_graceful.core.work import Work, living, owner

from . import codec
from .request import Request
from .requests import Requests
from .rows import Reply

__all__ = ["Replies"]

_SIMPLE = (str, bytes, int, float, type(None))


class Replies:
    """The messages of requests that are in the journal, or may yet come into it.

    Its hooks are there only while the journal is used: NoneBot runs a task group for each call of
    each API once there is a hook.

    Args:
        requests: Whose they are.

    """

    def __init__(self, requests: Requests) -> None:
        self._requests = requests
        self._sending: dict[int, _Sending] = {}
        """Messages of requests that are in the journal, by the id of what the API is given."""

    def keep(self) -> None:
        """Keep what is sent, from now on."""
        Bot.on_called_api(self._called)

    def hold_back(self, busy: bool) -> None:
        """Hold back what was sent before, from now on or no more."""
        if busy:
            Bot.on_calling_api(self._calling)
        else:
            Bot._calling_api_hook.discard(self._calling)  # noqa: SLF001 # pyright: ignore[reportPrivateUsage]

    def stop(self) -> None:
        """Do neither."""
        self.hold_back(False)
        self._sending.clear()
        Bot._called_api_hook.discard(self._called)  # noqa: SLF001 # pyright: ignore[reportPrivateUsage]

    # NoneBot runs these in child tasks of the one that calls the API; they inherit its work.

    async def _calling(self, bot: Bot, api: str, data: dict[str, Any]) -> None:
        """Hold back what had been sent, and give what the platform said of it then."""
        del bot
        work = _replying(api, data)
        request = self._requests.of(work)
        if work is None or request is None:
            return
        now = _reply(work, api, data)
        kept = _same(now, request.replies)
        # Whoever sends it may be the last of the request to end, and be nobody's then.
        self._sending[id(data)] = _Sending(data, request, now, held=kept is not None)
        if kept is None:
            return
        request.replies.remove(kept)
        logger.info(f"Not sent again: a message of a resumed request, from {now.place}")
        raise MockApiException(result=_load(kept.result))

    async def _called(
        self,
        bot: Bot,
        exception: Exception | None,
        api: str,
        data: dict[str, Any],
        result: Any,
    ) -> None:
        """Keep what has been sent."""
        del bot
        sending = self._sending.pop(id(data), None)
        if exception is not None:
            return
        if sending is not None and sending.data is data:
            if not sending.held:
                self._requests.sent(sending.request, replace(sending.reply, result=_dump(result)))
            return
        work = _replying(api, data)
        if work is not None:
            self._requests.said(work, replace(_reply(work, api, data), result=_dump(result)))


class _Sending(NamedTuple):
    data: dict[str, Any]
    request: Request
    reply: Reply
    held: bool
    """Whether it was sent before, and is not now."""


def _replying(api: str, data: dict[str, Any]) -> Work | None:
    """Give the work that sends a message on its way to its end.

    What it says of being stopped is no part of that way: a replay will not come to it.
    """
    work = living(owner.get()) if sends(api, data) else None
    if work is None:
        return None
    for each in work.ancestors():
        if each.ending is not None and each.ending.cancelled:
            return None
    return work


def _same(now: Reply, sent: list[Reply]) -> Reply | None:
    """Find the message that is about to be sent, among those that were."""

    def likeness(each: Reply) -> int:
        return 2 * (each.said == now.said) + (each.place == now.place)

    likest = max(sent, key=likeness, default=None)
    return likest if likest is not None and likeness(likest) else None


def _reply(work: Work, api: str, data: dict[str, Any]) -> Reply:
    said = hashlib.sha256(f"{api} {sorted(data.items())!r}".encode(errors="replace")).hexdigest()
    task = asyncio.current_task()
    sender = next(hosts(task), None) if task is not None else None
    return Reply(_place(sender, work) if sender is not None else "", said, None)


def _place(sender: "asyncio.Task[Any]", work: Work) -> str:
    """Tell from where in its author's code a task sends a message, by the lines' text.

    Of tasks that do the same side by side, for this picture and that one, the arguments tell.
    """
    inward = frames.authors_frames(sender, Bot.call_api.__code__)
    beside = all(each.task is not sender for each in work.ancestors() if each.root)
    arguments = _arguments(inward[0]) if beside and inward else ""
    return f"{' > '.join(map(_line, inward))}{arguments}"


def _line(frame: FrameType) -> str:
    code = frame.f_code
    text = linecache.getline(code.co_filename, frame.f_lineno, frame.f_globals).strip()
    return f"{code.co_name}: {text or frame.f_lineno - code.co_firstlineno}"


def _arguments(frame: FrameType) -> str:
    code, values = frame.f_code, frame.f_locals
    names = code.co_varnames[: code.co_argcount + code.co_kwonlyargcount]
    simple = {name: values[name] for name in names if isinstance(values.get(name), _SIMPLE)}
    return f" {hashlib.sha256(repr(simple).encode(errors='replace')).hexdigest()[:16]}"


def _dump(result: Any) -> str | None:
    text, exact = codec.dump(result)
    return text if exact else None


def _load(text: str | None) -> Any:
    try:
        return codec.load(text) if text else None
    except (codec.CannotReadError, json.JSONDecodeError):
        return None
