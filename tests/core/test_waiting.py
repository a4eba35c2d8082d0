"""Every way to wait for a task, as it is read from the task's own callbacks."""

import asyncio
import contextlib
import sys

import anyio
import pytest

from nonebot_plugin_graceful.core import waiting

needs_task_group = pytest.mark.skipif(
    sys.version_info < (3, 11), reason="asyncio.TaskGroup is new in Python 3.11"
)


@pytest.fixture
async def sleeper():
    """Make a task that is waited for; and see to it that nobody outlives the test."""
    made = []

    def sleeper():
        made.append(asyncio.create_task(asyncio.Event().wait()))
        return made[-1]

    before = asyncio.all_tasks()
    yield sleeper
    rest = asyncio.all_tasks() - before - {asyncio.current_task()}
    for task in rest:
        task.cancel()
    await asyncio.gather(*rest, return_exceptions=True)


async def settle():
    for _ in range(5):
        await asyncio.sleep(0)


async def awaits(task):
    await task


async def gathers(task):
    await asyncio.gather(task, asyncio.Event().wait())


async def gathers_exceptions(task):
    await asyncio.gather(task, return_exceptions=True)


async def gathers_gathered(task):
    await asyncio.gather(asyncio.gather(task))


async def gives_it_time(task):
    await asyncio.wait_for(task, 60)


async def gives_a_gather_time(task):
    await asyncio.wait_for(asyncio.gather(task), 60)


async def moves_on_after(task):
    with anyio.move_on_after(60):
        await task


async def looks(task):
    await asyncio.wait([task])


async def looks_for_the_first(task):
    await asyncio.wait([task], timeout=60, return_when=asyncio.FIRST_COMPLETED)


async def shields(task):
    await asyncio.shield(task)


async def gives_a_shield_time(task):
    await asyncio.wait_for(asyncio.shield(task), 60)


async def takes_as_completed(task):
    for each in asyncio.as_completed([task]):
        await each


@pytest.mark.parametrize(
    "way",
    [
        awaits,
        gathers,
        gathers_exceptions,
        gathers_gathered,
        gives_it_time,
        gives_a_gather_time,
        moves_on_after,
    ],
)
async def test_whose_cancellation_is_the_tasks_own_passes_it_on(way, sleeper):
    """To cancel him and the task would be to cancel the task twice."""
    task = sleeper()
    waiter = asyncio.create_task(way(task))
    await settle()
    assert list(waiting.passers(task)) == [waiter]
    assert waiting.everybody_above(task) == {waiter}
    assert not list(waiting.hosts(task))
    waiter.cancel()
    await settle()
    assert task.cancelled()


@pytest.mark.parametrize(
    "way", [looks, looks_for_the_first, shields, gives_a_shield_time, takes_as_completed]
)
async def test_whose_cancellation_is_not_the_tasks_passes_none_on(way, sleeper):
    """He may be cancelled beside it."""
    task = sleeper()
    waiter = asyncio.create_task(way(task))
    await settle()
    assert not list(waiting.passers(task))
    assert not list(waiting.hosts(task))
    waiter.cancel()
    await settle()
    assert not task.done()


async def test_several_may_await_one_task(sleeper):
    """Each of them passes its cancellation on."""
    task = sleeper()
    waiters = {asyncio.create_task(way(task)) for way in (awaits, gathers, gives_it_time)}
    await settle()
    assert set(waiting.passers(task)) == waiters


async def test_a_written_out_callback_is_no_way_to_wait(sleeper):
    """Whatever a plugin is called back with."""
    task = sleeper()
    task.add_done_callback(lambda _: None)
    task.add_done_callback([].append)
    assert not list(waiting.passers(task))
    assert not list(waiting.hosts(task))
    assert not waiting.siblings(task)


async def test_who_waits_no_longer_is_not_told(sleeper):
    """A wait that is over leaves no trace."""
    task = sleeper()
    with contextlib.suppress(asyncio.TimeoutError):
        await asyncio.wait_for(asyncio.shield(task), 0.01)
    waiter = asyncio.create_task(looks(task))
    await settle()
    waiter.cancel()
    await settle()
    assert waiting.is_alone(task)
    assert waiting.everybody_above(task) == set()


# -- task groups


async def in_asyncios_group(body, *children):
    async with asyncio.TaskGroup() as group:
        for child in children:
            group.create_task(child)
        await body()


async def in_anyios_group(body, *children):
    async def run(child):
        await child

    async with anyio.create_task_group() as group:
        for child in children:
            group.start_soon(run, child)
        await body()


GROUPS = pytest.mark.parametrize(
    "grouped",
    [pytest.param(in_asyncios_group, marks=needs_task_group), in_anyios_group],
    ids=["asyncio", "anyio"],
)


class Children:
    """Coroutines that tell which tasks they run in, and wait."""

    def __init__(self):
        self.tasks = []

    async def child(self):
        self.tasks.append(asyncio.current_task())
        await asyncio.Event().wait()


@GROUPS
@pytest.mark.parametrize("busy", [False, True], ids=["waits", "in its body"])
async def test_the_host_of_a_group_is_found(busy, grouped, sleeper):
    """Whether it waits for its children or does something itself."""
    children = Children()
    body = asyncio.Event().wait if busy else settle
    host = asyncio.create_task(grouped(body, children.child(), children.child()))
    await settle()
    await settle()
    for task in children.tasks:
        assert list(waiting.hosts(task)) == [host]
        assert waiting.everybody_above(task) == {host}


@GROUPS
async def test_the_hosts_of_nested_groups_are_found_one_by_one(grouped, sleeper):
    """And all of them above."""
    children, middle = Children(), []

    async def inner():
        middle.append(asyncio.current_task())
        await grouped(settle, children.child())

    host = asyncio.create_task(grouped(settle, inner()))
    await settle()
    (task,) = children.tasks
    assert list(waiting.hosts(task)) == middle
    assert list(waiting.hosts(middle[0])) == [host]
    assert waiting.everybody_above(task) == {middle[0], host}


@GROUPS
async def test_groups_within_each_other_in_one_task_have_one_host(grouped, sleeper):
    """It is above both of the children."""
    children = Children()

    async def inner():
        await grouped(settle, children.child())

    host = asyncio.create_task(grouped(inner, children.child()))
    await settle()
    assert [list(waiting.hosts(task)) for task in children.tasks] == [[host], [host]]


@needs_task_group
async def test_a_cancellation_of_asyncios_group_goes_to_its_children(sleeper):
    """So its host passes it on; anyio's cancels through its scope."""
    children = Children()
    host = asyncio.create_task(in_asyncios_group(settle, children.child()))
    await settle()
    assert list(waiting.passers(children.tasks[0])) == [host]


async def test_who_awaits_the_host_is_above_its_children(sleeper):
    """However many there are in between."""
    children = Children()
    host = asyncio.create_task(in_anyios_group(settle, children.child()))
    outer = asyncio.create_task(gathers(host))
    await settle()
    assert waiting.everybody_above(children.tasks[0]) == {host, outer}


async def test_who_waits_in_a_circle_is_found_once(sleeper):
    """Two who await each other would be looked for without end."""
    tasks = []

    async def one():
        await tasks[1]

    async def other():
        await asyncio.shield(tasks[0])
        await asyncio.Event().wait()

    tasks += [asyncio.create_task(one()), asyncio.create_task(other())]
    await settle()
    assert waiting.everybody_above(tasks[1]) == {tasks[0]}


async def test_siblings_are_the_others_of_anyios_group(sleeper):
    """Not those of another group."""
    children, others = Children(), Children()
    made = [
        asyncio.create_task(in_anyios_group(settle, some.child(), some.child()))
        for some in (children, others)
    ]
    await settle()
    first, second = children.tasks
    assert waiting.siblings(first) == [second]
    assert waiting.siblings(second) == [first]
    assert waiting.siblings(made[0]) == []


async def test_a_host_that_has_gone_is_no_host(sleeper):
    """It has left its children behind; there is nobody to end."""
    children = Children()
    host = asyncio.create_task(in_anyios_group(settle, children.child()))
    await settle()
    host.cancel()
    await settle()
    await settle()
    assert host.done()
    assert not list(waiting.hosts(children.tasks[0]))


@GROUPS
async def test_something_is_done_before_a_group_learns_of_an_end(grouped, sleeper):
    """The host's turn comes after it, and the group's own note is not lost."""
    children, ended, order = Children(), asyncio.Event(), []

    async def ends():
        children.tasks.append(asyncio.current_task())
        await ended.wait()

    async def host():
        await grouped(settle, ends())
        order.append("host")

    hosting = asyncio.create_task(host())
    await settle()
    (task,) = children.tasks
    task.add_done_callback(lambda _: order.append("after"))
    waiting.before_groups(task, lambda _: order.append("before"))
    assert list(waiting.hosts(task)) == [hosting]
    ended.set()
    await asyncio.wait_for(hosting, 10)
    assert order == ["before", "after", "host"] or order == ["after", "before", "host"]


async def test_before_no_group_nothing_is_done(sleeper):
    """There is no host that would go on."""
    task, done = sleeper(), []
    waiting.before_groups(task, done.append)
    task.cancel()
    await settle()
    assert done == []


def test_compiled_and_pure_python_tasks_tell_the_same():
    """A loop may make its tasks by a factory of its own."""

    async def main():
        loop = asyncio.get_running_loop()
        loop.set_task_factory(lambda loop, coro, **keywords: asyncio.tasks._PyTask(coro, loop=loop))
        task = asyncio.create_task(asyncio.Event().wait())
        waiters = {asyncio.create_task(way(task)) for way in (awaits, gathers, gives_it_time)}
        looking = asyncio.create_task(looks(task))
        await settle()
        try:
            assert set(waiting.passers(task)) == waiters
        finally:
            for each in (*waiters, looking):
                each.cancel()
            await asyncio.gather(*waiters, looking, return_exceptions=True)

    asyncio.run(main())
