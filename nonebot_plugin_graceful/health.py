"""An HTTP path that tells Docker, Kubernetes or a load balancer whether the bot takes work."""

import json
from collections import Counter

from nonebot.drivers import URL, ASGIMixin, Driver, HTTPServerSetup, Request, Response
from nonebot.log import logger

from .config import Config
from .core.lifecycle import lifecycle
from .core.registry import registry

__all__ = ["install"]


def install(config: Config, driver: Driver) -> None:
    """Answer ``GRACEFUL_HEALTH_PATH``, if it is set and the driver is a server."""
    path = config.graceful_health_path
    if not path:
        return
    if not isinstance(driver, ASGIMixin):
        logger.warning(f"GRACEFUL_HEALTH_PATH: {driver.type} is no server, so {path} is not there")
        return
    driver.setup_http_server(HTTPServerSetup(URL(path), "GET", "graceful health", _answer))


async def _answer(request: Request) -> Response:  # noqa: ARG001
    """Tell the phase, and how much of each kind is in flight. Nothing about users."""
    state = {
        "phase": lifecycle.phase.value,
        "accepting": not (lifecycle.stopping or registry.refusing),
        # what is registered; looking for more would cost a busy bot each time it is asked
        "in_flight": Counter(record.kind.name for record in list(registry.records.values())),
    }
    return Response(
        503 if lifecycle.stopping else 200,
        headers={"Content-Type": "application/json"},
        content=json.dumps(state),
    )
