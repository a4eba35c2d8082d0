"""Makes the pictures of the page for the README, from a real run: ``uv run python -m docs.pictures.page``.

A real bot, a chat platform and an AI service on loopback, and the chromium that is installed
(``GRACEFUL_CHROMIUM``, else /usr/bin/chromium), with a Chinese font such as fonts-noto-cjk. The
pictures are written beside this file.
"""

import asyncio
import os
import signal
import sys
import tempfile
from pathlib import Path

from playwright.async_api import Browser, Page, async_playwright

from examples.sandbox import HANG, FakeOneBot, FakeOpenAI, Rule
from nonebot_plugin_graceful.core.report import Report, load_report
from nonebot_plugin_graceful.ops.timeline import CHINESE, ENGLISH, draw
from tests.e2e.harness import BotProcess, start_bot

HERE = Path(__file__).parent
CHROMIUM = os.environ.get("GRACEFUL_CHROMIUM", "/usr/bin/chromium")
USUAL = 13
"""Seconds that a picture takes: the longest in flight takes a little more."""
TOKEN = "a-token-of-the-pictures"  # noqa: S105 - of nothing else
PAINTER = """
from nonebot import get_driver, on_command
from nonebot_plugin_graceful import http_client, retry, track

URL = get_driver().config.ai_base_url
client = http_client(kind="image", retries=4)


@on_command("画图").handle()
@track("image", name="一只戴帽子的橘猫")
async def _():
    await client.post(f"{URL}/images/generations", json={"prompt": "a cat"})
"""
CHAT = """
import asyncio
from nonebot import get_driver, on_command
from nonebot_plugin_graceful import http_client, spawn

URL = get_driver().config.ai_base_url
client = http_client(kind="llm")


async def search():
    await client.post(f"{URL}/search", json={})


@on_command("聊天").handle()
async def _():
    await spawn(search(), kind="llm", name="联网搜索")


@on_command("总结").handle()
async def _():
    await client.post(f"{URL}/chat/completions", json={"messages": [{"content": "hi"}]})
"""
DEAF = """
import asyncio
from nonebot import get_driver, on_command


@on_command("翻译").handle()
async def _():
    while True:
        try:
            await asyncio.sleep(60)
        except BaseException:
            pass


@get_driver().on_shutdown
async def save_history():
    await asyncio.sleep(0.35)
"""
PLUGINS = {
    "nonebot_plugin_painter": PAINTER,
    "nonebot_plugin_llmchat": CHAT,
    "nonebot_plugin_translator": DEAF,
}


async def run_bot(folder: Path, onebot: FakeOneBot, api: FakeOpenAI) -> BotProcess:
    """Start the bot of the pictures."""
    files: list[Path] = []
    for name, source in PLUGINS.items():
        files.append(folder / f"{name}.py")
        files[-1].write_text(source, encoding="utf-8")
    settings = {
        "ai_base_url": f"{api.url}/v1",
        "command_start": ["/"],
        "graceful_page_token": TOKEN,
        "graceful_kinds": {"image": {"limit": 2}},
    }
    bot = await start_bot(folder / "bot", onebot, *files, settings=settings)
    await bot.connected()
    return bot


async def learn_what_is_usual(onebot: FakeOneBot, api: FakeOpenAI) -> None:
    """Have a few pictures painted, so that the bot knows how long that takes."""
    api.on("/v1/images/generations", Rule(latency=USUAL))
    before = len(api.requests)
    for user in (20001, 20004, 20006):
        await onebot.say(user, "/画图", group=30001)
    await api.wait_for_requests(before + 3)
    await asyncio.sleep(USUAL + 1)


async def ask_for_things(onebot: FakeOneBot, api: FakeOpenAI) -> None:
    """Have people want something of the bot."""
    before = len(api.requests)
    api.on("/v1/*", HANG)
    api.on("/v1/images/generations", Rule(504, latency=1), HANG)
    for user, group, text in (
        (20001, 30001, "/画图"),
        (20003, 30002, "/翻译"),
        (20002, 30001, "/聊天"),
        (20004, 30001, "/画图"),
        (20005, None, "/总结"),
        (20006, 30002, "/画图"),
    ):
        await onebot.say(user, text, group=group)
        await asyncio.sleep(0.6)
    await api.wait_for_requests(before + 4)
    await asyncio.sleep(6)


def read_report(folder: Path) -> Report:
    """Read the report of the bot's last shutdown, as if the bot's folder were anybody's."""
    report = load_report(next(folder.rglob("last_shutdown.json")))
    assert report is not None
    for span in report.timeline.works:
        span.where = span.where.replace(f"{folder}/bot/", "")
    return report


async def log_in(page: Page, port: int) -> None:
    """Enter the token."""
    await page.goto(f"http://127.0.0.1:{port}/graceful")
    await page.fill("#token", TOKEN)
    await page.click("#login button")
    await page.wait_for_selector("#tree li")
    await page.wait_for_timeout(3500)


async def photograph(browser: Browser, port: int, name: str, **context: object) -> None:
    """Take a picture of the page."""
    kind = await browser.new_context(device_scale_factor=1.5, **context)  # type: ignore[arg-type]
    page = await kind.new_page()
    await log_in(page, port)
    await page.screenshot(path=HERE / f"{name}.png")
    await kind.close()


async def main() -> None:
    """Make them all."""
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        async with FakeOpenAI() as api, FakeOneBot() as onebot, async_playwright() as playwright:
            bot = await run_bot(folder, onebot, api)
            await ask_for_things(onebot, api)
            bot.signal(signal.SIGINT)
            await bot.wait()
            report = read_report(folder)
            for language, words in (("zh", CHINESE), ("en", ENGLISH)):
                svg = draw(report, words=words)
                (HERE / f"timeline.{language}.svg").write_text(svg + "\n", encoding="utf-8")
            await onebot.wait_closed()
            bot = await run_bot(folder, onebot, api)
            await learn_what_is_usual(onebot, api)
            await ask_for_things(onebot, api)
            browser = await playwright.chromium.launch(
                executable_path=CHROMIUM, args=["--no-sandbox"]
            )
            assert bot.port is not None
            desktop, phone = {"width": 980, "height": 800}, {"width": 390, "height": 844}
            pictures = (
                ("page.zh", desktop, "light", "zh-CN"),
                ("page.en", desktop, "light", "en-US"),
                ("phone.zh", phone, "light", "zh-CN"),
                ("phone-dark.zh", phone, "dark", "zh-CN"),
            )
            await asyncio.gather(  # the same moment on all of them
                *(
                    photograph(
                        browser, bot.port, name, viewport=size, color_scheme=scheme, locale=locale
                    )
                    for name, size, scheme, locale in pictures
                )
            )
            await browser.close()
            bot.kill()
            await bot.wait()


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
