"""How long requests may take where nothing else was said."""

from dataclasses import dataclass

from nonebot_plugin_graceful.core.kinds import Kind

__all__ = ["KIND", "Settings", "Total", "configure", "settings", "total_of"]

_TOTALS = {"image": 180.0, "llm": 120.0}
_OTHERS = 60.0
"""Seconds."""


class Total:
    """Stands for the kind's total time-out, whatever it is by the time of the request."""

    def __repr__(self) -> str:
        return "KIND"


KIND = Total()


@dataclass(slots=True)
class Settings:
    """They are read at each request."""

    connect_timeout: float = 10.0
    """Seconds."""


settings: Settings = Settings()


def configure(*, connect_timeout: float | None = None) -> None:
    """Change what is not None.

    Args:
        connect_timeout: ``GRACEFUL_HTTP_CONNECT_TIMEOUT``, in seconds.

    """
    if connect_timeout is not None:
        settings.connect_timeout = connect_timeout


def total_of(kind: Kind) -> float:
    """How many seconds a request of this kind may take, all in all."""
    return kind.timeout if kind.timeout is not None else _TOTALS.get(kind.name, _OTHERS)
