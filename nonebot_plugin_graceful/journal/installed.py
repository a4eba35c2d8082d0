"""The requests that ``step`` asks about: there is one bot in a process."""

from .requests import Requests

__all__ = ["install", "requests"]

requests: Requests | None = None
"""None before the plugin is wired."""


def install(new: Requests | None) -> Requests | None:
    """Have the public functions ask these.

    Returns:
        Those they asked before.

    """
    global requests
    before, requests = requests, new
    return before
