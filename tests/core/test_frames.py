"""Where a task stands, what it awaits, and whether it has caught its cancellation."""

import asyncio
import contextlib
import contextvars
import sys
from types import CoroutineType

import pytest

from nonebot_plugin_graceful.core import frames

needs_eager_tasks = pytest.mark.skipif(
    sys.version_info < (3, 12), reason="eager tasks are new in Python 3.12"
)


@pytest.fixture
async def start():
    """Start tasks that none of them outlives the test, and let them come to their first wait."""
    tasks = []

    async def start(coro):
        tasks.append(asyncio.create_task(coro))
        await settle()
        return tasks[-1]

    yield start
    for _ in range(10):
        for task in tasks:
            task.cancel()
        await settle()
    assert all(task.done() for task in tasks)


async def settle():
    for _ in range(4):
        await asyncio.sleep(0)


def names(task):
    return [frame.f_code.co_name for frame in frames.stack(task)]


async def forever():
    await asyncio.Event().wait()


# -- the stack


async def test_every_coroutine_of_a_task_is_found(start):
    """Outermost first, down to the future."""

    async def inner():
        await forever()

    async def outer():
        await inner()

    assert names(await start(outer())) == ["outer", "inner", "forever", "wait"]


async def test_an_async_generator_does_not_hide_what_is_below_it(start):
    """Nor does ``__anext__`` or ``aclose``."""

    async def numbers():
        yield 1
        try:
            await forever()
        finally:
            await asyncio.sleep(0)

    async def loop():
        async for _ in numbers():
            pass

    async def closing():
        generator = stops()
        await generator.__anext__()
        await generator.aclose()

    async def stops():
        try:
            yield 1
        finally:
            await forever()

    assert names(await start(loop())) == ["loop", "numbers", "forever", "wait"]
    assert names(await start(closing())) == ["closing", "stops", "forever", "wait"]


async def test_a_context_manager_does_not_hide_what_is_below_it(start):
    """Neither while it is entered nor while it is left."""

    @contextlib.asynccontextmanager
    async def entering():
        await forever()
        yield

    @contextlib.asynccontextmanager
    async def leaving():
        yield
        await forever()

    async def within(manager):
        async with manager:
            pass

    for manager in (entering, leaving):
        found = names(await start(within(manager())))
        assert found[0] == "within"
        assert found[-3:] == [manager.__name__, "forever", "wait"]


async def test_an_awaitable_object_does_not_hide_what_is_below_it(start):
    """Its ``__await__`` is a generator, or gives a coroutine's."""

    class Written:
        def __await__(self):
            yield from forever().__await__()

    class Given:
        def __await__(self):
            return forever().__await__()

    async def outer(awaitable):
        await awaitable

    assert names(await start(outer(Written()))) == ["outer", "__await__", "forever", "wait"]
    assert names(await start(outer(Given()))) == ["outer", "forever", "wait"]


async def test_a_compiled_coroutine_does_not_hide_what_is_below_it(start):
    """Cython's are of a type of their own, with the attributes of a coroutine."""

    class Compiled:
        cr_frame = None

        def __init__(self, coro):
            self.coro = [coro]

        @property
        def cr_await(self):
            return self.coro[0]

        def __await__(self):
            return self

        def __iter__(self):
            return self

        def __next__(self):
            return self.cr_await.send(None)

        def send(self, value):
            return self.cr_await.send(value)

        def throw(self, *error):
            return self.cr_await.throw(*error)

        def close(self):
            self.cr_await.close()

    async def outer():
        await Compiled(forever())

    assert names(await start(outer())) == ["outer", "forever", "wait"]


async def test_a_task_that_has_not_begun_has_its_first_frame():
    """And no place but that."""
    task = asyncio.create_task(forever())
    assert names(task) == ["forever"]
    task.cancel()
    await asyncio.wait([task])
    assert names(task) == []
    assert frames.where(task) == "not started"


@needs_eager_tasks
async def test_a_task_that_ended_in_its_first_step_has_no_frame():
    """CPython 3.12.1 crashes when asked for its coroutine."""

    async def ends():
        pass

    task = asyncio.eager_task_factory(asyncio.get_running_loop(), ends())
    assert task.done()
    assert list(frames.awaitables(task)) == []


async def test_the_frame_that_runs_a_code_is_found(start):
    """Wherever in the task it is."""

    async def inner():
        await forever()

    async def outer():
        await inner()

    task = await start(outer())
    assert frames.calls(task, inner.__code__).f_code is inner.__code__
    assert frames.calls(task, settle.__code__) is None


async def test_where_names_the_authors_line_and_not_a_librarys(start):
    """The innermost one of his."""

    async def outer():
        await asyncio.wait_for(asyncio.shield(forever()), 60)

    line = outer.__code__.co_firstlineno + 1
    assert frames.where(await start(outer())) == f"{__file__}:{line}"


async def test_where_names_the_innermost_line_of_all_if_none_is_the_authors(start):
    """Better than nothing."""
    task = await start(asyncio.sleep(60))
    assert "asyncio" in frames.where(task)


async def test_what_a_task_awaits_is_told(start):
    """Itself, or by ``gather``; not what it merely looks at."""
    one, other = await start(forever()), await start(forever())

    async def awaits():
        await one

    async def gathers():
        await asyncio.gather(one, other)

    async def looks():
        await asyncio.wait([one])

    assert frames.awaited_tasks(await start(awaits())) == [one]
    assert frames.awaited_tasks(await start(gathers())) == [one, other]
    assert frames.awaited_tasks(await start(looks())) == []
    assert frames.awaited_tasks(one) == []


async def test_a_task_written_in_python_is_a_task():
    """Though it is no ``asyncio.Task``."""
    loop = asyncio.get_running_loop()
    task = asyncio.tasks._PyTask(asyncio.sleep(0), loop=loop)
    future = loop.create_future()
    coro = asyncio.sleep(0)
    assert frames.is_task(task)
    assert not any(map(frames.is_task, [future, coro, None, 3]))
    coro.close()
    await task


@pytest.mark.parametrize("kind", [asyncio.Task, asyncio.tasks._PyTask])
async def test_the_context_of_a_task_is_found(kind):
    """Before 3.12 it is among its referents, or an attribute."""
    mark = contextvars.ContextVar("mark")

    async def sets():
        mark.set("task's")
        await forever()

    mark.set("maker's")
    task = kind(sets(), loop=asyncio.get_running_loop())
    assert frames.context_of(task)[mark] == "maker's"
    await settle()
    assert frames.context_of(task)[mark] == "task's"
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task


# -- begun anew


async def once(task, *, reason=None):
    """Cancel a task; tell whether it has caught that and begun anew, in each round that follows."""
    position = frames.Position(task)
    task.cancel(reason)
    seen = []
    for _ in range(6):
        await asyncio.sleep(0)
        seen.append(position.begun_anew(task))
    return seen


async def swallows_around(work):
    while True:
        try:
            await work()
        except asyncio.CancelledError as error:
            if error.args == (None,) or not error.args:  # let go by the fixture
                raise


async def test_who_swallows_in_a_loop_has_begun_anew(start):
    """The same line, and a new future."""
    task = await start(swallows_around(forever))
    assert await once(task, reason="stop") == [True] * 6
    task.cancel()


async def test_who_swallows_in_a_loop_deep_within_a_library_has_begun_anew(start):
    """The frames around the loop are the same ones; those within it are new."""

    async def request():
        await asyncio.wait_for(asyncio.shield(forever()), 60)

    async def client():
        await swallows_around(request)

    task = await start(client())
    assert any(await once(task, reason="stop"))
    task.cancel()


async def test_who_sleeps_between_two_attempts_has_not_begun_anew(start):
    """He stands at another line: it may as well be his clean-up."""

    async def retries():
        while True:
            try:
                await forever()
            except asyncio.CancelledError as error:
                if not error.args:
                    raise
            await asyncio.sleep(60)

    task = await start(retries())
    assert not any(await once(task, reason="stop"))


async def test_who_has_not_noticed_yet_has_not_begun_anew(start):
    """A child of his may still be at its clean-up."""

    async def child():
        try:
            await forever()
        finally:
            await asyncio.sleep(60)

    async def waits():
        await asyncio.create_task(child())

    task = await start(waits())
    assert not any(await once(task))


async def cleans_up(clean):
    try:
        await forever()
    finally:
        await clean()


async def many_steps():
    for _ in range(100):
        await asyncio.sleep(0)


async def waits_in_a_task():
    await asyncio.shield(asyncio.create_task(asyncio.sleep(60)))


async def waits_for_all():
    await asyncio.gather(asyncio.sleep(60), asyncio.sleep(60))


@pytest.mark.parametrize("clean", [many_steps, waits_in_a_task, waits_for_all])
async def test_who_cleans_up_has_not_begun_anew(clean, start):
    """However many steps that takes."""
    task = await start(cleans_up(clean))
    assert not any(await once(task))


async def test_a_context_manager_that_cleans_up_has_not_begun_anew(start):
    """Nor an async generator."""

    @contextlib.asynccontextmanager
    async def manager():
        try:
            yield
        finally:
            await many_steps()

    async def generator():
        try:
            while True:
                yield
                await forever()
        finally:
            await many_steps()

    async def managed():
        async with manager():
            await forever()

    async def streams():
        async for _ in generator():
            pass

    assert not any(await once(await start(managed())))
    assert not any(await once(await start(streams())))


async def test_a_library_that_cleans_up_is_not_taken_for_a_loop(start):
    """As httpcore closes a connection: within the same call as the request, in a frame of its own."""

    class Connection:
        async def read(self):
            await forever()

        async def close(self):
            await many_steps()

    async def request(connection):
        try:
            await connection.read()
        except BaseException:
            await connection.close()
            raise

    async def attempts():
        await request(Connection())

    assert not any(await once(await start(attempts())))


async def test_a_stream_that_swallows_has_begun_anew(start):
    """An async generator with a loop and a bare ``except``."""

    async def generator():
        while True:
            try:
                await forever()
            except asyncio.CancelledError as error:
                if not error.args:
                    raise
            yield

    async def streams():
        async for _ in generator():
            pass

    task = await start(streams())
    assert any(await once(task, reason="stop"))


async def test_a_task_that_has_ended_has_not_begun_anew(start):
    """It cannot any more."""
    task = await start(forever())
    assert await once(task) == [False] * 6
    assert task.cancelled()


def test_only_coroutines_and_generators_have_frames():
    """Futures and numbers have none."""
    coro = forever()
    assert isinstance(coro, CoroutineType)
    assert frames.frame_of(coro) is coro.cr_frame
    assert frames.frame_of(3) is None
    coro.close()
