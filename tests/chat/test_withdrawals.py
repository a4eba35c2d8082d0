"""A word to a member whose request is ended while the bot runs on."""

import asyncio

import pytest
from nonebot import on_command

from nonebot_plugin_graceful import track

OPERATOR = 999


@pytest.fixture
def notice(tree, monkeypatch):
    """``GRACEFUL_CANCEL_NOTICE``."""
    from nonebot_plugin_graceful.chat import withdrawals
    from nonebot_plugin_graceful.config import Config

    for name in ("on_tell", "on_end", "on_timeout"):
        monkeypatch.setattr(tree.world, name, [])
    config = Config(graceful_cancel_notice="没有做完（{kind}，{reason}）")
    withdrawals.install(config, tree, tree.world)


@pytest.fixture
def kinds(tree):
    """Set what ``GRACEFUL_KINDS`` would."""
    from nonebot_plugin_graceful.core.kinds import Kinds

    def kinds(**overrides):
        tree.kinds = Kinds(overrides, tree.kinds.plugins)

    return kinds


@pytest.fixture
def on(app):
    """Make commands that are gone after the test."""
    made = []

    def on(name, handler):
        made.append(on_command(name, handlers=[handler], force_whitespace=True))

    yield on
    for matcher in made:
        matcher.destroy()


async def told(chat):
    """What members were told, when the notices have gone out."""
    await asyncio.sleep(0.1)
    return [(where, text.removeprefix("[reply]")) for where, text in chat.said if where != OPERATOR]


@pytest.mark.parametrize("what", ["image", "all"])
async def test_who_loses_a_request_to_an_operator_is_told(what, chat, painter, notice):
    """Each chat once, the operator's own answer apart."""
    await painter.start(chat, 1, 2, group=7)
    await painter.start(chat, 3)
    await chat.say(f"/graceful cancel {what}", OPERATOR)
    await painter.ended()
    assert sorted(await told(chat)) == [
        (3, "没有做完（image，管理员取消）"),
        (7, "没有做完（image，管理员取消）"),
    ]


@pytest.mark.parametrize("return_exceptions", [False, True])
async def test_a_request_that_ends_piece_by_piece_is_told_once(
    return_exceptions, chat, notice, on, within
):
    """One of the pictures that were drawn together takes its time to clean up."""
    drawing, told_once, cleaned = asyncio.Semaphore(0), asyncio.Event(), asyncio.Event()

    async def draw(cleans):
        async with track("image"):
            drawing.release()
            try:
                await asyncio.sleep(1000)
            finally:
                if cleans:
                    await told_once.wait()
                    cleaned.set()

    async def handler():
        await asyncio.gather(*map(draw, (False, True)), return_exceptions=return_exceptions)

    on("both", handler)
    asked = asyncio.create_task(chat.say("/both", 1))
    for _ in range(2):
        await within(drawing.acquire())
    await chat.say("/graceful cancel image", OPERATOR)
    if return_exceptions:
        told_once.set()
    await within(asyncio.wait([asked]))
    assert len(await told(chat)) == 1
    told_once.set()
    await within(cleaned.wait())
    assert len(await told(chat)) == 1


async def test_by_default_nobody_is(chat, painter):
    """The bot says nothing that nobody asked it to say."""
    await painter.start(chat, 1)
    await chat.say("/graceful cancel all", OPERATOR)
    await painter.ended()
    assert await told(chat) == []


async def test_a_section_has_the_last_word(chat, notice, on, within):
    """``notice="…"`` says something else, ``notice=False`` nothing."""
    drawing = asyncio.Semaphore(0)

    def draws(text):
        async def draw():
            async with track("image", notice=text):
                drawing.release()
                await asyncio.sleep(1000)

        return draw

    on("own", draws("画笔收走了"))
    on("quiet", draws(False))
    asked = [asyncio.create_task(chat.say(f"/{name}", 1, 7)) for name in ("own", "quiet")]
    for _ in asked:
        await within(drawing.acquire())
    await chat.say("/graceful cancel all", OPERATOR)
    await within(asyncio.wait(asked))
    assert await told(chat) == [(7, "画笔收走了")]


async def test_who_cancels_his_own_has_been_answered(chat, painter, notice, within):
    """A recall needs no word, nor does a command that has one already."""
    from nonebot_plugin_graceful.core import installed
    from nonebot_plugin_graceful.core.info import in_flight
    from nonebot_plugin_graceful.core.orders import stop

    await painter.start(chat, 1)
    works = in_flight(installed.tree)
    stop(installed.tree, [work.sections[0] for work in works], "its message was recalled")
    await painter.ended()
    assert await told(chat) == []


async def test_a_run_that_takes_too_long(chat, notice, on, kinds, within):
    """The operator has bounded a kind, and nobody's author hears of it."""
    kinds(handler={"timeout": 0.01})

    async def slow():
        await asyncio.sleep(1000)

    on("slow", slow)
    await within(chat.say("/slow", 1))
    assert await told(chat) == [(1, "没有做完（handler，超时）")]


async def test_a_section_that_takes_too_long_and_nobody_caught_it(chat, notice, on, within):
    """Its ``TimeoutError`` has ended the handler."""

    async def slow():
        async with track("llm", timeout=0.01):
            await asyncio.sleep(1000)

    on("slow", slow)
    await within(chat.say("/slow", 1))
    assert await told(chat) == [(1, "没有做完（llm，超时）")]


async def test_a_time_out_that_its_author_answers(chat, notice, on, within):
    """He has said what there is to say."""

    async def slow():
        try:
            async with track("llm", timeout=0.01):
                await asyncio.sleep(1000)
        except TimeoutError:
            await chat.bot.send_private_msg(user_id=1, message="太久了")

    on("slow", slow)
    await within(chat.say("/slow", 1))
    assert await told(chat) == []
