"""A page of what is in flight, what can be done about it, and how the last shutdown went."""

import base64
import hashlib
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

from nonebot.drivers import URL, ASGIMixin, Driver, HTTPServerSetup, Request, Response
from nonebot.log import logger

from nonebot_plugin_graceful.bot.process import Process
from nonebot_plugin_graceful.config import Config
from nonebot_plugin_graceful.journal.requests import Requests
from nonebot_plugin_graceful.ops.last import LastShutdown
from nonebot_plugin_graceful.ops.timeline import CHINESE, ENGLISH, draw, tell

from .access import Access, stand_in_front
from .actions import Actions, TooLateError
from .lines import last_lines
from .state import State
from .usual import Usual

__all__ = ["install"]

FILE = Path(__file__).with_name("page.html")
HEADERS = {
    "Cache-Control": "no-store",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}


def install(
    config: Config, driver: Driver, process: Process, requests: Requests, folder: Path
) -> None:
    """Answer ``GRACEFUL_PAGE_PATH``, if there is a token and the driver is a server."""
    path = config.graceful_page_path.rstrip("/")
    if not config.graceful_page_token or not config.graceful_page_path:
        return
    if not isinstance(driver, ASGIMixin):
        logger.warning(f"GRACEFUL_PAGE_PATH: {driver.type} is no server, so {path} is not there")
        return
    page = _Page(config, process, requests, folder)
    paths: list[str] = []
    for method, below, name, answer in (
        ("GET", "", "page", page.html),
        ("GET", "/", "page with a slash", page.html),
        ("GET", "/api/state", "state", page.state),
        ("GET", "/api/last", "last shutdown", page.last),
        ("GET", "/api/log", "log", page.log),
        ("POST", "/api/do", "orders", page.do),
    ):
        paths.append(f"{path}{below}")
        if paths[-1]:  # the root of a server is a slash
            url = URL(paths[-1])
            driver.setup_http_server(HTTPServerSetup(url, method, f"graceful {name}", answer))
    stand_in_front(driver, paths)


class _Page:
    """The page and what it asks for.

    Args:
        config: The settings.
        process: Of the bot.
        requests: The journal's.
        folder: The plugin's data folder.

    """

    def __init__(self, config: Config, process: Process, requests: Requests, folder: Path) -> None:
        self._access = Access(config.graceful_page_token, process.tree.lifecycle)
        self._last = LastShutdown(process.report_file)
        self._actions = Actions(process, requests)
        usual = Usual()
        process.tree.world.meters.append(usual)
        self._state = State(process, requests, self._last, usual, self._actions.names)
        self._folder = folder if config.graceful_log_buffer else None
        self._html = FILE.read_text("utf-8")
        self._html_headers = {
            **HEADERS,
            "Content-Type": "text/html; charset=utf-8",
            "Content-Security-Policy": _policy(self._html),
        }

    async def html(self, _: Request) -> Response:
        """Give the page, in which nothing is told."""
        return Response(200, headers=self._html_headers, content=self._html)

    async def state(self, request: Request) -> Response:
        """Tell what is in flight."""
        return await self._answer(request, self._state.now)

    async def log(self, request: Request) -> Response:
        """Tell what the console has shown last; ``null``: that is not kept."""
        folder = self._folder
        return await self._answer(request, lambda: folder and {"lines": last_lines(folder)})

    async def last(self, request: Request) -> Response:
        """Draw the last shutdown; ``null``: there is none."""

        def drawn() -> object:
            report, query = self._last(), request.url.query
            width = query.get("width", "")
            pixels = min(max(int(width), 280), 1600) if width.isascii() and width.isdigit() else 760
            words = CHINESE if query.get("lang") == "zh" else ENGLISH
            if report is None:
                return None
            svg = draw(report, width=pixels, words=words)
            return {"svg": svg, "words": tell(report, words=words)}

        return await self._answer(request, drawn)

    async def do(self, request: Request) -> Response:
        """Do what a button says."""
        refused = await self._access.refuse(request)
        if refused is not None:
            return refused
        try:
            return _as_json(self._actions.do(_order(request.content)))
        except ValueError as error:
            return _as_json({"wrong": str(error)}, 400)
        except TooLateError:
            return _as_json({"wrong": "it is being stopped"}, 409)

    async def _answer(self, request: Request, look: Callable[[], object]) -> Response:
        refused = await self._access.refuse(request)
        return refused if refused is not None else _as_json(look())


def _order(content: object) -> dict[str, Any]:
    if not isinstance(content, bytes | str):
        raise ValueError("nothing")  # noqa: TRY004 - as what is no JSON at all
    try:
        order = json.loads(content)
    except RecursionError:
        raise ValueError("too deep") from None
    if not isinstance(order, dict):
        raise ValueError("no object")  # noqa: TRY004 - as what is no JSON at all
    return cast("dict[str, Any]", order)


def _as_json(value: object, status: int = 200) -> Response:
    headers = {**HEADERS, "Content-Type": "application/json"}
    # What has no place in UTF-8 may be in a name.
    content = json.dumps(value, ensure_ascii=True, separators=(",", ":"))
    return Response(status, headers=headers, content=content)


def _policy(html: str) -> str:
    """Allow the page what is in it, by its hash, and nothing else."""

    def hashes(tag: str) -> str:
        found = re.findall(f"<{tag}>(.*?)</{tag}>", html, re.DOTALL)
        digests = (base64.b64encode(hashlib.sha256(each.encode()).digest()) for each in found)
        return " ".join(f"'sha256-{digest.decode()}'" for digest in digests)

    return (
        f"default-src 'none'; script-src {hashes('script')}; style-src {hashes('style')};"
        " connect-src 'self'; img-src blob: data:; base-uri 'none'; form-action 'none';"
        " frame-ancestors 'none'"
    )
