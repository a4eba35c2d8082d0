"""AI work that a rule, a permission, a dependency or a preprocessor awaits, and that is ended.

NoneBot runs each of them as a child of an anyio task group, which takes a child that ends with a
``CancelledError`` for its own doing and goes on without its result.

Decided: the run that awaited the work ends with it, silently; what is refused (a drain) ends it as
any other exception in its place does. Nobody is ever given a value that nobody returned.
"""

import asyncio

import pytest
from nonebot.message import event_preprocessor, run_preprocessor
from nonebot.params import Depends
from nonebot.permission import Permission

from nonebot_plugin_graceful import cancel, spawn, tasks, track

WAYS = ["cancel()", "/graceful cancel", "recall"]


@pytest.fixture
def end(chat):
    """End the LLM work in flight, or the request that it is for."""

    async def end(way, event):
        if way == "cancel()":
            assert [info.kind for info in cancel(kind="llm")] == ["llm"]
        elif way == "/graceful cancel":
            assert "已取消" in await chat.command("/graceful cancel llm")
        elif way == "recall":
            await chat.recall(event)

    return end


@pytest.fixture
def ask(clients, service):
    """AI work that waits for its answer, by the section that it is, or by the request it sends."""

    class Ask:
        def __init__(self):
            self.entered = asyncio.Event()
            self.answer = asyncio.Event()
            self.left = 0
            self.by = "track"
            self._client = clients("llm")

        async def __call__(self):
            if self.by == "http":
                serving = asyncio.create_task(service.arrived(1))
                serving.add_done_callback(lambda _: self.entered.set())
                try:
                    return (await self._client.get(f"{service.url}/chat")).text
                finally:
                    self.left += 1
            try:
                async with track("llm"):
                    self.entered.set()
                    await self.answer.wait()
            finally:
                self.left += 1
            return "answer"

    return Ask()


@pytest.mark.parametrize("by", ["track", "http"])
@pytest.mark.parametrize("way", WAYS)
async def test_a_rule_whose_ai_call_is_ended_does_not_pass(
    way, by, ask, chat, end, ended, on, within
):
    """The handler does not run; neither does the matcher of lower priority that stands in for it."""
    ask.by, ran = by, []

    async def is_meant():
        return bool(await ask())

    async def handler():
        ran.append("handler")

    async def stand_in():
        ran.append("stand-in")

    on(handler, text="hi", rule=is_meant, block=True)
    on(stand_in, text="hi", priority=6)
    event = chat.message("hi")
    handling = chat.hear(event)
    await within(ask.entered.wait())
    await end(way, event)
    await ended(handling)
    assert ask.left == 1
    assert ran == []
    assert tasks() == []


@pytest.mark.parametrize("by", ["track", "http"])
@pytest.mark.parametrize("way", WAYS)
async def test_a_handler_whose_dependency_is_ended_does_not_run(
    way, by, ask, chat, end, ended, on, within
):
    """It is not called with NoneBot's own ``DependsInner`` for a value, nor with anything else."""
    ask.by, given = by, []

    async def handler(value: str = Depends(ask.__call__)):
        given.append(value)

    on(handler, text="hi")
    event = chat.message("hi")
    handling = chat.hear(event)
    await within(ask.entered.wait())
    await end(way, event)
    await ended(handling)
    assert ask.left == 1
    assert given == []
    assert tasks() == []


@pytest.mark.parametrize("way", WAYS)
async def test_the_dependency_of_a_dependency_ends_them_both(
    way, ask, chat, end, ended, on, within
):
    """Neither the dependency in between nor the handler is called."""
    given = []

    async def between(value: str = Depends(ask.__call__)):
        given.append(("between", value))
        return value

    async def handler(value: str = Depends(between)):
        given.append(("handler", value))

    on(handler, text="hi")
    event = chat.message("hi")
    handling = chat.hear(event)
    await within(ask.entered.wait())
    await end(way, event)
    await ended(handling)
    assert given == []


async def test_the_dependency_of_a_rule_ends_the_rule(ask, chat, ended, on, within):
    """The rule is not called, and does not pass."""
    given = []

    async def is_meant(value: str = Depends(ask.__call__)):
        given.append(("rule", value))
        return True

    async def handler():
        given.append(("handler", None))

    on(handler, text="hi", rule=is_meant)
    handling = chat.hear(chat.message("hi"))
    await within(ask.entered.wait())
    cancel(kind="llm")
    await ended(handling)
    assert given == []


async def test_a_dependency_without_a_name_ends_the_run(ask, chat, ended, on, within):
    """``parameterless=[Depends(…)]`` is awaited for what it does; the handler does not run."""
    ran = []

    async def handler():
        ran.append(1)

    matcher = on(text="hi")
    matcher.handle(parameterless=[Depends(ask.__call__)])(handler)
    handling = chat.hear(chat.message("hi"))
    await within(ask.entered.wait())
    cancel(kind="llm")
    await ended(handling)
    assert ran == []


@pytest.mark.parametrize("made_by", ["create_task", "spawn", "gather"])
@pytest.mark.parametrize("where", ["rule", "dependency"])
async def test_who_awaits_ended_work_in_another_task_ends_as_well(
    where, made_by, ask, chat, ended, on, within
):
    """A rule or a dependency that awaits a task of its own making; the handler does not run."""
    ran = []

    async def awaits():
        if made_by == "create_task":
            return await asyncio.create_task(ask())
        if made_by == "gather":
            return (await asyncio.gather(ask(), asyncio.sleep(0)))[0]
        return await spawn(ask(), kind="llm")

    async def handler():
        ran.append("handler")

    async def depending(value: str = Depends(awaits)):
        ran.append(value)

    if where == "rule":
        on(handler, text="hi", rule=awaits)
    else:
        on(depending, text="hi")
    handling = chat.hear(chat.message("hi"))
    await within(ask.entered.wait())
    assert cancel(kind="llm") != []
    await ended(handling)
    assert ask.left == 1
    assert ran == []


async def test_a_permission_whose_ai_call_is_ended_grants_nothing(ask, chat, ended, on, within):
    """The handler does not run, although another checker would have granted it in the end."""
    ran = []

    async def is_trusted():
        return bool(await ask())

    async def is_anybody():
        return True

    async def handler():
        ran.append(1)

    on(handler, text="hi", permission=Permission(is_trusted, is_anybody))
    handling = chat.hear(chat.message("hi"))
    await within(ask.entered.wait())
    cancel(kind="llm")
    await ended(handling)
    assert ran == []


@pytest.mark.parametrize("hook", [event_preprocessor, run_preprocessor])
async def test_a_preprocessor_whose_ai_call_is_ended_lets_nothing_pass(
    hook, ask, chat, ended, on, within
):
    """A moderator that asks an AI was cut off before it had judged: the handler does not run."""
    ran = []

    async def handler():
        ran.append(1)

    async def moderate(event):
        if event.get_plaintext() == "hi":
            await ask()

    hook(moderate)
    on(handler, text="hi")
    handling = chat.hear(chat.message("hi"))
    await within(ask.entered.wait())
    assert cancel(kind="llm") != []
    await ended(handling)
    assert ran == []
    assert tasks() == []


@pytest.mark.parametrize("where", ["rule", "dependency"])
async def test_a_shutdown_lets_no_handler_run_that_awaited_ai_work(
    where, ask, begin_shutdown, chat, ended, on, within
):
    """At SIGINT as at a cancel, though the run itself has a grace in which it could go on."""
    ran = []

    async def is_meant():
        return bool(await ask())

    async def handler():
        ran.append("handler")

    async def depending(value: str = Depends(ask.__call__)):
        ran.append(value)

    if where == "rule":
        on(handler, text="hi", rule=is_meant)
    else:
        on(depending, text="hi")
    handling = chat.hear(chat.message("hi"))
    await within(ask.entered.wait())
    outcome = await begin_shutdown("SIGINT", grace=5)
    await ended(handling)
    assert ran == []
    assert "llm" in [info.kind for info in outcome.stopped]
    assert outcome.refused == []


@pytest.mark.parametrize("where", ["rule", "dependency"])
async def test_ai_work_that_times_out_lets_no_handler_run(where, ask, chat, ended, kinds, on):
    """A kind's ``timeout`` ends a rule or a dependency like any other error."""
    kinds(llm={"timeout": 0.01})
    ran = []

    async def is_meant():
        return bool(await ask())

    async def handler():
        ran.append("handler")

    async def depending(value: str = Depends(ask.__call__)):
        ran.append(value)

    if where == "rule":
        on(handler, text="hi", rule=is_meant)
    else:
        on(depending, text="hi")
    await ended(chat.hear(chat.message("hi")))
    assert ask.left == 1
    assert ran == []
    assert tasks() == []


async def test_a_run_that_times_out_in_its_dependency_gets_no_garbage(ask, chat, ended, kinds, on):
    """The ``timeout`` of the handler's own kind counts its dependencies; the handler does not run."""
    kinds(handler={"timeout": 0.2})
    given = []

    async def handler(value: str = Depends(ask.__call__)):
        given.append(value)

    on(handler, text="hi")
    await ended(chat.hear(chat.message("hi")))
    assert given == []


@pytest.mark.parametrize("by", ["track", "http"])
@pytest.mark.parametrize("where", ["rule", "dependency"])
async def test_refused_ai_work_lets_no_handler_run(
    where, by, ask, chat, drain, ended, on, resume, service, within
):
    """While drained a rule does not pass and a dependency gives no value; after ``resume`` both do."""
    ask.by, ran = by, []

    async def is_meant():
        return bool(await ask())

    async def handler():
        ran.append("handler")

    async def depending(value: str = Depends(ask.__call__)):
        ran.append(value)

    if where == "rule":
        on(handler, text="hi", rule=is_meant)
    else:
        on(depending, text="hi")
    await drain()
    await ended(chat.hear(chat.message("hi")))
    assert ran == []
    assert service.received == []
    await resume()
    handling = chat.hear(chat.message("hi"))
    await within(ask.entered.wait())
    ask.answer.set()
    if by == "http":
        service.answer()
    await ended(handling)
    assert len(ran) == 1


@pytest.mark.parametrize("hook", [event_preprocessor, run_preprocessor])
async def test_a_preprocessor_whose_ai_call_is_refused_lets_nothing_pass(
    hook, ask, chat, drain, ended, on
):
    """What was not judged is not handled."""
    ran = []

    async def handler():
        ran.append(1)

    async def moderate(event):
        if event.get_plaintext() == "hi":
            await ask()

    hook(moderate)
    on(handler, text="hi")
    await drain()
    await ended(chat.hear(chat.message("hi")))
    assert ran == []


# -- others


@pytest.mark.parametrize("way", ["cancel()", "/graceful cancel"])
@pytest.mark.parametrize("where", ["rule", "dependency"])
async def test_another_plugins_handler_of_the_same_event_is_left_alone(
    where, way, ask, chat, end, ended, on, within
):
    """Who stands beside it and does not depend on the ended work runs to its end."""
    entered, go, ran = asyncio.Event(), asyncio.Event(), []

    async def is_meant():
        return bool(await ask())

    async def handler():
        ran.append("handler")

    async def depending(value: str = Depends(ask.__call__)):
        ran.append(value)

    async def other():
        entered.set()
        try:
            await go.wait()
        except asyncio.CancelledError:
            ran.append("the other was cancelled")
            raise
        ran.append("other")

    if where == "rule":
        on(handler, text="hi", rule=is_meant)
    else:
        on(depending, text="hi")
    on(other, text="hi")
    event = chat.message("hi")
    handling = chat.hear(event)
    await within(ask.entered.wait())
    await within(entered.wait())
    await end(way, event)
    go.set()
    await ended(handling)
    assert ran == ["other"]


async def test_another_rule_of_the_same_event_is_left_alone(ask, chat, ended, on, within):
    """Its checker goes on beside the ended one, and its handler runs."""
    entered, go, ran = asyncio.Event(), asyncio.Event(), []

    async def is_meant():
        return bool(await ask())

    async def other_rule():
        entered.set()
        await go.wait()
        return True

    async def handler():
        ran.append("handler")

    async def other():
        ran.append("other")

    on(handler, text="hi", rule=is_meant)
    on(other, text="hi", rule=other_rule)
    handling = chat.hear(chat.message("hi"))
    await within(ask.entered.wait())
    await within(entered.wait())
    cancel(kind="llm")
    go.set()
    await ended(handling)
    assert ran == ["other"]


@pytest.fixture
def sharing(ask, chat, on, within):
    """Two plugins that share a cached dependency, and a third that has nothing to do with it."""

    class Sharing:
        def __init__(self):
            self.given = []
            self.third_ran = False
            self.go = asyncio.Event()

        async def begin(self):
            """Have the three hear an event; gives who solves the dependency, and who waits for it."""
            self.handling = chat.hear(chat.message("hi"))
            await within(ask.entered.wait())
            await asyncio.sleep(0.01)  # the other has come to the cache
            (info,) = [info for info in tasks() if info.kind == "llm"]
            return (info.plugin, "second" if info.plugin == "first" else "first")

    sharing = Sharing()

    async def shared():
        return await ask()

    async def first(value: str = Depends(shared)):
        sharing.given.append(("first", value))

    async def second(value: str = Depends(shared)):
        sharing.given.append(("second", value))

    async def third():
        await sharing.go.wait()
        sharing.third_ran = True

    on(first, text="hi", plugin="first")
    on(second, text="hi", plugin="second")
    on(third, text="hi", plugin="third")
    return sharing


async def test_cancelling_who_solves_a_shared_dependency_gives_the_other_no_garbage(
    ask, ended, sharing
):
    """The other plugin gets the answer, or ends too; the third knows nothing of it."""
    solver, waiter = await sharing.begin()
    assert cancel(plugin=solver) != []
    ask.answer.set()  # for the other, if it asks anew
    sharing.go.set()
    await ended(sharing.handling)
    assert sharing.given in ([], [(waiter, "answer")])
    assert sharing.third_ran


async def test_cancelling_who_waits_for_a_shared_dependency_costs_its_solver_nothing(
    ask, ended, sharing, settle
):
    """It gets its answer, asked but once; who was cancelled does not run."""
    solver, waiter = await sharing.begin()
    assert cancel(plugin=waiter) != []
    await settle()
    ask.answer.set()
    sharing.go.set()
    await ended(sharing.handling)
    assert ask.left == 1
    assert sharing.given == [(solver, "answer")]
    assert sharing.third_ran


async def test_cancelling_a_shared_dependency_gives_nobody_garbage(ask, ended, sharing):
    """``cancel(kind="llm")``: both depend on what was cancelled, and neither is given anything else."""
    _, waiter = await sharing.begin()
    assert cancel(kind="llm") != []
    ask.answer.set()
    sharing.go.set()
    await ended(sharing.handling)
    assert sharing.given in ([], [(waiter, "answer")])
    assert sharing.third_ran


async def test_a_refused_shared_dependency_gives_nobody_garbage(ask, chat, drain, ended, sharing):
    """Both are refused; the third runs."""
    await drain()
    sharing.go.set()
    await ended(chat.hear(chat.message("hi")))
    assert sharing.given == []
    assert sharing.third_ran


async def test_another_request_through_the_same_dependency_is_left_alone(
    ask, chat, ended, on, within
):
    """Each event has its own cache: the one recalled ends, the other gets its answer."""
    given = []

    async def handler(event, value: str = Depends(ask.__call__)):
        given.append((event.user_id, value))

    on(handler, text="hi")
    recalled = chat.message("hi", user=1)
    first = chat.hear(recalled)
    await within(ask.entered.wait())
    ask.entered.clear()
    second = chat.hear(chat.message("hi", user=2))
    await within(ask.entered.wait())
    await chat.recall(recalled)
    await ended(first)
    ask.answer.set()
    await ended(second)
    assert given == [(2, "answer")]
