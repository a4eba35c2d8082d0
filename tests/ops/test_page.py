"""The page: who may see it, what it tells, and that it is one file that runs nothing else's code."""

import asyncio
import json
import re
from types import SimpleNamespace

import pytest
from loguru import logger
from nonebot.drivers import Request

from nonebot_plugin_graceful.config import Config
from nonebot_plugin_graceful.core.lifecycle import Lifecycle
from nonebot_plugin_graceful.ops import page
from nonebot_plugin_graceful.ops.page import access
from nonebot_plugin_graceful.ops.page.access import Access
from nonebot_plugin_graceful.ops.page.actions import Actions, TooLateError
from nonebot_plugin_graceful.ops.page.lines import without_chats
from nonebot_plugin_graceful.ops.page.state import State
from nonebot_plugin_graceful.ops.page.usual import Usual

TOKEN = "correct-horse-battery"


@pytest.fixture
def refusal(monkeypatch):
    """Ask with a token; gives the status, or None if it is let in."""
    monkeypatch.setattr(access, "PENALTY", 0.0)
    guard = Access(TOKEN, Lifecycle())

    async def refusal(token, address="192.0.2.1"):
        access._address.set(access._group(address))
        headers = {} if token is None else {"Authorization": f"Bearer {token}"}
        answer = await guard.refuse(Request("GET", "http://bot/", headers=headers))
        return answer.status_code if answer is not None else None

    return refusal


@pytest.mark.parametrize("token", [None, "", "wrong", TOKEN + "x", TOKEN[:-1], "é", "\udcff"])
async def test_who_has_not_the_token_is_refused(refusal, token):
    """And who has it, is not."""
    assert await refusal(token) == 401
    assert await refusal(TOKEN) is None


async def test_after_ten_wrong_tokens_an_address_waits(refusal):
    """Also with the right one, which says nothing then; others do not."""
    for _ in range(10):
        assert await refusal("wrong") == 401
    assert await refusal("wrong") == 429
    assert await refusal(TOKEN) == 429
    assert await refusal(TOKEN, "192.0.2.2") is None


async def test_after_a_minute_it_may_try_again(refusal, monkeypatch):
    """The oldest failure counts no more."""
    for _ in range(10):
        await refusal("wrong")
    later = access.time.monotonic() + access.PERIOD
    monkeypatch.setattr(access.time, "monotonic", lambda: later)
    assert await refusal(TOKEN) is None


@pytest.fixture
def sent():
    """Send something through what stands in front; gives what came of it."""

    async def sent(path, content, **scope):
        heard, said = [], []

        async def app(scope, receive, send):
            heard.append((await receive())["body"])
            await send({"type": "http.response.start", "status": 200})

        async def receive():
            return {"type": "http.request", "body": content, "more_body": False}

        async def send(message):
            said.append(message.get("status"))

        front = access._Front(app, ["/graceful", "/graceful/api/do"])
        await front({"type": "http", "path": path, **scope}, receive, send)
        return said[0], heard

    return sent


@pytest.mark.parametrize("before", ["", "/", "/bots/1", "/bots/1/"])
async def test_what_is_too_long_is_refused_behind_any_proxy(sent, before):
    """Whatever that has put before the path; what is short enough comes through whole."""
    path = f"{before.rstrip('/')}/graceful/api/do"
    assert await sent(path, b"x" * 4097, root_path=before) == (413, [])
    assert await sent(path, b"x" * 4096, root_path=before) == (200, [b"x" * 4096])


@pytest.mark.parametrize("path", ["/", "/graceful/x", "/onebot/v11/http", "/api/do"])
async def test_what_others_are_sent_is_none_of_our_business(sent, path):
    """However long it is."""
    assert await sent(path, b"x" * 10_000) == (200, [b"x" * 10_000])


async def test_a_network_of_ipv6_is_one_address(refusal):
    """Its owner has 2**64 of them."""
    for number in range(10):
        await refusal("wrong", f"2001:db8:1:2::{number}")
    assert await refusal(TOKEN, "2001:db8:1:2::abcd") == 429
    assert await refusal(TOKEN, "2001:db8:1:3::1") is None


async def test_no_more_addresses_are_remembered_than_there_is_room_for(refusal, monkeypatch):
    """The oldest is forgotten."""
    monkeypatch.setattr(access, "ADDRESSES", 2)
    for address in ("192.0.2.1", "192.0.2.2", "192.0.2.3"):
        for _ in range(10):
            await refusal("wrong", address)
    assert await refusal(TOKEN, "192.0.2.1") is None
    assert await refusal(TOKEN, "192.0.2.3") == 429


async def test_a_wrong_token_costs_time(within, monkeypatch):
    """Unless the bot is being stopped: nobody is to wait for it."""
    assert access.PENALTY > 0.1
    monkeypatch.setattr(access, "PENALTY", 3600.0)
    lifecycle = Lifecycle()
    guard = Access(TOKEN, lifecycle)
    request = Request("GET", "http://bot/", headers={"Authorization": "Bearer wrong"})
    asking = asyncio.create_task(guard.refuse(request))
    done, _ = await asyncio.wait([asking], timeout=0.1)
    assert not done
    lifecycle.begin("SIGINT")
    lifecycle.announce()
    assert (await within(asking)).status_code == 401


async def test_a_wrong_token_is_logged_without_it(refusal):
    """With the address."""
    lines = []
    sink = logger.add(lines.append)
    await refusal("my-real-token-of-elsewhere")
    logger.remove(sink)
    assert any("wrong token, by 192.0.2.1" in line for line in lines)
    assert not any("elsewhere" in line for line in lines)


def test_it_is_one_small_file():
    """That loads nothing from anywhere."""
    text = page.FILE.read_text("utf-8")
    assert len(text.encode()) <= 40_000
    assert not re.search(r"""(?:src|href)\s*=\s*["'](?!data:,)""", text)
    assert not re.search(r"https?://|@import|url\(", text)


def test_it_makes_no_html_of_data():
    """Whatever is shown is text: no name can be an element, and there is no inline handler."""
    text = page.FILE.read_text("utf-8")
    for word in ("innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval("):
        assert word not in text
    assert not re.search(r"<[^>]*\son\w+\s*=", text)
    assert not re.search(r"<[^>]*\sstyle\s*=", text.partition("<script>")[0])


def test_each_language_says_everything():
    """What there is in Chinese, there is in English."""
    text = page.FILE.read_text("utf-8")
    zh, en = (text.partition(f"const {name} = {{")[2].partition("\n};")[0] for name in ("ZH", "EN"))
    bare = [re.sub(r'"[^"]*"|`[^`]*`', "", part) for part in (zh, en)]
    keys = [set(re.findall(r"(\w+):", part)) for part in bare]
    assert keys[0] == keys[1]
    used = set(re.findall(r'data-t="(\w+)"', text)) | set(re.findall(r"\bT\.(\w+)", text))
    assert used <= keys[0]


def test_its_policy_allows_what_is_in_it_and_nothing_else():
    """By hash."""
    policy = page._policy("<style>a</style><script>b</script>")
    assert "default-src 'none'" in policy and "unsafe" not in policy
    assert re.search(r"script-src 'sha256-[\w+/]{43}='; style-src 'sha256-[\w+/]{43}=';", policy)


def test_a_log_is_told_without_what_is_said_in_chats():
    """However an adapter tells of an event, and how many lines it has."""
    log = """\
01-02 03:04:05 [INFO] nonebot | OneBot V11 | Bot 10000 connected
01-02 03:04:05 [SUCCESS] nonebot | OneBot V11 10000 | [message.group.normal]: Message 1 from 2@[群:3] 'hush'
01-02 03:04:05 [SUCCESS] nonebot | Satori chronocat | hush
second line of hush
01-02 03:04:05 [INFO] nonebot | Event will be handled by Matcher(type='message')
01-02 03:04:05 [ERROR] nonebot | Running Matcher failed
Traceback (most recent call last):
2026-01-02T03:04:05 SUCCESS bot [message.private.friend]: hush
"""
    lines = list(without_chats(log))
    assert not any("hush" in line for line in lines)
    assert lines[0].endswith("Bot 10000 connected")
    assert lines[1].endswith("10000 | [message.group.normal] …")
    assert "Traceback (most recent call last):" in lines
    assert len(lines) == 7


def test_what_is_usual_is_learnt(monkeypatch):
    """From what came to a good end."""
    from nonebot_plugin_graceful.core.kinds import Kind
    from nonebot_plugin_graceful.core.work import Section, Work
    from nonebot_plugin_graceful.ops.page import usual as module

    usual, work = Usual(), Work(None, None, None, Section(Kind("image")))
    for seconds in range(1, 11):
        monkeypatch.setattr(module, "seconds_worked", lambda _, s=seconds: float(s))
        usual.ended(Section(Kind("image")), work, "done")
        usual.ended(Section(Kind("llm")), work, "failed")
    assert usual.of("image") == 10
    assert usual.of("llm") is None


@pytest.mark.parametrize(
    "content", [b"", b"[]", b"nonsense", b"[" * 4000, None, b'"\\ud800"', b"\xff"], ids=range(7)
)
def test_what_is_no_order_is_refused(content):
    """With a word, not with a traceback."""
    with pytest.raises(ValueError):
        page._order(content)


@pytest.fixture
def actions(fresh_plugin):
    """What the buttons do, with a journal in which there is one request."""
    from nonebot_plugin_graceful import _process

    struck = []
    journal = SimpleNamespace(waiting=lambda: [SimpleNamespace(id=1)], strike_out=struck.append)
    made = Actions(_process, journal)
    made.struck = struck
    return made


@pytest.mark.parametrize("possible", [True, False])
def test_a_restart_is_offered_where_it_can_be_done(fresh_plugin, monkeypatch, possible):
    """Else there is no button, and no such order."""
    from nonebot_plugin_graceful import _process

    monkeypatch.setattr(_process.restarting, "possible", possible)
    actions = Actions(_process, None)
    assert ("restart" in actions.names()) is possible
    if not possible:
        with pytest.raises(ValueError):
            actions.do({"action": "restart"})


async def test_true_is_no_number(actions):
    """Though Python takes it for 1."""
    for order in ({"action": "cancel", "id": True}, {"action": "forget", "id": True}):
        with pytest.raises(ValueError):
            actions.do(order)
    assert actions.struck == []
    assert actions.do({"action": "forget", "id": 1}) == {"forgotten": 1}


@pytest.mark.parametrize("action", ["drain", "resume", "stop", "restart"])
async def test_of_a_bot_that_is_being_stopped_nothing_is_changed(actions, action):
    """Two operators press at once: the second one hears that it is too late."""
    from nonebot_plugin_graceful import _process

    _process.tree.lifecycle.begin("SIGINT")
    with pytest.raises(TooLateError):
        actions.do({"action": action})
    assert not _process.tree.admission.refusing
    assert actions.do({"action": "cancel", "kind": "image"}) == {"cancelled": 0}


async def test_a_name_is_told_from_its_authors_to_the_requests(fresh_plugin, tmp_path):
    """Each once; and no longer than a name is."""
    from nonebot_plugin_graceful import _process, track

    journal = SimpleNamespace(storage=SimpleNamespace(file=tmp_path / "none.db"))
    state = State(_process, journal, lambda: None, Usual(), list)
    async with (
        track("image", name="a cat"),
        track("llm", name="POST /v1"),
        track("x", name="a cat"),
    ):
        (shown,) = state.now()["works"]
        assert shown["name"] == "a cat · POST /v1"
    async with track("image", name="a cat " * 1000):
        (shown,) = state.now()["works"]
        assert len(shown["name"]) == 200


def test_without_a_token_there_is_no_page():
    """Not even for who asks nicely: nothing is set up."""
    page.install(Config(), None, None, None, None)


def test_an_order_is_an_object():
    """As JSON."""
    assert page._order(json.dumps({"action": "drain"}).encode()) == {"action": "drain"}
