"""The example plugin: what its users read, and how it stops."""

import re
import signal

from examples.sandbox import HANG, Rule
from examples.sandbox.api import CHAT, FILES, IMAGES

from .endings import IN_TIME, PATIENT
from .harness import ROOT

ASSISTANT = ROOT / "examples" / "ai_assistant.py"


async def test_its_three_commands(api, onebot, bot_factory):
    """A question, a picture to look at (also one replied to), a picture to be drawn."""
    await bot_factory(ASSISTANT)
    await onebot.say(1, "/聊天 你好")
    assert "你好" in (await onebot.wait_for_message(lambda sent: sent.chat == ("private", 1))).text
    picture = f"{api.url}/files/cat.png"
    message = await onebot.say(2, "/识图 这是什么", image_url=picture)
    await onebot.wait_for_message(lambda sent: sent.chat == ("private", 2) and "64×64" in sent.text)
    await onebot.say(3, "/识图", group=9, reply_to=message)
    await onebot.wait_for_message(lambda sent: sent.chat == ("group", 9) and "64×64" in sent.text)
    await onebot.say(4, "/画图 猫")
    drawn = await onebot.wait_for_message("[image]")
    assert drawn.params["message"][0]["data"]["file"].startswith("base64://")
    assert api.count(FILES) == 2


async def test_what_it_says_when_something_is_missing_or_fails(api, onebot, bot_factory):
    """Nobody is left without a word."""
    for path in (CHAT, IMAGES, FILES):
        api.on(path, Rule(400))
    await bot_factory(ASSISTANT)
    said = {
        "/聊天": "想聊什么",
        "/画图": "想画什么",
        "/识图": "要看哪张图",
        "/聊天 你好": "没有回应",
        "/画图 猫": "没有回应",
    }
    for user, (text, answer) in enumerate(said.items(), 1):
        await onebot.say(user, text)
        place = ("private", user)
        sent = await onebot.wait_for_message(lambda sent, place=place: sent.chat == place)
        assert answer in sent.text
    await onebot.say(9, "/识图", image_url=f"{api.url}/files/gone.png")
    await onebot.wait_for_message("图片下载失败")


async def in_flight(api, onebot, bot_factory):
    """Start a bot with each command in flight, 画图 between two tries."""
    api.on(CHAT, HANG)
    api.on(FILES, HANG)
    api.on(IMAGES, Rule(503, headers={"Retry-After": "20"}))
    bot = await bot_factory(ASSISTANT, settings=PATIENT)
    await onebot.say(1, "/聊天 你好")
    await onebot.say(2, "/识图", image_url=f"{api.url}/files/cat.png")
    await onebot.say(3, "/画图 猫")
    await api.wait_for_requests(1, CHAT)
    await api.wait_for_requests(1, FILES)
    await bot.wait_log("Retrying POST")
    return bot


async def test_it_stops_wherever_it_is(api, onebot, bot_factory):
    """In each command, also between two tries; and nobody is told of a failure."""
    bot = await in_flight(api, onebot, bot_factory)
    signalled = bot.signal(signal.SIGINT)
    assert await bot.wait() == 0, bot.log
    assert bot.seconds_to_exit < IN_TIME, bot.log
    assert [r for r in api.requests if r.received > signalled] == []
    assert not onebot.sent


async def test_the_summary_counts_what_was_in_flight(api, onebot, bot_factory):
    """By the kind of what they were doing at the signal, also what only waited to try again."""
    bot = await in_flight(api, onebot, bot_factory)
    bot.signal(signal.SIGINT)
    await bot.wait()
    summary = bot.log[bot.log.index("Stopped (SIGINT)") :]
    assert "3 in flight" in summary, bot.log
    assert re.search(r"image +1\n", summary), summary
    assert re.search(r"llm +2\n", summary), summary
