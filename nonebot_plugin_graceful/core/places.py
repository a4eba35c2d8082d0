"""Limits: who has one of a kind's places, and who waits for one."""

import asyncio
import threading
import time
from collections import OrderedDict
from collections.abc import Iterator
from typing import TYPE_CHECKING

from .lifecycle import Lifecycle

if TYPE_CHECKING:
    from .work import Section

__all__ = ["Claim", "Place", "Places"]


class Place:
    """One of the places of a kind."""

    __slots__ = ("users",)

    def __init__(self) -> None:
        self.users: list[Section] = []
        """Who has it: the last one uses it, and each before has lent it to the one after.

        A section uses the place of one that it is inside of, and that can only be waiting for it.
        """

    def give(self, section: "Section") -> None:
        """Let a section have it."""
        self.users.append(section)
        section.place = self
        section.placed = section.placed or time.monotonic()


class Claim:
    """What a section has while it waits for a place."""

    __slots__ = ("future", "late", "section")

    def __init__(self, section: "Section", *, late: bool) -> None:
        self.section: Section = section
        self.late: bool = late
        """Whether it may begin though the bot is being stopped: it is within a shield."""
        self.future: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def grant(self, place: Place) -> bool:
        """Give it the place. False if nobody waits for it any more."""
        if self.future.done():
            return False
        loop = self.future.get_loop()
        if _runs_here(loop):
            self._wake()
        else:
            try:
                loop.call_soon_threadsafe(self._wake)
            except RuntimeError:  # closed, and its tasks with it
                return False
        place.give(self.section)
        return True

    def _wake(self) -> None:
        if not self.future.done():
            self.future.set_result(None)

    def expire(self) -> None:
        """End the wait."""
        if not self.future.done():
            self.future.set_exception(TimeoutError())


class Places:
    """The places of every kind with a limit, and their queues: first come, first served.

    They are shared by all threads, each of which may run an event loop of its own.
    """

    def __init__(self, lifecycle: Lifecycle) -> None:
        self._lifecycle = lifecycle
        self._taken: dict[str, list[Place]] = {}
        self._queues: dict[str, OrderedDict[Claim, None]] = {}
        # Reentrant: garbage may be collected at any moment, and a section be closed by that.
        self._lock = threading.RLock()

    async def take(self, section: "Section") -> None:
        """Wait for a place of the section's kind, if that has a limit.

        Raises:
            TimeoutError: None became free within the section's time-out.

        """
        limit = section.kind.limit
        if limit is None or _is_counted_elsewhere(section):
            return
        with self._lock:
            claim = self._claim(section, limit)
        if claim is None:
            return
        timer = None
        if section.timeout is not None:
            timer = asyncio.get_running_loop().call_later(section.timeout, claim.expire)
        try:
            await claim.future
        except BaseException:
            self.leave(section)
            raise
        finally:
            if timer is not None:
                timer.cancel()

    def _claim(self, section: "Section", limit: int) -> Claim | None:
        """Give a section a place at once, or one in the queue."""
        taken = self._taken.setdefault(section.kind.name, [])
        place = _lent_to(section, taken)
        if place is None and len(taken) < limit:
            place = Place()
            taken.append(place)
        if place is not None:
            place.give(section)
            return None
        claim = section.place = Claim(section, late=self._lifecycle.stopping)
        self._queues.setdefault(section.kind.name, OrderedDict())[claim] = None
        return claim

    def leave(self, section: "Section") -> None:
        """Give a section's place, or its place in the queue, to whoever comes next."""
        with self._lock:
            place, section.place = section.place, None
            if isinstance(place, Claim):
                self._queues[section.kind.name].pop(place, None)
            elif place is not None:
                place.users.remove(section)
                if place.users:
                    self._lend(place, section.kind.name)
                else:
                    self._pass_on(place, section.kind.name)

    def position(self, section: "Section") -> int | None:
        """Tell its turn, 1 for the next; None if it does not wait for a place."""
        claim = section.place
        if not isinstance(claim, Claim):
            return None
        queue = self._queues[section.kind.name]
        return next((n for n, each in enumerate(list(queue), 1) if each is claim), None)

    def queued(self) -> dict[str, int]:
        """How many wait for a place of each kind."""
        return {name: len(queue) for name, queue in list(self._queues.items()) if queue}

    def taken(self) -> dict[str, int]:
        """How many places of each kind are taken."""
        return {name: len(places) for name, places in list(self._taken.items()) if places}

    def _pass_on(self, place: Place, kind: str) -> None:
        """Give a place that has become free to the first in the queue."""
        queue = self._queues.get(kind)
        while queue and (claim := self._next(queue)) is not None:
            del queue[claim]
            if claim.grant(place):
                return
        self._taken[kind].remove(place)

    def _next(self, queue: OrderedDict[Claim, None]) -> Claim | None:
        if not self._lifecycle.stopping:
            return next(iter(queue))
        # Who is stopped makes no room for those who are to be stopped as well.
        return next((claim for claim in queue if claim.late), None)

    def _lend(self, place: Place, kind: str) -> None:
        """Lend a place that has come back to the first who waits inside of who has it now."""
        queue = self._queues.get(kind)
        if not queue:
            return
        for claim in list(queue):
            if _lent_to(claim.section, [place]) and claim.grant(place):
                del queue[claim]
                return


def _runs_here(loop: asyncio.AbstractEventLoop) -> bool:
    try:
        return asyncio.get_running_loop() is loop
    except RuntimeError:  # a thread without one
        return False


def _is_counted_elsewhere(section: "Section") -> bool:
    """Whether it is inside of work of its kind whose places a queue of its own gives out."""
    kind = section.kind.name
    return any(
        each.kind.limit is None and each.kind.name == kind and each is not section
        for each in _around(section)
    )


def _around(section: "Section") -> "Iterator[Section]":
    """Give the sections that it is inside of, and itself; and those of whose request it is for.

    In a worker of the background they are not of whoever has started that.
    """
    for_another = False
    for work in section.work.ancestors() if section.work is not None else ():
        yield from work.sections
        for_another |= work.event is not None
        for each in work.request.ancestors() if work.request is not None else ():
            yield from each.sections
        if for_another and work.is_nobodys:
            return


def _lent_to(section: "Section", taken: list[Place]) -> Place | None:
    """Find a place whose user the section is inside of, and who does nothing but wait for it."""
    if not taken:
        return None
    around = set(_around(section))
    around.discard(section)
    return next((place for place in taken if place.users[-1] in around), None)
