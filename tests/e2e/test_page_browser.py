"""The page in a real browser. Skipped where there is no chromium: ``GRACEFUL_CHROMIUM`` tells of one."""

import asyncio
import os
import re
import shutil
import signal
from contextlib import asynccontextmanager

import pytest
from playwright.async_api import async_playwright, expect

from examples.sandbox import HANG

CHROMIUM = os.environ.get("GRACEFUL_CHROMIUM") or next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None
)
pytestmark = [
    pytest.mark.skipif(CHROMIUM is None, reason="no chromium here: apt-get install chromium"),
    # a browser takes what there is of a small machine
    pytest.mark.xdist_group("browser"),
]

expect.set_options(timeout=20_000)  # five seconds are few for a browser beside other tests

TOKEN = "a-token-of-the-tests"
OPERATOR = 999
SETTINGS = {"graceful_page_token": TOKEN, "command_start": ["/"], "superusers": [str(OPERATOR)]}
PHONE, DESKTOP = {"width": 360, "height": 740}, {"width": 1100, "height": 800}
EVIL = "<img src=x onerror=alert(1)>"
PLUGIN = """
from mark import mark
from nonebot import get_driver, on_command
from nonebot_plugin_graceful import http_client, spawn, track

URL = get_driver().config.ai_base_url
client = http_client(kind="llm")


@on_command("draw").handle()
@track("image", name="<b>draw</b>")
async def _():
    await client.post(f"{URL}/images/generations", json={})


async def search():
    await client.post(f"{URL}/search", json={})


@on_command("ask").handle()
@track("handler", name="ask")
async def _():
    await spawn(search(), kind="llm", name="search")


@on_command("deaf").handle()
async def _():
    import asyncio
    mark("deaf")
    while True:
        try:
            await asyncio.sleep(60)
        except BaseException:
            pass
"""


@pytest.fixture
async def browser():
    """Start a browser."""
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(
            executable_path=CHROMIUM, args=["--no-sandbox", "--disable-dev-shm-usage"]
        )
        yield browser
        await browser.close()


@pytest.fixture
async def bot(bot_factory, tmp_path, api):
    """A bot with the page, whose plugin has the name of an attack."""
    api.on("/v1/*", HANG)
    file = tmp_path / f"{EVIL}.py"
    file.write_text(PLUGIN, encoding="utf-8")
    return await bot_factory(file, settings=SETTINGS)


@pytest.fixture
async def opened(browser, bot):
    """Give what opens the page for a while, and fails if the page has errors."""

    @asynccontextmanager
    async def opened(*, token=TOKEN, viewport=DESKTOP, locale="en-US", scheme="light"):
        context = await browser.new_context(
            viewport=viewport, locale=locale, color_scheme=scheme, reduced_motion="reduce"
        )
        page = await context.new_page()
        page.set_default_timeout(20_000)
        wrong = []
        page.on("console", lambda line: wrong.append(line.text) if line.type == "error" else None)
        page.on("pageerror", lambda error: wrong.append(str(error)))
        page.on("dialog", lambda dialog: wrong.append(f"alert: {dialog.message}"))
        await page.goto(f"http://127.0.0.1:{bot.port}/graceful")
        await page.fill("#token", token)
        await page.keyboard.press("Enter")
        if token == TOKEN:
            await page.wait_for_selector("#app:not([hidden])")
        yield page
        if token == TOKEN and not page.gone:
            assert wrong == []
        await context.close()

    return opened


@pytest.fixture(autouse=True)
def gone(monkeypatch):
    """Whether a bot was stopped under a page, which then has errors of its network to tell."""
    from playwright.async_api import Page

    monkeypatch.setattr(Page, "gone", False, raising=False)


async def confirm(page):
    """Say yes."""
    await expect(page.locator("#ask")).to_be_visible()
    await page.click("#yes")


def rows(page, text=""):
    """Give the rows of the tree that contain a text."""
    return page.locator("#tree .row").filter(has_text=text)


async def test_three_requests_are_seen_to_grow_and_one_is_cancelled(opened, onebot, api):
    """The service sees its call end, and the others go on."""
    for user in (101, 102, 103):
        await onebot.say(user, "/draw", group=5)
    await api.wait_for_requests(3)
    async with opened() as page:
        await expect(page.locator("#count")).to_have_text("3")
        await expect(rows(page, "user 102 @ 5")).to_contain_text("waits for 127.0.0.1")
        age = page.locator(".age").first
        width = "e => parseFloat(e.style.width)"
        bar = page.locator(".bar i").first
        grown = await bar.evaluate(width)
        before = await age.text_content()  # then: the bar has grown since, whenever the age is new
        await expect(age).not_to_have_text(before)
        assert await bar.evaluate(width) > grown
        await rows(page, "user 102").get_by_role("button", name="Cancel").click()
        await expect(page.locator("#ask_text")).to_contain_text("user 102 @ 5")
        await page.click("#no")
        await expect(page.locator("#count")).to_have_text("3")
        await rows(page, "user 102").get_by_role("button", name="Cancel").click()
        await confirm(page)
        await api.wait_for_disconnects(1)
        await expect(page.locator("#count")).to_have_text("2")
        assert await rows(page, "user 102").count() == 0


async def test_a_kind_and_a_plugin_are_cancelled(opened, onebot, api):
    """Each by its own button."""
    for user in (101, 102):
        await onebot.say(user, "/draw", group=5)
    await api.wait_for_requests(2)
    async with opened() as page:
        await page.get_by_role("button", name="Cancel llm", exact=True).click()
        await confirm(page)
        await api.wait_for_disconnects(2)
        await expect(page.locator("#none")).to_be_visible()
        await onebot.say(103, "/draw", group=5)
        await api.wait_for_requests(3)
        await page.locator("#plugins").get_by_role("button").click()
        await confirm(page)
        await api.wait_for_disconnects(3)


async def test_the_tree_of_a_request_is_unfolded(opened, onebot, api):
    """And folded by its button, which says so."""
    await onebot.say(101, "/ask", group=5)
    await api.wait_for_requests(1)
    async with opened() as page:
        inner = page.locator("#tree ul .row")
        await expect(inner).to_be_visible()
        fold = page.locator(".fold").first
        await fold.click()
        await expect(inner).to_be_hidden()
        await expect(fold).to_have_attribute("aria-expanded", "false")


async def test_it_drains_resumes_and_stops(opened, bot, onebot, api):
    """Each with a question before it."""
    await onebot.say(101, "/draw", group=5)
    await api.wait_for_requests(1)
    async with opened() as page:
        await page.get_by_role("button", name="Drain").click()
        await confirm(page)
        await expect(page.locator("#phase")).to_have_text("Takes on no new work")
        await onebot.say(OPERATOR, "/graceful drain stop 1h", group=5)
        await expect(page.locator("#phase")).to_contain_text("stops when empty · stops in 1 h")
        await page.get_by_role("button", name="Resume").click()
        await confirm(page)
        await expect(page.locator("#phase")).to_have_text("Running")
        page.gone = True
        await page.get_by_role("button", name="Stop").click()
        await confirm(page)
        await api.wait_for_disconnects(1)
        assert await bot.wait() in (0, -signal.SIGTERM)
        await expect(page.locator("#lost")).to_be_visible()


async def test_it_restarts_and_is_found_again(opened, bot, onebot, api):
    """By the page that was open all the while."""
    await onebot.say(101, "/draw", group=5)
    await api.wait_for_requests(1)
    async with opened() as page:
        page.gone = True
        await page.get_by_role("button", name="Restart").click()
        await page.click("#no")
        await expect(page.locator("#phase")).to_have_text("Running")
        await page.get_by_role("button", name="Restart").click()
        await confirm(page)
        await bot.wait_log("Restarting: the same command again")
        onebot.dial(f"ws://127.0.0.1:{bot.port}/onebot/v11/ws")
        await onebot.wait_for_connection(2)
        await expect(page.locator("#last small")).to_contain_text("asked for on the page")
        await expect(page.locator("#lost")).to_be_hidden()
        await expect(page.locator("#phase")).to_have_text("Running")
        assert bot.exit_code is None


async def test_a_wrong_token_is_said_to_be_one(opened):
    """And nothing is shown."""
    async with opened(token="wrong-token") as page:
        await expect(page.locator("#login .error")).to_have_text("That is not the token.")
        await expect(page.locator("#app")).to_be_hidden()


async def test_a_name_is_a_text_whatever_it_contains(opened, onebot, api):
    """A plugin that is called as an attack is shown as one."""
    await onebot.say(101, "/draw", group=5)
    await api.wait_for_requests(1)
    async with opened() as page:
        await expect(page.locator("#plugins")).to_contain_text(EVIL)
        await expect(rows(page, EVIL)).to_be_visible()
        assert await page.locator("img").count() == 1  # the place of the timeline
        assert await page.locator("#tree b").count() == 0


@pytest.mark.parametrize("locale", ["zh-CN", "en-US"])
async def test_it_fits_a_phone(opened, onebot, api, locale):
    """Nothing sticks out, whatever is open; and buttons are large enough for a thumb."""
    await onebot.say(101, "/draw", group=5)
    await onebot.say(102, "/ask", group=5)
    await api.wait_for_requests(2)
    async with opened(viewport=PHONE, locale=locale) as page:
        await page.click("#log summary")
        await expect(page.locator("#log pre")).not_to_be_empty()
        assert await page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]
        for button in await page.locator(".buttons button:visible").all():
            assert (await button.bounding_box())["height"] >= 40
        word = "停机" if locale == "zh-CN" else "Stop"
        await expect(page.get_by_role("button", name=word, exact=True)).to_be_visible()
        assert await page.evaluate("document.documentElement.lang") == locale[:2]


async def test_it_is_dark_for_who_likes_it_so(opened):
    """By what the browser prefers."""
    colours = []
    for scheme in ("light", "dark"):
        async with opened(scheme=scheme) as page:
            colours.append(await page.evaluate("getComputedStyle(document.body).backgroundColor"))
    light, dark = (sum(map(int, colour[4:-1].split(","))) for colour in colours)
    assert dark < 100 < 600 < light


async def test_it_is_used_by_keyboard(opened, onebot, api):
    """Focus stays where it is while the page renews itself; Escape says no, Enter what is focused."""
    await onebot.say(101, "/draw", group=5)
    await api.wait_for_requests(1)
    async with opened() as page:
        button = rows(page).get_by_role("button", name="Cancel")
        await button.focus()
        before = await page.locator(".age").text_content()
        await expect(page.locator(".age")).not_to_have_text(before)
        await expect(button).to_be_focused()
        await page.keyboard.press("Enter")
        await expect(page.locator("#ask")).to_be_visible()
        await page.keyboard.press("Escape")
        await expect(page.locator("#ask")).to_be_hidden()
        await expect(button).to_be_focused()
        await page.keyboard.press("Enter")
        await page.keyboard.press("Tab")
        await expect(page.locator("#yes")).to_be_focused()
        await page.keyboard.press("Enter")
        await api.wait_for_disconnects(1)


async def test_every_control_has_a_name(opened, onebot, api):
    """For who cannot see it."""
    await onebot.say(101, "/ask", group=5)
    await api.wait_for_requests(1)
    async with opened() as page:
        await expect(page.locator("#count")).to_have_text("2")
        for button in await page.locator("button:visible, summary:visible").all():
            name = await button.get_attribute("aria-label") or await button.inner_text()
            assert len(name.strip()) > 1
        await expect(page.get_by_role("status").first).to_have_text("Running")


async def test_it_does_not_ask_while_nobody_looks(opened):
    """And asks at once when somebody does again."""
    hide = """hidden => {
        Object.defineProperty(document, "hidden", {get: () => hidden, configurable: true});
        document.dispatchEvent(new Event("visibilitychange"));
    }"""
    async with opened() as page:
        async with page.expect_request("**/api/state"):
            pass
        await page.evaluate(hide, True)
        await page.wait_for_load_state("networkidle")
        asked = []
        page.on("request", lambda request: asked.append(request.url))
        await asyncio.sleep(3.5)  # two polls long: that nothing happens, nothing tells
        assert asked == []
        async with page.expect_request("**/api/state"):
            await page.evaluate(hide, False)


async def test_the_last_shutdown_is_a_picture(opened, bot, bot_factory, onebot, browser, tmp_path):
    """As wide as there is room, and in words for who cannot see it."""
    await onebot.say(101, "/deaf", group=5)
    await bot.wait_mark("deaf")
    bot.signal(signal.SIGINT)
    await bot.wait()
    report = next(bot.folder.rglob("last_shutdown.json"))
    await onebot.wait_closed()
    again = await bot_factory(settings=SETTINGS, env={"GRACEFUL_REPORT_FILE": str(report)})
    bot.port = again.port
    async with opened(viewport=PHONE) as page:
        await page.click("#last summary")
        picture = page.locator("#picture")
        await expect(picture).to_be_visible()
        await expect(picture).to_have_attribute("alt", re.compile("did not stop"))
        shown, room = await picture.evaluate("e => [e.naturalWidth, e.parentNode.clientWidth]")
        assert 0 < shown <= room
        assert await page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]
