"""Calls of functions whose work outlives the bot, which does it itself, in a file."""

import asyncio
import os
from typing import Annotated

import pytest
from nonebot import on_command
from nonebot.adapters import Message
from nonebot.matcher import Matcher
from nonebot.params import CommandArg
from pydantic import BaseModel, SecretStr

from nonebot_plugin_graceful import Interrupted, WorkerError, cancel, on_worker, tasks, track
from nonebot_plugin_graceful.core.kinds import Kinds
from tests.journal.test_requests import until


class Picture(BaseModel):
    """What a painter gives."""

    pixels: bytes
    size: tuple[int, int]


class Painter:
    """Paints what it is told, one stroke for each ``paint`` that is set free."""

    def __init__(self):
        self.begun, self.cancelled = [], []
        self.may_end = asyncio.Event()
        self.at_once = self.most = 0

    def function(self, **keywords):
        @on_worker("image")
        async def paint(prompt: str) -> Picture:
            self.begun.append(prompt)
            self.at_once += 1
            self.most = max(self.most, self.at_once)
            try:
                async with track("image"):  # as an HTTP request of the kind does
                    await self.may_end.wait()
            except asyncio.CancelledError:
                self.cancelled.append(prompt)
                raise
            finally:
                self.at_once -= 1
            if prompt == "bad":
                raise ValueError("no such colour")
            return Picture(pixels=prompt.encode(errors="surrogatepass"), size=(1, 2))

        return paint


@pytest.fixture
def painter(begin):
    return Painter()


@pytest.fixture
def draw(painter, matcher):
    """A plugin that has pictures painted, in work of its own of the kind."""
    paint, results = painter.function(), []

    async def handler(m: Matcher, args: Annotated[Message, CommandArg()]):
        async with track("image"):
            try:
                results.append(await paint(args.extract_plain_text()))
            except WorkerError as error:
                results.append(error)
                raise
        await m.send("painted")

    matcher(on_command("draw", handlers=[handler]))
    return results


async def have(life, workflows, *statuses):
    """Wait until these workflows are kept."""
    while life.calls._client is None or sorted(await workflows(life)) != sorted(statuses):
        await asyncio.sleep(0.02)


async def test_a_call_gives_what_the_function_returns(
    begin, draw, painter, within, workflows, house
):
    """Through the database, and nothing stays there when the request has ended."""
    painter.may_end.set()
    life = await begin()
    life.say("/draw cat\x00\ud83d")  # half an emoji, which no database takes as it is
    await within(until(lambda: life.rows == [] and house.said() == ["painted"]))
    assert draw == [Picture(pixels=b"cat\x00\xed\xa0\xbd", size=(1, 2))]
    await within(have(life, workflows))


async def test_outside_of_a_resumed_request_nothing_stays_either(
    begin, draw, painter, within, workflows
):
    """Nobody is going to ask for it again."""
    painter.may_end.set()
    life = await begin(graceful_resume=[])
    life.say("/draw cat")
    await within(until(lambda: draw))
    await within(have(life, workflows))


async def test_what_was_begun_is_begun_again_in_the_next_life(
    begin, draw, painter, within, workflows, house
):
    """Ctrl+C ends the waiting and the work at once; whoever asked gets the picture afterwards."""
    life = await begin()
    life.say("/draw cat")
    await within(until(lambda: painter.begun))
    await life.stop()
    assert painter.cancelled == ["cat"]
    assert await workflows(life) == ["PENDING"]
    life = await begin()
    painter.may_end.set()
    await life.connect()
    await within(until(lambda: life.rows == [] and house.said() == ["painted"]))
    assert painter.begun == ["cat", "cat"]
    assert len(draw) == 1


async def test_a_result_that_was_taken_is_taken_again(begin, painter, matcher, within, house):
    """A request that calls the same twice gets two pictures, and its replay the same two."""
    paint, hold, done = painter.function(), asyncio.Event(), []
    painter.may_end.set()

    async def handler(m: Matcher):
        async with track("image"):
            done.append([await paint("cat"), await paint("cat")])
            await hold.wait()
        await m.send("painted")

    matcher(on_command("draw", handlers=[handler]))
    life = await begin()
    life.say("/draw")
    await within(until(lambda: done))
    await life.stop()
    life = await begin()
    hold.set()
    await life.connect()
    await within(until(lambda: house.said() == ["painted"]))
    assert painter.begun == ["cat", "cat"]
    assert len(done) == 2


async def test_the_limit_is_the_queues_alone(begin, draw, painter, within, monkeypatch):
    """Waits take no place, and work in the queue needs no further one: nobody waits for himself."""
    life = await begin()
    monkeypatch.setattr(life.tree, "kinds", Kinds({"image": {"limit": 2}}))
    for number in range(4):
        life.say(f"/draw {number}")
    await within(until(lambda: len(painter.begun) == 2))
    assert [info.name for info in tasks() if info.name == "paint"] == ["paint"] * 2
    painter.may_end.set()
    await within(until(lambda: len(draw) == 4))
    assert painter.most == 2


async def test_a_wait_takes_no_place_of_the_bots_own(
    begin, painter, within, workflows, monkeypatch
):
    """All are enqueued at once, so that a restart loses none, and the queue has its order."""
    paint = painter.function()
    life = await begin()
    monkeypatch.setattr(life.tree, "kinds", Kinds({"image": {"limit": 1}}))
    calls = asyncio.gather(*(paint(str(number)) for number in range(3)))
    await within(have(life, workflows, "ENQUEUED", "ENQUEUED", "PENDING"))
    painter.may_end.set()
    assert len(await within(calls)) == 3
    assert painter.most == 1


async def test_cancelling_the_request_cancels_the_work(begin, draw, painter, within, workflows):
    """Be it by a recall or by ``cancel()``; the next one has its place."""
    life = await begin()
    life.say("/draw cat", user=7)
    await within(until(lambda: painter.begun))
    assert cancel(user="7")
    await within(until(lambda: painter.cancelled == ["cat"]))
    assert await workflows(life) == ["CANCELLED"]
    assert life.rows == []
    assert draw == []


async def test_work_that_nobody_will_take_ends_with_the_bot(begin, painter, within, workflows):
    """Outside of a request that is resumed."""
    paint, ended = painter.function(), []

    async def work():
        try:
            await paint("cat")
        except Interrupted:
            ended.append(True)
            raise

    life = await begin()
    task = asyncio.create_task(work())
    await within(until(lambda: painter.begun))
    await life.stop()
    await within(asyncio.wait([task]))
    assert ended
    await within(have(life, workflows, "CANCELLED"))


async def test_work_that_nobody_will_take_is_not_begun_again(begin, painter, within, workflows):
    """Its process was killed, and whoever asked will ask again."""
    paint = painter.function()
    life = await begin()
    name = life.calls._name(None, "")
    life.tree.run_internal(paint("cat"), "lost")  # which the death of a life does not end
    await within(until(lambda: painter.begun))
    assert await workflows(life) == ["PENDING"]
    assert name.startswith(f"{life.calls._lives.own}.")
    await life.die()
    life = await begin()
    await within(life.calls.open())
    assert await workflows(life) == ["CANCELLED"]
    assert painter.begun == ["cat"]


async def test_work_that_takes_too_long_is_cancelled(begin, within, monkeypatch):
    """By the kind's time-out, which includes the time in the queue."""
    begun, cancelled = asyncio.Event(), asyncio.Event()

    @on_worker("image")
    async def paint() -> None:
        begun.set()
        try:
            await asyncio.sleep(1000)
        except asyncio.CancelledError:
            cancelled.set()
            raise

    life = await begin()
    monkeypatch.setattr(life.tree, "kinds", Kinds({"image": {"timeout": 3.0}}))
    for _ in range(10):  # on a busy machine the time may be over while it is in the queue
        with pytest.raises(TimeoutError, match="image took longer than 3 s"):
            await paint()
        if begun.is_set():
            break
    await within(cancelled.wait())


async def test_a_failure_is_told_by_its_name(begin, painter, within, log):
    """The exception itself stays where it was raised, in the log."""
    paint = painter.function()
    painter.may_end.set()
    await begin()
    with pytest.raises(WorkerError, match="ValueError: no such colour") as caught:
        await within(paint("bad"))
    assert caught.value.name == "ValueError"
    assert [line for line in log if line.startswith("ERROR")] == [
        "ERROR test_calls.Painter.function.<locals>.paint failed: ValueError: no such colour"
    ]


async def test_a_function_calls_another_plainly(begin, painter, within):
    """It holds a place of the queue, and would wait for itself."""
    paint = painter.function()
    painter.may_end.set()

    @on_worker("image")
    async def twice(prompt: str) -> list[Picture]:
        return [await paint(prompt), await paint(prompt)]

    await begin()
    assert len(await within(twice("cat"))) == 2


async def test_an_argument_that_cannot_be_kept_is_told(begin, painter):
    """At the call, by the function's name."""
    paint = painter.function()
    await begin()
    with pytest.raises(TypeError, match=r"on_worker cannot tell the calls of .*paint"):
        await paint(object())
    with pytest.raises(TypeError, match="SecretStr"):  # whoever does the work would get stars
        await paint(SecretStr("key"))


async def test_what_the_dead_left_is_removed(begin, painter, house, within):
    """A process that ends leaves its lock's file to the next one."""
    paint = painter.function()
    painter.may_end.set()
    dead = house.folder / "journal-dead.alive"
    dead.touch()
    os.utime(dead, (0, 0))
    newborn = house.folder / "journal-newborn.alive"
    newborn.touch()
    await begin()
    await within(paint("cat"))
    assert not dead.exists()
    assert newborn.exists()
