"""httpx whose requests are tracked, bounded, retried, and refused while the bot is being stopped."""

from .client import close_clients, http_client
from .settings import configure
from .transport import GracefulTransport

__all__ = ["GracefulTransport", "close_clients", "configure", "http_client"]
