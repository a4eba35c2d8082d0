"""``/graceful``: who may, what it does, what it says."""

import asyncio
import contextlib

import pytest
from nonebot import on_command
from nonebot.matcher import Matcher, MatcherSource

OPERATOR = 999


@pytest.mark.parametrize(
    "command", ["/graceful", "/graceful cancel all", "/停机管理", "/graceful x"]
)
@pytest.mark.parametrize("group", [None, 7])
async def test_nobody_else_is_told_that_it_exists(command, group, chat, painter):
    """A member gets no answer, and cancels nothing."""
    await painter.start(chat, 1)
    await chat.say(command, 2, group)
    assert chat.said == []
    assert painter.stopped == 0


@pytest.mark.parametrize("command", ["/graceful", "/graceful list", "/停机管理 列表"])
async def test_the_list(command, chat, painter):
    """Kind, plugin, who and where of each, the longest first; not the command itself."""
    await painter.start(chat, 1)
    await painter.start(chat, 2, group=7)
    await chat.say(command, OPERATOR)
    ((_, text),) = chat.said
    head, first, second = text.split("\n")
    assert head == "进行中 2 项："
    assert "｜用户 1｜进行中｜" in first
    assert "｜用户 2@7｜进行中｜" in second
    assert first.split("｜")[0].split()[1] == "image"
    assert "conftest.py:" in first


@pytest.mark.parametrize(
    ("command", "said"),
    [
        ("/graceful@cat_bot", "没有进行中的任务。"),
        ("/graceful@Cat_Bot list", "没有进行中的任务。"),
        ("/graceful@cat_bot resume", "没有暂停过。"),
        ("/graceful@dog_bot", None),
        ("/gracefully", None),
        ("/graceful列表", None),
    ],
)
async def test_the_bots_name_may_follow_the_command(command, said, chat):
    """As Telegram's menus send it; not another bot's, and no other word."""
    chat.bot.username = "cat_bot"
    await chat.say(command, OPERATOR)
    assert chat.said == ([(OPERATOR, said)] if said else [])


async def test_nothing_to_list(chat):
    """An idle bot says so."""
    await chat.say("/graceful", OPERATOR)
    assert chat.said == [(OPERATOR, "没有进行中的任务。")]


async def test_a_long_list_is_shortened(chat, painter):
    """Ten lines, then how many more of what."""
    await painter.start(chat, *range(1, 14))
    await chat.say("/graceful", OPERATOR)
    lines = chat.said[0][1].split("\n")
    assert len(lines) == 12
    assert lines[-1] == "……还有 3 项（image 3）"


@pytest.mark.parametrize("what", ["image", "all", "全部"])
async def test_cancel_by_kind_or_all(what, chat, painter):
    """Everything that fits is stopped."""
    await painter.start(chat, 1, 2)
    await chat.say(f"/graceful cancel {what}", OPERATOR)
    await painter.ended()
    assert painter.stopped == 2
    assert chat.said[0][1].startswith("已取消 2 项：\n#")


async def test_cancel_by_number(chat, painter, within):
    """Only the one with the number the list shows."""
    from nonebot_plugin_graceful import tasks

    await painter.start(chat, 1, 2)
    (number,) = [info.id for info in tasks() if info.user == "2"]
    await chat.say(f"/停机管理 取消 {number}", OPERATOR)
    await within(asyncio.wait(painter.running, return_when=asyncio.FIRST_COMPLETED))
    assert [info.user for info in tasks()] == ["1"]


async def test_cancelling_what_is_not_there(chat):
    """It says so."""
    await chat.say("/graceful cancel video", OPERATOR)
    assert chat.said == [(OPERATOR, "没有编号、类型或插件是“video”的任务。")]


@pytest.mark.parametrize(
    "words", ["help", "cancel", "cancel a b", "drain now", "resume x", "last 2", "list all"]
)
async def test_wrong_arguments_get_the_usage(words, chat, tree):
    """Not silence, and nothing happens."""
    await chat.say(f"/graceful {words}", OPERATOR)
    assert chat.said[0][1].startswith("用法：")
    assert not tree.admission.refusing


async def test_drain_and_resume(chat, painter):
    """What runs goes on; who asks is told, once; after ``resume`` all is as before."""
    await painter.start(chat, 1)
    await chat.say("/graceful drain", OPERATOR)
    await chat.say("/draw", 2, 7)
    await asyncio.sleep(0)
    assert (painter.drawing, painter.stopped) == (1, 0)
    assert chat.said[1:] == [(7, "机器人暂时不接新的 AI 任务，请稍后再试。")]
    await chat.say("/graceful", OPERATOR)
    assert chat.said[2][1].startswith("已暂停接新的 AI 任务。\n进行中 1 项：")
    await chat.say("/graceful resume", OPERATOR)
    await painter.start(chat, 2)
    assert painter.drawing == 2


async def test_drain_lets_a_running_request_take_its_next_step(chat, app, within):
    """A handler that was running may begin its AI work; one that came later may not."""
    from nonebot_plugin_graceful import track

    begun, go, done = asyncio.Event(), asyncio.Event(), []

    async def slow():
        begun.set()
        await go.wait()
        async with track("image"), track("llm"):
            done.append("drawn")

    matcher = on_command("slow", handlers=[slow])
    started = asyncio.create_task(chat.say("/slow", 1))
    await within(begun.wait())
    await chat.say("/graceful drain", OPERATOR)
    go.set()
    await within(started)
    assert done == ["drawn"]
    await within(chat.say("/slow", 1))
    assert done == ["drawn"]
    matcher.destroy()


async def test_drain_knows_the_kinds_of_other_peoples_plugins(chat, tree):
    """A plugin that the operator called AI work is not run, whatever it does.

    Its matcher blocks, so nobody takes the event over who would not have got it.
    """
    ran = []

    async def first():
        ran.append("first")

    async def second():
        ran.append("second")

    other = on_command("paint", handlers=[second], priority=6)
    matcher = Matcher.new(
        "message",
        other.rule,
        handlers=[first],
        priority=5,
        block=True,
        source=MatcherSource(plugin_id="painting", module_name=__name__, lineno=1),
    )
    tree.kinds.plugins["painting"] = "image"
    await chat.say("/graceful drain", OPERATOR)
    await chat.say("/paint", 1)
    assert ran == []
    assert chat.said[-1] == (1, "机器人暂时不接新的 AI 任务，请稍后再试。")
    tree.admission.resume()
    await chat.say("/paint", 1)
    assert ran == ["first"]
    matcher.destroy()
    other.destroy()


async def test_a_refused_matcher_that_does_not_block_drops_no_other(chat):
    """Matchers of lower priority run as they would have: the refused one is no reason not to."""
    from nonebot_plugin_graceful import track

    ran = []

    async def first():
        async with track("llm"):
            ran.append("first")

    async def second():
        ran.append("second")

    matcher = on_command("ask", handlers=[first], priority=5, block=False)
    other = on_command("ask", handlers=[second], priority=6)
    await chat.say("/graceful drain", OPERATOR)
    await chat.say("/ask", 1)
    assert ran == ["second"]
    await chat.say("/graceful resume", OPERATOR)
    await chat.say("/ask", 1)
    assert ran == ["second", "first", "second"]
    matcher.destroy()
    other.destroy()


async def test_who_insists_is_told_once(chat):
    """One request gets one answer, however often its handler tries. It is a plain ``Refused``."""
    from nonebot_plugin_graceful import Refused, track

    async def insists():
        for _ in range(3):
            with contextlib.suppress(Refused):
                async with track("llm"):
                    pass

    matcher = on_command("insist", handlers=[insists])
    await chat.say("/graceful drain", OPERATOR)
    await chat.say("/insist", 1)
    await chat.say("/insist", 1)
    await asyncio.sleep(0)
    assert [text for chat, text in chat.said if chat == 1] == [
        "机器人暂时不接新的 AI 任务，请稍后再试。"
    ] * 2
    matcher.destroy()


@pytest.mark.parametrize(
    ("command", "reason"),
    [("/graceful stop", "/graceful stop"), ("/停机管理 停机 换 显卡", "换 显卡")],
)
async def test_stop(command, reason, chat, monkeypatch):
    """It answers, and then begins the shutdown with the reason given."""
    from nonebot_plugin_graceful import _process

    begun = []
    monkeypatch.setattr(_process, "begin", lambda why: begun.append((why, chat.said)))
    await chat.say(command, OPERATOR)
    assert begun == [(reason, [(OPERATOR, f"开始停机：{reason}")])]


@pytest.mark.parametrize("word", ["stop", "restart"])
async def test_a_second_delivery_is_not_obeyed(word, chat, monkeypatch, tmp_path):
    """A platform that has heard nothing of the first would stop the next process, and the next."""
    from nonebot_plugin_graceful import _process
    from nonebot_plugin_graceful.chat.obeyed import FILE, Obeyed

    begun = []
    monkeypatch.setattr(_process, "begin", begun.append)
    monkeypatch.setattr(_process, "restart", begun.append)
    event = await chat.say(f"/graceful {word} again", OPERATOR)
    await chat.hear(event)
    assert begun == ["again"]
    await chat.say(f"/graceful {word} again", OPERATOR)
    assert begun == ["again"] * 2
    file = tmp_path / "data" / FILE
    assert Obeyed(file).is_new(chat.bot, event)
    assert not Obeyed(file).is_new(chat.bot, event)
    file.write_text("{")
    assert Obeyed(file).is_new(chat.bot, event)
    file.unlink()
    file.mkdir()
    assert Obeyed(file).is_new(chat.bot, event)


@pytest.mark.parametrize(
    "words", ["stop", "restart 换卡", "drain", "drain stop", "暂停", "cancel all"]
)
async def test_what_was_said_to_the_process_before_is_not_obeyed(words, chat, painter, monkeypatch):
    """The journal had kept it, since that one was about to stop."""
    from nonebot_plugin_graceful import _process, tasks
    from nonebot_plugin_graceful.core import installed
    from nonebot_plugin_graceful.journal.requests import Requests

    monkeypatch.setattr(_process, "begin", pytest.fail)
    monkeypatch.setattr(_process, "restart", pytest.fail)
    monkeypatch.setattr(Requests, "is_replayed", lambda *_: True)
    await painter.start(chat, 1)
    before = chat.said
    await chat.say(f"/graceful {words}", OPERATOR)
    assert chat.said == before
    assert not installed.tree.admission.refusing
    assert len(tasks()) == 1
    await chat.say("/graceful list", OPERATOR)
    assert len(chat.said) == len(before) + 1


async def test_last(chat, tmp_path, monkeypatch):
    """The report of the last shutdown, in words; or that there is none."""
    from nonebot_plugin_graceful import _process
    from nonebot_plugin_graceful.core.report import Report

    monkeypatch.setattr(_process, "report_file", tmp_path / "last.json")
    await chat.say("/graceful last", OPERATOR)
    Report(
        reason="SIGTERM",
        at="2026-01-02 03:04:05",
        phases={"work": 0.5, "server": 0.7},
        kinds={"image": {"cancelled": 2, "finished": 1}},
        hooks={"a.b": "took too long"},
    ).save(tmp_path / "last.json")
    await chat.say("/graceful last", OPERATOR)
    assert [text for _, text in chat.said] == [
        "没有上次停机的记录。",
        (
            "上次停机：2026-01-02 03:04:05（SIGTERM），不正常，1.2 秒\n"
            "image：取消 2，完成 1\n"
            "on_shutdown 钩子 a.b：took too long"
        ),
    ]


async def test_last_of_another_bot(chat, tmp_path, monkeypatch):
    """Bots may share a folder for their reports: it says so first."""
    from nonebot_plugin_graceful import _process
    from nonebot_plugin_graceful.core.report import Report

    monkeypatch.setattr(_process, "report_file", tmp_path / "last.json")
    monkeypatch.setattr(_process, "folder", "/here")
    for folder in ("/there", "/here"):
        Report(reason="SIGTERM", folder=folder).save(tmp_path / "last.json")
        await chat.say("/graceful last", OPERATOR)
    there, here = [text for _, text in chat.said]
    assert there == f"（来自在 /there 运行的机器人）\n{here}"
