"""Cancelling tasks: each once, and again only where that cuts no clean-up."""

import asyncio
import functools
import time
from collections.abc import Callable, Collection
from typing import Any

from . import frames
from .discovery import Branch
from .ending import Host, next_hosts, works_of_hosts
from .handing_on import GoesOn, cancel, would_end
from .tree import Tree
from .waiting import before_groups, groups, is_alone, passers, spare_group
from .work import Work

__all__ = ["PACE", "Attempts", "Cancelling"]

AnyTask = asyncio.Task[Any]
AnyFuture = asyncio.Future[Any]

PACE = 0.05
"""Seconds between two looks while there is nothing to do, and between two last cancellations."""
LAST_CHANCE = 0.1
"""Seconds that are left to a task that has had its time to clean up and is cancelled again."""


class Attempts:
    """How often one task was cancelled, and where it stood."""

    __slots__ = ("count", "first", "from_below", "last", "position", "swallows", "task", "work")

    def __init__(
        self,
        task: AnyTask,
        work: Work | None,
        count: int,
        now: float,
        position: frames.Position | None,
    ) -> None:
        self.task: AnyTask = task
        self.work: Work | None = work
        """None: it is not known to do any."""
        self.count: int = count
        """0: it was not cancelled by us, but is ending: its cancellation came from another task, or
        it was made to clean up."""
        self.first: float = now
        self.last: float = now
        self.position: frames.Position | None = position
        self.from_below: bool = False
        """Whether its cancellation is the end of what it awaits, and so goes to nothing else that it awaits."""
        self.swallows: bool = False
        """Whether it has caught a cancellation and gone on as before."""


class Cancelling:
    """What is done to the tasks of some branches, and what they made of it.

    A task is given ``patience`` to clean up before it is cancelled again, and so is what it makes
    for that; but one that visibly swallows its cancellation is cancelled again at once.

    Args:
        tree: Where they are.
        reason: What ``Interrupted`` says.
        patience: Seconds from a task's first cancellation until it is cancelled again.
        on_host: Told of work that ends because a task group in it would go on without a child.
        goes_on: Tells what does not end, though somebody awaits it who does, and is told who that
            may be. None: nothing.

    """

    def __init__(
        self,
        tree: Tree,
        reason: str,
        *,
        patience: float,
        on_host: Callable[[Work], None],
        goes_on: Callable[[AnyFuture, Collection[AnyFuture]], bool] | None = None,
    ) -> None:
        self.attempts: dict[AnyTask, Attempts] = {}
        self._tree = tree
        self._reason = reason
        self._patience = patience
        self._on_host = on_host
        self._goes_on: GoesOn | None = None
        if goes_on is not None:
            self._goes_on = lambda future: goes_on(future, self.attempts)
        self._code: set[tuple[Work, Any]] = set()
        """What the tasks ran that were cancelled, and as part of which work."""
        self._known: set[AnyTask] = set()
        """What was there when the work it is of was told to end."""
        self._protected: set[AnyTask] = set()

    def know(self, branch: Branch) -> None:
        """Take note of what is there as a branch is told to end: what comes later is clean-up."""
        attempts = self.attempts.get(branch.task) if branch.task is not None else None
        if attempts is not None and attempts.work is not None and attempts.work.ended:
            # The task has ended an inner piece of work of its own, and gone on with this one.
            del self.attempts[branch.task]  # pyright: ignore[reportArgumentType]
        self._known.update(branch.tasks)

    def protect(self, tasks: set[AnyTask]) -> None:
        """Tell which tasks are not to be cut in this round."""
        self._protected = tasks

    def assume(self, branch: Branch, now: float) -> None:
        """Take it that somebody else has just cancelled the tasks of a branch."""
        for task in branch.tasks:
            self.attempts.setdefault(
                task, Attempts(task, branch.work, 1, now, frames.Position(task))
            )

    def is_straggler(self, task: AnyTask, now: float) -> bool:
        """Whether a task has had all the time there is."""
        attempts = self.attempts.get(task)
        return attempts is not None and now - attempts.first >= self._patience + LAST_CHANCE

    async def persist(self) -> None:
        """Let nothing that swallows its cancellations get on with its work, as long as some does.

        Each of its attempts would be a paid request. It is cancelled in the iteration in which it
        begins the next one, so that does not come to leave the machine.
        """
        while any(a.swallows and not task.done() for task, a in self.attempts.items()):
            now = time.monotonic()
            for task, attempts in list(self.attempts.items()):
                if attempts.swallows and not task.done():
                    self._cancel_anew(task, attempts, now)
            await asyncio.sleep(0)

    def in_order(self, tasks: list[AnyTask]) -> list[AnyTask]:
        """Give those first that await what goes on.

        The host of a task group cancels its children himself, and that would be handed on.
        """
        goes_on = self._goes_on
        if goes_on is None or len(tasks) == 1:
            return tasks
        return sorted(tasks, key=lambda task: not would_end(task, goes_on))

    def cancel(
        self, task: AnyTask, branch: Branch, asked: float, now: float, *, look: bool
    ) -> bool:
        """Cancel a task, for the first time or again, if it is time for that.

        Args:
            task: Which.
            branch: What it is of.
            asked: Since when, by ``time.monotonic()``, that knows that it is to end.
            now: ``time.monotonic()``.
            look: Whether to look where the task stands before.

        Returns:
            Whether it was cancelled.

        """
        attempts = self.attempts.get(task)
        if attempts is None:
            return self._cancel_first(task, branch, asked, now, look=look)
        if attempts.work is not None and attempts.work.ending is None and task is branch.task:
            attempts.work = branch.work  # whose turn it is when an inner one has come to its end
        if now - attempts.first >= self._patience:
            if now - attempts.last < PACE and attempts.count:
                return False
            attempts.position = frames.Position(task)
            self._deliver(task, attempts, now)
            return True
        return self._cancel_anew(task, attempts, now)

    def _cancel_first(
        self, task: AnyTask, branch: Branch, asked: float, now: float, *, look: bool
    ) -> bool:
        position = frames.Position(task) if look else None
        attempts = self.attempts[task] = Attempts(task, branch.work, 0, now, position)
        code = branch.work, frames.authors_code(task)
        if task is not branch.task and task not in self._known:
            attempts.first = asked or now
            # It was made to clean up, unless it does what was cancelled over again.
            if code not in self._code:
                return False
            attempts.swallows = True
        self._code.add(code)
        if task in self._tree.cuts:
            attempts.count = 1
            return False
        alone = is_alone(task)
        if not alone:
            if any(self._passes_on(waiter) for waiter in passers(task)):
                return False  # their cancellation is its own
            self._see_to_hosts(task, now)
        self._deliver(task, attempts, now)
        if not alone:
            self._note_passers(task, now)
        return True

    def _passes_on(self, waiter: AnyTask) -> bool:
        """Whether a task is ending in a way that ends what it awaits."""
        attempts = self.attempts.get(waiter)
        return attempts is not None and (attempts.count > 0 or not attempts.from_below)

    def _cancel_anew(self, task: AnyTask, attempts: Attempts, now: float) -> bool:
        """Cancel again a task that has caught its cancellation and gone round a loop."""
        if attempts.position is None or not attempts.position.begun_anew(task):
            return False
        attempts.position = frames.Position(task)
        attempts.swallows = True
        self._deliver(task, attempts, now)
        return True

    def _deliver(self, task: AnyTask, attempts: Attempts, now: float) -> None:
        attempts.count += 1
        attempts.last = now
        work = attempts.work
        ending = work.ending if work is not None else None
        if ending is not None and attempts not in ending.attempts:
            ending.attempts += (attempts,)
        loop = task.get_loop()
        if loop is asyncio.get_running_loop():
            counted = cancel(task, self._reason, self._goes_on)
            if counted and ending is not None and work is not None and task is work.task:
                ending.cancels += 1
            return
        try:  # a thread with a loop of its own
            loop.call_soon_threadsafe(task.cancel, self._reason)
        except RuntimeError:  # it has been closed, and its tasks with it
            attempts.first = 0.0

    def _see_to_hosts(self, task: AnyTask, now: float) -> None:
        """Cancel the hosts that would go on as if the task had done its work, if it has not.

        It may as well catch its cancellation and do its next job, or make a time-out of it.
        """
        if task.get_loop() is not asyncio.get_running_loop():
            self.end_hosts(task, now)
            return
        ending: set[AnyTask] = set()
        for host in next_hosts(self._tree, task):
            ending.add(host.task)
            before_groups(host.child, functools.partial(self._end_host_with, host))
        for group in groups(task):
            if group.cancel_scope._host_task not in ending:  # noqa: SLF001
                spare_group(task, group)

    def _end_host_with(self, host: Host, child: AnyTask) -> None:
        if not child.cancelled() or host.task.done():
            return
        now = time.monotonic()
        if self._end_host(host.task, host.work, now) and host.own:
            self._see_to_hosts(host.task, now)
            self._note_passers(host.task, now)

    def end_hosts(self, task: AnyTask, now: float) -> None:
        """Cancel the hosts of a task's groups now."""
        for host, work in works_of_hosts(self._tree, task):
            self._end_host(host, work, now)

    def _end_host(self, host: AnyTask, work: Work | None, now: float) -> bool:
        if host in self._protected or (host in self.attempts and self.attempts[host].count):
            return False
        if work is not None and not work.ended:
            self._on_host(work)
            self._tree.tell(work, self._reason)
        attempts = Attempts(host, work, 0, now, frames.Position(host))
        self.attempts[host] = attempts
        self._deliver(host, attempts, now)
        return True

    def _note_passers(self, task: AnyTask, now: float) -> None:
        """Take it that who awaits the task is ending too: its cancellation comes to him.

        It would cut what he does about it if he were cancelled besides.
        """
        look = [task]
        while look:
            for waiter in passers(look.pop()):
                if waiter in self.attempts:
                    continue
                work = self._tree.works.get(waiter)
                if work is not None and work.root:
                    work.outcome = work.outcome or self._reason
                attempts = Attempts(waiter, work, 0, now, frames.Position(waiter))
                attempts.from_below = True
                self.attempts[waiter] = attempts
                look.append(waiter)

    def take_over(self, selected: list[Branch], now: float) -> None:
        """Go on where an earlier order is: to begin anew would cut what is being cleaned up."""
        for branch in selected:
            ending = branch.work.ending
            if ending is None:
                continue
            for attempts in ending.attempts:
                task = attempts.task
                if task not in self.attempts and not task.done():
                    self.attempts[task] = attempts
                    self._note_passers(task, now)
