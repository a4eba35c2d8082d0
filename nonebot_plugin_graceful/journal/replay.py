"""Taking up again what was in flight when the bot went, once the account is connected again."""

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from typing import Any

import nonebot
from nonebot.adapters import Bot, Event
from nonebot.exception import StopPropagation
from nonebot.log import logger
from nonebot.matcher import Matcher
from nonebot.message import (
    _apply_event_preprocessors,  # pyright: ignore[reportPrivateUsage]
    check_and_run_matcher,
    handle_event,
)
from nonebot.rule import TrieRule

from nonebot_plugin_graceful.core.errors import Interrupted
from nonebot_plugin_graceful.core.failures import describe_failure

from .identity import find_matcher
from .lives import Lives
from .request import Request, rebuild
from .requests import Requests
from .rows import Row
from .withdrawn import is_withdrawn

__all__ = ["Replay"]

SETTLING = 0.5
"""Seconds after a connection, for the adapter and the plugins to be ready."""
SOON = 10.0
"""Seconds after a replay within which a death is taken to be its doing."""
DEATHS = 2
"""That many such deaths in a row, and the next life replays nothing."""
PATIENCE = 1.0
"""Seconds a request has to come to its place in the queue before the next one is taken up."""
PACE = 1.0
"""Seconds between two looks at whether a drained bot takes on work again."""
WITHDRAWN = "its message was withdrawn"
"""Why a request is not taken up again whose asker need not hear of it."""

Say = Callable[[Bot, Event, str], Awaitable[None]]


class Replay:
    """Takes up the requests of the journal.

    Args:
        requests: What is in flight, and the journal.
        lives: Who else has requests in it.
        max_age: Seconds after which nobody waits for an answer any more.
        attempts: How often one is taken up again at most.
        notice: What is told to whoever asked for what cannot be; empty: nothing.
        say: Sends it.

    """

    def __init__(
        self,
        requests: Requests,
        lives: Lives,
        *,
        max_age: float,
        attempts: int,
        notice: str,
        say: Say,
    ) -> None:
        self._requests = requests
        self._storage = requests.storage
        self._tree = requests.tree
        self._lives = lives
        self._max_age = max_age
        self._attempts = attempts
        self._notice = notice
        self._say = say
        self._risky: set[str] = set()
        """Bots some of whose requests were taken up so recently that they may yet do harm."""

    def connected(self, bot: Bot) -> None:
        """Take up the requests of a bot that has connected. Returns at once."""
        self._tree.run_internal(self._take_up_all(bot), "replay")

    def told_to_stop(self) -> None:
        """Take note that the end of this life is nobody's fault."""
        self._storage.survived(self._risky)
        self._risky.clear()

    # -- all of a bot's

    async def _take_up_all(self, bot: Bot) -> None:
        try:
            await self._tree.lifecycle.wait(SETTLING)
            rows = [
                row
                for row in self._requests.waiting(bot.type, bot.self_id)
                if self._lives.is_over(row.owner) or row.owner == self._lives.own
            ]
            account = f"{bot.type}:{bot.self_id}"
            deaths = sum(map(self._lives.is_over, self._storage.at_risk(account)))
            if rows:
                await self._take_up_each(bot, rows, account, deadly=deaths >= DEATHS)
            if rows or deaths:
                await self._tree.lifecycle.wait(SOON)
                self._storage.survived([account])
                self._risky.discard(account)
        except Interrupted:
            pass
        except Exception as error:
            logger.opt(exception=error).error("Taking up the journal's requests failed")

    async def _take_up_each(self, bot: Bot, rows: list[Row], account: str, *, deadly: bool) -> None:
        if deadly:
            logger.error(
                f"{account} died {DEATHS} times in a row within {SOON:.0f} s of taking up"
                f" requests again: this time none of {len(rows)} is"
            )
        told: set[tuple[str, str]] = set()
        for row in rows:
            while self._tree.admission.refusing:  # drained by an operator
                await self._tree.lifecycle.wait(PACE)
            if self._tree.lifecycle.stopping or not _is_connected(bot):
                return
            event = rebuild(row)
            matcher = find_matcher(row.plugin, row.matcher) if row.matcher else None
            why = self._why_not(row, event, matcher)
            why = why or ("the bot had died of it" if deadly else "")
            if not why and event is not None and await is_withdrawn(bot, event):
                why = WITHDRAWN
            if not self._storage.claim(row, self._lives.own):
                continue
            if why or event is None:
                await self._give_up(bot, row, event, why, told)
                continue
            if account not in self._risky:
                self._risky.add(account)
                self._storage.risk(self._lives.own, account)
            request = Request(row, event, replayed=True)
            request.replies = self._storage.replies(row.id)
            self._requests.take_up(request)
            # Not one after the other: their kind's limit, if it has one, has a queue.
            self._tree.run_internal(self._take_up(bot, row, request, matcher), "replay")
            with contextlib.suppress(asyncio.TimeoutError):
                await asyncio.wait_for(request.begun.wait(), PATIENCE)

    def _why_not(self, row: Row, event: Event | None, matcher: type[Matcher] | None) -> str:
        if row.unfit:
            return row.unfit
        if event is None:
            return "its event cannot be rebuilt"
        if time.time() - row.asked > self._max_age:
            return f"it is older than {self._max_age:g} s"
        if row.attempts >= self._attempts:
            return f"the bot has died {row.attempts} times on it"
        if row.matcher and matcher is None:
            return f"{row.plugin or 'the bot'} has no such matcher any more"
        return ""

    async def _give_up(
        self, bot: Bot, row: Row, event: Event | None, why: str, told: set[tuple[str, str]]
    ) -> None:
        """Take a request out, and tell whoever asked: once, however much he had asked for."""
        logger.warning(f"Not resumed, {_whose(row)}: {why}")
        self._requests.strike_out(row)
        # What no matcher had taken yet may be a word among friends, and no request at all.
        if event is None or not row.kind or not row.user or not self._notice:
            return
        if (row.user, row.chat) in told:
            return
        if why == WITHDRAWN or await is_withdrawn(bot, event):
            return  # to ask again is the last thing he wants
        told.add((row.user, row.chat))
        try:
            await self._say(bot, event, self._notice)
        except Exception as error:
            logger.warning(f"{row.user} does not hear of it: {describe_failure(error)}")

    # -- one

    async def _take_up(
        self, bot: Bot, row: Row, request: Request, matcher: type[Matcher] | None
    ) -> None:
        age = time.time() - row.asked
        logger.info(f"Resuming what was asked {age:.0f} s ago, {_whose(row)}")
        requests = self._requests
        try:
            if matcher is None:
                await handle_event(bot, request.event)
            else:
                await _ask(matcher, bot, request.event)
        except Exception as error:
            logger.opt(exception=error).error(f"Resuming failed, {_whose(row)}")
        finally:
            requests.put_down(request)
            request.begun.set()
        if request.taken:  # its end is the end of its run
            return
        if self._tree.lifecycle.stopping and (request.single or request.left):
            requests.leave(request)
        elif matcher is None or not row.kind:  # it had not been taken then either
            requests.finish(request)
        else:
            why = "its matcher does not take it any more"
            await self._give_up(bot, row, request.event, why, set())


async def _ask(matcher: type[Matcher], bot: Bot, event: Event) -> None:
    """Handle an event as NoneBot does (nonebot/message.py, ``handle_event``), by one matcher alone.

    The others have seen it: what counts messages, or asks an AI in its rule, is not to do it twice.
    """
    state: dict[Any, Any] = {}
    cache: dict[Any, Any] = {}
    async with AsyncExitStack() as stack:
        if not await _apply_event_preprocessors(bot, event, state, stack, cache):
            return
        with contextlib.suppress(Exception):  # no message
            TrieRule.get_value(bot, event, state)
        run = check_and_run_matcher(matcher, bot, event, state, stack, cache)
        task = asyncio.get_running_loop().create_task(run, name="resumed")
        await asyncio.wait([task])
        error = None if task.cancelled() else task.exception()
        if error is not None and not isinstance(error, StopPropagation):
            raise error


def _is_connected(bot: Bot) -> bool:
    return bot in nonebot.get_bots().values()


def _whose(row: Row) -> str:
    what = f"{row.kind or 'a run'} of {row.plugin or 'no plugin'}" if row.matcher else "a message"
    return f"{what} for {row.user or 'nobody'} in {row.chat or '?'}"
