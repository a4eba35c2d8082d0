"""Prometheus metrics: of the whole bot, and never of who uses it."""

from pathlib import Path

from nonebot.drivers import URL, ASGIMixin, Driver, HTTPServerSetup, Request, Response
from nonebot.log import logger

from nonebot_plugin_graceful.config import Config
from nonebot_plugin_graceful.core.tree import Tree
from nonebot_plugin_graceful.journal.storage import Storage

__all__ = ["install"]


def install(
    config: Config, driver: Driver, tree: Tree, storage: Storage, report_file: Path
) -> None:
    """Count, if prometheus-client is installed; answer ``GRACEFUL_METRICS_PATH``, if it is set."""
    path = config.graceful_metrics_path
    try:
        from prometheus_client import REGISTRY
        from prometheus_client.exposition import choose_encoder
    except ImportError:  # it is no dependency: who has it, has metrics
        if path:
            logger.warning("GRACEFUL_METRICS_PATH: there are no metrics without prometheus-client")
        return
    from .prometheus import Metrics

    Metrics(tree, storage, report_file, REGISTRY).install()
    if not path:
        return
    if not isinstance(driver, ASGIMixin):
        logger.warning(f"GRACEFUL_METRICS_PATH: {driver.type} is no server, so {path} is not there")
        return

    async def answer(request: Request) -> Response:
        encode, content_type = choose_encoder(request.headers.get("Accept", ""))
        return Response(200, headers={"Content-Type": content_type}, content=encode(REGISTRY))

    driver.setup_http_server(HTTPServerSetup(URL(path), "GET", "graceful metrics", answer))
