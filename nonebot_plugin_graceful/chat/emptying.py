"""After ``/graceful drain``: say when nothing is left, and stop the bot if that was asked for."""

import asyncio
import re
import time
from dataclasses import dataclass

from nonebot.log import logger

from nonebot_plugin_graceful.bot.matchers import MatcherOrigin
from nonebot_plugin_graceful.bot.process import Process
from nonebot_plugin_graceful.core.admission import Admission
from nonebot_plugin_graceful.core.errors import Interrupted
from nonebot_plugin_graceful.core.failures import describe_failure
from nonebot_plugin_graceful.core.info import TaskInfo, describe, others_in_flight

from .saying import say

__all__ = ["STOP", "Emptying", "Order", "order_of", "read_order"]

PACE = 0.5
"""Seconds between two looks, while the bot is drained."""
UNITS = {"s": 1, "秒": 1, "m": 60, "分": 60, "分钟": 60, "h": 3600, "时": 3600, "小时": 3600}
_PART = re.compile(rf"(\d+(?:\.\d+)?)({'|'.join(sorted(UNITS, key=len, reverse=True))})")
STOP = ("stop", "停机")
LONGEST = 30 * 24 * 3600
"""Seconds, of a drain: what is longer is a slip of the finger."""


@dataclass(frozen=True, slots=True)
class Order:
    """What is to become of a bot that is drained."""

    when_empty: bool = False
    """Whether it is to stop when nothing is in flight any more."""
    seconds: float | None = None
    """After which it is to stop in any case."""

    def __str__(self) -> str:
        at_last = "" if self.seconds is None else f"{_duration(self.seconds)}后停机"
        if self.when_empty:
            return "，全部做完就停机" + (at_last and f"，最迟 {at_last}")
        return at_last and f"，{at_last}"


def read_order(words: str) -> Order | None:
    """Read what follows ``/graceful drain``: ``5m``, ``1小时30分``, ``stop``; None: it is neither."""
    when_empty, seconds = False, None
    for word in words.lower().split():
        if word in STOP:
            when_empty = True
        elif not _PART.sub("", word) and seconds is None:
            seconds = sum(float(number) * UNITS[unit] for number, unit in _PART.findall(word))
            if seconds > LONGEST:
                return None
        else:
            return None
    return Order(when_empty, seconds)


def order_of(admission: Admission) -> Order:
    """Give what is left of the order that a drain was begun with."""
    return Order(admission.stops_when_empty, admission.seconds_left)


def _duration(seconds: float) -> str:
    for unit, name in ((3600, "小时"), (60, "分钟")):
        if seconds >= unit and seconds % unit == 0:
            return f"{seconds / unit:g} {name}"
    return f"{seconds:g} 秒"


class Emptying:
    """Watches a drained bot become empty.

    Args:
        process: What is to be stopped.
        timeout: Seconds that a message to the operator may take.

    """

    def __init__(self, process: Process, timeout: float) -> None:
        self._process = process
        self._tree = process.tree
        self._timeout = timeout
        self._task: asyncio.Task[None] | None = None

    def begin(self, order: Order) -> int:
        """Drain the bot and watch it, for whoever asks. Returns how many there are to wait for."""
        self.end()
        self._tree.admission.refuse(
            "no new AI work is taken on",
            stops_when_empty=order.when_empty,
            stops_in=order.seconds,
        )
        work = self._tree.current()
        origin = work.origin if work is not None else None
        left = len(self._left())
        watching = self._watch(order, origin, told=not left and not order.when_empty)
        self._task = self._tree.run_internal(watching, "emptying")
        return left

    def end(self) -> None:
        """Watch no more: the bot takes on work again."""
        if self._task is not None:
            self._task.cancel()
            self._task = None

    def _left(self) -> list[TaskInfo]:
        """Give what is waited for: not the workers that never end and are nobody's."""
        infos = [describe(self._tree, work) for work in others_in_flight(self._tree)]
        return [info for info in infos if info.kind != "background" or info.user]

    async def _watch(self, order: Order, operator: object, *, told: bool) -> None:
        admission = self._tree.admission
        ends = float("inf") if admission.stops_at is None else admission.stops_at
        drain = admission.turns
        try:
            while not told or order.when_empty or order.seconds is not None:
                if admission.turns != drain:  # the page, say, has taken it back
                    return
                left = self._left()
                over = ""
                if not left and order.when_empty:
                    over = "drained"
                    await self._tell(operator, "手上的都做完了，开始停机。")
                elif time.monotonic() >= ends:
                    over = "the drain's time is up"
                    await self._tell(operator, f"时间到，开始停机；还有 {len(left)} 项。")
                if over:
                    if admission.turns == drain:
                        self._process.begin(over)
                    return
                if not left and not told:
                    told = True
                    await self._tell(operator, "手上的都做完了。")
                await self._tree.lifecycle.wait(max(0.0, min(PACE, ends - time.monotonic())))
        except Interrupted:
            pass  # it is being stopped

    async def _tell(self, operator: object, text: str) -> None:
        if not isinstance(operator, MatcherOrigin):
            return
        telling = self._tree.run_internal(
            say(operator.bot_object, operator.event, text), "emptying tells"
        )
        await asyncio.wait([telling], timeout=self._timeout)
        if not telling.done():
            telling.cancel()
        elif not telling.cancelled() and (error := telling.exception()) is not None:
            logger.warning(f"{operator.chat} does not hear {text!r}: {describe_failure(error)}")
