"""Nothing that was cancelled or refused lets something else run that would not have run."""

import signal

from examples.sandbox import HANG

from .culprits import WITNESS
from .endings import assert_orderly, paths_since

GUARDED = """
from typing import Annotated

import httpx
from mark import mark
from nonebot import get_driver, on_command, require
from nonebot.adapters import Event
from nonebot.matcher import Matcher
from nonebot.message import event_preprocessor, run_preprocessor
from nonebot.params import Depends
from nonebot.permission import Permission

require("nonebot_plugin_graceful")
from nonebot_plugin_graceful import http_client, spawn, track

base = get_driver().config.ai_base_url
theirs = httpx.AsyncClient(trust_env=False, timeout=None)
ours = http_client(kind="llm", trust_env=False, timeout=None)

@track("llm")
async def tracked(name):
    await theirs.post(f"{base}/{name}")

async def with_our_client(name):
    await ours.post(f"{base}/{name}")

async def in_a_child(name):
    await spawn(tracked(name))

ASK = {"tracked": tracked, "with_our_client": with_our_client, "in_a_child": in_a_child}

def matchers(way, ask):
    def asking(where):
        name = f"{where}_{way}"

        async def asking(event: Event) -> bool:
            if event.get_type() == "message" and event.get_plaintext() == f"/{name}":
                await ask(name)
            return True

        return asking

    def goes_on(matcher, name):
        @matcher.handle()
        async def _():
            mark(f"{name} went on")

    rule = f"rule_{way}"
    goes_on(on_command(rule, rule=asking("rule"), priority=5, block=True), rule)
    goes_on(on_command(rule, priority=6), f"{rule}, at a lower priority,")
    permission = f"permission_{way}"
    goes_on(on_command(permission, permission=Permission(asking("permission"))), permission)
    for where in ("event_preprocessor", "run_preprocessor"):
        goes_on(on_command(f"{where}_{way}"), f"{where}_{way}")
    event_preprocessor(asking("event_preprocessor"))
    run_preprocessor(asking("run_preprocessor"))

    @on_command(f"dependency_{way}").handle()
    async def _(allowed: bool = Depends(asking("dependency"))):
        mark(f"dependency_{way} went on")

    async def outer(inner: bool = Depends(asking("nested"))):
        mark(f"nested_{way} (the outer one) went on")

    @on_command(f"nested_{way}").handle()
    async def _(allowed: Annotated[bool, Depends(outer)]):
        mark(f"nested_{way} went on")

    first = on_command(f"first_{way}")

    @first.handle()
    async def _():
        await ask(f"first_{way}")

    goes_on(first, f"first_{way}, its second handler,")

for way, ask in ASK.items():
    matchers(way, ask)
"""
WAYS = ["tracked", "with_our_client", "in_a_child"]
WHERE = [
    *("rule", "permission", "event_preprocessor", "run_preprocessor"),
    *("dependency", "nested", "first"),
]


async def test_who_waited_for_the_cancelled_does_not_go_on(bot_factory, onebot, api):
    """A rule does not pass, a dependency has no made-up value, no other matcher has its turn."""
    names = [f"{where}_{way}" for where in WHERE for way in WAYS]
    # a handler has a grace, and what it waits for has none
    bot = await bot_factory(WITNESS, GUARDED)
    for name in names:
        api.on(f"/v1/{name}", HANG)
    for user, name in enumerate(names):
        await onebot.say(user + 1, f"/{name}")
    for name in names:
        await api.wait_for_requests(1, f"/v1/{name}")
    signalled = bot.signal(signal.SIGINT)
    await bot.wait()
    assert [line.text for line in bot.marks() if "went on" in line.text] == [], bot.log
    assert paths_since(api, signalled) == []
    assert not bot.find("[ERROR]"), bot.log
    assert_orderly(bot)
