"""What the core asks of NoneBot."""

import asyncio
from collections.abc import Callable
from types import CodeType
from typing import Any, cast

import nonebot
from nonebot.adapters import Bot, Event
from nonebot.dependencies import Dependent
from nonebot.exception import FinishedException, IgnoredException, SkippedException
from nonebot.internal.params import DependParam
from nonebot.matcher import current_bot
from nonebot.message import (
    _apply_event_preprocessors,  # pyright: ignore[reportPrivateUsage]
    _apply_run_preprocessors,  # pyright: ignore[reportPrivateUsage]
)
from nonebot.plugin import get_plugin_by_module_name

from nonebot_plugin_graceful.core import frames
from nonebot_plugin_graceful.core.drain import name_of
from nonebot_plugin_graceful.core.errors import Refused
from nonebot_plugin_graceful.core.waiting import everybody_above, hosts, passers
from nonebot_plugin_graceful.core.work import Section, Work
from nonebot_plugin_graceful.core.world import Origin, PluginOrigin, Recognized, World

from .adapters import reply_codes
from .disconnecting import disconnect_hook_in
from .matchers import MatcherOrigin, Matchers
from .scheduler import Jobs

__all__ = ["NoneBotWorld"]

AnyTask = asyncio.Task[Any]


class RefusedRun(Refused, FinishedException):
    """Ends a matcher run without a word in the log, as ``finish()`` does."""


class RefusedRule(Refused, SkippedException):
    """Makes a rule false without a word in the log."""


class RefusedEvent(Refused, IgnoredException):
    """Lets a preprocessor ignore the event, or the run."""


for _kind in (RefusedRun, RefusedRule, RefusedEvent):
    _kind.__name__ = Refused.__name__  # what an author reads of it

PREPROCESSING = (_apply_event_preprocessors.__code__, _apply_run_preprocessors.__code__)


class NoneBotWorld(World):
    """NoneBot, its matchers, its scheduler and its bots."""

    def __init__(self) -> None:
        super().__init__()
        self.on_refuse: list[Callable[[Work], None]] = []
        """Told of every request whose work is refused while the bot runs on."""
        self.on_tell: list[Callable[[Work], None]] = []
        """Told of every piece of work that is told to end while the bot runs on."""
        self.on_open: list[Callable[[Section, Work], None]] = []
        """Told of every section that is opened."""
        self.on_end: list[Callable[[Work], None]] = []
        """Told of every piece of work that ends."""
        self.on_refused_section: list[Callable[[Section, Work], None]] = []
        """Told of every section that may not be opened because the bot is being stopped."""
        self.on_refused_run: list[Callable[[MatcherOrigin], None]] = []
        """Told of every matcher run that may not begin because the bot is being stopped."""
        self.on_refused_event: list[Callable[[MatcherOrigin], None]] = []
        """Told of every event that is not handled at all because the bot is being stopped."""
        self.on_timeout: list[Callable[[Work], None]] = []
        """Told of every matcher run that ends because something in it took too long."""
        self._replies: set[CodeType] = set()
        self._bots = -1

    def connect(self, matchers: Matchers, jobs: Jobs) -> None:
        """Tell it who knows of matcher runs and jobs."""
        self._matchers = matchers
        self._jobs = jobs

    def recognize(self, task: AnyTask) -> Recognized | None:
        """Tell what a task is that belongs to no work."""
        return self._matchers.recognize(task) or self._jobs.recognize(task) or _recognize_hook(task)

    def must_finish(self, task: AnyTask) -> list[AnyTask] | None:
        """A reply is sent whole, and a cached dependency is computed for all who wait for it."""
        replies = self._reply_codes()
        for frame in frames.stack(task):
            if frame.f_code in replies:
                return []
            if frame.f_code is DependParam._solve.__code__:  # noqa: SLF001 # pyright: ignore[reportPrivateUsage]
                cache = frame.f_locals.get("cache")
                others = _who_wait_for(cache) if cache is not None else []
                if others:
                    return others
        return None

    def plugin_of(self, module: str) -> str | None:
        """Tell the id of the plugin that a module belongs to; we are none of them."""
        if module.partition(".")[0] == "nonebot_plugin_graceful":
            return None
        plugin = get_plugin_by_module_name(module) if module else None
        return plugin.id_ if plugin is not None else None

    def carried_by(self, task: AnyTask) -> Origin | None:
        """Find the event that a task has in hand, the innermost if there are several."""
        event, plugin = None, None
        for frame in frames.stack(task):
            owner = self.plugin_of(str(frame.f_globals.get("__name__", "")))
            if owner is not None:
                plugin = plugin or owner
                event = next(
                    (each for each in frame.f_locals.values() if isinstance(each, Event)), event
                )
        if plugin is None:
            return None
        origin = self.origin_of(event)
        return origin if origin is not None else PluginOrigin(plugin)

    def response_of(self, task: AnyTask) -> str:
        """Read it from where uvicorn keeps what was asked: in its outermost frame's object.

        Starlette answers in a child of that task.
        """
        for each in (task, *everybody_above(task)):
            frame = next(iter(frames.stack(each)), None)
            asked: Any = getattr(frame and frame.f_locals.get("self"), "scope", None)
            if isinstance(asked, dict) and "path" in asked:
                scope = cast("dict[str, Any]", asked)
                return f"{scope.get('method') or scope.get('type')} {scope['path']}"
        return ""

    def awaits_verdict(self, task: AnyTask) -> bool:
        """An event is handled unless a preprocessor objects."""
        return frames.calls(task, _apply_event_preprocessors.__code__) is not None

    def origin_of(self, event: Any) -> Origin | None:
        """Tell on whose behalf an event is."""
        if event is None:
            return None
        request = self.request_of(event)
        if request is not None:
            return request.origin
        if not isinstance(event, Event):
            raise TypeError(f"event has to be one of NoneBot's events; it is {event!r}")
        bot = _bot_of(event)
        return MatcherOrigin(None, bot, event) if bot is not None else None

    def request_of(self, event: Any) -> Work | None:
        """Give the matcher run that an event began, while it is in flight."""
        return self._matchers.request_of(event) if event is not None else None

    def refusal(self, reason: str, work: Work | None) -> Refused:
        """Make the exception by which work is refused, and tell whoever asked for it."""
        if work is not None:
            for hook in self.on_refuse:
                hook(work)
        run = next((each for each in work.ancestors() if each.root), None) if work else None
        if run is not None and isinstance(run.origin, MatcherOrigin) and not run.ended:
            return RefusedRun(reason) if run.begun else self._refused_rule(run.origin, reason)
        task = asyncio.current_task()
        return self._refusal_in(task, reason) if task is not None else Refused(reason)

    def told_to_end(self, work: Work) -> None:
        """Take note that work was told to end while the bot runs on."""
        for hook in self.on_tell:
            hook(work)

    def section_opened(self, section: Section, work: Work) -> None:
        """Take note that work has come to a section."""
        for hook in self.on_open:
            hook(section, work)

    def section_refused(self, section: Section, work: Work) -> None:
        """Take note that work may not come to a section, since the bot is being stopped."""
        for hook in self.on_refused_section:
            hook(section, work)

    def run_refused(self, origin: Origin) -> None:
        """Take note that a matcher run may not begin, since the bot is being stopped."""
        if isinstance(origin, MatcherOrigin):
            for hook in self.on_refused_run:
                hook(origin)

    def event_refused(self, origin: Origin) -> None:
        """Take note that an event is not handled at all, since the bot is being stopped."""
        if isinstance(origin, MatcherOrigin):
            for hook in self.on_refused_event:
                hook(origin)

    def has_failed(self, task: AnyTask) -> bool:
        """Whether it ran a job that failed: the scheduler keeps the exception to itself."""
        return self._jobs.has_failed(task)

    def work_ended(self, work: Work) -> None:
        """Take note that work ends."""
        for hook in self.on_end:
            hook(work)

    def run_ended(self, work: Work, *, told: bool) -> None:
        """Take note that a matcher run or a job has ended."""
        self._matchers.run_ended(work, told=told)

    def run_timed_out(self, work: Work) -> None:
        """Take note that a matcher run ends because something in it took too long."""
        for hook in self.on_timeout:
            hook(work)

    def _refusal_in(self, task: AnyTask, reason: str) -> Refused:
        """Choose by what NoneBot awaits the task for."""
        for host in hosts(task):
            if any(frames.calls(host, code) for code in PREPROCESSING):
                return RefusedEvent(reason)
            run = self._matchers.recognize(host)
            if run is not None:
                return self._refused_rule(run.origin, reason)
            refusal = self._refusal_in(host, reason)
            if type(refusal) is not Refused:
                return refusal
        return Refused(reason)

    def _refused_rule(self, origin: Origin | None, reason: str) -> RefusedRule:
        if origin is not None:
            self._matchers.rule_refused(origin, reason)
        return RefusedRule(reason)

    def _reply_codes(self) -> set[CodeType]:
        bots = len(nonebot.get_driver().bots)
        if bots != self._bots:
            self._bots = bots
            self._replies = reply_codes()
        return self._replies


def _recognize_hook(task: AnyTask) -> Recognized | None:
    """Recognize what else NoneBot runs for a plugin and shields: a bot-connect hook, say.

    The driver waits for them at the very end (nonebot/internal/driver/_lifespan.py).
    """
    frame = frames.calls(task, Dependent.__call__.__code__)  # pyright: ignore[reportUnknownMemberType]
    if frame is None:
        return None
    if disconnect_hook_in(task) is not None:
        return None  # it has its time after the on_shutdown hooks
    function = frame.f_locals["self"].call
    plugin = get_plugin_by_module_name(getattr(function, "__module__", None) or "")
    origin = PluginOrigin(plugin.id_ if plugin else None)
    return Recognized("handler", name_of(function), origin, root=False, begun=False)


def _bot_of(event: Event) -> Bot | None:
    """Give the bot that got an event, as far as that can be known."""
    bots = nonebot.get_bots()
    bot = bots.get(str(getattr(event, "self_id", "")))
    if bot is None:
        # A queue worker has for ever the current bot of whoever came first, so this comes second.
        bot = current_bot.get(None) or next(iter(bots.values()), None)
    return bot


def _who_wait_for(cache: Any) -> list[AnyTask]:
    """Give the tasks that wait for a cached dependency, read from its ``anyio.Event``."""
    event = getattr(getattr(cache, "_waiter", None), "_event", None)
    futures: Any = getattr(event, "_waiters", ())
    return [task for future in futures for task in passers(future)]
