"""Requests that are to survive: when they are written down, and when they are struck out."""

import sqlite3
import time
import uuid
from collections.abc import Callable, Collection
from contextlib import suppress
from dataclasses import replace
from weakref import WeakValueDictionary

from nonebot.adapters import Bot, Event
from nonebot.log import logger

from nonebot_plugin_graceful.bot.matchers import MatcherOrigin
from nonebot_plugin_graceful.core import frames
from nonebot_plugin_graceful.core.tree import Tree
from nonebot_plugin_graceful.core.work import Section, Work

from . import codec
from .identity import describe_matcher, key_of
from .lives import Lives
from .request import Request, name_of, rebuild
from .rows import Reply, Row
from .storage import DONE_FOR, Storage

__all__ = ["LATE", "Requests", "is_late"]

LATE = "the handler of its event has ended; it has to await the result of the job"
"""Why a worker's job is no part of the request that it is for."""


class Requests:
    """The requests of a bot that are in the journal, or are to come into it.

    Args:
        tree: What is in flight.
        storage: The journal.
        lives: Ours is the owner of what is written.
        names: Kinds and plugins whose requests are to be resumed.
        told: Whether those hear of it at the shutdown whose requests cannot be.

    """

    def __init__(
        self,
        tree: Tree,
        storage: Storage,
        lives: Lives,
        names: Collection[str] = (),
        *,
        told: bool = False,
    ) -> None:
        self.tree = tree
        self.storage = storage
        self.names: frozenset[str] = frozenset(names)
        self.wanted: bool = bool(names)
        """Whether anybody has asked for it, be it by ``track(resume=True)``."""
        tree.world.watching |= self.wanted
        self.on_wanted: Callable[[], None] = _nothing
        """Called when somebody has asked for it for the first time."""
        self.on_busy: Callable[[bool], None] = _is_busy
        """Called when the first one is taken up again or begun, and when the last one has ended."""
        self._lives = lives
        self._told = told
        self._by_root: dict[Work, Request] = {}
        self._by_work: dict[Work, Request] = {}
        self._by_event: dict[int, Request] = {}
        """Those that are taken up again, by their event's id."""
        self._left: WeakValueDictionary[int, Event] = WeakValueDictionary()
        """Events whose requests were stopped by the shutdown, and will be resumed."""
        self._keys: dict[str, float] | None = None
        self._keys_at_most = 1000
        self._last_key: tuple[Event | None, str] = None, ""
        """Asked for when a message comes, and again when it comes to its section."""
        self._early: dict[Work, list[Reply]] = {}
        """What runs have said that are not in the journal, and may yet come into it."""
        self._late: set[tuple[str, str]] = set()
        """Kinds and places of which it was said that they come too late."""
        self._names: dict[Work, str] = {}
        """Made-up keys of runs whose event has none."""

    # -- hooks of the tree

    def opened(self, section: Section, work: Work) -> None:
        """Look at a section that has been opened: its request may be one that is to survive."""
        wanted = self._is_wanted(section, work)
        if not wanted and not self._by_root and not self._by_event:
            return
        root = _root_of(work)
        origin = root.origin if root is not None else None
        if root is None or not isinstance(origin, MatcherOrigin):
            if wanted and is_late(work):
                self._warn_of_late(section, work)
            return
        request = self._by_root.get(root) or self._begin(root, origin, section, wanted=wanted)
        if request is None:
            return
        if wanted:
            request.begun.set()
        elif work.is_nobodys:
            return  # a worker goes on when the request that happened to start it has ended
        if work not in request.works and not work.ended:
            request.works.add(work)
            self._by_work[work] = request

    def section_refused(self, section: Section, work: Work) -> None:
        """Keep a request that was about to come to its first section that is to be resumed."""
        if not self._is_wanted(section, work):
            return
        self.opened(section, work)
        request = self.of(work)
        if request is not None:
            request.left = True  # also if it swallows its interruption

    def ended(self, work: Work) -> None:
        """Look at work that has ended: with it, its request may have."""
        if self._names:
            self._names.pop(work, None)
        if self._early:
            self._early.pop(work, None)
        request = self._by_work.pop(work, None) if self._by_work else None
        if request is None:
            self._keep_if_in_a_rule(work)
            return
        request.works.discard(work)
        request.left = request.left or self._was_stopped(work)
        if request.works:
            return
        if request.root is not None:
            self._detach(request.root)
        if request.left:
            self.leave(request)
        else:
            self.finish(request)

    def refused(self, origin: MatcherOrigin) -> None:
        """Keep a matcher run that may not begin because the bot is being stopped."""
        event = origin.event
        if not self.wanted or event.get_type() != "message":
            return
        replayed = self._replayed(event)
        if replayed is not None and replayed.single:
            replayed.left = True
            return
        if any(_is_of(root, origin) for root in self._by_root):
            return
        request = self._write_down(origin, "", None)
        if request is not None:
            logger.info(f"Kept a run of {origin.matcher} that may not begin any more")
        if request is not None and not request.unfit:
            self.leave_event(event)

    def said(self, work: Work, reply: Reply) -> None:
        """Keep a message that work has sent which is not in the journal, or was not when it began to."""
        request = self.of(work)
        if request is not None:
            self.sent(request, reply)
            return
        root = _root_of(work)
        if root is not None and not root.ended and isinstance(root.origin, MatcherOrigin):
            self._early.setdefault(root, []).append(reply)

    def sent(self, request: Request, reply: Reply) -> None:
        """Keep a message that a request has sent, though it may have ended meanwhile."""
        self.storage.add_reply(request.id, reply)

    # -- asking

    def of(self, work: Work | None) -> Request | None:
        """Give the request that work is for, if that is in the journal."""
        if work is None or not self._by_root:
            return None
        request = self._by_work.get(work)
        if request is not None:
            return request
        root = _root_of(work)
        return self._by_root.get(root) if root is not None else None

    @property
    def busy(self) -> bool:
        """Whether any request is in flight that is in the journal."""
        return bool(self._by_root)

    def resumes(self, event: Event) -> bool:
        """Whether the request that an event began was stopped, and will be taken up again."""
        if self._left.get(id(event)) is event:
            return True
        return any(each.event is event and not each.unfit for each in self._by_root.values())

    def is_replayed(self, event: Event) -> bool:
        """Whether an event is one of the journal's, which is being taken up again."""
        return self._replayed(event) is not None

    def too_late(self, event: Event) -> None:
        """Take note that an event which is being taken up again is refused: the bot stops."""
        request = self._replayed(event)
        if request is not None:
            request.left = True

    def key_of(self, bot: Bot, event: Event) -> str:
        """Tell an event from every other, as ``identity.key_of``."""
        last, key = self._last_key
        if last is not event:
            key = key_of(bot, event)
            self._last_key = event, key
        return key

    def is_known(self, key: str) -> bool:
        """Whether an event is of a request that runs, ran, or is to be taken up again."""
        return key in self._known()

    def name_of(self, work: Work) -> str | None:
        """Give a text that the request which work is for has, and its replay; None outside of one."""
        request = self.of(work)
        if request is not None:
            return request.name
        root = _root_of(work)
        origin = root.origin if root is not None else None
        if root is None or not isinstance(origin, MatcherOrigin) or not origin.matcher_class:
            return None
        key = self._names.get(root) or key_of(origin.bot_object, origin.event)
        if not key:
            key = self._names[root] = uuid.uuid4().hex
        matcher = origin.matcher_class
        return name_of(key, matcher.plugin_id or "", describe_matcher(matcher))

    def waiting(self, adapter: str | None = None, bot: str | None = None) -> list[Row]:
        """Give what is in the journal and not in flight here, the oldest first; of a bot, or all."""
        running = {each.id for each in (*self._by_root.values(), *self._by_event.values())}
        return [row for row in self.storage.rows(adapter, bot) if row.id not in running]

    def withdraw(self, adapter: str, bot: str, is_it: Callable[[Event], bool]) -> list[Event]:
        """Take out what waits for a bot, or is about to be taken up, and is not wanted any more.

        Returns:
            The events that had begun it.

        """
        found = [each.event for each in self._by_event.values() if is_it(each.event)]
        for row in self.waiting(adapter, bot) if self.storage.file.exists() else ():
            event = rebuild(row)
            if event is not None and is_it(event):
                self.strike_out(row)
                found.append(event)
        return found

    # -- taking up again

    def take_up(self, request: Request) -> None:
        """Know an event when it comes to its matcher."""
        self.tree.world.watching = True
        self._by_event[id(request.event)] = request

    def put_down(self, request: Request) -> None:
        """Know it no more; it has come to its matcher, or will not."""
        self._by_event.pop(id(request.event), None)

    def finish(self, request: Request) -> None:
        """Take a request out: it has ended by itself."""
        self.storage.finish(request.id)
        for hook in request.at_end:
            hook()

    def strike_out(self, row: Row) -> None:
        """Take out a request that is not to be taken up again."""
        self.storage.finish(row.id)

    # -- inside

    def _is_wanted(self, section: Section, work: Work) -> bool:
        if section.resume is not None:
            if section.resume and not self.wanted:
                self.wanted = self.tree.world.watching = True
                self.on_wanted()
            return section.resume
        if not self.names:
            return False
        if section.kind.name in self.names:
            return True
        if work.is_nobodys and section is work.sections[0]:
            return False  # that it is there is nobody's request; what it does may be somebody's
        plugin = work.origin.plugin if work.origin is not None else None
        while plugin:
            if plugin in self.names:
                return True
            plugin = plugin.rpartition(":")[0]
        return False

    def _warn_of_late(self, section: Section, work: Work) -> None:
        """Say, once for each place, that a worker's job came too late to be a part of its request."""
        plugin_of = self.tree.world.plugin_of
        place = frames.where(work.task, None, plugin_of) if work.task is not None else ""
        if (section.kind.name, place) not in self._late:
            self._late.add((section.kind.name, place))
            logger.warning(f"{section.kind.name} at {place} cannot be resumed: {LATE}")

    def _begin(
        self, root: Work, origin: MatcherOrigin, section: Section, *, wanted: bool
    ) -> Request | None:
        """Have the request of a run, which has come to a section."""
        replayed = self._replayed(origin.event)
        if replayed is not None:
            root.resumed = True
            if replayed.single:
                if replayed.root is None:
                    self._attach(replayed, root)
                return replayed
        if not wanted:
            return None
        request = self._write_down(origin, section.kind.name, self._names.get(root))
        if request is not None:
            self._attach(request, root)
            for reply in self._early.pop(root, ()):
                self.sent(request, reply)
            if replayed is not None and not replayed.taken:  # that has taken its place
                replayed.taken = True
                self.storage.finish(replayed.id)
        return request

    def _detach(self, root: Work) -> None:
        if self._by_root.pop(root, None) is not None and not self._by_root:
            self.on_busy(False)

    def _replayed(self, event: Event) -> Request | None:
        request = self._by_event.get(id(event))
        return request if request is not None and request.event is event else None

    def _attach(self, request: Request, root: Work) -> None:
        if not self._by_root:
            self.on_busy(True)
        request.root = root
        request.taken = True
        self._by_root[root] = request
        if not root.ended:
            request.works.add(root)
            self._by_work[root] = request

    def _write_down(self, origin: MatcherOrigin, kind: str, key: str | None) -> Request | None:
        matcher, event = origin.matcher_class, origin.event
        if matcher is None:
            return None
        key = key or self.key_of(origin.bot_object, event) or uuid.uuid4().hex
        unfit = "it was part of a conversation" if matcher.temp else ""
        plugin = matcher.plugin_id or ""
        found = describe_matcher(matcher)
        row = self.keep(origin, key, kind=kind, plugin=plugin, matcher=found, unfit=unfit)
        return Request(row, event) if row is not None else None

    def keep(
        self,
        origin: MatcherOrigin,
        key: str,
        *,
        kind: str = "",
        plugin: str = "",
        matcher: str = "",
        unfit: str = "",
    ) -> Row | None:
        """Write an event down, as what has to be asked again.

        Returns:
            None: it could not be kept.

        """
        bot = origin.bot_object
        with suppress(sqlite3.Error):  # then it cannot be kept either, which is said there
            self._lives.begin()
        text, exact = codec.dump(origin.event)
        if not exact and not unfit:
            unfit = "its event cannot be rebuilt"
        row = Row(
            id=0,
            adapter=bot.type,
            bot=bot.self_id,
            key=key,
            event=text,
            plugin=plugin,
            matcher=matcher,
            kind=kind,
            user=origin.user or "",
            chat=origin.chat or "",
            asked=time.time(),
            attempts=0,
            unfit=unfit,
            owner=self._lives.own,
        )
        id_ = self.storage.add(row)
        if id_ is None:
            return None
        if key:
            self._known()[key] = row.asked
        return replace(row, id=id_)

    def _known(self) -> dict[str, float]:
        """Give the keys of all that runs, ran or waits; none of them while they cannot be read."""
        if self._keys is None:
            self._keys = self.storage.keys()
            return {} if self._keys is None else self._keys
        if len(self._keys) > self._keys_at_most:
            old = time.time() - DONE_FOR
            self._keys = {key: at for key, at in self._keys.items() if at > old}
            self._keys_at_most = 2 * len(self._keys) + 1000
        return self._keys

    def leave(self, request: Request) -> None:
        """Leave a request to the next life."""
        if request.unfit:
            if self._told:
                self.finish(request)
            return
        self.leave_event(request.event)
        if request.replayed:
            self.storage.give_back(request.id)

    def leave_event(self, event: Event) -> None:
        """Take note that an event will be handled in the next life."""
        self._left[id(event)] = event

    def _was_stopped(self, work: Work) -> bool:
        """Whether the shutdown has stopped it: not if it came to its end all the same."""
        lifecycle = self.tree.lifecycle
        if not lifecycle.stopping or work.outcome not in (None, lifecycle.reason):
            return False
        if work.answered:
            return False
        task, ending = work.task, work.ending
        if task is not None and task.done() and task.cancelled():
            return True
        return work.outcome is not None and (ending is None or ending.cancelled)

    def _keep_if_in_a_rule(self, work: Work) -> None:
        """Keep a run that was stopped while its rule was checked: it may have been about to begin."""
        if work.begun or not work.root or not self.wanted or not self._was_stopped(work):
            return
        if isinstance(work.origin, MatcherOrigin):
            self.refused(work.origin)


def _nothing() -> None:
    pass


def _is_busy(_: bool) -> None:
    pass


def _is_of(root: Work, origin: MatcherOrigin) -> bool:
    """Whether a run is the one of this matcher and this event."""
    begun = root.origin
    return (
        isinstance(begun, MatcherOrigin)
        and begun.event is origin.event
        and begun.matcher_class is origin.matcher_class
    )


def is_late(work: Work) -> bool:
    """Whether it is for an event whose handler had ended when it began."""
    last = _said_for(work)
    return last is not None and not last.root and last.request is None


def _root_of(work: Work) -> Work | None:
    """Find the run that work is part of, or that it is for: a worker does everybody's."""
    last = _said_for(work)
    return last if last is None or last.root else last.request


def _said_for(work: Work) -> Work | None:
    """Find the nearest, on the way up to its run, of which somebody has said whom it is for."""
    return next((each for each in work.ancestors() if each.root or each.event is not None), None)
