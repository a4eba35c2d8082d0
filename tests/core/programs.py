"""Random programs: what tasks may do in the tree, and whom a cancellation may have touched.

A program is a few tasks, each a list of steps. As it runs it is noted which stretch (:class:`Node`)
is part of which, which waits for which, and who felt a cancellation. :meth:`Run.innocent` then tells
who felt one that nobody had meant for it.
"""

import asyncio
import contextlib
import sys
import time
from dataclasses import dataclass, field
from typing import Any

import anyio

from nonebot_plugin_graceful.core.api import cancel, shield, spawn, tasks, track
from nonebot_plugin_graceful.core.discovery import branches
from nonebot_plugin_graceful.core.errors import Interrupted, Refused
from nonebot_plugin_graceful.core.places import Place
from nonebot_plugin_graceful.core.stopping import Stopping
from nonebot_plugin_graceful.core.tree import Tree
from nonebot_plugin_graceful.core.work import Section, owner

LIMITS = {"one": 1, "two": 2}
"""The kinds with a limit. Nobody who has a place of a later one waits for one of an earlier: two
who did so the other way round would wait for each other, and no library could help them."""
EXPECTED = (Refused, TimeoutError, asyncio.TimeoutError)


class Node:
    """A stretch of a program: a task, a section, or what is around some steps."""

    def __init__(
        self,
        parent: "Node | None",
        *,
        waits: bool = True,
        grouped: bool = False,
        apart: bool = False,
        catches: bool = False,
        leaks: bool = False,
        task: bool = False,
        why: object = None,
    ) -> None:
        self.parent = parent
        self.children: list[Node] = []
        self.waits = waits
        """Whether the parent gets its cancellation."""
        self.grouped = grouped
        """Whether it is a task in a task group of the parent's."""
        self.apart = apart
        """Whether it is a background task that the parent does not wait for."""
        self.catches = catches
        """Whether it goes on when something in it was cancelled."""
        self.task = task
        """Whether it is a task of its own."""
        self.leaks = leaks
        """Whether its end may come over code around it: a loop over a stream is not in the stream,
        so nothing turns a cancellation that it is in the middle of into a time-out."""
        self.why = why
        if parent is not None:
            parent.children.append(self)

    def around(self) -> "list[Node]":
        """Itself and everything it is part of."""
        found = [self]
        while found[-1].parent is not None:
            found.append(found[-1].parent)
        return found

    def __repr__(self) -> str:
        return " < ".join(str(node.why) for node in self.around())


@dataclass
class Target:
    """Something was to end from a moment on."""

    moment: tuple[float, int]
    node: Node | None
    """None: everything."""
    outwards: bool
    """Whether those who wait for it feel it."""


@dataclass
class Run:
    """One run of a program."""

    tree: Tree
    targets: list[Target] = field(default_factory=list)
    touched: list[tuple[tuple[float, int], Node]] = field(default_factory=list)
    sections: list[tuple[Node, Section]] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)
    waiting: dict[str, list[Node]] = field(default_factory=dict)
    """Who waits for a place of each kind, and is inside of nobody who has one."""
    ticks: int = 0
    shared: "asyncio.Task[None] | None" = None
    """What was begun before all, and whoever likes awaits: it is to go on whoever ends."""
    shielded: bool = False
    """Whether they shield it, since others than we cancel: scopes, time-outs and groups."""

    async def share(self) -> None:
        with self.feeling(Node(None, why="shared")):
            await asyncio.sleep(5)

    def now(self) -> tuple[float, int]:
        self.ticks += 1
        return (at(), self.ticks)

    # -- what steps are made of

    async def steps(self, node: Node, steps: "tuple[Step, ...]") -> None:
        for step in steps:
            await step.run(self, node)

    @contextlib.contextmanager
    def feeling(self, node: Node):
        """Note who is cancelled here."""
        try:
            yield
        except asyncio.CancelledError:
            self.touched.append((self.now(), node))
            raise

    def ending_in(self, node: Node, seconds: float) -> None:
        """From so many seconds on, a time-out ends the node."""
        self.targets.append(Target((at(seconds), 0), node, outwards=node.leaks))

    def kind_within(self, kind: str, node: Node) -> str:
        """Give the kind, or a later one that the node is already in."""
        for _, section in self.alive(node.around()):
            name = section.kind.name
            if name in LIMITS and kind in LIMITS:
                kind = max(kind, name, key=list(LIMITS).index)
        return kind

    def alive(self, nodes: list[Node] | None = None) -> list[tuple[Node, Section]]:
        """Give the sections that are open."""
        return [
            (node, section)
            for node, section in self.sections
            if section.work is not None and (nodes is None or node in nodes)
        ]

    async def enter(self, node: Node, section: track) -> None:
        """Enter a section, and check that it was its turn and that there was room."""
        kind = section.kind.name
        work = self.tree.current()
        around = [section for _, section in self.alive(node.around())]
        around += (
            [section for each in work.ancestors() for section in each.sections] if work else []
        )
        stands_alone = kind in LIMITS and all(each.kind.name != kind for each in around)
        queue = self.waiting.setdefault(kind, [])
        if stands_alone:
            queue.append(node)
        self.sections.append((node, section))
        try:
            with self.feeling(node):
                await section.__aenter__()
            # Who is stopped may be on his way out, and makes no room for anybody.
            if stands_alone and queue[0] is not node and not self.tree.lifecycle.stopping:
                self.wrong.append(f"{queue[0]} was overtaken by {node}")
        finally:
            if stands_alone:
                queue.remove(node)
        if section.timeout is not None:
            self.ending_in(node, section.timeout)
        self.check_limits()

    def check_limits(self) -> None:
        """Check that there are never more at once; who has lent its place does not count."""
        for kind, limit in LIMITS.items():
            those = [
                section
                for _, section in self.alive()
                if section.kind.name == kind and isinstance(section.place, Place)
            ]
            lent = {id(outer) for section in those for outer in around(section)}
            count = sum(id(section) not in lent for section in those)
            if count > limit:
                self.wrong.append(f"{count} of {kind} at once")
            for name, taken in self.tree.places.taken().items():
                if name == kind and taken > limit:
                    self.wrong.append(f"{taken} places of {kind}")

    async def child(self, node: Node, steps: "tuple[Step, ...]") -> None:
        """What a task runs."""
        task = asyncio.current_task()
        section = self.know(node, task)
        if section is not None and section.timeout is not None:
            self.ending_in(node, section.timeout)
        with self.feeling(node):
            await self.steps(node, steps)

    def know(self, node: Node, task: asyncio.Task) -> Section | None:
        """Note the section that a task was spawned in."""
        work = self.tree.works.get(task) or owner.get()
        if work is None or not work.spawned or work.ended or work.coro is None is work.task:
            return None
        if work.task not in (None, task):
            return None
        section = work.sections[0]
        if all(section is not known for _, known in self.sections):
            self.sections.append((node, section))
        return section

    def by_others(self, node: Node) -> bool:
        """Whether somebody else may have cancelled the task besides: a scope, or a task group."""
        around = node.around()
        return any(each.grouped for each in around) or any(
            not target.outwards and target.node in around and target.moment <= self.now()
            for target in self.targets
        )

    # -- cancelling

    def cancelled(
        self, infos: list[Any], before: list[tuple[Node, Section, int]], kind=None
    ) -> None:
        ids = {info.id for info in infos}
        for node, section, number in before:
            if number in ids and kind in (None, section.kind.name):
                self.targets.append(Target(self.now(), node, outwards=True))

    def cancel(self, criterion: "str | int") -> None:
        """Cancel by kind, or the n-th of all."""
        before = [(node, section, section.work.id) for node, section in self.alive()]
        marked = len(self.targets)
        if isinstance(criterion, str):
            infos = cancel(kind=criterion)
            self.cancelled(infos, before, criterion)
        else:
            infos = sorted(tasks(), key=lambda info: info.id)
            if not infos:
                return
            infos = cancel(infos[criterion % len(infos)].id)
            self.cancelled(infos, before)
        for target in self.targets[marked:]:  # it was before whatever came of it
            target.moment = (at(), 0)

    def shut_down(self) -> None:
        """Begin a shutdown, and stop everything."""
        tree = self.tree
        self.targets.append(Target(self.now(), None, outwards=True))
        if tree.lifecycle.begin("SIGINT"):
            tree.lifecycle.announce()
            tree.run_internal(Stopping(tree, lambda: branches(tree), "SIGINT").run(), "drain")

    # -- afterwards

    def innocent(self) -> list[Node]:
        """Give those who felt a cancellation that was meant for nobody they belong to."""
        reaches: dict[int, set[int]] = {}
        found: list[Node] = []
        for moment, node in self.touched:
            for target in self.targets:
                if target.moment > moment:
                    continue
                if target.node is None:
                    break
                reach = reaches.get(id(target))
                if reach is None:
                    reach = reaches[id(target)] = reached(target)
                if id(node) in reach:
                    break
            else:
                found.append(node)
        return found


def reached(target: Target) -> set[int]:
    """Who may feel that something ends: its subtree, who waits for it, and whom they await."""
    reach: set[int] = set()

    def inwards(node: Node, *, made: bool) -> None:
        reach.add(id(node))
        for child in node.children:
            if not child.apart and (made or child.waits):
                inwards(child, made=made)

    node = target.node
    inwards(node, made=True)
    whole = False
    while target.outwards and node.parent is not None and node.waits:
        whole = whole or node.task or node.leaks  # not all ways to wait pass Interrupted on
        node = node.parent
        if node.catches and not whole:
            reach.add(id(node))
            break
        inwards(node, made=False)
    return reach


def around(section: Section) -> list[Section]:
    """Give what a section is inside of."""
    work = section.work
    before = work.sections[: work.sections.index(section)]
    return before + [
        each for outer in work.ancestors() if outer is not work for each in outer.sections
    ]


def at(seconds: float = 0.0) -> float:
    """Tell when it will be in so many seconds, as exactly as the loop's timers are."""
    return round(time.monotonic() + seconds, 6)


class Step:
    """Something a task does."""

    async def run(self, run: Run, node: Node) -> None:
        raise NotImplementedError


@dataclass(frozen=True)
class Sleep(Step):
    seconds: float

    async def run(self, run, node):
        with run.feeling(node):
            await asyncio.sleep(self.seconds)


@dataclass(frozen=True)
class Shared(Step):
    """A wait for what others wait for, too."""

    gathered: bool

    async def run(self, run, node):
        shared = asyncio.shield(run.shared) if run.shielded else run.shared
        with run.feeling(node):
            await (asyncio.gather(shared, asyncio.sleep(1)) if self.gathered else shared)


@dataclass(frozen=True)
class InSection(Step):
    """``async with track(…)`` by an author who expects a refusal and a time-out."""

    kind: str
    timeout: float | None
    own: bool
    """Whether it is a job on behalf of somebody else, or nobody."""
    body: tuple[Step, ...]

    async def run(self, run, node):
        node = Node(node, why=f"section {self.kind}")
        keywords = {"event": None} if self.own else {}
        section = track(run.kind_within(self.kind, node), timeout=self.timeout, **keywords)
        with contextlib.suppress(*EXPECTED):
            await run.enter(node, section)
            try:
                await run.steps(node, self.body)
            except BaseException:
                if not await section.__aexit__(*sys.exc_info()):
                    raise
            else:
                await section.__aexit__(None, None, None)


@dataclass(frozen=True)
class Shielded(Step):
    body: tuple[Step, ...]

    async def run(self, run, node):
        with run.feeling(node):
            async with shield():
                await run.steps(node, self.body)


@dataclass(frozen=True)
class Caught(Step):
    """What a queue worker does around each job."""

    body: tuple[Step, ...]

    async def run(self, run, node):
        node = Node(node, catches=True, why="caught")
        try:
            await run.steps(node, self.body)
        except Interrupted:
            task, work = asyncio.current_task(), run.tree.current()
            if run.tree.lifecycle.stopping or (work is not None and work.stop_reason is not None):
                raise
            if sys.version_info >= (3, 11) and task.cancelling() and not run.by_others(node):
                run.wrong.append(f"{node}: still cancelled {task.cancelling()} times")


@dataclass(frozen=True)
class CleanedUp(Step):
    body: tuple[Step, ...]
    seconds: float
    apart: bool
    """Whether by a task of its own, as ``asyncio.shield`` and ``wait_for`` make one."""

    async def run(self, run, node):
        try:
            await run.steps(node, self.body)
        finally:
            with run.feeling(node):
                cleaning = asyncio.sleep(self.seconds)
                await (asyncio.shield(cleaning) if self.apart else cleaning)


@dataclass(frozen=True)
class Swallowed(Step):
    """A retry loop with a bare ``except``."""

    times: int
    seconds: float

    async def run(self, run, node):
        for _ in range(self.times):
            try:
                with run.feeling(node):
                    await asyncio.sleep(self.seconds)
            except BaseException:
                continue


@dataclass(frozen=True)
class MovedOn(Step):
    """``anyio.move_on_after``."""

    seconds: float
    body: tuple[Step, ...]

    async def run(self, run, node):
        node = Node(node, leaks=True, why="moved on")
        run.ending_in(node, self.seconds)
        with anyio.move_on_after(self.seconds):
            await run.steps(node, self.body)


@dataclass(frozen=True)
class Stream(Step):
    """An async generator with a section in it, possibly broken out of."""

    kind: str
    timeout: float | None
    broken: bool
    within: tuple[Step, ...]
    body: tuple[Step, ...]

    async def run(self, run, node):
        node = Node(node, leaks=True, why=f"stream {self.kind}")
        section = track(run.kind_within(self.kind, node), timeout=self.timeout)

        async def stream():
            await run.enter(node, section)
            try:
                for number in range(2):
                    await run.steps(node, self.within)
                    yield number
            except BaseException:
                if not await section.__aexit__(*sys.exc_info()):
                    raise
            else:
                await section.__aexit__(None, None, None)

        with contextlib.suppress(*EXPECTED):
            async for _ in stream():
                await run.steps(node, self.body)
                if self.broken:
                    break


@dataclass(frozen=True)
class Dependency(Step):
    """A context manager with a section in it, entered or left in a task of its own."""

    kind: str
    timeout: float | None
    entered_apart: bool
    left_apart: bool
    body: tuple[Step, ...]

    async def run(self, run, node):
        node = Node(node, leaks=self.left_apart, why=f"dependency {self.kind}")
        section = track(run.kind_within(self.kind, node), timeout=self.timeout)

        @contextlib.asynccontextmanager
        async def manager():
            await run.enter(node, section)
            try:
                yield
            except BaseException:
                if not await section.__aexit__(*sys.exc_info()):
                    raise
            else:
                await section.__aexit__(None, None, None)

        async def apart(coro, *, really):
            with run.feeling(node):
                return await (asyncio.create_task(coro) if really else coro)

        with contextlib.suppress(*EXPECTED):
            made = manager()
            await apart(made.__aenter__(), really=self.entered_apart)
            try:
                await run.steps(node, self.body)
            except BaseException:
                if not await apart(made.__aexit__(*sys.exc_info()), really=self.left_apart):
                    raise
            else:
                await apart(made.__aexit__(None, None, None), really=self.left_apart)


WAYS = (
    "detached",
    "await",
    "gather",
    "gather, return_exceptions",
    "wait",
    "wait_for",
    "shield",
    "TaskGroup",
    "anyio",
)


@dataclass(frozen=True)
class Children(Step):
    """Tasks, and a way to wait for them."""

    way: str
    spawned: str | None
    """The kind they are spawned as; None: ``asyncio.create_task``."""
    timeout: float | None
    bodies: tuple[tuple[Step, ...], ...]
    body: tuple[Step, ...]
    """What the host of a task group does itself."""

    async def run(self, run, node):
        with contextlib.suppress(*EXPECTED), run.feeling(node):
            if self.way == "anyio" or (self.way == "TaskGroup" and sys.version_info < (3, 11)):
                async with anyio.create_task_group() as group:
                    for each in self.nodes(node):
                        group.start_soon(run.child, *each)
                    await run.steps(node, self.body)
            elif self.way == "TaskGroup":
                async with asyncio.TaskGroup() as group:
                    for each in self.nodes(node):
                        group.create_task(run.child(*each))
                    await run.steps(node, self.body)
            else:
                await self.wait(run, [self.make(run, *each) for each in self.nodes(node)], node)

    def nodes(self, node):
        return [
            (
                Node(
                    node,
                    waits=self.way not in ("detached", "wait", "gather, return_exceptions"),
                    task=True,
                    grouped=self.way in ("TaskGroup", "anyio"),
                    apart=self.way == "detached" and self.spawned == "background",
                    why=f"{self.way} {self.spawned or ''}",
                ),
                body,
            )
            for body in self.bodies
        ]

    def make(self, run, node, body):
        coro = run.child(node, body)
        if self.spawned is None:
            return asyncio.create_task(coro)
        kind = run.kind_within(self.spawned, node)
        task = spawn(coro, kind=kind, timeout=self.timeout)
        run.know(node, task)
        return task

    async def wait(self, run, made, node):
        if self.way == "await":
            for task in made:
                await task
        elif self.way == "gather":
            await asyncio.gather(*made)
        elif self.way == "gather, return_exceptions":
            await asyncio.gather(*made, return_exceptions=True)
        elif self.way == "wait":
            await asyncio.wait(made)
        elif self.way == "wait_for":
            for child in node.children[-len(made) :]:
                run.ending_in(child, 2.0)
            await asyncio.wait_for(asyncio.gather(*made), 2.0)
        elif self.way == "shield":
            for task in made:
                await asyncio.shield(task)


@dataclass(frozen=True)
class Cancel(Step):
    criterion: "str | int"

    async def run(self, run, node):
        run.cancel(self.criterion)


@dataclass(frozen=True)
class Refuse(Step):
    """Drain for a while."""

    seconds: float

    async def run(self, run, node):
        run.tree.admission.refuse("drained")
        try:
            await Sleep(self.seconds).run(run, node)
        finally:
            run.tree.admission.resume()


@dataclass(frozen=True)
class ShutDown(Step):
    async def run(self, run, node):
        run.shut_down()
