"""``/graceful drain``: what is at hand is done, and no new AI work begins; until ``resume``.

Decided: who may not begin is told by ``Refused``, an ordinary exception, for the bot runs on and so
does he. What a queue worker takes up while drained is new work, whoever started the worker and when.
"""

import asyncio
import gc
import warnings

import pytest

import nonebot_plugin_graceful as graceful
from nonebot_plugin_graceful import retry, spawn, tasks, track

PAUSED = "机器人暂时不接新的 AI 任务，请稍后再试。"


class Worker:
    """A queue worker as most are written: it shrugs off failed jobs, but not its cancellation."""

    def __init__(self, work):
        self.jobs = asyncio.Queue()
        self.done = []
        self.failed = []
        self.changed = asyncio.Event()
        self._work = work

    async def run(self):
        while True:
            job = await self.jobs.get()
            try:
                await self._work(job)
                self.done.append(job)
            except Exception as error:
                self.failed.append((job, type(error).__name__))
            self.changed.set()

    async def do(self, *jobs):
        """Have jobs done; wait until each was, or failed."""
        for job in jobs:
            self.changed.clear()
            self.jobs.put_nowait(job)
            await asyncio.wait_for(self.changed.wait(), 10)


async def draw(_job):
    async with track("image"):
        await asyncio.sleep(0)


async def test_a_refused_section_raises_refused(drain, resume):
    """An ``Exception`` and no ``CancelledError``; nothing stays behind of it."""
    await drain()
    with pytest.raises(Exception) as raised:
        await draw(1)
    assert type(raised.value) is graceful.Refused
    assert not isinstance(raised.value, asyncio.CancelledError)
    assert str(raised.value)
    assert tasks() == []
    await resume()
    await draw(2)


async def test_a_refused_request_raises_refused_and_does_not_leave(
    clients, drain, resume, service, within
):
    """``http_client``: the service never hears of it."""
    client = clients("image")
    await drain()
    with pytest.raises(Exception) as raised:
        await within(client.get(f"{service.url}/a"))
    assert type(raised.value) is graceful.Refused
    assert service.received == []
    assert tasks() == []
    await resume()
    asking = asyncio.create_task(client.get(f"{service.url}/b"))
    await within(service.arrived(1))
    service.answer()
    assert (await within(asking)).text == "ok"


async def test_a_refused_spawn_raises_refused_and_closes_its_coroutine(drain, resume, within):
    """Where it is called, not in the task; no "never awaited" follows."""
    await drain()
    with warnings.catch_warnings():
        warnings.simplefilter("error", RuntimeWarning)
        with pytest.raises(Exception) as raised:
            spawn(draw(1), kind="image")
        assert type(raised.value) is graceful.Refused
        gc.collect()
    assert tasks() == []
    await resume()
    await within(spawn(draw(2), kind="image"))


@pytest.mark.parametrize("make", [spawn, asyncio.create_task], ids=["spawn", "create_task"])
async def test_a_worker_survives_the_refusal_of_its_job(make, drain, resume):
    """It takes the refusal for a failed job, and works on after ``resume``."""
    worker = Worker(draw)
    task = make(worker.run())
    await worker.do(1)
    await drain()
    await worker.do(2, 3)
    assert not task.done()
    assert worker.failed == [(2, "Refused"), (3, "Refused")]
    await resume()
    await worker.do(4)
    assert worker.done == [1, 4]


async def test_a_worker_survives_the_refusal_of_its_request(
    clients, drain, resume, service, within
):
    """The same with ``http_client`` in the place of ``track``."""
    client = clients("llm")

    async def ask(job):
        await client.get(f"{service.url}/{job}")

    worker = Worker(ask)
    task = spawn(worker.run())
    await drain()
    await worker.do(1)
    assert not task.done()
    assert worker.failed == [(1, "Refused")]
    await resume()
    doing = asyncio.create_task(worker.do(2))
    await within(service.arrived(1))
    service.answer()
    await within(doing)
    assert worker.done == [2]
    assert service.received == ["/2"]


async def test_what_was_queued_is_done_after_resume(drain, resume, settle, until):
    """A worker that waits and tries again loses nothing."""
    done = []
    jobs = asyncio.Queue()

    async def work():
        while True:
            job = await jobs.get()
            while True:
                try:
                    await draw(job)
                except Exception:
                    await asyncio.sleep(0.001)
                else:
                    break
            done.append(job)

    task = spawn(work())
    await drain()
    for job in range(3):
        jobs.put_nowait(job)
    await settle(0.01)
    assert done == []
    assert not task.done()
    await resume()
    await until(lambda: len(done) == 3)
    assert done == [0, 1, 2]


async def test_a_job_for_a_request_that_came_after_the_drain_is_refused(chat, drain):
    """``track(event=…)``: it is that request's work, however old the worker is."""
    before = chat.message("draw", user=1)

    async def work(event):
        async with track("image", event=event):
            await asyncio.sleep(0)

    worker = Worker(work)
    spawn(worker.run())
    await worker.do(before)
    await drain()
    after = chat.message("draw", user=2)
    await worker.do(after)
    assert worker.done == [before]
    assert worker.failed == [(after, "Refused")]


async def test_who_is_queued_when_the_drain_begins_gets_his_place(
    chat, drain, ended, kinds, on, until
):
    """He was taken on before: he belongs to what is at hand."""
    kinds(image={"limit": 1})
    go, drawn = asyncio.Event(), []

    async def handler(event):
        async with track("image"):
            await go.wait()
            drawn.append(event.user_id)

    on(handler, text="draw")
    first = chat.hear(chat.message("draw", user=1))
    await until(lambda: [info.state for info in tasks()] == ["running"])
    second = chat.hear(chat.message("draw", user=2))
    await until(lambda: "queued" in [info.state for info in tasks()])
    await drain()
    go.set()
    await ended(first, second)
    assert drawn == [1, 2]


# -- jobs


async def test_a_refused_job_is_not_logged_as_an_error(
    drain, log, resume, scheduler, settle, until
):
    """No line of level ERROR, no traceback; and at its next run after ``resume`` it does its work."""
    tried, done = [], []

    async def report():
        tried.append(1)
        async with track("llm"):
            done.append(1)

    await drain()
    scheduler.add_job(report, id="report", misfire_grace_time=None)
    await until(lambda: tried and not tasks())
    await settle()  # APScheduler logs it in a callback
    assert done == []
    assert log.errors == []
    await resume()
    scheduler.add_job(report, id="report", misfire_grace_time=None)
    await until(lambda: done)
    assert log.errors == []


async def test_a_job_that_fails_while_drained_is_still_logged_as_an_error(
    drain, log, scheduler, within
):
    """Only refusals are spared."""

    async def breaks():
        raise KeyError("broken")

    await drain()
    scheduler.add_job(breaks, misfire_grace_time=None)
    line = await within(log.wait_for("raised an exception"))
    assert line.has_traceback


async def test_a_job_that_does_no_ai_work_runs_as_always(drain, scheduler, within):
    """A drain is not for it."""
    ran = asyncio.Event()

    async def job():
        await asyncio.sleep(0)
        ran.set()

    await drain()
    scheduler.add_job(job, misfire_grace_time=None)
    await within(ran.wait())


# -- matchers


@pytest.mark.parametrize("priorities", [(5, 5), (5, 6), (6, 5)], ids=["beside", "after", "before"])
async def test_a_matcher_that_does_no_ai_work_runs_as_always(priorities, chat, drain, ended, on):
    """Beside, after or before one whose AI work for the same event is refused."""
    ai_priority, priority = priorities
    ran = []

    async def ai():
        await draw(1)
        ran.append("ai")

    async def counts():
        await asyncio.sleep(0)
        ran.append("counted")

    on(ai, text="hi", priority=ai_priority)
    on(counts, text="hi", priority=priority)
    await drain()
    await ended(chat.hear(chat.message("hi")))
    assert ran == ["counted"]


async def test_a_matcher_that_starts_slowly_is_not_dropped_for_anothers_refusal(
    chat, drain, ended, on
):
    """Its rule still thinks when the AI work of the one beside it is refused."""
    refused, ran = asyncio.Event(), []

    async def ai():
        try:
            await draw(1)
        finally:
            refused.set()

    async def thinks():
        await refused.wait()
        await asyncio.sleep(0)
        return True

    async def counts():
        ran.append("counted")

    on(ai, text="hi")
    on(counts, text="hi", rule=thinks)
    await drain()
    await ended(chat.hear(chat.message("hi")))
    assert ran == ["counted"]


async def test_a_refused_matcher_that_blocks_still_blocks(chat, drain, ended, on):
    """Who would not have run, does not run in its place."""
    ran = []

    async def ai():
        await draw(1)

    async def stand_in():
        ran.append("stand-in")

    on(ai, text="hi", block=True)
    on(stand_in, text="hi", priority=6)
    await drain()
    await ended(chat.hear(chat.message("hi")))
    assert ran == []


async def test_who_asks_is_told_once_and_the_log_holds_no_traceback(
    chat, drain, ended, log, on, settle
):
    """A refusal is no failure of the plugin's."""

    async def ai():
        await draw(1)

    on(ai, text="hi")
    await drain()
    await ended(chat.hear(chat.message("hi", user=3)))
    await ended(chat.hear(chat.message("hi", user=4)))
    await settle()  # it is told in a task of its own
    assert [said for said in chat.said if said[0] in (3, 4)] == [(3, PAUSED), (4, PAUSED)]
    assert log.errors == []


async def test_a_handler_that_catches_the_refusal_may_answer_by_itself(chat, drain, ended, on):
    """``except Exception`` is enough, and its answer is sent."""

    async def ai(bot, event):
        try:
            await draw(1)
        except Exception as error:
            await bot.send(event, f"sorry: {type(error).__name__}")

    on(ai, text="hi")
    await drain()
    await ended(chat.hear(chat.message("hi", user=3)))
    assert (3, "sorry: Refused") in chat.said


async def test_a_refusal_is_not_retried(drain):
    """``@retry`` gives it on at once: nothing but the operator can change it."""
    attempts = []

    @retry
    async def ask():
        attempts.append(1)
        await draw(1)

    await drain()
    with pytest.raises(Exception) as raised:
        await ask()
    assert type(raised.value) is graceful.Refused
    assert attempts == [1]
