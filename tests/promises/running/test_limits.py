"""``GRACEFUL_KINDS={"image": {"limit": …}}``: never more at once, and never a wait for oneself.

Decided: a section within a section of the same kind takes the place of the one around it while no
other child of that has it; the others queue like anybody. First come, first served.
``TaskInfo.position`` is 1 for whoever is next, and None for who is not queued.
"""

import asyncio
import sys

import anyio
import pytest

from nonebot_plugin_graceful import cancel, run_sync, spawn, tasks, track


class Room:
    """Counts who is inside at once; lets them out when it is told to."""

    def __init__(self):
        self.inside = 0
        self.most = 0
        self.came = []
        self.go = asyncio.Event()

    async def enter(self, name):
        """Be inside until all are let out, or a few rounds of the loop if they have been."""
        self.inside += 1
        self.most = max(self.most, self.inside)
        self.came.append(name)
        try:
            await self.go.wait()
            for _ in range(3):
                await asyncio.sleep(0)
        finally:
            self.inside -= 1


@pytest.fixture
def room():
    """A room that counts."""
    return Room()


@pytest.fixture
def draws(room):
    """A coroutine that draws in the room, in a section of its own."""

    async def draws(name):
        async with track("image", name=str(name)):
            await room.enter(name)
        return name

    return draws


# -- never more at once; first come, first served


@pytest.mark.parametrize("limit", [1, 2, 3])
async def test_there_are_never_more_at_once_than_the_limit(
    limit, draws, ended, kinds, room, settle
):
    """Ten come; each gets in, in the order in which they came."""
    kinds(image={"limit": limit})
    drawing = [asyncio.create_task(draws(number)) for number in range(10)]
    await settle()
    assert room.inside == limit
    room.go.set()
    await ended(*drawing)
    assert room.most == limit
    assert room.came == list(range(10))
    assert tasks() == []


async def test_a_newcomer_does_not_overtake_who_is_queued(draws, ended, kinds, room, settle):
    """He comes in the very step in which a place becomes free, and waits for his turn."""
    kinds(image={"limit": 1})

    async def holds():
        await draws("holder")
        await draws("newcomer")

    holding = asyncio.create_task(holds())
    await settle()
    queued = asyncio.create_task(draws("queued"))
    await settle()
    room.go.set()
    await ended(holding, queued)
    assert room.most == 1
    assert room.came == ["holder", "queued", "newcomer"]


async def test_two_do_not_get_the_same_place(draws, ended, kinds, room, settle):
    """One is given it, and another comes before the first has woken up."""
    kinds(image={"limit": 1})
    others = []

    async def holds():
        async with track("image"):
            await room.enter("holder")
            # its first step comes before the one in which "queued" wakes up
            others.append(asyncio.create_task(draws("newcomer")))

    holding = asyncio.create_task(holds())
    await settle()
    queued = asyncio.create_task(draws("queued"))
    await settle()
    room.go.set()
    await ended(holding, queued)
    await ended(*others)
    assert room.most == 1
    assert room.came == ["holder", "queued", "newcomer"]


async def test_positions_are_told_and_move_up(draws, ended, kinds, settle):
    """None for who is in; 1 for the next; and one less when somebody in front is gone."""
    kinds(image={"limit": 1})
    drawing = {}
    for name in ("in", "a", "b", "c"):
        drawing[name] = asyncio.create_task(draws(name))
        await settle()
    positions = {info.name: info.position for info in tasks()}
    assert positions == {"in": None, "a": 1, "b": 2, "c": 3}
    assert {info.name: info.state for info in tasks()}["a"] == "queued"
    (number,) = [info.id for info in tasks() if info.name == "a"]
    cancel(number)
    await ended(drawing["a"])
    assert {info.name: info.position for info in tasks()} == {"in": None, "b": 1, "c": 2}
    cancel(next(info.id for info in tasks() if info.name == "in"))
    await ended(drawing["in"])
    await settle()
    assert {info.name: info.position for info in tasks()} == {"b": None, "c": 1}


async def test_positions_are_told_of_each_kind_by_itself(ended, kinds, room, settle):
    """The first in the queue of ``llm`` is not the third of all."""
    kinds(image={"limit": 1}, llm={"limit": 1})

    async def works(kind, name):
        async with track(kind, name=name):
            await room.enter(name)

    working = [
        asyncio.create_task(works(kind, f"{kind} {number}"))
        for number in range(3)
        for kind in ("image", "llm")
    ]
    await settle()
    positions = {info.name: info.position for info in tasks()}
    assert positions == {
        "image 0": None, "image 1": 1, "image 2": 2,
        "llm 0": None, "llm 1": 1, "llm 2": 2,
    }  # fmt: skip
    room.go.set()
    await ended(*working)


async def test_the_operators_list_tells_the_queue(chat, draws, kinds, settle):
    """``/graceful`` tells of each in the queue that he is in it, and at which place."""
    kinds(image={"limit": 1})
    drawing = []
    for name in ("in", "a", "b"):
        drawing.append(asyncio.create_task(draws(name)))
        await settle()
    lines = (await chat.command("/graceful")).split("\n")
    queued = [line for line in lines if "排队中" in line]
    assert len(queued) == 2
    places = [line[line.index("排队中") :].split("｜")[0] for line in queued]
    assert sorted("".join(filter(str.isdigit, place)) for place in places) == ["1", "2"]
    assert len(drawing) == 3


# -- cancelled in the queue


async def test_who_is_cancelled_in_the_queue_leaves_it(draws, ended, kinds, room, settle):
    """His place goes to the one behind him, in his turn."""
    kinds(image={"limit": 1})
    first, second, third = (asyncio.create_task(draws(name)) for name in ("a", "b", "c"))
    await settle()
    second.cancel()
    await ended(second)
    assert second.cancelled()
    room.go.set()
    await ended(first, third)
    assert room.came == ["a", "c"]
    assert tasks() == []


@pytest.mark.parametrize("how", ["by itself", "by cancel()"])
async def test_who_is_cancelled_in_the_moment_he_gets_his_place_gives_it_on(
    how, draws, ended, kinds, room, settle
):
    """No place is lost, and he ends by a ``CancelledError``, not by a ``RuntimeError``."""
    kinds(image={"limit": 1})
    gone = asyncio.Event()

    async def holds():
        async with track("image"):
            await gone.wait()
        # he has been given the place by now, and has not woken up
        if how == "by itself":
            second.cancel()
        else:
            cancel(next(info.id for info in tasks() if info.name == "second"))

    holding = asyncio.create_task(holds())
    await settle()
    second = asyncio.create_task(draws("second"))
    await settle()
    gone.set()
    await ended(holding, second)
    assert second.cancelled()
    assert room.came == []
    room.go.set()
    third = asyncio.create_task(draws("third"))
    await ended(third)
    assert room.came == ["third"]
    assert tasks() == []


@pytest.mark.parametrize("how", ["by itself", "by cancel()"])
@pytest.mark.parametrize("steps", [1, 2, 3])
async def test_who_is_cancelled_while_he_takes_a_free_place_gives_it_back(
    steps, how, draws, ended, kinds, room
):
    """In whichever of his first steps; he ends by a ``CancelledError``, and the next gets in."""
    kinds(image={"limit": 1})
    first = asyncio.create_task(draws("first"))
    for _ in range(steps):
        await asyncio.sleep(0)
    if how == "by itself":
        first.cancel()
    else:
        assert cancel(kind="image") != []
    await ended(first)
    assert first.cancelled()
    room.go.set()
    second = asyncio.create_task(draws("second"))
    await ended(second)
    assert second.result() == "second"
    assert tasks() == []


async def test_who_is_cancelled_just_before_a_place_becomes_free_does_not_lose_it(
    draws, ended, kinds, room, settle
):
    """The other order: cancelled first, and the place given back in the same step."""
    kinds(image={"limit": 1})
    gone = asyncio.Event()

    async def holds():
        async with track("image"):
            await gone.wait()
            second.cancel()

    holding = asyncio.create_task(holds())
    await settle()
    second = asyncio.create_task(draws("second"))
    await settle()
    third = asyncio.create_task(draws("third"))
    await settle()
    room.go.set()
    gone.set()
    await ended(holding, second, third)
    assert second.cancelled()
    assert room.came == ["third"]
    assert room.most == 1


async def test_who_times_out_in_the_queue_leaves_it(draws, ended, kinds, room, settle):
    """``asyncio.wait_for`` around a section that waits for its place."""
    kinds(image={"limit": 1})
    first = asyncio.create_task(draws("a"))
    await settle()
    with pytest.raises(asyncio.TimeoutError):
        await asyncio.wait_for(draws("b"), 0.01)
    room.go.set()
    third = asyncio.create_task(draws("c"))
    await ended(first, third)
    assert room.came == ["a", "c"]
    assert tasks() == []


async def test_an_anyio_scope_may_end_a_wait_for_a_place(draws, ended, kinds, room, settle):
    """``move_on_after`` around it; the task goes on, and the place is not lost."""
    kinds(image={"limit": 1})
    first = asyncio.create_task(draws("a"))
    await settle()
    with anyio.move_on_after(0.01) as scope:
        await draws("b")
    assert scope.cancelled_caught
    room.go.set()
    third = asyncio.create_task(draws("c"))
    await ended(first, third)
    assert room.came == ["a", "c"]


async def test_many_come_and_many_are_cancelled(draws, ended, kinds, room, settle):
    """Every second one is cancelled while it waits: all others get in, two at a time."""
    kinds(image={"limit": 2})
    drawing = [asyncio.create_task(draws(number)) for number in range(20)]
    await settle()
    cancelled = drawing[3::2]
    room.go.set()
    for task in cancelled:
        await asyncio.sleep(0)
        task.cancel()
    await ended(*drawing)
    assert room.most == 2
    done = [task.result() for task in drawing if not task.cancelled()]
    assert set(done) >= {0, 1, *range(2, 20, 2)}
    assert tasks() == []
    last = asyncio.create_task(draws("last"))
    await ended(last)


# -- never a wait for oneself


async def nested(_draws):
    """A section in a section."""
    async with track("image"):
        pass


async def three_deep(_draws):
    """Two more, with another kind in between."""
    async with track("llm"), track("image"), track("image"):
        pass


async def threads(_draws):
    """``run_sync``, one after the other."""
    for _ in range(2):
        assert await run_sync(int, "3") == 3


async def awaits_child(draws):
    """A task of its own making."""
    await asyncio.create_task(draws("child"))


async def awaits_grandchild(draws):
    """A task of a task."""

    async def child():
        async with track("llm"):
            await asyncio.create_task(draws("grandchild"))

    await asyncio.create_task(child())


async def gathers(draws):
    """``asyncio.gather``."""
    await asyncio.gather(*[draws(number) for number in range(3)])


async def gathers_threads(_draws):
    """``asyncio.gather`` over ``run_sync``."""
    assert await asyncio.gather(*[run_sync(int, "3") for _ in range(3)]) == [3] * 3


async def anyio_group(draws):
    """An anyio task group."""
    async with anyio.create_task_group() as group:
        for number in range(3):
            group.start_soon(draws, number)


async def asyncio_group(draws):
    """An asyncio task group."""
    async with asyncio.TaskGroup() as group:
        for number in range(3):
            group.create_task(draws(number))


async def waits_for(draws):
    """``asyncio.wait_for``, which makes a task before Python 3.12."""
    await asyncio.wait_for(draws("bounded"), 300)


async def shields(draws):
    """``asyncio.shield``."""
    await asyncio.shield(draws("shielded"))


async def spawns(draws):
    """``spawn`` with the kind itself, awaited."""

    async def draw():
        pass

    await spawn(draw(), kind="image")
    await spawn(draws("spawned"))


INSIDE = [
    nested,
    three_deep,
    threads,
    awaits_child,
    awaits_grandchild,
    gathers,
    gathers_threads,
    anyio_group,
    pytest.param(
        asyncio_group,
        marks=pytest.mark.skipif(
            sys.version_info < (3, 11), reason="asyncio.TaskGroup is new in Python 3.11"
        ),
    ),
    waits_for,
    shields,
    spawns,
]


@pytest.mark.parametrize("inside", INSIDE, ids=lambda inside: inside.__name__)
@pytest.mark.parametrize("limit", [1, 2])
async def test_a_section_never_waits_for_itself(limit, inside, chat, draws, ended, kinds, on, room):
    """As many handlers as there are places, each of which opens more of the kind inside its own."""
    kinds(image={"limit": limit})
    room.go.set()
    entered, done = [], []
    all_in = asyncio.Event()

    @track("image")
    async def handler(event):
        entered.append(event.user_id)
        if len(entered) == limit:
            all_in.set()
        await all_in.wait()
        await inside(draws)
        done.append(event.user_id)

    on(handler, text="draw")
    handling = [chat.hear(chat.message("draw", user)) for user in range(1, limit + 1)]
    await ended(*handling)
    assert sorted(done) == list(range(1, limit + 1))
    assert room.most <= limit
    assert tasks() == []


async def test_of_several_children_one_at_a_time_has_its_parents_place(ended, kinds, room, settle):
    """With limit 1 they take turns; nobody from outside comes in between."""
    kinds(image={"limit": 1})

    async def child(name):
        async with track("image"):
            await room.enter(name)

    async def parent():
        async with track("image"):
            await asyncio.gather(*[child(number) for number in range(3)])

    parent_task = asyncio.create_task(parent())
    await settle()
    stranger = asyncio.create_task(child("stranger"))
    await settle()
    assert room.inside == 1
    room.go.set()
    await ended(parent_task, stranger)
    assert room.most == 1
    assert room.came[0] == 0
    assert set(room.came[:3]) == {0, 1, 2}
    assert room.came[3] == "stranger"


async def test_children_take_free_places_besides_their_parents(ended, kinds, room, settle):
    """With limit 3 and one parent: three children at once, of which one has the parent's place."""
    kinds(image={"limit": 3})

    async def child(name):
        async with track("image"):
            await room.enter(name)

    async def parent():
        async with track("image"):
            await asyncio.gather(*[child(number) for number in range(5)])

    parent_task = asyncio.create_task(parent())
    await settle()
    assert room.inside == 3
    room.go.set()
    await ended(parent_task)
    assert room.most == 3
    assert tasks() == []


async def test_a_child_gives_its_parents_place_back_to_the_parent(ended, kinds, room, settle):
    """When the child has ended, the parent still has it: nobody from outside gets in."""
    kinds(image={"limit": 1})
    child_done, go, stranger_in = asyncio.Event(), asyncio.Event(), []

    async def child():
        async with track("image"):
            await asyncio.sleep(0)

    async def parent():
        async with track("image"):
            await asyncio.create_task(child())
            child_done.set()
            await go.wait()
            assert stranger_in == []

    async def stranger():
        async with track("image"):
            stranger_in.append(1)

    parent_task = asyncio.create_task(parent())
    stranger_task = asyncio.create_task(stranger())
    await ended(asyncio.create_task(child_done.wait()))
    await settle()
    assert stranger_in == []
    go.set()
    await ended(parent_task, stranger_task)
    parent_task.result()
    assert stranger_in == [1]


async def test_a_child_that_outlives_its_parents_section_keeps_the_place(
    ended, kinds, room, settle
):
    """It is still drawing: the place becomes free when it has ended, and not before."""
    kinds(image={"limit": 1})
    children = []

    async def child(name):
        async with track("image"):
            await room.enter(name)

    async def parent():
        async with track("image"):
            children.append(asyncio.create_task(child("child")))
            await settle()

    await ended(asyncio.create_task(parent()))
    stranger = asyncio.create_task(child("stranger"))
    await settle()
    assert room.came == ["child"]
    room.go.set()
    await ended(*children, stranger)
    assert room.most == 1
    assert room.came == ["child", "stranger"]


async def test_a_child_in_its_parents_place_is_cancelled_without_cost(ended, kinds, room, settle):
    """The parent keeps its place, and the next child gets it."""
    kinds(image={"limit": 1})
    done = []

    async def child(name):
        async with track("image", name=name):
            await room.enter(name)

    async def parent():
        async with track("image", name="parent"):
            first, second = (asyncio.create_task(child(name)) for name in ("first", "second"))
            await asyncio.wait([first, second])
            done.append((first.cancelled(), second.cancelled()))

    task = asyncio.create_task(parent())
    await settle()
    assert room.came == ["first"]
    cancel(next(info.id for info in tasks() if info.name == "first"))
    await settle()
    assert room.came == ["first", "second"]
    room.go.set()
    await ended(task)
    assert done == [(True, False)]
    assert room.most == 1
    assert tasks() == []


# -- over requests


async def gather_requests(ask):
    """``asyncio.gather``."""
    return await asyncio.gather(*[ask(number) for number in range(3)])


async def task_group_requests(ask):
    """An anyio task group."""
    async with anyio.create_task_group() as group:
        for number in range(3):
            group.start_soon(ask, number)


async def asyncio_group_requests(ask):
    """An asyncio task group."""
    async with asyncio.TaskGroup() as group:
        for number in range(3):
            group.create_task(ask(number))


async def wait_for_requests(ask):
    """``asyncio.wait_for``, one after the other."""
    for number in range(3):
        await asyncio.wait_for(ask(number), 300)


async def plain_requests(ask):
    """One after the other."""
    for number in range(3):
        await ask(number)


@pytest.mark.parametrize(
    "requests",
    [
        plain_requests,
        wait_for_requests,
        gather_requests,
        task_group_requests,
        pytest.param(
            asyncio_group_requests,
            marks=pytest.mark.skipif(
                sys.version_info < (3, 11), reason="asyncio.TaskGroup is new in Python 3.11"
            ),
        ),
    ],
    ids=lambda requests: requests.__name__,
)
@pytest.mark.parametrize("limit", [1, 2])
async def test_requests_within_a_section_of_their_kind_are_all_answered(
    limit, requests, chat, clients, ended, kinds, on, service, settle, within
):
    """``@track("image")`` around ``http_client(kind="image")``: the service is never asked for more."""
    kinds(image={"limit": limit})
    client = clients("image")
    done, entered, all_in = [], [], asyncio.Event()

    async def ask(number):
        assert (await client.get(f"{service.url}/{number}")).text == "ok"

    @track("image")
    async def handler(event):
        entered.append(event.user_id)
        if len(entered) == limit:
            all_in.set()
        await all_in.wait()
        await requests(ask)
        done.append(event.user_id)

    on(handler, text="draw")
    handling = [chat.hear(chat.message("draw", user)) for user in range(1, limit + 1)]
    for answered in range(3 * limit):
        await within(service.arrived(answered + 1))
        await settle()
        service.answer()
    await ended(*handling)
    assert sorted(done) == list(range(1, limit + 1))
    assert len(service.received) == 3 * limit
    assert service.most <= limit
    assert tasks() == []


async def test_requests_without_a_section_around_them_keep_to_the_limit(
    clients, kinds, service, settle, within
):
    """Six at once by ``gather``, two by two."""
    kinds(image={"limit": 2})
    client = clients("image")
    asking = asyncio.gather(*[client.get(f"{service.url}/{number}") for number in range(6)])
    await within(service.arrived(2))
    for answered in range(6):
        await within(service.arrived(min(6, answered + 2)))
        await settle()
        assert service.inside == min(2, 6 - answered)
        service.answer()
    assert [response.text for response in await within(asking)] == ["ok"] * 6
    assert service.most == 2
    assert service.received == [f"/{number}" for number in range(6)]


async def test_a_limit_of_handlers_is_no_wait_for_oneself(chat, ended, kinds, on, room):
    """``GRACEFUL_KINDS={"handler": {"limit": 1}}``: a handler may use ``track("handler")`` inside."""
    kinds(handler={"limit": 1})
    room.go.set()
    done = []

    async def inner():
        async with track("handler"):
            await room.enter("inner")

    async def handler(event):
        await inner()
        await asyncio.gather(inner(), inner())
        assert await run_sync(int, "3") == 3
        done.append(event.user_id)

    on(handler, text="hi")
    await ended(*[chat.hear(chat.message("hi", user)) for user in (1, 2, 3)])
    assert sorted(done) == [1, 2, 3]
    assert room.most == 1
