"""Steps: done once, over however many lives; and the key that a provider may be given."""

import asyncio
import dataclasses
import functools
import threading
from datetime import datetime, timezone
from typing import Any

import httpx
import pytest
from nonebot import on_command
from nonebot.matcher import Matcher
from pydantic import BaseModel, Field, SecretStr

from nonebot_plugin_graceful import cancel, request_key, retry, spawn, step, track

from .test_requests import until

PICTURE = bytes(range(256)) * 400  # no text in any encoding, and large enough for a thread


class Answer(BaseModel):
    """What an SDK gives."""

    text: str = Field(alias="content")
    picture: bytes = b""
    at: datetime


@dataclasses.dataclass
class Size:
    width: int
    height: int = 1


@dataclasses.dataclass
class Box(Size):
    depth: int = 1


@pytest.fixture
def resumed(house, matcher, within):
    """Run a function as a request's work in a life that is killed after it, and in the next."""

    async def resumed(work, *, how="die", within_section=True):
        done, hold = [], asyncio.Event()

        async def handler(m: Matcher):
            if within_section:
                async with track("image"):
                    done.append(await work())
                    await hold.wait()
            else:
                done.append(await work())
                async with track("image"):
                    await hold.wait()

        made = matcher(on_command("画图", handlers=[handler]))
        first = house.life()
        first.say("/画图 猫")
        await within(until(lambda: done and first.rows))
        await getattr(first, how)()
        second = house.life()
        hold.set()
        await second.connect()
        await within(until(lambda: second.rows == [] and len(done) == 2))
        made.destroy()
        assert second.storage._read("SELECT count(*) FROM steps") == [(0,)]
        assert list(second.storage._pictures.glob("*")) == []
        return done

    return resumed


CASES = {
    "text": (str, "一只猫\ud800"),
    "bytes": (bytes, b"\xff\x00"),
    "large bytes": (bytes, PICTURE),
    "large text": (str, "猫" * 100_000),
    "number": (float, 1.5),
    "nothing": (None, None),
    "model": (Answer, Answer(content="猫", picture=b"\xff", at=datetime.now(timezone.utc))),
    "dataclass": (Size, Size(3)),
    "containers": (
        dict[str, list[tuple[int, Size]]],
        {"a": [(1, Size(2, 3))]},
    ),
    "one of two": (str | bytes | None, b"\xff"),
}


@pytest.mark.parametrize("case", CASES)
async def test_a_result_is_kept(resumed, case):
    """Whatever its annotation says; it comes back equal, and the work is not done again."""
    annotation, result = CASES[case]
    calls = []

    async def work():
        calls.append(1)
        return result

    work.__annotations__["return"] = annotation
    first, second = await resumed(step(work))
    assert first == second == result
    assert type(second) is type(result)
    assert calls == [1]


@pytest.mark.parametrize("case", ["model", "bytes"])
async def test_a_result_that_does_not_fit_any_more_is_done_again(house, matcher, within, case):
    """Its plugin was updated meanwhile; and what is done then is kept for the life after."""

    class Newer(BaseModel):
        text: str
        needed: int

    done, given = [], []

    def plugin(number, annotation, result):
        async def draw():
            done.append(number)
            return result

        draw.__annotations__["return"] = annotation
        drawing = step(draw)

        async def handler():
            async with track("image"):
                given.append(await drawing())
                await asyncio.Event().wait()

        return matcher(on_command("画图", handlers=[handler]))

    lives = CASES[case], (Newer, Newer(text="猫", needed=1)), (Newer, None)
    for number, (annotation, result) in enumerate(lives, 1):
        made = plugin(number, annotation, result)
        life = house.life()
        if number == 1:
            life.say("/画图 猫")
        else:
            await life.connect()
        await within(until(lambda count=number: len(given) == count))
        await life.die()
        made.destroy()
    assert done == [1, 2]
    assert given[1] == given[2] == Newer(text="猫", needed=1)


@pytest.mark.parametrize("how", ["die", "stop"])
async def test_each_call_has_its_own(resumed, how):
    """By its arguments, and by how often it was called with them before."""
    calls = []

    @step
    async def roll(sides: int, *, times: int = 1) -> str:
        calls.append((sides, times))
        return f"{sides}x{times}: {len(calls)}"

    async def work():
        return [await roll(6), await roll(6), await roll(20), await roll(6, times=2), await roll(6)]

    first, second = await resumed(work, how=how)
    assert first == second == ["6x1: 1", "6x1: 2", "20x1: 3", "6x2: 4", "6x1: 5"]
    assert len(calls) == 5


@pytest.mark.parametrize("size", [1, 100_000])
async def test_calls_side_by_side_have_each_its_own(resumed, size):
    """Of two pictures of the same thing, none comes twice; large ones are read in a thread."""
    calls = []

    @step
    async def draw(of: str) -> bytes:
        calls.append(of)
        return bytes([len(calls)]) * size

    async def work():
        return await asyncio.gather(draw("猫"), draw("猫"))

    first, second = await resumed(work)
    assert first == second == [b"\1" * size, b"\2" * size]
    assert len(calls) == 2


async def test_a_later_call_that_is_done_first_keeps_its_place(house, matcher, within):
    """The one before it is done again, and does not get the other one's result."""
    drawn, given = [], []

    async def handler():
        drawing = asyncio.Event()

        async def draw(style):
            @step
            async def paint() -> str:
                drawn.append(style)
                if style == "oil" and not given:
                    drawing.set()
                    await asyncio.Event().wait()
                await drawing.wait()
                return style

            given.append((style, await paint()))

        async with track("image"):
            if given:
                drawing.set()
            await asyncio.gather(draw("oil"), draw("ink"))

    matcher(on_command("画图", handlers=[handler]))
    first = house.life()
    first.say("/画图 猫")
    await within(until(lambda: given))
    await first.die()
    second = house.life()
    await second.connect()
    await within(until(lambda: second.rows == []))
    assert drawn == ["oil", "ink", "oil"]
    assert sorted(given) == [("ink", "ink"), ("ink", "ink"), ("oil", "oil")]


async def test_equal_sets_are_the_same_arguments(resumed):
    """They come in another order, as those of texts do in every process."""
    calls, orders = [], iter([(0, 8), (8, 0)])  # of one hash: the first one in comes first

    @step
    async def draw(tags: set[int], more: dict[str, frozenset[int]]) -> str:
        calls.append((tags, more))
        return "picture"

    async def work():
        order = next(orders)
        return await draw(set(order), {"more": frozenset(order)})

    assert await resumed(work) == ["picture", "picture"]
    assert len(calls) == 1


async def test_a_step_before_the_first_section_is_not_kept(resumed):
    """There was no request in the journal yet; a section inside of it is early enough."""
    calls = []

    @step
    async def outside() -> int:
        calls.append("outside")
        return 1

    @step
    async def around() -> int:
        async with track("image"):
            calls.append("around")
        return 2

    async def work():
        return await outside(), await around()

    await resumed(work, within_section=False)
    assert calls == ["outside", "around", "outside"]


async def test_failures_are_not_kept(resumed):
    """The replay tries again; what an author's own retry got in the end is kept."""
    calls = []

    @step
    async def draw() -> str:
        calls.append(1)
        if len(calls) == 1:
            raise ValueError("no picture")
        return "picture"

    async def work():
        try:
            return await draw()
        except ValueError:
            return await draw()

    assert await resumed(work) == ["picture", "picture"]
    assert len(calls) == 2


async def test_it_stands_in_front_of_retry(resumed):
    """All attempts together are one step."""
    calls = []

    @step
    @retry(wait=lambda _: 0)
    async def draw() -> str:
        calls.append(1)
        if len(calls) == 1:
            raise ConnectionError
        return "picture"

    assert await resumed(draw) == ["picture", "picture"]
    assert len(calls) == 2


async def test_what_was_spawned_has_its_steps(resumed):
    """They belong to the request they were spawned for."""
    calls = []

    @step
    async def draw(n: int) -> int:
        calls.append(n)
        return n

    async def work():
        return await asyncio.gather(spawn(draw(1)), spawn(draw(2)))

    assert await resumed(work) == [[1, 2], [1, 2]]
    assert sorted(calls) == [1, 2]


async def test_outside_of_a_request_it_is_a_plain_call():
    """In a script, in a job, in a bot without a journal."""

    @step
    async def draw(canvas: object) -> int:
        """Draw."""
        return 1

    assert await draw(object()) == 1
    assert draw.__doc__ == "Draw."


async def test_paid_for_is_kept_though_it_is_stopped_meanwhile(house, matcher, within, monkeypatch):
    """A large result is being written when the request is told to end."""
    calls, asked, go_on = [], asyncio.Event(), threading.Event()

    @step
    async def draw() -> bytes:
        calls.append(1)
        asked.set()
        return PICTURE * 20

    async def handler(m: Matcher):
        async with track("image"):
            picture = await draw()
            await m.send(f"{len(picture)}")

    matcher(on_command("画图", handlers=[handler]))
    first = house.life()
    write = first.storage.write_file
    monkeypatch.setattr(
        first.storage, "write_file", lambda *args: write(*args) if go_on.wait(10) else b""
    )
    first.say("/画图 猫")
    await within(asked.wait())
    await first.stop()
    go_on.set()
    await within(until(lambda: first.storage._read("SELECT count(*) FROM steps") == [(1,)]))
    first.storage.close()
    second = house.life()
    await second.connect()
    await within(until(lambda: house.said() == [str(len(PICTURE) * 20)]))
    assert calls == [1]


# what cannot be kept


def test_it_decorates_coroutine_functions():
    """Nothing else; of a partial one it cannot tell the results from another's."""

    async def draw(n: int) -> int:
        return n

    for other in (lambda: 1, functools.partial(draw, 1)):
        with pytest.raises(TypeError, match="step decorates coroutine functions"):
            step(other)


def test_it_has_to_know_what_is_returned():
    """From the annotation; the error names the function."""
    with pytest.raises(TypeError, match=r"test_steps.*draw.*return annotation"):

        @step
        async def draw():
            pass


@pytest.mark.parametrize("annotation", [httpx.Response, Any, object, asyncio.Lock])
def test_what_cannot_be_kept_is_an_error_at_decoration(annotation):
    """It names the function and the type."""

    async def draw():
        pass

    draw.__annotations__["return"] = annotation
    with pytest.raises(TypeError, match=r"step cannot keep what .*draw returns"):
        step(draw)


async def test_an_annotation_that_is_a_name_is_looked_up_at_the_first_call():
    """It may be defined below the function."""

    @step
    async def draw() -> "NoSuchThing":  # noqa: F821
        pass

    with pytest.raises(TypeError, match=r"step cannot keep what .*draw returns.*NoSuchThing"):
        await draw()


async def test_a_result_that_is_none_of_its_annotation_is_an_error(house, matcher, within):
    """And so is an argument that says nothing of itself."""
    errors = []

    @step
    async def draw() -> Size:
        return asyncio.Lock()

    @step
    async def measure() -> list[Size]:
        return [Size(1), Box(1, 2, 3)]

    @step
    async def paint(client: object) -> int:
        return 1

    async def handler(m: Matcher):
        async with track("image"):
            calls = draw(), paint(asyncio.Lock()), measure(), paint(SecretStr("key"))
            for call in calls:
                try:
                    await call
                except TypeError as error:
                    errors.append(str(error))

    matcher(on_command("画图", handlers=[handler]))
    life = house.life()
    life.say("/画图 猫")
    await life.ended()
    assert "draw has returned, a Lock" in errors[0]
    assert "paint apart by its arguments: Lock" in errors[1]
    assert "measure has returned, a list: it[1] would come back as Size instead of Box" in errors[2]
    assert "The return annotation (list[" in errors[2]
    assert "paint apart by its arguments: SecretStr" in errors[3]


def test_request_key_needs_a_request():
    """It says where it belongs."""
    with pytest.raises(RuntimeError, match="belongs into a handler"):
        request_key()


async def test_a_cancelled_request_leaves_no_results(house, matcher, within):
    """They go with it."""
    kept = asyncio.Event()

    @step
    async def draw() -> int:
        return 1

    async def handler(m: Matcher):
        async with track("image"):
            await draw()
            kept.set()
            await asyncio.Event().wait()

    matcher(on_command("画图", handlers=[handler]))
    life = house.life()
    life.say("/画图 猫")
    await within(kept.wait())
    assert life.storage._read("SELECT count(*) FROM steps") == [(1,)]
    cancel(kind="image")
    await life.ended()
    assert life.storage._read("SELECT count(*) FROM steps") == [(0,)]
