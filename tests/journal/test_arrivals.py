"""Messages that come twice, and messages that come too late for this life."""

import asyncio
from copy import deepcopy

import pytest
from nonebot import on_command, on_message
from nonebot.adapters.onebot.v11 import PrivateMessageEvent
from nonebot.matcher import Matcher

from nonebot_plugin_graceful import track

from .conftest import message
from .test_requests import Painter, until


@pytest.fixture
def painter(house, matcher):
    return Painter(matcher)


async def test_a_second_delivery_of_a_running_request_is_dropped(house, painter, within, log):
    """The platform believes it unanswered."""
    life = house.life()
    event = message("/画图 猫")
    life.hear(event)
    await painter.begun(within)
    await within(life.hear(event.model_copy(deep=True)))
    assert painter.asked == ["猫"]
    assert sum("second delivery" in line for line in log) == 1


async def test_a_second_delivery_that_comes_at_once_is_dropped(house, matcher, within):
    """Before the first one has come to what is to be resumed."""
    runs, go = [], asyncio.Event()

    async def draw(m: Matcher):
        runs.append(1)
        await go.wait()
        async with track("image"):
            pass

    matcher(on_command("画图", handlers=[draw]))
    life = house.life()
    event = message("/画图 猫")
    again = event.model_copy(deep=True)
    life.hear(event)
    await within(life.hear(again))
    go.set()
    await life.ended()
    assert runs == [1]


async def test_a_second_delivery_of_a_finished_request_is_dropped(house, painter, within):
    """Also by the next life, hours later."""
    first = house.life()
    event = message("/画图 猫")
    painter.picture.set()
    await within(first.hear(event.model_copy(deep=True)))
    await first.stop()
    second = house.life()
    await within(second.hear(event.model_copy(deep=True)))
    assert painter.asked == ["猫"]


async def test_a_second_delivery_of_what_waits_is_dropped(house, painter, within):
    """It is answered by its replay, and not by both."""
    first = house.life()
    event = message("/画图 猫")
    first.hear(event.model_copy(deep=True))
    await painter.begun(within)
    await first.die()
    second = house.life()
    await within(second.hear(event.model_copy(deep=True)))
    await second.connect()
    await painter.begun(within)
    await within(second.hear(event.model_copy(deep=True)))
    assert painter.asked == ["猫", "猫"]


async def test_another_message_with_the_same_number_is_none(house, painter, within):
    """Platforms number anew when they are reinstalled."""
    life = house.life()
    painter.picture.set()
    await within(life.say("/画图 猫", message_id=5, time=1))
    await within(life.say("/画图 猫", message_id=5, time=2))
    await within(life.say("/画图 猫", message_id=5, time=2, group=30002))
    assert len(painter.asked) == 3


async def test_without_the_journal_nothing_is_dropped(house, painter, within):
    """A bot does what it does without the plugin."""
    life = house.life(graceful_resume=[])
    event = message("/画图 猫")
    painter.picture.set()
    for _ in range(2):
        await within(life.hear(event.model_copy(deep=True)))
    assert len(painter.asked) == 2


async def test_what_arrives_while_draining_is_handled_after_the_restart(
    house, painter, matcher, within
):
    """By every matcher, as if it came then."""
    seen = []

    async def record(event: PrivateMessageEvent):
        seen.append(event.get_plaintext())

    matcher(on_message(handlers=[record], priority=1, block=False))
    first = house.life()
    first.begin_shutdown()
    await within(first.say("/画图 猫", group=None))
    assert seen == [] and painter.asked == []
    await first.stop()
    second = house.life()
    painter.picture.set()
    await second.connect()
    await within(until(lambda: "画好了：猫" in house.said()))
    assert seen == ["/画图 猫"]
    await within(until(lambda: second.rows == []))


async def test_what_arrives_while_draining_may_be_too_old_as_well(house, painter, within):
    """It is under the same age. Nobody is told: it may have been a word among friends."""
    first = house.life()
    first.begin_shutdown()
    await within(first.say("/画图 猫"))
    await first.stop()
    second = house.life(graceful_resume_max_age=0.001)
    await second.connect()
    assert painter.asked == []
    assert house.said() == []
    assert second.rows == []


async def test_what_is_drained_twice_is_handled_once(house, painter, within):
    """A restart during the start keeps it for the next."""
    first = house.life()
    first.begin_shutdown()
    await within(first.say("/画图 猫"))
    await first.stop()
    second = house.life()
    second.journal.connected(house.bot)
    second.begin_shutdown()
    await second.stop()
    third = house.life()
    assert [row.attempts for row in third.rows] == [0]
    painter.picture.set()
    await third.connect()
    await within(until(lambda: third.rows == []))
    assert painter.asked == ["猫"]


async def test_an_arrival_that_became_a_request_is_one_request(house, painter, within):
    """It is not handled twice after the next kill."""
    first = house.life()
    first.begin_shutdown()
    await within(first.say("/画图 猫"))
    await first.stop()
    second = house.life()
    await second.connect()
    await painter.begun(within)
    (row,) = second.rows
    assert row.kind == "image"
    await second.die()
    third = house.life()
    painter.picture.set()
    await third.connect()
    await within(until(lambda: third.rows == []))
    assert house.said() == ["正在画…", "画好了：猫"]


async def test_a_run_refused_by_the_stop_is_kept(house, painter, matcher, within):
    """Its message had been taken on, its rule was being checked when the signal came."""
    checking, go = asyncio.Event(), asyncio.Event()

    async def rule():
        checking.set()
        await go.wait()
        return True

    painter.matcher.destroy()
    painter.matcher = matcher(
        on_command("画图", rule=rule, block=True, handlers=[painter._draw("image", {})])
    )
    first = house.life()
    first.say("/画图 猫")
    await within(checking.wait())
    first.begin_shutdown()
    go.set()
    await first.ended()
    await first.stop()
    second = house.life()
    painter.picture.set()
    await second.connect()
    await within(until(lambda: "画好了：猫" in house.said()))
    await within(until(lambda: second.rows == []))


async def test_a_run_stopped_in_its_rule_is_kept(house, painter, matcher, within):
    """Some ask an AI in there."""
    checking, go = asyncio.Event(), asyncio.Event()

    async def rule():
        checking.set()
        await go.wait()
        return True

    painter.matcher.destroy()
    matcher(on_command("画图", rule=rule, block=True, handlers=[painter._draw("image", {})]))
    first = house.life()
    first.say("/画图 猫")
    await within(checking.wait())
    await first.stop()
    second = house.life()
    go.set()
    painter.picture.set()
    await second.connect()
    await within(until(lambda: second.rows == []))
    assert house.said() == ["正在画…", "画好了：猫"]


async def test_who_would_not_have_got_it_does_not_get_it(house, painter, matcher, within):
    """A stopped matcher that blocks keeps its message from those below, also in the next life."""
    seen = []

    async def chatter(m: Matcher):
        seen.append("chatter")

    matcher(on_message(handlers=[chatter], priority=50))
    first = house.life()
    first.say("/画图 猫")
    await painter.begun(within)
    await first.stop()
    second = house.life()
    assert len(second.rows) == 1
    painter.picture.set()
    await second.connect()
    await within(until(lambda: second.rows == []))
    assert seen == []


async def test_the_others_below_a_stopped_one_get_it_later(house, matcher, within):
    """Where it does not block, they would have got it."""
    seen, entered, go = [], asyncio.Event(), asyncio.Event()

    async def draw():
        async with track("image"):
            entered.set()
            await go.wait()

    async def record():
        seen.append(1)

    matcher(on_command("画图", handlers=[draw], priority=5, block=False))
    matcher(on_message(handlers=[record], priority=50))
    first = house.life()
    first.say("/画图 猫")
    await within(entered.wait())
    await first.stop()
    second = house.life()
    go.set()
    await second.connect()
    await within(until(lambda: second.rows == []))
    assert seen == [1]


def test_an_event_is_not_changed_by_being_kept():
    """What is compared when it is written is a copy."""
    from nonebot_plugin_graceful.journal import codec

    event = message("/画图 猫")
    before = deepcopy(event)
    codec.dump(event)
    assert event == before
