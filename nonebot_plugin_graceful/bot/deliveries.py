"""What platforms would send us while the bot stops: it is left with those that keep it."""

import asyncio
from collections.abc import Callable, Iterator
from typing import Any, cast

from nonebot import get_adapters, get_bots
from nonebot.adapters import Bot
from nonebot.drivers import ASGIMixin, Driver, HTTPServerSetup, Request, Response

__all__ = ["comes_again", "leave_deliveries"]

POLLS = "get_updates"
"""How Telegram is asked for more; asking says that what came before is done with."""
PUSHES = ("POST", "PUT")


def leave_deliveries(driver: Driver) -> Callable[[], None]:
    """Take nothing more from a platform that sends again what was not taken.

    Without the plugin it would do so too, for the bot would be gone.

    Returns:
        Takes it back.

    """

    async def hold(bot: Bot, api: str, data: dict[str, Any]) -> None:
        del bot, data
        if api == POLLS:
            await asyncio.get_running_loop().create_future()  # the adapter cancels it when it stops

    async def not_now(request: Request) -> Response:
        del request
        return Response(503, headers={"Retry-After": "5"}, content="shutting down")

    if any(map(comes_again, get_bots().values())):
        Bot.on_calling_api(hold)
    webhooks = [(setup, setup.handle_func) for setup in _webhooks(driver)]
    for setup, _ in webhooks:
        setup.handle_func = not_now

    def restore() -> None:
        Bot._calling_api_hook.discard(hold)  # noqa: SLF001 # pyright: ignore[reportPrivateUsage]
        for setup, handle in webhooks:
            setup.handle_func = handle

    return restore


def comes_again(bot: Bot) -> bool:
    """Whether a message that a bot has just got, and leaves, is sent to it again.

    Those that are pushed are not taken in the first place.
    """
    polled = getattr(getattr(bot, "bot_config", None), "is_webhook", None)
    return bot.type == "Telegram" and polled is False


def _webhooks(driver: Driver) -> Iterator[HTTPServerSetup]:
    """Find what adapters have set up to be pushed to. NoneBot keeps no list of it."""
    if not isinstance(driver, ASGIMixin):
        return
    packages = {type(adapter).__module__.rpartition(".")[0] for adapter in get_adapters().values()}
    for endpoint in _endpoints(driver.asgi):
        names = endpoint.__code__.co_freevars if hasattr(endpoint, "__code__") else ()
        if "setup" not in names:
            continue
        setup = endpoint.__closure__[names.index("setup")].cell_contents
        if isinstance(setup, HTTPServerSetup) and setup.method.upper() in PUSHES:
            handler: Any = setup.handle_func
            while hasattr(handler, "func"):  # functools.partial
                handler = handler.func
            if str(getattr(handler, "__module__", "")).rpartition(".")[0] in packages:
                yield setup


def _endpoints(app: Any) -> list[Any]:
    """Give the functions behind the addresses of FastAPI's application, or Quart's."""
    functions = cast("dict[str, Any]", getattr(app, "view_functions", {}))
    routes = [getattr(route, "endpoint", None) for route in getattr(app, "routes", ())]
    return [*functions.values(), *routes]
