"""Limits: whose turn it is, and who needs none because he is inside of who has a place."""

import asyncio
import sys
import threading
import time
from dataclasses import replace

import pytest
from virtual_time import VirtualTime

from nonebot_plugin_graceful.core import installed
from nonebot_plugin_graceful.core.api import cancel, shield, spawn, tasks, track
from nonebot_plugin_graceful.core.errors import Interrupted, Refused
from nonebot_plugin_graceful.core.kinds import Kinds
from nonebot_plugin_graceful.core.lifecycle import Lifecycle
from nonebot_plugin_graceful.core.places import Claim, Place, Places
from nonebot_plugin_graceful.core.tree import Tree
from nonebot_plugin_graceful.core.work import Section


@pytest.fixture(autouse=True)
def one_at_a_time(kinds):
    """Give the kinds ``one`` and ``two`` as many places."""
    kinds(one={"limit": 1}, two={"limit": 2})


class Worker:
    """Does what it is told, one thing after the other, in a task of its own."""

    def __init__(self, made):
        self.orders = asyncio.Queue()
        self.task = asyncio.create_task(self.work())
        self.made = made
        made.append(self.task)

    async def work(self):
        while True:
            order, done = await self.orders.get()
            try:
                result = await order
            except BaseException as error:
                done.set_exception(error)
                if type(error) is asyncio.CancelledError:
                    raise
            else:
                done.set_result(result)

    def begin(self, order):
        """Have something done; the future is done when that is."""
        done = asyncio.get_running_loop().create_future()
        self.orders.put_nowait((order, done))
        return done

    async def do(self, order):
        return await asyncio.wait_for(self.begin(order), 10)

    def enter(self, kind, **keywords):
        section = track(kind, **keywords)
        return section, self.begin(section.__aenter__())

    async def leave(self, section):
        await self.do(section.__aexit__(None, None, None))

    async def child(self):
        """Make a worker within what this one is in."""

        async def make():
            return Worker(self.made)

        return await self.do(make())


@pytest.fixture
async def worker():
    """Make workers. None outlives the test."""
    made = []
    yield lambda: Worker(made)
    for task in made:
        task.cancel()
    await asyncio.gather(*made, return_exceptions=True)
    await settle()


async def settle():
    for _ in range(5):
        await asyncio.sleep(0)


async def test_a_kind_without_a_limit_takes_no_place(tree):
    """Nothing is counted."""
    async with track("image") as _:
        assert tree.places.taken() == {}
    section = Section(tree.kinds["image"])
    await tree.places.take(section)
    assert section.place is None


async def test_who_comes_first_is_served_first(tree, worker):
    """And each is told his turn."""
    first, others = worker(), [worker() for _ in range(3)]
    has, got = first.enter("one")
    await got
    waiting = [each.enter("one") for each in others]
    await settle()
    assert [tree.places.position(section) for section, _ in waiting] == [1, 2, 3]
    assert tree.places.position(has) is None
    assert tree.places.queued() == {"one": 3}
    await first.leave(has)
    for count, each in enumerate(others, 1):
        await settle()
        assert [got.done() for _, got in waiting] == [True] * count + [False] * (3 - count)
        await each.leave(waiting[count - 1][0])


async def test_nobody_overtakes_who_has_been_given_a_place_and_not_yet_noticed(tree, worker):
    """A place that is passed on is at no moment free."""
    first, second, third = worker(), worker(), worker()
    has, entered = first.enter("one")
    await entered
    waiting, got = second.enter("one")
    await settle()
    tree.close(has)  # now; nobody has run since
    assert isinstance(waiting.place, Place)
    late, too_late = third.enter("one")
    await settle()
    assert got.done()
    assert not too_late.done()
    await second.leave(waiting)
    await too_late
    await third.leave(late)


# -- borrowing


async def test_who_is_inside_borrows(tree, worker):
    """One place is enough for a chain of sections, in one task."""
    task = worker()
    sections = []
    for _ in range(3):
        section, entered = task.enter("one")
        await asyncio.wait_for(entered, 10)
        sections.append(section)
    assert tree.places.taken() == {"one": 1}
    place = sections[0].place
    assert [section.place for section in sections] == [place] * 3
    for section in reversed(sections):
        await task.leave(section)
    assert tree.places.taken() == {}


async def test_who_borrows_lends_on(worker):
    """A child's child has the place of its grandparent."""
    task = worker()
    has, entered = task.enter("one")
    await entered
    child = await task.child()
    borrowed, entered = child.enter("one")
    await asyncio.wait_for(entered, 10)
    grandchild = await child.child()
    again, entered = grandchild.enter("one")
    await asyncio.wait_for(entered, 10)
    assert has.place is borrowed.place is again.place
    await grandchild.leave(again)
    await child.leave(borrowed)
    await task.leave(has)


async def test_of_two_children_one_borrows_and_the_other_waits_for_it(tree, worker):
    """And has the place the moment the first one has left."""
    task = worker()
    has, entered = task.enter("one")
    await entered
    one, other = await task.child(), await task.child()
    first, got = one.enter("one")
    await asyncio.wait_for(got, 10)
    second, waits = other.enter("one")
    await settle()
    assert not waits.done()
    assert tree.places.position(second) == 1
    await one.leave(first)
    await asyncio.wait_for(waits, 10)
    await other.leave(second)
    await task.leave(has)


async def test_a_child_goes_before_a_stranger_who_came_first(worker):
    """It waits for its parent's place, which the stranger cannot have before the parent is done."""
    task, stranger = worker(), worker()
    has, entered = task.enter("one")
    await entered
    theirs, waits = stranger.enter("one")
    await settle()
    one, other = await task.child(), await task.child()
    first, got = one.enter("one")
    await asyncio.wait_for(got, 10)
    second, also = other.enter("one")
    await settle()
    await one.leave(first)
    await asyncio.wait_for(also, 10)
    assert not waits.done()
    await other.leave(second)
    await task.leave(has)
    await asyncio.wait_for(waits, 10)
    await stranger.leave(theirs)


async def test_a_waiting_child_takes_a_free_place_if_that_comes_first(tree, worker):
    """It waits for whichever does."""
    task, stranger = worker(), worker()
    has, entered = task.enter("two")
    await entered
    theirs, entered = stranger.enter("two")
    await entered
    one, other = await task.child(), await task.child()
    first, got = one.enter("two")
    await asyncio.wait_for(got, 10)
    second, waits = other.enter("two")
    await settle()
    assert not waits.done()
    await stranger.leave(theirs)
    await asyncio.wait_for(waits, 10)
    assert second.place is not has.place
    assert tree.places.taken() == {"two": 2}
    await other.leave(second)
    await one.leave(first)
    await task.leave(has)


async def test_a_place_that_is_lent_outlives_its_owner(tree, worker):
    """Who leaves first leaves the place to the one who uses it."""
    task, stranger = worker(), worker()
    has, entered = task.enter("one")
    await entered
    child = await task.child()
    borrowed, got = child.enter("one")
    await asyncio.wait_for(got, 10)
    theirs, waits = stranger.enter("one")
    await settle()
    await task.leave(has)
    await settle()
    assert not waits.done()
    assert tree.places.taken() == {"one": 1}
    await child.leave(borrowed)
    await asyncio.wait_for(waits, 10)
    await stranger.leave(theirs)


async def test_who_leaves_in_the_middle_of_a_chain_leaves_the_place_where_it_is(tree, worker):
    """The one at the end uses it, whoever goes before him."""
    task = worker()
    sections = []
    for _ in range(3):
        section, entered = task.enter("one")
        await asyncio.wait_for(entered, 10)
        sections.append(section)
    first, middle, last = sections
    tree.close(middle)
    assert first.place.users == [first, last]
    tree.close(first)
    assert last.place.users == [last]
    tree.close(last)
    assert tree.places.taken() == {}


async def test_a_kind_does_not_borrow_of_another(worker):
    """Places are of a kind."""
    task, stranger = worker(), worker()
    theirs, entered = stranger.enter("one")
    await entered
    has, entered = task.enter("two")
    await entered
    inner, waits = task.enter("one")
    await settle()
    assert not waits.done()
    await stranger.leave(theirs)
    await asyncio.wait_for(waits, 10)
    await task.leave(inner)
    await task.leave(has)


async def test_a_spawned_task_of_the_kind_of_its_maker_borrows(within):
    """The maker waits for it, and it waits for nobody."""

    async def inner():
        return [info.state for info in tasks()]

    async def outer():
        async with track("one"):
            return await spawn(inner(), kind="one")

    assert await within(asyncio.create_task(outer())) == ["running", "running"]


# -- who does not get one


def test_who_waits_longer_than_his_time_out_is_refused():
    """And leaves the queue; the time for the work itself begins when there is a place."""

    async def main():
        loop = asyncio.get_running_loop()
        took = []

        async def draw(seconds):
            began = loop.time()
            try:
                async with track("one", timeout=5):
                    await asyncio.sleep(seconds)
            except (Refused, TimeoutError) as error:
                took.append((type(error), str(error), loop.time() - began))
            else:
                took.append((None, "", loop.time() - began))

        await asyncio.gather(draw(4), draw(4), draw(1))
        return took

    tree = Tree(Kinds({"one": {"limit": 1}}))
    restore = installed.install(tree)
    try:
        took = VirtualTime().run(main())
    finally:
        restore()
    assert [(kind, message, pytest.approx(seconds)) for kind, message, seconds in took] == [
        (None, "", 4),
        (Refused, "no place for one within 5 s", 5),
        (None, "", 8),
    ]


async def test_who_is_cancelled_while_he_waits_leaves_the_queue(tree, worker):
    """The others move up."""
    first, second, third = worker(), worker(), worker()
    has, entered = first.enter("one")
    await entered
    _, gone = second.enter("one")
    waiting, waits = third.enter("one")
    await settle()
    assert tree.places.position(waiting) == 2
    second.task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await gone
    assert tree.places.position(waiting) == 1
    await first.leave(has)
    await asyncio.wait_for(waits, 10)
    await third.leave(waiting)


async def test_who_is_cancelled_by_us_while_he_waits_goes_on_with_his_next_job(tree, worker):
    """``Interrupted``, and a place in no queue."""
    first, second = worker(), worker()
    has, entered = first.enter("one")
    await entered
    _, gone = second.enter("one", event=None)
    await settle()
    (info,) = [info for info in tasks() if info.state == "queued"]
    assert info.position == 1
    cancel(info.id)
    with pytest.raises(Interrupted):
        await gone
    assert tree.places.queued() == {}
    again, waits = second.enter("one", event=None)
    await first.leave(has)
    await asyncio.wait_for(waits, 10)
    await second.leave(again)


async def test_who_is_cancelled_as_he_gets_his_place_passes_it_on(worker):
    """In the moment between the two."""
    first, second, third = worker(), worker(), worker()
    has, entered = first.enter("one")
    await entered
    _, gone = second.enter("one")
    waiting, waits = third.enter("one")
    await settle()
    installed.tree.close(has)
    second.task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await gone
    await asyncio.wait_for(waits, 10)
    await third.leave(waiting)


async def test_a_child_that_is_cancelled_gives_its_place_back_to_its_parent(worker):
    """Who may lend it again."""
    task = worker()
    has, entered = task.enter("one")
    await entered
    child = await task.child()
    _, entered = child.enter("one")
    await asyncio.wait_for(entered, 10)
    child.task.cancel()
    await asyncio.wait([child.task])
    await settle()
    assert has.place.users == [has]
    again, entered = task.enter("one")
    await asyncio.wait_for(entered, 10)
    await task.leave(again)
    await task.leave(has)


async def test_while_stopping_no_place_is_passed_on(tree, worker):
    """Who is stopped makes no room for others."""
    first, second = worker(), worker()
    has, entered = first.enter("one")
    await entered
    _, waits = second.enter("one")
    await settle()
    tree.lifecycle.begin("SIGINT")
    tree.close(has)
    await settle()
    assert not waits.done()
    assert tree.places.taken() == {}
    second.task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waits


async def test_what_begins_within_a_shield_while_stopping_gets_its_turn(shutdown, within):
    """Nobody stops it any more, so it would wait for ever."""
    async with shield():
        shutdown()
        await within(asyncio.gather(*(spawn(asyncio.sleep(0), kind="one") for _ in range(3))))


async def test_a_claim_is_granted_once(tree):
    """Or it expires: whichever comes first."""
    places = Places(Lifecycle())
    section, place = Section(tree.kinds["one"]), Place()
    claim = Claim(section, late=False)
    assert claim.grant(place)
    claim.expire()
    assert claim.future.result() is None
    assert not claim.grant(Place())
    assert section.place is place
    expired = Claim(section, late=False)
    expired.expire()
    expired.expire()
    assert not expired.grant(place)
    assert isinstance(expired.future.exception(), TimeoutError)
    assert places.position(Section(tree.kinds["one"])) is None


async def test_inside_of_work_that_a_queue_counts_no_place_is_needed(tree, worker):
    """An ``on_worker`` function's own sections would wait for whoever waits for it."""
    busy, counted = worker(), worker()
    has, entered = busy.enter("one")
    await entered
    around = track("one")
    around.kind = replace(around.kind, limit=None)
    await counted.do(around.__aenter__())
    inner, entered = counted.enter("one")
    await asyncio.wait_for(entered, 10)
    assert inner.place is None
    assert tree.places.taken() == {"one": 1}
    await counted.leave(inner)
    await counted.leave(around)
    await busy.leave(has)


def in_a_thread(function):
    """Run a function in a thread that holds nothing up, whatever becomes of it."""
    thread = threading.Thread(target=function, daemon=True)
    thread.start()
    return thread


async def until(condition):
    """Wait for what another thread brings about. The bound is far below for ever."""
    bound = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < bound
        await asyncio.sleep(0.001)


async def enter(kind):
    """Open a section, and leave it open."""
    section = track(kind)
    await section.__aenter__()
    return section


async def test_who_waits_in_another_loop_is_woken_there(tree, worker):
    """As soon as the place is free; and then it is free for all again."""
    first = worker()
    section = await first.do(enter("one"))
    got = []

    async def elsewhere():
        async with track("one"):
            got.append(threading.current_thread())

    thread = in_a_thread(lambda: asyncio.run(elsewhere()))
    await until(lambda: tree.places.queued() == {"one": 1})
    await first.leave(section)
    await until(lambda: not thread.is_alive())
    assert got == [thread]
    async with track("one"):
        assert tree.places.taken() == {"one": 1}


async def test_whose_loop_ends_while_he_waits_leaves_the_queue(tree, worker):
    """Or has been closed, and his turn is the next one's."""
    first, last = worker(), worker()
    section = await first.do(enter("one"))

    waits = []

    def elsewhere():
        loop = asyncio.new_event_loop()
        waits.append(loop.create_task(enter("one")))
        loop.run_until_complete(settle())
        loop.close()  # with everything in it

    async def orderly():
        task = asyncio.create_task(enter("one"))
        await settle()
        assert not task.done()

    in_a_thread(elsewhere).join(30)
    assert tree.places.queued() == {"one": 1}
    in_a_thread(lambda: asyncio.run(orderly())).join(30)
    assert tree.places.queued() == {"one": 1}
    turn = last.begin(enter("one"))
    await settle()
    await first.leave(section)
    await last.leave(await asyncio.wait_for(turn, 10))
    for task in waits:
        del tree.works[task]


async def test_threads_share_the_places():
    """However they take and leave: never more at once than there are, and none gets lost."""
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    inside, most, done = [], [], []

    async def job():
        for _ in range(40):
            async with track("two"):
                inside.append(None)
                most.append(len(inside))
                await asyncio.sleep(0)
                inside.pop()
        done.append(None)

    async def several():
        await asyncio.gather(*(job() for _ in range(4)))

    try:
        for thread in [in_a_thread(lambda: asyncio.run(several())) for _ in range(3)]:
            await until(lambda thread=thread: not thread.is_alive())
    finally:
        sys.setswitchinterval(interval)
    assert len(done) == 12
    assert max(most) == 2
