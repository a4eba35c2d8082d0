"""A request is written down, struck out when it ends, and taken up again after a restart."""

import asyncio
from typing import Annotated

import pytest
from nonebot import on_command, on_message, on_notice
from nonebot.adapters import Bot, Event, Message
from nonebot.matcher import Matcher, MatcherSource, matchers
from nonebot.params import CommandArg

from nonebot_plugin_graceful import cancel, request_key, spawn, tasks, track
from nonebot_plugin_graceful.journal import replay, withdrawn

from .conftest import message


class Painter:
    """A plugin's 画图: says that it begins, waits for its picture, sends it."""

    def __init__(self, matcher, kind="image", **keywords):
        self.asked, self.keys = [], []
        self.picture = asyncio.Event()
        self.entered = asyncio.Event()
        self.matcher = matcher(
            on_command("画图", priority=5, block=True, handlers=[self._draw(kind, keywords)])
        )

    def _draw(self, kind, keywords):
        async def draw(matcher: Matcher, args: Annotated[Message, CommandArg()]):
            self.keys.append(request_key())
            async with track(kind, **keywords):
                await matcher.send("正在画…")
                self.asked.append(args.extract_plain_text())
                self.entered.set()
                await self.picture.wait()
            await matcher.finish(f"画好了：{args}")

        return draw

    async def begun(self, within):
        await within(self.entered.wait())
        self.entered.clear()


@pytest.fixture
def painter(house, matcher):
    return Painter(matcher)


async def test_a_request_is_written_down_while_it_runs(house, painter, within):
    """From its first section that is to be resumed on, to its end."""
    life = house.life()
    life.say("/画图 猫", user=7)
    await painter.begun(within)
    (row,) = life.rows
    assert (row.adapter, row.bot, row.user, row.chat) == ("OneBot V11", "10000", "7", "30001")
    assert (row.kind, row.attempts, row.unfit) == ("image", 0, "")
    painter.picture.set()
    await life.ended()
    assert house.said() == ["正在画…", "画好了：猫"]
    assert life.rows == []


async def test_nothing_is_written_without_being_asked_for(house, painter, within):
    """No setting, no file."""
    life = house.life(graceful_resume=[])
    life.say("/画图 猫")
    await painter.begun(within)
    assert not list(house.folder.iterdir())
    await life.stop()
    assert not list(house.folder.iterdir())


async def test_its_author_may_ask_for_it(house, matcher, within):
    """By ``track(resume=True)``, without any setting."""
    painter = Painter(matcher, "draw", resume=True)
    life = house.life(graceful_resume=[])
    life.say("/画图 猫")
    await painter.begun(within)
    assert len(life.rows) == 1


async def test_its_author_may_refuse_it(house, matcher, within):
    """By ``track(resume=False)``, whatever the settings say."""
    painter = Painter(matcher, resume=False)
    life = house.life()
    life.say("/画图 猫")
    await painter.begun(within)
    assert life.rows == []


async def test_a_strangers_plugin_is_named_by_the_operator(house, matcher, within):
    """Its matchers' runs are written down from their beginning, its sub-plugins' too."""
    life = house.life(graceful_resume=["novelai"])
    entered = asyncio.Event()

    async def draw():
        entered.set()
        await asyncio.Event().wait()

    source = MatcherSource(plugin_id="novelai:basic", module_name=__name__, lineno=1)
    matcher(Matcher.new("message", handlers=[draw], source=source))
    life.say("x")
    await within(entered.wait())
    (row,) = life.rows
    assert row.plugin == "novelai:basic"


@pytest.mark.parametrize("how", ["error", "cancelled", "timed out"])
async def test_whatever_ends_it_by_itself_strikes_it_out(house, matcher, within, how, monkeypatch):
    """An error, somebody's /graceful cancel, a time-out: it is not asked again."""
    painter = Painter(matcher, timeout=0.01 if how == "timed out" else None)
    life = house.life()
    life.say("/画图 猫")
    await painter.begun(within)
    if how == "error":
        painter.picture.wait = None
        monkeypatch.setattr(house.bot, "send", None, raising=False)
        painter.picture.set()
    elif how == "cancelled":
        assert cancel(kind="image")
    await life.ended()
    assert life.rows == []


async def test_after_ctrl_c_it_is_answered(house, painter, within, log):
    """By the next life, once; and what it had said is not said again."""
    first = house.life()
    first.say("/画图 猫")
    await painter.begun(within)
    await first.stop()
    assert house.said() == ["正在画…"]
    second = house.life()
    await second.connect()
    await painter.begun(within)
    assert [info.resumed for info in tasks()] == [True]
    painter.picture.set()
    await within(until(lambda: len(house.said()) == 2))
    assert house.said() == ["正在画…", "画好了：猫"]
    await within(until(lambda: second.rows == []))
    assert painter.asked == ["猫", "猫"]
    assert any("Resuming what was asked" in line for line in log)


async def test_after_sigkill_it_is_answered(house, painter, within):
    """As after Ctrl+C."""
    first = house.life()
    first.say("/画图 猫")
    await painter.begun(within)
    await first.die()
    second = house.life()
    painter.picture.set()
    await second.connect()
    await within(until(lambda: len(house.said()) == 2))
    assert house.said() == ["正在画…", "画好了：猫"]
    await within(until(lambda: second.rows == []))


async def test_a_request_has_one_key_in_all_its_lives(house, painter, within):
    """And others have others."""
    first = house.life()
    first.say("/画图 猫", user=1)
    await painter.begun(within)
    first.say("/画图 狗", user=2)
    await painter.begun(within)
    await first.die()
    second = house.life()
    await second.connect()
    await within(until(lambda: len(painter.keys) == 4))
    assert painter.keys[2:] == painter.keys[:2]
    assert len(set(painter.keys)) == 2


async def test_the_oldest_comes_first_under_the_kinds_limit(house, painter, within):
    """The queue is that of everybody else."""
    from nonebot_plugin_graceful.core import installed
    from nonebot_plugin_graceful.core.kinds import Kinds

    first = house.life()
    for text in ("一", "二", "三"):
        first.say(f"/画图 {text}")
        await painter.begun(within)
    await first.die()
    painter.asked.clear()
    installed.tree.kinds = Kinds({"image": {"limit": 1}})
    second = house.life()
    await second.connect()
    await painter.begun(within)
    assert painter.asked == ["一"]
    painter.picture.set()
    await within(until(lambda: second.rows == []))
    assert painter.asked == ["一", "二", "三"]


async def test_other_matchers_do_not_see_it_again(house, painter, matcher, within):
    """Neither their handlers nor their rules: some count, some ask an AI in there."""
    seen = []

    async def rule():
        seen.append("rule")
        return True

    async def record():
        seen.append("handler")

    matcher(on_message(rule=rule, handlers=[record], priority=1, block=False))
    first = house.life()
    first.say("/画图 猫")
    await painter.begun(within)
    await first.die()
    second = house.life()
    await second.connect()
    await painter.begun(within)
    assert seen == ["rule", "handler"]


async def test_a_replay_is_interrupted_and_resumed_again(house, painter, within):
    """However often: a stop in order costs no attempt."""
    life = house.life()
    life.say("/画图 猫")
    await painter.begun(within)
    for _ in range(5):
        await life.stop()
        life = house.life()
        await life.connect()
        await painter.begun(within)
        assert [row.attempts for row in life.rows] == [1]
    await life.stop()
    assert [row.attempts for row in house.life().rows] == [0]
    assert house.said() == ["正在画…"]


async def test_a_replay_is_cancelled_like_any_other_work(house, painter, within):
    """And is not taken up again then."""
    first = house.life()
    first.say("/画图 猫")
    await painter.begun(within)
    await first.die()
    second = house.life()
    await second.connect()
    await painter.begun(within)
    cancel(kind="image")
    await within(until(lambda: second.rows == []))


async def test_what_killed_the_bot_three_times_is_given_up(house, painter, within, log):
    """Attempts are charged before; whoever asked is told once."""
    life = house.life()
    life.say("/画图 猫")
    await painter.begun(within)
    for attempts in (1, 2, 3):
        await life.die()
        life = house.life()
        await life.connect()
        await painter.begun(within)
        assert [row.attempts for row in life.rows] == [attempts]
    await life.die()
    life = house.life()
    await life.connect()
    assert house.said() == ["正在画…", life.config.graceful_resume_failed_notice]
    assert life.rows == []
    assert any("the bot has died 3 times on it" in line for line in log)


async def test_two_deaths_in_a_row_and_nothing_is_replayed(
    house, painter, within, monkeypatch, log
):
    """The third life takes nothing up, says so, and tells whoever asked."""
    monkeypatch.setattr(replay, "SOON", 1000.0)
    life = house.life()
    life.say("/画图 猫")
    await painter.begun(within)
    for _ in range(2):
        await life.die()
        life = house.life()
        life.journal.connected(house.bot)
        await painter.begun(within)
    await life.die()
    life = house.life()
    life.journal.connected(house.bot)
    await within(until(lambda: life.config.graceful_resume_failed_notice in house.said()))
    assert any("died 2 times in a row" in line for line in log)
    assert painter.asked == ["猫"] * 3


async def test_a_stop_in_order_is_no_death(house, painter, within, monkeypatch):
    """Whoever restarts his bot again and again has no death loop."""
    monkeypatch.setattr(replay, "SOON", 1000.0)
    life = house.life()
    life.say("/画图 猫")
    await painter.begun(within)
    for how in ("die", "stop", "die", "stop", "die"):
        await getattr(life, how)()
        life = house.life()
        life.journal.connected(house.bot)
        await painter.begun(within)


async def test_what_is_too_old_is_told(house, painter, within, log):
    """Nobody waits for it any more; each person hears of it once, however much he had asked for."""
    first = house.life()
    for text in ("一", "二"):
        first.say(f"/画图 {text}")
        await painter.begun(within)
    await first.die()
    second = house.life(graceful_resume_max_age=0.001, graceful_resume_failed_notice="抱歉")
    await second.connect()
    assert house.said() == ["正在画…", "正在画…", "抱歉"]
    assert second.rows == []


async def test_an_empty_notice_is_none(house, painter, within):
    """The row goes all the same."""
    first = house.life()
    first.say("/画图 猫")
    await painter.begun(within)
    await first.die()
    second = house.life(graceful_resume_max_age=0.001, graceful_resume_failed_notice="")
    await second.connect()
    assert house.said() == ["正在画…"]
    assert second.rows == []


async def test_a_message_withdrawn_meanwhile_is_not_answered(house, painter, within, log):
    """Where the platform says so."""
    first = house.life()
    first.say("/画图 猫", message_id=77)
    await painter.begun(within)
    await first.die()
    house.withdrawn.add(77)
    second = house.life()
    await second.connect()
    assert second.rows == []
    assert painter.asked == ["猫"]
    assert any("withdrawn" in line for line in log)
    assert house.said() == ["正在画…"]  # nobody waits for a word of it either


async def test_a_platform_that_does_not_answer_is_asked_once(house, painter, within, monkeypatch):
    """Each request would wait for it, until the last ones are too old."""
    monkeypatch.setattr(withdrawn, "PATIENCE", 0.01)
    first = house.life()
    for text in ("一", "二", "三"):
        first.say(f"/画图 {text}")
        await painter.begun(within)
    await first.die()
    asked = []

    async def never(message_id):
        asked.append(message_id)
        await asyncio.Event().wait()

    house.get_msg = never
    second = house.life()
    painter.picture.set()
    await second.connect()
    await within(until(lambda: second.rows == []))
    assert painter.asked == ["一", "二", "三"] * 2
    assert len(asked) == 1


async def test_who_withdrew_what_is_too_old_is_not_told(house, painter, within):
    """Only what he still wants is he to ask for again."""
    first = house.life()
    for text, number in (("一", 77), ("二", 78)):
        first.say(f"/画图 {text}", user=number, message_id=number)
        await painter.begun(within)
    await first.die()
    house.withdrawn.add(77)
    second = house.life(graceful_resume_max_age=0.001, graceful_resume_failed_notice="抱歉")
    await second.connect()
    assert [data.get("user_id") for api, data in house.calls if api == "send_msg"][2:] == [78]
    assert second.rows == []


async def test_a_matcher_that_has_gone_is_told(house, painter, within, log):
    """The plugin was taken out, or rewritten."""
    first = house.life()
    first.say("/画图 猫")
    await painter.begun(within)
    await first.die()
    painter.matcher.destroy()
    second = house.life()
    await second.connect()
    assert second.config.graceful_resume_failed_notice in house.said()
    assert any("no such matcher any more" in line for line in log)


async def test_a_matcher_is_found_after_its_file_was_edited(house, matcher, within):
    """Other lines, other matchers before it, another order of its aliases."""

    async def other():
        pass

    async def draw(m: Matcher):
        async with track("image"):
            entered.set()
            await asyncio.Event().wait()

    entered = asyncio.Event()
    made = matcher(on_command("画图", aliases={"画", "绘图"}, handlers=[draw]))
    first = house.life()
    first.say("/画 猫")
    await within(entered.wait())
    await first.die()
    entered.clear()
    made.destroy()
    matcher(on_command("天气", handlers=[other]))
    matcher(on_command("画图", aliases={"绘图", "画"}, priority=3, handlers=[other, draw]))
    second = house.life()
    await second.connect()
    await within(entered.wait())


async def test_matchers_of_one_line_are_told_apart(house, matcher, within):
    """By their priorities, of which NoneBot has those first that another plugin has come with."""
    entered, hold = [], asyncio.Event()

    def plugin():
        def handler(priority):
            async def draw():
                async with track("image"):
                    entered.append(priority)
                    await hold.wait()

            return draw

        each = ((priority, handler(priority)) for priority in (901, 902))
        return [matcher(on_message(priority=p, handlers=[draw])) for p, draw in each]

    made = plugin()
    first = house.life()
    first.say("猫")
    await within(until(lambda: entered))
    await first.die()
    for each in made:
        each.destroy()
    del matchers[901], matchers[902]
    matcher(on_notice(priority=902))
    plugin()
    second = house.life()
    hold.set()
    await second.connect()
    await within(until(lambda: second.rows == []))
    assert entered == [901, 901]


async def test_an_event_that_cannot_be_rebuilt_is_told(house, painter, within, log):
    """Whoever asked it hears that it was not resumed."""
    first = house.life()
    event = message("/画图 猫")
    event.sender.lock = asyncio.Lock()
    first.hear(event)
    await painter.begun(within)
    assert first.rows[0].unfit == "its event cannot be rebuilt"
    assert not first.requests.resumes(event)
    await first.stop()
    second = house.life()
    await second.connect()
    assert second.config.graceful_resume_failed_notice in house.said()
    assert second.rows == []


async def test_a_conversation_is_told(house, matcher, within):
    """What a ``got`` waits for has been forgotten with the process."""
    entered = asyncio.Event()
    asking = matcher(on_command("画图"))

    @asking.got("what", prompt="画什么？")
    async def _():
        async with track("image"):
            entered.set()
            await asyncio.Event().wait()

    first = house.life()
    first.say("/画图")
    await first.ended()
    first.say("猫")
    await within(entered.wait())
    assert first.rows[0].unfit == "it was part of a conversation"
    await first.die()
    second = house.life()
    await second.connect()
    assert house.said() == ["画什么？", second.config.graceful_resume_failed_notice]


async def test_what_was_spawned_for_it_is_part_of_it(house, matcher, within):
    """The handler has ended; its picture is still being painted."""
    entered, picture = asyncio.Event(), asyncio.Event()

    async def paint(m: Matcher):
        async with track("image"):
            entered.set()
            await picture.wait()
        await m.send("画好了")

    async def draw(m: Matcher):
        spawn(paint(m))

    matcher(on_command("画图", handlers=[draw]))
    first = house.life()
    first.say("/画图 猫")
    await within(entered.wait())
    await first.ended()
    assert len(first.rows) == 1
    await first.die()
    entered.clear()
    second = house.life()
    await second.connect()
    await within(entered.wait())
    picture.set()
    await within(until(lambda: house.said() == ["画好了"]))
    await within(until(lambda: second.rows == []))


class Queue:
    """A plugin whose handler has a worker do it, which whoever asks first starts; and may wait."""

    def __init__(self, matcher, start, *, waits=True, **keywords):
        self.start = start
        self.keywords = keywords
        self.jobs = asyncio.Queue()
        self.worker = None
        self.begun, self.keys = [], []
        self.go = asyncio.Event()
        self.waits = waits
        matcher(on_command("排队", handlers=[self.ask]))

    async def ask(self, m: Matcher, bot: Bot, event: Event):
        if self.worker is None:
            self.worker = self.start(self.work())
        self.keys.append(request_key())
        done = asyncio.get_running_loop().create_future()
        self.jobs.put_nowait((bot, event, done))
        if self.waits:
            await done
        else:
            await m.send("排队中")

    async def work(self):
        while True:
            bot, event, done = await self.jobs.get()
            async with track("image", event=event, **self.keywords):
                try:
                    self.keys.append(request_key())
                except RuntimeError as error:
                    self.keys.append(str(error))
                self.begun.append(event.get_user_id())
                await self.go.wait()
                await bot.send(event, f"画好了：{event.get_user_id()}")
            done.set_result(None)

    def end(self):
        """End the worker."""
        if self.worker is not None:
            self.worker.cancel()

    def live_on(self):
        """Forget what the last life had begun."""
        self.jobs, self.worker = asyncio.Queue(), None
        self.begun.clear()


@pytest.fixture
def queue(matcher):
    """Make a :class:`Queue`, whose worker is gone after the test."""
    made = []

    def queue(start, **keywords):
        made.append(Queue(matcher, start, **keywords))
        return made[-1]

    yield queue
    for each in made:
        each.end()


starters = pytest.mark.parametrize(
    "start", [asyncio.create_task, spawn], ids=["create_task", "spawn"]
)


@starters
@pytest.mark.parametrize("how", ["stop", "die"])
async def test_a_workers_job_is_its_askers_request(start, how, house, queue, within):
    """Whoever has started the worker was answered long ago, and is not again."""
    queue = queue(start)
    first = house.life()
    queue.go.set()
    await within(first.say("/排队", user=1))
    assert first.rows == []
    queue.go.clear()
    first.say("/排队", user=2)
    await within(until(lambda: queue.begun == ["1", "2"]))
    assert [row.user for row in first.rows] == ["2"]
    assert [info.user for info in tasks() if info.kind == "image"] == ["2"]
    one, its_job, other, another_job = queue.keys
    assert one == its_job != other == another_job
    await getattr(first, how)()
    queue.live_on()
    queue.go.set()
    second = house.life()
    await second.connect()
    await within(until(lambda: second.rows == []))
    assert house.said() == ["画好了：1", "画好了：2"]
    assert queue.begun == ["2"]
    assert queue.keys[4:] == [other, other]


@starters
async def test_a_workers_job_is_its_askers_while_who_started_the_worker_waits(
    start, house, queue, within
):
    """Both are requests of their own, and each ends with its own job."""
    queue = queue(start)
    life = house.life()
    first = life.say("/排队", user=1)
    await within(until(lambda: queue.begun == ["1"]))
    second = life.say("/排队", user=2)
    await within(until(lambda: len(queue.keys) == 3))
    queue.go.set()
    await within(first)
    assert [row.user for row in life.rows] in ([], ["2"])
    await within(second)
    one, its_job, other, another_job = queue.keys
    assert one == its_job != other == another_job
    assert life.rows == []


async def test_what_a_job_spawns_is_its_askers(house, matcher, within):
    """Also what the worker spawns for somebody, and is not the worker's nor its starter's."""
    keys, entered, go = {}, [], asyncio.Event()
    jobs = asyncio.Queue()
    workers = []

    async def paint(user):
        keys[user] = request_key()
        entered.append(user)
        await go.wait()

    async def work():
        while True:
            event, done = await jobs.get()
            await spawn(paint(event.get_user_id()), kind="image", event=event)
            done.set_result(None)

    async def ask(event: Event):
        if not workers:
            workers.append(asyncio.get_running_loop().create_task(work()))
        keys[event.get_user_id() + " himself"] = request_key()
        done = asyncio.get_running_loop().create_future()
        jobs.put_nowait((event, done))
        await done
        if event.get_user_id() == "1":
            await asyncio.Event().wait()

    matcher(on_command("排队", handlers=[ask]))
    life = house.life()
    go.set()
    life.say("/排队", user=1)
    await within(until(lambda: entered == ["1"]))
    go.clear()
    life.say("/排队", user=2)
    await within(until(lambda: entered == ["1", "2"]))
    assert keys["1"] == keys["1 himself"] != keys["2 himself"] == keys["2"]
    assert sorted(row.user for row in life.rows) == ["1", "2"]


@pytest.mark.parametrize("names", [["image"], ["novelai"]], ids=["kind", "plugin"])
async def test_a_worker_that_it_has_started_is_no_part_of_it(names, house, matcher, within):
    """It serves everybody and does not end: the request that happened to start it does."""
    workers = []

    async def draw():
        async with track("image"):
            workers.append(spawn(asyncio.Event().wait()))

    source = MatcherSource(plugin_id="novelai", module_name=__name__, lineno=1)
    matcher(Matcher.new("message", handlers=[draw], source=source))
    life = house.life(graceful_resume=names)
    await within(life.say("x"))
    assert not workers[0].done()
    assert life.rows == []
    workers[0].cancel()


async def test_a_job_whose_handler_has_ended_is_not_resumed_and_said_so(house, queue, within, log):
    """Once for each place; there is nobody any more whose handler could be run again."""
    queue = queue(asyncio.create_task, waits=False, resume=True)
    life = house.life(graceful_resume=[])
    life.say("/排队", user=1)
    await within(until(lambda: queue.begun == ["1"]))
    for user in (2, 3):
        await within(life.say("/排队", user=user))
    queue.go.set()
    await within(until(lambda: queue.begun == ["1", "2", "3"]))
    assert life.rows == []
    (line,) = [line for line in log if "cannot be resumed" in line]
    assert line.startswith("WARNING image ")
    assert "test_requests.py:" in line
    assert "the handler of its event has ended" in line
    assert ["has ended" in key for key in queue.keys] == [False] * 4 + [True] * 2


async def test_who_swallows_the_cancellation_is_resumed_too(house, matcher, within):
    """He was stopped; that he did not notice is no answer."""
    entered = asyncio.Event()

    async def draw(m: Matcher):
        try:
            async with track("image"):
                entered.set()
                await asyncio.Event().wait()
        except asyncio.CancelledError:
            await m.send("API 出错了")

    matcher(on_command("画图", handlers=[draw]))
    first = house.life()
    first.say("/画图 猫")
    await within(entered.wait())
    await first.stop()
    second = house.life()
    assert len(second.rows) == 1
    # what it said of being stopped does not count as an answer
    assert second.storage.replies(second.rows[0].id) == []


async def test_what_comes_to_its_section_while_stopping_is_kept(house, matcher, within):
    """It had been taken on before; that it was slow is not its asker's fault."""
    entered, go = asyncio.Event(), asyncio.Event()

    async def draw(m: Matcher):
        entered.set()
        await go.wait()
        async with track("image"):
            pass

    matcher(on_command("画图", handlers=[draw]))
    first = house.life()
    first.say("/画图 猫")
    await within(entered.wait())
    assert first.rows == []
    first.begin_shutdown()
    go.set()
    await first.ended()
    await first.stop()
    second = house.life()
    assert len(second.rows) == 1
    entered.clear()
    await second.connect()
    await within(entered.wait())
    await within(until(lambda: second.rows == []))


async def until(condition):
    """Wait for what no event tells of."""
    while not condition():
        await asyncio.sleep(0.001)
