"""A task that a handler happened to make may serve everybody: it does not end with that one request.

The plugins here know nothing of ours.
"""

import asyncio
import sys

import anyio
import pytest

from nonebot_plugin_graceful import cancel, tasks, track


class Service:
    """What takes until it is told to answer, and counts."""

    def __init__(self):
        self.asked = 0
        self.cut = 0
        self._answers = asyncio.Semaphore(0)

    async def get(self):
        self.asked += 1
        try:
            await self._answers.acquire()
        except asyncio.CancelledError:
            self.cut += 1
            raise
        return f"answer {self.asked}"

    def answer(self):
        self._answers.release()


@pytest.fixture(autouse=True)
def at_once(patience):
    """What was left behind by what was ended, would soon be ended too."""
    patience(0.05)


@pytest.fixture
def service():
    """It answers when it is told to."""
    return Service()


class Counted:
    """As of ``async_lru``: it shields, and cancels what nobody waits for any more."""

    def __init__(self, function):
        self._function = function
        self._task = None
        self._waiters = 0

    async def __call__(self):
        if self._task is None:
            self._task = asyncio.create_task(self._function())
            self._task.add_done_callback(self._done)
        task = self._task
        self._waiters += 1
        try:
            return await asyncio.shield(task)
        except asyncio.CancelledError:
            if self._waiters == 1:
                task.cancel()
            raise
        finally:
            self._waiters -= 1

    def _done(self, task):
        if task.cancelled():
            self._task = None


class Kept:
    """A cached future, that is refreshed by whoever comes first."""

    def __init__(self, function):
        self._function = function
        self._task = None

    async def __call__(self):
        if self._task is None:
            self._task = asyncio.ensure_future(self._function())
        return await self._wait()

    async def _wait(self):
        return await asyncio.shield(self._task)


class Awaited(Kept):
    """The same, and nobody has thought of cancellations: asyncio hands each on to what is awaited."""

    async def _wait(self):
        return await self._task


class Gathered(Awaited):
    """Beside something of one's own."""

    async def _wait(self):
        answer, _ = await asyncio.gather(self._task, asyncio.sleep(0))
        return answer


class GatheredByChildren(Awaited):
    """The same, one further down."""

    async def _wait(self):
        answer, _ = await asyncio.gather(super()._wait(), asyncio.sleep(0))
        return answer


class Chained(Awaited):
    """By a task of one's own."""

    async def _wait(self):
        return await asyncio.create_task(super()._wait())


class InAnyioGroup(Awaited):
    """By a child of a task group."""

    async def _wait(self):
        answers = []

        async def wait():
            answers.append(await super(InAnyioGroup, self)._wait())

        async with anyio.create_task_group() as group:
            group.start_soon(wait)
            group.start_soon(asyncio.sleep, 0)
        return answers[0]


class InTaskGroup(Awaited):
    """By a child of asyncio's own."""

    async def _wait(self):
        async with asyncio.TaskGroup() as group:
            answer = group.create_task(super()._wait())
            group.create_task(asyncio.sleep(0))
        return answer.result()


class Announced:
    """A future that whoever came first keeps for those who come while he asks."""

    def __init__(self, function):
        self._function = function
        self._future = None

    async def __call__(self):
        if self._future is None:
            self._future = asyncio.get_running_loop().create_future()
            asyncio.create_task(self._ask())  # noqa: RUF006
        return await self._future

    async def _ask(self):
        self._future.set_result(await self._function())


UNSHIELDED = [Awaited, Gathered, GatheredByChildren, Chained, InAnyioGroup]
if sys.version_info >= (3, 11):
    UNSHIELDED.append(InTaskGroup)


class Looked:
    """The same, looked at by ``asyncio.wait``."""

    def __init__(self, function):
        self._function = function
        self._task = None

    async def __call__(self):
        if self._task is None:
            self._task = asyncio.ensure_future(self._function())
        await asyncio.wait([self._task])
        return self._task.result()


class Worked:
    """A queue with one worker, that is made by whoever comes first."""

    def __init__(self, function):
        self._function = function
        self._queue = asyncio.Queue()
        self.worker = None

    async def __call__(self):
        if self.worker is None:
            self.worker = asyncio.create_task(self._work())
        future = asyncio.get_running_loop().create_future()
        self._queue.put_nowait(future)
        return await future

    async def _work(self):
        while True:
            future = await self._queue.get()
            result = await self._function()
            if not future.done():
                future.set_result(result)


async def tracked(function):
    """Call it in a section, as ``http_client`` does."""
    async with track("image"):
        return await function()


@pytest.fixture
def asks(chat, on, until):
    """Make a command that says what is shared. Awaiting it is until a user has asked for that."""
    running = {}

    def make(shared):
        async def handler(event):
            running[event.user_id] = event
            chat.calls.append(
                ("send_msg", {"user_id": event.user_id, "message": text(await shared())})
            )

        def text(what):
            return chat.message(what).message

        on(handler, text="ask", block=True)

        async def ask(user):
            event = chat.message("ask", user)
            handling = chat.hear(event)
            await until(lambda: user in running)
            return event, handling

        return ask

    return make


WAYS = pytest.mark.parametrize("way", ["recall", "cancel(user)", "cancel(id)"])


async def end(way, chat, event):
    """End one member's request."""
    user = str(event.user_id)
    if way == "recall":
        await chat.recall(event)
    elif way == "cancel(user)":
        cancel(user=user)
    else:
        cancel(next(info.id for info in tasks() if info.user == user and info.kind == "handler"))


@WAYS
@pytest.mark.parametrize("first_ends", [True, False], ids=["the first", "the second"])
@pytest.mark.parametrize("shared", [Counted, Kept, Looked, Worked, Announced, *UNSHIELDED])
async def test_who_waits_for_it_too_is_answered(
    way, shared, first_ends, asks, chat, ended, service, settle, until
):
    """Whoever has begun it thinks better of it; another member waits for the same."""
    ask = asks(shared(service.get))
    first, first_end = await ask(2)
    second, second_end = await ask(3)
    await until(lambda: service.asked)
    await settle(0.01)
    await end(way, chat, first if first_ends else second)
    await ended(first_end if first_ends else second_end)
    await settle(0.2)
    service.answer()
    service.answer()
    await ended(second_end if first_ends else first_end)
    assert [whom for whom, _ in chat.said] == [3 if first_ends else 2]
    assert service.cut == 0
    assert [each.kind for each in tasks() if each.kind != "background"] == []  # the worker's


@WAYS
@pytest.mark.parametrize("wait", [Awaited, Gathered, Chained, InAnyioGroup])
async def test_what_was_begun_at_the_start_goes_on(
    way, wait, asks, chat, ended, service, settle, until
):
    """A model that is being loaded, say: who asks afterwards is answered."""
    shared = wait(service.get)
    shared._task = asyncio.create_task(service.get())
    ask = asks(shared)
    first, its_end = await ask(2)
    await until(lambda: service.asked)
    await end(way, chat, first)
    await ended(its_end)
    await settle(0.2)
    service.answer()
    _, others_end = await ask(4)
    await ended(others_end)
    assert [whom for whom, _ in chat.said] == [4]
    assert service.cut == 0


@pytest.mark.parametrize("wait", UNSHIELDED)
async def test_a_time_out_ends_the_wait_alone(wait, chat, ended, on, service, time_is_up, until):
    """And is a TimeoutError, as ever; the other one has more time."""
    shared, told = wait(service.get), []

    async def handler(event):
        try:
            async with track("image", timeout=60 if event.user_id == 2 else 100):
                told.append((event.user_id, await shared()))
        except TimeoutError:
            told.append((event.user_id, "too long"))
            await asyncio.sleep(0)
            told.append((event.user_id, "goes on"))

    on(handler, text="ask", block=True)
    first = chat.hear(chat.message("ask", 2))
    await until(lambda: service.asked)
    second = chat.hear(chat.message("ask", 3))
    await until(lambda: len([each for each in tasks() if each.kind == "image"]) == 2)
    await asyncio.sleep(0.01)
    time_is_up("image", user="2")
    await ended(first)
    service.answer()
    await ended(second)
    assert told == [(2, "too long"), (2, "goes on"), (3, "answer 1")]
    assert service.cut == 0


@WAYS
@pytest.mark.parametrize("shared", [Counted, Kept])
async def test_who_waits_for_a_request_of_another_ones_is_answered(
    way, shared, asks, chat, ended, service, settle, until
):
    """What is shared is in a section, as a request of ``http_client`` is."""
    ask = asks(shared(lambda: tracked(service.get)))
    first, its_end = await ask(2)
    _, others_end = await ask(3)
    await until(lambda: service.asked)
    await end(way, chat, first)
    await ended(its_end)
    await settle(0.2)
    service.answer()
    await ended(others_end)
    assert [whom for whom, _ in chat.said] == [3]
    assert service.cut == 0
    assert tasks() == []


@WAYS
@pytest.mark.parametrize("shared", [Counted, Kept, Worked])
async def test_who_asks_afterwards_is_answered(way, shared, asks, chat, ended, service, until):
    """Nobody else had asked when the first one's request was ended."""
    ask = asks(shared(service.get))
    first, its_end = await ask(2)
    await until(lambda: service.asked)
    await end(way, chat, first)
    await ended(its_end)
    service.answer()
    service.answer()
    _, others_end = await ask(4)
    await ended(others_end)
    assert [whom for whom, _ in chat.said] == [4]


@pytest.mark.parametrize("looked", [False, True], ids=["never looked at", "looked at"])
@pytest.mark.parametrize("way", ["recall", "cancel(user)"])
async def test_a_worker_that_has_outlived_its_handler_goes_on(
    way, looked, chat, ended, monkeypatch, on, service, tree, until
):
    """It has the event of whoever made it in hand, and there is nobody who waits for it."""
    monkeypatch.setattr(tree.world, "plugin_of", {__name__: "asked"}.get)
    queue, made = asyncio.Queue(), []

    async def work():
        while True:
            bot, event = await queue.get()
            await bot.send(event, await service.get())

    async def handler(bot, event):
        if not made:
            made.append(asyncio.create_task(work()))
        queue.put_nowait((bot, event))

    on(handler, text="ask")
    first, second = chat.message("ask", 2), chat.message("ask", 3)
    await ended(chat.hear(first), chat.hear(second))
    await until(lambda: service.asked)
    if looked:
        assert [info.kind for info in tasks()] == ["background"]
    await end(way, chat, first)
    service.answer()
    service.answer()
    await until(lambda: len(chat.said) == 2)
    assert [whom for whom, _ in chat.said] == [2, 3]


async def test_a_worker_that_was_left_alone_is_left_to_the_hooks(
    asks, chat, ended, service, tree, until
):
    """At the shutdown it may flush, as if whoever made it had ended by himself."""
    from nonebot_plugin_graceful.core.discovery import branches

    shared = Worked(service.get)
    ask = asks(shared)
    first, its_end = await ask(2)
    await until(lambda: service.asked)
    await chat.recall(first)
    await ended(its_end)
    assert branches(tree) == []
    assert not shared.worker.done()


async def _await(coro):
    await coro


async def _wait(coro):
    await asyncio.wait([asyncio.create_task(coro)])


async def _as_completed(coro):
    for each in asyncio.as_completed([coro]):
        await each


async def _gather(coro):
    await asyncio.gather(coro, return_exceptions=True)


async def _wait_for(coro):
    await asyncio.wait_for(coro, 60)


async def _wait_for_a_wait(coro):
    await asyncio.wait([asyncio.gather(coro)])


async def _through_another(coro):
    await asyncio.wait([asyncio.create_task(_wait(coro))])


@WAYS
@pytest.mark.parametrize(
    "how", [_await, _wait, _as_completed, _gather, _wait_for, _wait_for_a_wait, _through_another]
)
async def test_what_only_the_request_itself_waits_for_ends_with_it(
    way, how, chat, ended, on, service, until
):
    """However its author waits for his own children."""

    async def handler():
        await how(service.get())

    on(handler, text="ask")
    event = chat.message("ask", 2)
    handling = chat.hear(event)
    await until(lambda: service.asked)
    await end(way, chat, event)
    await ended(handling)
    await until(lambda: service.cut == 1)


@pytest.mark.skipif(sys.version_info < (3, 11), reason="asyncio has no task groups")
async def test_the_host_of_what_ends_leaves_its_place_in_a_queue(chat, ended, on, until):
    """Nobody else waits in it: the place is the host's own, and asyncio counts such places."""
    lock, waits = asyncio.Semaphore(1), asyncio.Event()
    await lock.acquire()

    async def draw():
        async with track("image"):
            await asyncio.Event().wait()

    async def handler():
        async with asyncio.TaskGroup() as group:
            group.create_task(draw())
            waits.set()
            await lock.acquire()

    on(handler, text="ask")
    handling = chat.hear(chat.message("ask", 2))
    await waits.wait()
    await until(lambda: any(each.kind == "image" for each in tasks()))
    cancel(kind="image")
    await ended(handling)
    assert lock.locked()
    lock.release()
    await lock.acquire()
    assert lock.locked()
