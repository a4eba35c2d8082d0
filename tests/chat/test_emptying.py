"""``/graceful drain``: the operator hears when nothing is left, and the bot stops if it is to."""

import asyncio

import pytest
from nonebot import on_command
from nonebot.adapters.onebot.v11 import Bot

from nonebot_plugin_graceful.chat.emptying import Order, read_order

OPERATOR = 999


@pytest.fixture(autouse=True)
def stopped(chat, tree, monkeypatch):
    """Why the bot was told to stop, each time."""
    from nonebot_plugin_graceful import _process
    from nonebot_plugin_graceful.chat import emptying

    reasons = []
    monkeypatch.setattr(_process, "begin", reasons.append)
    monkeypatch.setattr(emptying, "PACE", 0.001)
    yield reasons
    for task in tree.internal:
        if task.get_name() == "graceful emptying":
            task.cancel()


@pytest.fixture
def hears(chat, within):
    """Wait until the operator has heard something."""

    async def wait(text):
        while text not in [said for _, said in chat.said]:
            await asyncio.sleep(0.001)

    async def hears(text):
        await within(wait(text))

    return hears


@pytest.fixture
def stops(stopped, within):
    """Wait until the bot is told to stop, which comes after the operator is; give why."""

    async def wait():
        while not stopped:
            await asyncio.sleep(0.001)
        return stopped

    async def stops():
        return await within(wait())

    return stops


@pytest.mark.parametrize(
    ("words", "order"),
    [
        ("", Order()),
        ("5m", Order(seconds=300)),
        ("1.5h", Order(seconds=5400)),
        ("90S", Order(seconds=90)),
        ("1小时30分钟", Order(seconds=5400)),
        ("10分", Order(seconds=600)),
        ("stop", Order(when_empty=True)),
        ("停机 30秒", Order(when_empty=True, seconds=30)),
        ("1h stop", Order(when_empty=True, seconds=3600)),
        ("now", None),
        ("5", None),
        ("5m later", None),
        ("5m 6m", None),
        ("m", None),
        ("-5m", None),
        ("9999999h", None),
    ],
)
def test_times_and_stop(words, order):
    """In English and in Chinese units, in any order; anything else is not guessed at."""
    assert read_order(words) == order


async def test_the_operator_hears_when_nothing_is_left(chat, painter, stopped, hears):
    """And the bot runs on."""
    from nonebot_plugin_graceful import cancel

    await painter.start(chat, 1)
    await chat.say("/graceful drain", OPERATOR)
    assert chat.said[0][1] == "不再接新的 AI 任务；手上的 1 项会做完。恢复：/graceful resume"
    cancel(kind="image")
    await hears("手上的都做完了。")
    assert chat.said[-1][0] == OPERATOR
    assert stopped == []


async def test_it_stops_when_nothing_is_left(chat, painter, stopped, hears, stops):
    """Not sooner."""
    from nonebot_plugin_graceful import cancel

    await painter.start(chat, 1)
    await chat.say("/graceful drain stop", OPERATOR)
    assert chat.said[0][1].endswith("手上的 1 项会做完，全部做完就停机。恢复：/graceful resume")
    await asyncio.sleep(0.02)
    assert stopped == []
    cancel(kind="image")
    await hears("手上的都做完了，开始停机。")
    assert await stops() == ["drained"]


async def test_it_stops_after_its_time(chat, painter, hears, stops):
    """Whatever is left then."""
    await painter.start(chat, 1, 2)
    await chat.say("/停机管理 暂停 0.05秒", OPERATOR)
    assert "手上的 2 项会做完，0.05 秒后停机。" in chat.said[0][1]
    await hears("时间到，开始停机；还有 2 项。")
    assert await stops() == ["the drain's time is up"]


async def test_the_list_says_what_the_drain_ends_in(chat, tree):
    """Until it is taken back."""
    await chat.say("/graceful drain stop 1h", OPERATOR)
    await chat.say("/graceful", OPERATOR)
    assert "已暂停接新的 AI 任务，全部做完就停机，最迟 " in chat.said[-1][1]
    assert tree.admission.stops_at is not None
    await chat.say("/graceful resume", OPERATOR)
    assert tree.admission.stops_at is None
    await chat.say("/graceful drain", OPERATOR)
    await chat.say("/graceful", OPERATOR)
    assert chat.said[-1][1].startswith("已暂停接新的 AI 任务。")


async def test_a_worker_that_never_ends_is_not_waited_for(chat, hears, stops):
    """It is nobody's request."""
    from nonebot_plugin_graceful import spawn

    worker = spawn(asyncio.sleep(1000), event=None)
    await chat.say("/graceful drain stop", OPERATOR)
    await hears("手上的都做完了，开始停机。")
    assert await stops() == ["drained"]
    worker.cancel()
    await asyncio.wait([worker])


async def test_resume_takes_it_back(chat, tree, painter, stopped):
    """Also a stop that was to come."""
    from nonebot_plugin_graceful import cancel

    await painter.start(chat, 1)
    await chat.say("/graceful drain stop 1h", OPERATOR)
    await chat.say("/graceful resume", OPERATOR)
    cancel(kind="image")
    await painter.ended()
    await asyncio.sleep(0.05)
    assert stopped == []
    assert not [task for task in tree.internal if task.get_name() == "graceful emptying"]


async def test_whoever_takes_it_back_takes_back_the_stop(chat, tree, painter, stopped, within):
    """It need not be this command: there is the page."""
    await painter.start(chat, 1)
    await chat.say("/graceful drain stop", OPERATOR)
    (watching,) = [task for task in tree.internal if task.get_name() == "graceful emptying"]
    tree.admission.resume()
    await within(asyncio.wait([watching]))
    assert stopped == []


@pytest.fixture
def page():
    """What the buttons of the page do."""
    from nonebot_plugin_graceful import _process
    from nonebot_plugin_graceful.ops.page.actions import Actions

    return Actions(_process, None)


async def test_the_page_takes_it_back_also_if_it_drains_anew(
    chat, tree, painter, stopped, page, within
):
    """No stop of the drain before is left, however soon there is the next drain."""
    from nonebot_plugin_graceful import cancel

    await painter.start(chat, 1)
    await chat.say("/graceful drain stop", OPERATOR)
    (watching,) = [task for task in tree.internal if task.get_name() == "graceful emptying"]
    page.do({"action": "resume"})
    page.do({"action": "drain"})
    cancel(kind="image")
    await within(asyncio.wait([watching]))
    assert stopped == []
    assert tree.admission.refusing


async def test_the_page_drains_what_is_drained_no_further(chat, tree, painter, stops, page):
    """A second operator's button does not take back what the first one has ordered."""
    from nonebot_plugin_graceful import cancel

    await painter.start(chat, 1)
    await chat.say("/graceful drain stop", OPERATOR)
    page.do({"action": "drain"})
    cancel(kind="image")
    assert await stops() == ["drained"]


async def test_a_drain_of_the_page_is_taken_back_in_the_chat(chat, tree, page):
    """It is one drain, whoever began it."""
    page.do({"action": "drain"})
    await chat.say("/graceful resume", OPERATOR)
    assert chat.said[-1][1] == "重新开始接 AI 任务。"
    assert not tree.admission.refusing


async def test_it_is_taken_back_while_the_operator_is_being_told(
    chat, tree, stopped, page, monkeypatch, within
):
    """Until the stop has begun, it can be."""

    async def send(self, event, message, **keywords):
        if "开始停机" in str(message):
            page.do({"action": "resume"})

    monkeypatch.setattr(Bot, "send", send)
    await chat.say("/graceful drain stop", OPERATOR)
    watching = [task for task in tree.internal if task.get_name() == "graceful emptying"]
    await within(asyncio.wait(watching))
    assert not tree.admission.refusing
    assert stopped == []


async def test_a_chat_that_hears_nothing_holds_up_nothing(chat, tree, stops, monkeypatch):
    """The bot stops all the same."""
    from nonebot_plugin_graceful import _process
    from nonebot_plugin_graceful.chat.emptying import Emptying

    calls = []

    async def send(self, event, message, **keywords):
        calls.append(message)
        await asyncio.sleep(1000)

    monkeypatch.setattr(Bot, "send", send)
    emptying = Emptying(_process, timeout=0.01)

    async def drain():
        tree.admission.refuse("drained")
        emptying.begin(Order(when_empty=True))

    matcher = on_command("empty", handlers=[drain])
    await chat.say("/empty", 1)
    await stops()
    assert calls == ["手上的都做完了，开始停机。"]
    matcher.destroy()
