"""What a request had said before it was stopped, its replay does not say again; all else it says."""

import asyncio

import pytest
from nonebot import on_command
from nonebot.adapters.onebot.v11 import Bot, MessageSegment
from nonebot.matcher import Matcher, current_event

from nonebot_plugin_graceful import step, track

from .test_requests import Painter, until


@pytest.fixture
def over_two_lives(house, matcher, within):
    """Run a handler in a life that ends when the handler says so, and again in the next."""

    async def run(handler, end, how):
        matcher(on_command("说", handlers=[handler]))
        first = house.life()
        first.say("/说")
        await within(end.wait())
        await getattr(first, how)()
        second = house.life()
        await second.connect()
        await within(until(lambda: second.rows == []))
        return house.said()

    return run


class Twice:
    """What goes on for ever in the first life, and not in the second."""

    def __init__(self):
        self.end = asyncio.Event()
        self.first = True

    async def wait(self):
        if self.first:
            self.first = False
            self.end.set()
            await asyncio.Event().wait()


ends = pytest.mark.parametrize("how", ["stop", "die"])


@ends
async def test_what_a_step_says_is_not_taken_for_the_answer(over_two_lives, how):
    """The step is kept and says nothing the second time: the next message is another one."""
    twice = Twice()

    async def tell(m: Matcher):
        @step
        async def story() -> str:
            await m.send("让我想想…")
            return "从前"

        async with track("image"):
            told = await story()
            await twice.wait()
            await m.send(told)

    assert await over_two_lives(tell, twice.end, how) == ["让我想想…", "从前"]


@ends
async def test_another_way_is_no_reason_to_say_nothing(over_two_lives, how):
    """A service was busy and is not any more; a quota was said, and is not asked for again."""
    twice = Twice()

    async def tell(m: Matcher):
        async with track("image"):
            if twice.first:
                for number in range(2):
                    await m.send(f"忙着呢（{number}）")
            await twice.wait()
            await m.send("画好了")

    assert await over_two_lives(tell, twice.end, how) == ["忙着呢（0）", "忙着呢（1）", "画好了"]


@ends
async def test_another_message_before_does_not_have_it_said_twice(over_two_lives, how):
    """What comes first in the second life only, is said; what was said before is not."""
    twice = Twice()

    async def tell(m: Matcher):
        async with track("image"):
            if not twice.first:
                await m.send("你是第 2 位")
            await m.send("正在画…")
            await twice.wait()

    assert await over_two_lives(tell, twice.end, how) == ["正在画…", "你是第 2 位"]


@ends
async def test_the_same_in_other_words_is_not_said_again(over_two_lives, how):
    """An AI that is asked once more answers in other words."""
    twice, words = Twice(), iter(["一种说法", "另一种说法"])

    async def tell(m: Matcher):
        async with track("image"):
            await m.send(next(words))
            await twice.wait()

    assert await over_two_lives(tell, twice.end, how) == ["一种说法"]


@ends
async def test_of_pictures_side_by_side_the_missing_one_is_sent(over_two_lives, how):
    """Whichever is ready first, and though each is drawn anew."""
    twice, drawn = Twice(), iter("abcd")

    async def tell(m: Matcher):
        async def draw(name, ready):
            await ready()
            await m.send(f"{name} {next(drawn)}")

        async def at_once():
            pass

        async with track("image"):
            await asyncio.gather(draw("左", twice.wait), draw("右", at_once))

    said = await over_two_lives(tell, twice.end, how)
    assert sorted(text[0] for text in said) == ["右", "左"]


@ends
async def test_what_was_said_before_the_first_section_counts(over_two_lives, how):
    """The journal has not heard of the request then."""
    twice = Twice()

    async def tell(m: Matcher):
        await m.send("正在画…")
        async with track("image"):
            await twice.wait()
        await m.finish("画好了")

    assert await over_two_lives(tell, twice.end, how) == ["正在画…", "画好了"]


@ends
async def test_what_the_asker_of_a_worker_was_told_counts(over_two_lives, how):
    """The job's section, which is to be resumed, is another task's."""
    twice = Twice()

    async def tell(m: Matcher):
        done = asyncio.get_running_loop().create_future()

        async def work():
            async with track("image", event=m_event):
                await twice.wait()
                done.set_result("画好了")

        m_event = current_event.get()
        await m.send("排队中")
        worker = asyncio.get_running_loop().create_task(work())
        await m.send(await done)
        await worker

    assert await over_two_lives(tell, twice.end, how) == ["排队中", "画好了"]


async def test_messages_are_counted_one_by_one(house, matcher, within):
    """Of three, two had been sent: the third is; and what the platform had said is kept."""
    results, hold, said_two = [], asyncio.Event(), asyncio.Event()

    async def tell(m: Matcher, bot: Bot):
        async with track("image"):
            results.append(await m.send("一"))
            results.append(await m.send(MessageSegment.image(b"x") + "二"))
            said_two.set()
            await hold.wait()
            await m.send("三")

    matcher(on_command("说", handlers=[tell]))
    first = house.life()
    first.say("/说")
    await within(said_two.wait())
    await first.die()
    second = house.life()
    hold.set()
    await second.connect()
    await within(until(lambda: second.rows == []))
    assert house.said() == ["一", "二", "三"]
    assert results == [{"message_id": 1001}, {"message_id": 1002}] * 2


async def test_a_request_killed_between_its_answer_and_its_end_is_not_answered_twice(
    house, matcher, within
):
    """Its replay comes to its end without a word."""
    hold, answered = asyncio.Event(), asyncio.Event()

    async def draw(m: Matcher):
        async with track("image"):
            await m.send("画好了")
            answered.set()
            await hold.wait()

    matcher(on_command("画图", handlers=[draw]))
    first = house.life()
    first.say("/画图")
    await within(answered.wait())
    await first.die()
    second = house.life()
    hold.set()
    await second.connect()
    await within(until(lambda: second.rows == []))
    assert house.said() == ["画好了"]


async def test_a_reply_that_is_being_sent_at_the_stop_is_counted(house, matcher, within):
    """It is sent whole, and not a second time."""

    async def draw(m: Matcher):
        async with track("image"):
            await m.send("画好了")
            await asyncio.sleep(0)
            await m.send("还有一句")

    matcher(on_command("画图", handlers=[draw]))
    first = house.life()
    house.answering.clear()
    first.say("/画图")
    await within(until(lambda: house.calls))
    stopping = asyncio.create_task(first.stop())
    await asyncio.sleep(0.01)
    house.answering.set()
    await within(stopping)
    second = house.life()
    await second.connect()
    await within(until(lambda: second.rows == []))
    assert house.said() == ["画好了", "还有一句"]


async def test_a_reply_that_outlasts_its_handler_is_counted(house, matcher, within):
    """One of several that a handler waits for sends it, while the handler has ended already."""
    hold = asyncio.Event()

    async def draw(m: Matcher):
        async def painted():
            await m.send("画好了")

        async with track("image"):
            await asyncio.gather(painted(), hold.wait())

    matcher(on_command("画图", handlers=[draw]))
    first = house.life()
    house.answering.clear()
    asked = first.say("/画图")
    await within(until(lambda: house.calls))
    stopping = asyncio.create_task(first.stop())
    await asyncio.sleep(0.01)
    house.answering.set()
    await within(stopping)
    assert asked.done()
    second = house.life()
    hold.set()
    await second.connect()
    await within(until(lambda: second.rows == []))
    assert house.said() == ["画好了"]


async def test_a_message_that_failed_is_not_counted(house, matcher, within, monkeypatch):
    """Nobody has read it."""
    from nonebot.adapters.onebot.v11 import ActionFailed, Adapter

    hold, failed = asyncio.Event(), asyncio.Event()
    call = Adapter._call_api

    async def fail(self, bot, api, **data):
        raise ActionFailed(retcode=1)

    async def draw(m: Matcher):
        async with track("image"):
            try:
                await m.send("画好了")
            except ActionFailed:
                failed.set()
                await hold.wait()

    matcher(on_command("画图", handlers=[draw]))
    monkeypatch.setattr(Adapter, "_call_api", fail)
    first = house.life()
    first.say("/画图")
    await within(failed.wait())
    await first.die()
    monkeypatch.setattr(Adapter, "_call_api", call)
    second = house.life()
    await second.connect()
    await within(until(lambda: second.rows == []))
    assert house.said() == ["画好了"]


async def test_hooks_are_there_only_while_they_are_needed(house, matcher, within):
    """NoneBot runs a task group for each call of each API once there is one."""

    def hooks():
        return len(Bot._calling_api_hook), len(Bot._called_api_hook)

    painter, before = Painter(matcher), hooks()
    await house.life(graceful_resume=[]).stop()
    assert hooks() == before
    life = house.life()
    assert hooks() == (before[0], before[1] + 1)
    life.say("/画图 猫")
    await painter.begun(within)
    assert hooks() == (before[0] + 1, before[1] + 1)
    painter.picture.set()
    await life.ended()
    assert hooks() == (before[0], before[1] + 1)
    await life.stop()
    assert hooks() == before
