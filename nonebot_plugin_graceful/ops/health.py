"""An HTTP path that tells Docker, Kubernetes or a load balancer how the bot is.

That it answers at all says that the bot lives: whoever kills what does not must not kill a bot
that is draining. ``?ready`` asks whether it takes on work.
"""

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
        return _answer(tree, ready="ready" in request.url.query)

    driver.setup_http_server(HTTPServerSetup(URL(path), "GET", "graceful health", answer))


def _answer(tree: Tree, *, ready: bool) -> Response:
    """Tell the phase, and how much of each kind is in flight. Nothing about users."""
    accepting = not (tree.lifecycle.stopping or tree.admission.refusing)
    state = {
        "phase": tree.lifecycle.phase.value,
        "accepting": accepting,
        # what is registered; looking for more would cost a busy bot each time it is asked
        "in_flight": Counter(work.kind.name for work in tree.snapshot()),
    }
    return Response(
        503 if ready and not accepting else 200,
        headers={"Content-Type": "application/json"},
        content=json.dumps(state),
    )
