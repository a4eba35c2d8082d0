"""The help for plugin authors, used as they would."""

import asyncio
import contextlib
import signal
import sys
from pathlib import Path

import pytest
from nonebot import on_message
from nonebot.adapters import Event
from nonebot.adapters.onebot.v11 import Adapter, Bot, Message, PrivateMessageEvent
from nonebot.message import handle_event

from nonebot_plugin_graceful import cancel, testing, track

begin_shutdown = testing.begin_shutdown
drill = testing.drill
ROOT = Path(__file__).parents[1]

BOT = """
import asyncio
import nonebot

nonebot.init(driver="~none", localstore_use_cwd=True)
nonebot.load_plugin("nonebot_plugin_graceful")
from nonebot_plugin_graceful import spawn

async def draw():
    nonebot.logger.info("drawing")
    await asyncio.sleep(1000)

@nonebot.get_driver().on_startup
async def _():
    spawn(draw(), kind="image", name="painter")

nonebot.run()
"""


def message(user):
    """Make what the bot hears when somebody says something."""
    return PrivateMessageEvent(
        time=0,
        self_id=1,
        post_type="message",
        message_type="private",
        sub_type="friend",
        message_id=user,
        user_id=user,
        message=Message("draw"),
        original_message=Message("draw"),
        raw_message="draw",
        font=0,
        sender={"user_id": user},
    )


@pytest.fixture
async def draw(app, within):
    """Have the bot draw for somebody until it is stopped; ``begun`` is whom it has begun for."""

    async def hang(event: Event):
        async with track("image"):
            draw.begun.append(event.get_user_id())
            changed.set()
            await asyncio.Event().wait()

    async def draw(user):
        task = asyncio.create_task(handle_event(bot, message(user)))
        tasks.append(task)
        begun = asyncio.ensure_future(changed.wait())
        await within(asyncio.wait([task, begun], return_when=asyncio.FIRST_COMPLETED))
        begun.cancel()
        changed.clear()
        return task

    draw.begun = []
    tasks, changed = [], asyncio.Event()
    matcher = on_message(handlers=[hang])
    async with app.test_api() as ctx:
        bot = ctx.create_bot(
            base=Bot, adapter=ctx.create_adapter(base=Adapter), self_id="1", auto_connect=False
        )
        yield draw
        cancel(kind="image")
        await within(asyncio.wait(tasks))
    matcher.destroy()


async def test_the_shutdown_inside_a_test(draw, begin_shutdown, within):
    """It tells what was stopped; new events are refused; then all is as before."""
    drawing = await draw(1)
    outcome = await begin_shutdown("SIGTERM")
    await within(asyncio.wait([drawing]))
    assert [(info.kind, info.user) for info in outcome.stopped] == [("image", "1")]
    assert outcome.finished == outcome.shielded == outcome.refused == []
    await within(asyncio.wait([await draw(2)]))
    assert draw.begun == ["1"]


@pytest.fixture
def as_before():
    """Look when ``begin_shutdown``, which comes later, has taken back what it did."""
    from nonebot.message import _event_preprocessors

    from nonebot_plugin_graceful.core import installed

    tree = installed.tree

    def state():
        hooks = set(_event_preprocessors), set(Bot._called_api_hook)
        return tree.lifecycle.stopping, hooks, tree.all(), set(tree.internal)

    before = state()
    yield
    assert state() == before


async def test_after_it_all_is_as_before(draw, as_before, begin_shutdown):
    """The next test finds a bot that runs."""
    await draw(1)
    await begin_shutdown()


async def test_it_tells_who_is_shielded_and_who_refuses(app, begin_shutdown, monkeypatch):
    """The shielded one ends its stretch; the one that swallows it is named."""
    from nonebot_plugin_graceful import shield, spawn
    from nonebot_plugin_graceful.core import installed
    from nonebot_plugin_graceful.core.tree import Limits

    monkeypatch.setattr(installed.tree, "limits", Limits(cancel=0.2))
    free, written = asyncio.Event(), []

    async def stuck():
        while not free.is_set():
            with contextlib.suppress(asyncio.CancelledError):
                await free.wait()

    async def careful():
        async with shield():
            await asyncio.sleep(0.1)
            written.append("all of it")

    swallows, careful_one = spawn(stuck(), name="stuck"), spawn(careful(), name="careful")
    await asyncio.sleep(0)
    outcome = await begin_shutdown()
    assert [info.name for info in outcome.refused] == ["stuck"]
    assert [info.name for info in outcome.shielded] == ["careful"]
    assert written == ["all of it"]
    free.set()
    await asyncio.wait([swallows, careful_one])


def test_a_drill(tmp_path):
    """A real process and a real signal: exit code, seconds, report."""
    (tmp_path / "bot.py").write_text(BOT, encoding="utf-8")
    # a busy machine has a bot that takes ten seconds for it, and its deadline is no part of this
    env = {"PYTHONPATH": str(ROOT), "GRACEFUL_DEADLINE": "60"}
    result = drill("bot.py", "drawing", cwd=tmp_path, env=env)
    assert result.exit_code == 0 or sys.platform == "win32", result.log
    assert 0 < result.seconds < 30, result.log
    assert result.report["kinds"] == {"image": {"cancelled": 1}}, result.log


def test_a_drill_that_never_comes_to_its_line(tmp_path):
    """It says so, with the log."""
    (tmp_path / "bot.py").write_text("print('no bot')", encoding="utf-8")
    with pytest.raises(AssertionError, match=r"ended \(0\) without 'drawing'\nno bot"):
        drill("bot.py", "drawing", cwd=tmp_path)


@pytest.mark.skipif(sys.platform == "win32", reason="there is no other signal")
def test_a_drill_of_a_bot_that_does_not_end(tmp_path):
    """It is killed, and that is an error."""
    source = "import signal, time\nsignal.signal(15, signal.SIG_IGN)\nprint('up')\ntime.sleep(99)"
    (tmp_path / "bot.py").write_text(source, encoding="utf-8")
    for seconds in (1, 30):  # on a busy machine Python may not have started after one
        with pytest.raises(TimeoutError, match=f"not ended after {seconds} s\n") as raised:
            drill("bot.py", "up", signum=signal.SIGTERM, cwd=tmp_path, timeout=seconds)
        if str(raised.value).endswith("\nup"):
            break
    assert str(raised.value).endswith("\nup")
