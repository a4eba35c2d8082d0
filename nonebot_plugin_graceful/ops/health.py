"""An HTTP path that tells Docker, Kubernetes or a load balancer whether the bot takes work."""

import json
from collections import Counter

from nonebot.drivers import URL, ASGIMixin, Driver, HTTPServerSetup, Request, Response
from nonebot.log import logger

from nonebot_plugin_graceful.config import Config
from nonebot_plugin_graceful.core.tree import Tree

__all__ = ["install"]


def install(config: Config, driver: Driver, tree: Tree) -> None:
    """Answer ``GRACEFUL_HEALTH_PATH``, if it is set and the driver is a server."""
    path = config.graceful_health_path
    if not path:
        return
    if not isinstance(driver, ASGIMixin):
        logger.warning(f"GRACEFUL_HEALTH_PATH: {driver.type} is no server, so {path} is not there")
        return

    async def answer(request: Request) -> Response:
        del request
        return _answer(tree)

    driver.setup_http_server(HTTPServerSetup(URL(path), "GET", "graceful health", answer))


def _answer(tree: Tree) -> Response:
    """Tell the phase, and how much of each kind is in flight. Nothing about users."""
    stopping = tree.lifecycle.stopping
    state = {
        "phase": tree.lifecycle.phase.value,
        "accepting": not (stopping or tree.admission.refusing),
        # what is registered; looking for more would cost a busy bot each time it is asked
        "in_flight": Counter(work.kind.name for work in tree.snapshot()),
    }
    return Response(
        503 if stopping else 200,
        headers={"Content-Type": "application/json"},
        content=json.dumps(state),
    )
