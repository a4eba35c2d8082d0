"""What the core asks of NoneBot."""

import asyncio
from contextvars import Context

import nonebot
import pytest
from nonebot.adapters.onebot.v11 import Adapter, Bot, Message, PrivateMessageEvent
from nonebot.dependencies import Dependent
from nonebot.exception import (
    FinishedException,
    IgnoredException,
    NoneBotException,
    SkippedException,
)
from nonebot.internal.driver import Driver
from nonebot.matcher import Matcher, MatcherSource
from nonebot.message import (
    _event_preprocessors,
    _run_preprocessors,
    event_preprocessor,
    handle_event,
    run_preprocessor,
)
from nonebot.params import BotParam, DependParam, Depends
from nonebot.rule import Rule

from nonebot_plugin_graceful import Refused, spawn, tasks, track
from nonebot_plugin_graceful.bot.world import NoneBotWorld


@pytest.fixture
def world(tree):
    """Give the plugin's world."""
    assert isinstance(tree.world, NoneBotWorld)
    return tree.world


@pytest.fixture
def adapter(app, monkeypatch):
    """An adapter that has sent whatever it is to send."""
    sent = []

    async def call(self, bot, api, **data):
        sent.append(api)
        return {"message_id": 0}

    monkeypatch.setattr(Adapter, "_call_api", call)
    adapter = nonebot.get_adapter(Adapter)
    adapter.sent = sent
    return adapter


@pytest.fixture
def online(adapter, monkeypatch):
    """Make bots that are online: by their ids, and of a class."""
    monkeypatch.setattr(nonebot.get_driver(), "_bots", {})

    def online(self_id="1", kind=Bot):
        bot = kind(adapter, self_id)
        nonebot.get_driver()._bots[self_id] = bot
        return bot

    return online


def message(user=10, self_id=1):
    return PrivateMessageEvent(
        time=0,
        self_id=self_id,
        post_type="message",
        message_type="private",
        sub_type="friend",
        message_id=user,
        user_id=user,
        message=Message("hi"),
        original_message=Message("hi"),
        raw_message="hi",
        font=0,
        sender={"user_id": user},
    )


@pytest.fixture
def on(app):
    """Make matchers of a plugin that are gone after the test."""
    made = []

    def on(*handlers, rule=None, priority=1):
        source = MatcherSource(plugin_id="painter", module_name=__name__, lineno=7)
        made.append(
            Matcher.new(
                "message",
                Rule(rule) if rule else None,
                handlers=handlers,
                source=source,
                priority=priority,
            )
        )

    yield on
    for matcher in made:
        matcher.destroy()


@pytest.fixture
async def hear(online, within):
    """Have a bot handle an event; all handling ends with the test."""
    handling = []

    def hear(event, bot=None):
        handling.append(asyncio.create_task(handle_event(bot or online(), event)))
        return handling[-1]

    yield hear
    if handling:
        await within(asyncio.wait(handling))


@pytest.fixture
def preprocessors():
    """Whatever preprocessors a test adds, are gone after it."""
    before = set(_event_preprocessors), set(_run_preprocessors)
    yield
    for hooks, old in zip((_event_preprocessors, _run_preprocessors), before, strict=True):
        hooks.clear()
        hooks.update(old)


class Gate:
    """Holds whoever comes, and knows their tasks."""

    def __init__(self, within):
        self.tasks = []
        self._within = within
        self._came = asyncio.Event()
        self._open = asyncio.Event()

    async def __call__(self):
        self.tasks.append(asyncio.current_task())
        self._came.set()
        await self._open.wait()

    async def task(self):
        """Wait for the first to come; gives its task."""
        await self._within(self._came.wait())
        return self.tasks[0]

    def open(self):
        """Let everybody go."""
        self._open.set()


@pytest.fixture
def gate(within):
    gate = Gate(within)
    yield gate
    gate.open()


# -- what a task is


async def test_a_run_whose_rule_is_being_checked_is_recognized(world, tree, on, hear, gate):
    """It has not begun, and is of the kind that the operator has given its plugin."""
    tree.kinds.plugins["painter"] = "image"

    async def rule():
        await gate()
        return False

    on(rule=rule)
    handling = hear(event := message())
    await gate.task()
    (what,) = [
        what
        for task in asyncio.all_tasks()
        if (what := world.recognize(task)) is not None and what.origin.plugin == "painter"
    ]
    assert (what.kind, what.name, what.root, what.begun) == ("image", "rule", True, False)
    origin = what.origin
    assert (origin.bot, origin.user, origin.matcher) == ("1", "10", f"{__name__}:7")
    assert origin.event is event
    gate.open()
    await handling


async def test_a_job_is_recognized(world, run_job, gate):
    """With its name, and the plugin of its function."""

    async def job():
        await gate()

    run_job(job)
    what = world.recognize(await gate.task())
    assert (what.kind, what.name, what.root, what.begun) == ("job", "daily", True, True)
    assert what.origin.plugin == "nonebot_plugin_graceful"


@pytest.mark.parametrize(("hooks", "seen"), [("connection", True), ("disconnection", False)])
async def test_a_hook_of_a_bots_connection_is_recognized(
    world, online, gate, monkeypatch, within, hooks, seen
):
    """NoneBot shields it and waits for it; one for its end has its time after all others."""

    async def hook():
        await gate()

    dependent = Dependent[None].parse(call=hook, allow_types=(DependParam, BotParam))
    monkeypatch.setattr(Driver, f"_bot_{hooks}_hook", {dependent})
    running = asyncio.create_task(dependent(bot=online()))
    what = world.recognize(await gate.task())
    if seen:
        assert (what.kind, what.root, what.begun) == ("handler", False, False)
        assert what.name.endswith("hook")
    else:
        assert what is None
    gate.open()
    await within(running)


async def test_any_other_task_is_a_stranger(world, gate):
    """A plugin's own loop is none of NoneBot's."""
    task = asyncio.create_task(gate())
    assert world.recognize(await gate.task()) is None
    gate.open()
    await task


# -- what is not to be cut


async def test_a_reply_of_two_api_calls_is_one(online, adapter, gate, within):
    """It uploads the picture, then sends it: in between, it is sending too."""

    class Uploads(Bot):
        async def send(self, event, message, **keywords):
            await self.call_api("upload")
            await gate()
            return await self.call_api("send_msg")

    world, bot = NoneBotWorld(), online(kind=Uploads)
    sending = asyncio.create_task(bot.send(message(), "hello"))
    assert await gate.task() is sending
    assert adapter.sent == ["upload"]
    assert world.must_finish(sending) == []
    gate.open()
    await within(sending)
    assert adapter.sent == ["upload", "send_msg"]


async def test_an_adapter_that_comes_later_replies_too(online, adapter, gate, within):
    """What a reply is, is looked up again when a bot has connected."""
    world = NoneBotWorld()
    assert world.must_finish(asyncio.current_task()) is None

    class Late(Bot):
        async def send(self, event, message, **keywords):
            await gate()

    bot = online(kind=Late)
    sending = asyncio.create_task(bot.send(message(), "hello"))
    assert world.must_finish(await gate.task()) == []
    gate.open()
    await within(sending)


async def test_any_api_call_is_finished(world, online, gate, within, monkeypatch):
    """Plugins call ``bot.send_group_msg(…)`` as they like, however deep."""

    async def call(self, bot, api, **data):
        await gate()

    monkeypatch.setattr(Adapter, "_call_api", call)

    async def says():
        await online().send_group_msg(group_id=1, message="hello")

    task = asyncio.create_task(says())
    assert world.must_finish(await gate.task()) == []
    gate.open()
    await within(task)
    assert world.must_finish(task) is None


async def test_a_cached_dependency_is_computed_for_all_who_wait_for_it(
    world, on, hear, gate, until, within
):
    """Two matchers share it: whoever computes it has to go on for the other."""
    given = []

    async def shared():
        await gate()
        return "value"

    async def first(value: str = Depends(shared)):
        given.append(value)

    async def second(value: str = Depends(shared)):
        given.append(value)

    on(first)
    on(second)
    handling = hear(message())
    await gate.task()

    def those_who_must():
        found = {task: world.must_finish(task) for task in asyncio.all_tasks()}
        return {task: others for task, others in found.items() if others is not None}

    await until(those_who_must)
    ((computes, others),) = those_who_must().items()
    assert computes is gate.tasks[0]
    (waits,) = others
    assert waits is not computes
    assert not waits.done()
    gate.open()
    await within(handling)
    assert given == ["value", "value"]
    assert len(gate.tasks) == 1


async def test_a_dependency_that_nobody_else_waits_for_may_be_cut(world, on, hear, gate, within):
    """It is the run's own business."""

    async def handler(value: None = Depends(gate.__call__)):
        pass

    on(handler)
    handling = hear(message())
    assert world.must_finish(await gate.task()) is None
    gate.open()
    await within(handling)


# -- how work is refused


@pytest.fixture
def ask(tree):
    """Ask an AI that takes no new work; ``ask.refused`` is what came of it."""

    async def ask():
        try:
            async with track("llm"):
                raise AssertionError("admitted")
        except Refused as error:
            ask.refused.append(error)
            raise

    ask.refused = []
    tree.admission.refuse("the bot is drained")
    return ask


def assert_refused(ask, kind):
    """Assert that it was refused once, by an exception that NoneBot takes without a word."""
    (error,) = ask.refused
    assert isinstance(error, kind)
    assert type(error).__name__ == "Refused"
    assert error.reason == str(error) == "the bot is drained"
    return error


def problems(log):
    return [line for line in log if line.startswith(("WARNING", "ERROR", "CRITICAL"))]


async def test_in_a_handler_it_is_as_finish(ask, on, hear, log):
    """The run is over, the handlers that come after do not begin, and no error is logged."""
    ran = []

    async def after():
        ran.append(1)

    on(ask, after)
    await hear(message())
    assert_refused(ask, FinishedException)
    assert ran == []
    assert problems(log) == []


async def test_in_a_handlers_dependency_it_is_as_finish(ask, on, hear, log):
    """The handler does not begin."""
    ran = []

    async def handler(value: None = Depends(ask)):
        ran.append(value)

    on(handler)
    await hear(message())
    assert_refused(ask, FinishedException)
    assert ran == []
    assert problems(log) == []


async def test_in_a_handlers_task_group_it_is_as_finish(ask, on, hear, log):
    """Whoever gathers requests gets the first refusal."""

    async def handler():
        await asyncio.gather(ask())

    on(handler)
    await hear(message())
    assert_refused(ask, FinishedException)
    assert problems(log) == []


async def test_in_a_rule_it_makes_that_false(ask, on, hear, log):
    """The matcher does not run, and no error is logged."""
    ran = []

    async def handler():
        ran.append(1)

    async def rule():
        await ask()
        return True

    on(handler, rule=rule)
    await hear(message())
    assert_refused(ask, SkippedException)
    assert ran == []
    assert problems(log) == []


async def test_a_matcher_that_a_drain_silences_is_named(tree, on, hear, log):
    """Once a drain; and those of lower priority get the event as if it did not match."""
    ran, lines = [], []

    async def rule():
        async with track("llm"):
            return False

    async def handler():
        ran.append(1)

    on(handler, rule=rule)
    on(handler, priority=50)
    for drains in (1, 2):
        tree.admission.refuse("the bot is drained")
        for _ in range(2):
            await hear(message())
        lines = [line for line in log if "rule was refused: the bot is drained" in line]
        assert len(lines) == drains
        tree.admission.resume()
        await hear(message())
    assert __name__ in lines[0]
    assert lines[0].startswith("INFO")
    assert len(ran) == 6


async def test_in_a_preprocessor_of_events_it_has_the_event_ignored(
    ask, on, hear, log, preprocessors
):
    """As if it had objected itself."""
    ran = []

    async def handler():
        ran.append(1)

    event_preprocessor(ask)
    on(handler)
    await hear(message())
    assert_refused(ask, IgnoredException)
    assert ran == []
    assert problems(log) == []


async def test_in_a_preprocessor_of_runs_it_has_the_run_ignored(ask, on, hear, log, preprocessors):
    """As if it had objected itself; other runs of the event ask for themselves."""
    ran = []

    async def handler():
        ran.append(1)

    async def objects(matcher: Matcher):
        if matcher.module_name == __name__:
            await ask()

    run_preprocessor(objects)
    on(handler)
    await hear(message())
    assert_refused(ask, IgnoredException)
    assert ran == []
    assert problems(log) == []


async def test_in_a_job_it_is_a_plain_one(ask, run_job, until):
    """No exception of NoneBot's would mean anything there."""

    async def job():
        await ask()

    run_job(job)
    await until(lambda: ask.refused)
    assert not isinstance(assert_refused(ask, Refused), NoneBotException)


async def test_anywhere_else_it_is_a_plain_one(ask):
    """A queue worker's ``except Exception`` gets it as any other failure of a job."""
    with pytest.raises(Refused):
        await asyncio.create_task(ask())
    assert not isinstance(assert_refused(ask, Refused), NoneBotException)


async def test_whoever_asked_is_told(ask, world, on, hear, monkeypatch):
    """The hooks are given the run's work."""
    told = []
    monkeypatch.setattr(world, "on_refuse", [told.append])
    on(ask)
    await hear(message(user=11))
    (work,) = told
    assert work.origin.user == "11"


async def test_a_worker_that_a_handler_has_started_is_refused_plainly(ask, on, hear, within):
    """Its job is nobody's, so it does not end with what ends a run."""
    workers = []

    async def handler():
        workers.append(spawn(ask()))

    on(handler)
    await hear(message())
    await within(asyncio.wait(workers))
    assert workers[0].exception() is ask.refused[0]


# -- on whose behalf


async def test_the_request_of_an_event_is_its_run(world, tree, on, hear, gate):
    """While it is in flight; an event that began none has none."""
    on(gate.__call__)
    event = message(user=11)
    handling = hear(event)
    work = tree.works[await gate.task()]
    assert world.request_of(event) is work
    assert world.origin_of(event) is work.origin
    assert world.request_of(message(user=11)) is None
    assert world.request_of(None) is None
    gate.open()
    await handling
    assert world.request_of(event) is None


async def test_an_event_that_was_handled_is_still_somebodys(world, online):
    """Who asked, where, and by which bot, though no plugin is known any more."""
    online("1")
    online("2")
    origin = world.origin_of(message(user=11, self_id=2))
    assert (origin.plugin, origin.matcher) == (None, None)
    assert (origin.bot, origin.user, origin.chat) == ("2", "11", "11")


async def test_a_worker_answers_by_the_bot_that_was_asked(world, online, on, hear, gate, within):
    """Not by that of whoever came first, whose context it has for ever."""
    online("2")
    origins = []

    async def worker():
        await gate()
        origins.append(world.origin_of(message(user=12, self_id=2)))

    async def handler():
        workers.append(asyncio.create_task(worker()))

    workers = []
    on(handler)
    await hear(message(user=11))
    gate.open()
    await within(asyncio.wait(workers))
    assert origins[0].bot == "2"


async def test_an_event_that_names_no_bot_is_the_current_ones(world, online, app):
    """Not every platform's event tells which bot has got it."""
    from nonebot.matcher import current_bot

    online("1")
    second = online("2")
    event = message(user=11, self_id=3)

    def ask(bot):
        if bot is not None:
            current_bot.set(bot)
        return world.origin_of(event).bot

    assert Context().run(ask, second) == "2"
    assert Context().run(ask, None) == "1"


async def test_with_no_bot_there_is_nobody_to_answer(world, online):
    """And nothing is for nobody."""
    assert Context().run(world.origin_of, message()) is None
    assert world.origin_of(None) is None


async def test_only_an_event_can_be_somebodys(world):
    """A mistake is told, not ignored."""
    with pytest.raises(TypeError, match="one of NoneBot's events; it is 'me'"):
        world.origin_of("me")


@pytest.mark.parametrize("by", ["track", "spawn"])
async def test_a_worker_says_for_whom_it_works(by, online, gate, within):
    """``event=`` of either: it is seen as that member's, and nobody's afterwards."""
    online("1")
    event = message(user=11)

    async def job():
        if by == "track":
            async with track("llm", event=event):
                await gate()
        else:
            await spawn(gate(), kind="llm", event=event)

    working = asyncio.create_task(job())
    await gate.task()
    (info,) = tasks()
    assert (info.kind, info.bot, info.user, info.chat) == ("llm", "1", "11", "11")
    gate.open()
    await within(working)
    assert tasks() == []
