"""What can be done from the page."""

from collections.abc import Callable
from typing import Any

from nonebot.log import logger

from nonebot_plugin_graceful.bot.process import Process
from nonebot_plugin_graceful.core.api import cancel
from nonebot_plugin_graceful.journal.requests import Requests

__all__ = ["Actions", "TooLateError"]

BY = "cancelled by the operator"
OF_THE_BOT = ("drain", "resume", "stop", "restart")
PAGE = "asked for on the page"
Values = dict[str, Any]


class TooLateError(Exception):
    """The bot is being stopped: of that, nothing can be changed any more."""


class Actions:
    """Does what a button says.

    Args:
        process: Of the bot.
        requests: The journal's.

    """

    def __init__(self, process: Process, requests: Requests) -> None:
        self._process, self._requests = process, requests
        self._known: dict[str, Callable[[Values], Values]] = {
            "cancel": self._cancel,
            "forget": self._forget,
            "drain": self._drain,
            "resume": self._resume,
            "stop": self._stop,
        }
        if process.restarting.possible:
            self._known["restart"] = self._restart

    def names(self) -> list[str]:
        """Tell what there is."""
        return list(self._known)

    def do(self, values: Values) -> Values:
        """Do something.

        Args:
            values: ``action``, and what else that needs.

        Returns:
            What came of it.

        Raises:
            ValueError: There is no such action, or it needs another value.
            TooLateError: The bot is being stopped already.

        """
        name: object = values.get("action")
        action = self._known.get(name) if isinstance(name, str) else None
        if action is None:
            raise ValueError("action")
        if name in OF_THE_BOT and self._process.tree.lifecycle.stopping:
            raise TooLateError(name)
        done = action(values)
        logger.info(f"{name} {PAGE}{done and f': {done}'}")
        return done

    def _cancel(self, values: Values) -> Values:
        number = _number(values)
        if number is not None:
            return {"cancelled": len(cancel(id=number, reason=BY))}
        for name in ("kind", "plugin"):
            if isinstance(values.get(name), str):
                return {"cancelled": len(cancel(**{name: values[name]}, reason=BY))}
        raise ValueError("id, kind or plugin")

    def _forget(self, values: Values) -> Values:
        number = _number(values)
        if number is None:
            raise ValueError("id")
        rows = [row for row in self._requests.waiting() if row.id == number]
        for row in rows:
            self._requests.strike_out(row)
        return {"forgotten": len(rows)}

    def _drain(self, _: Values) -> Values:
        admission = self._process.tree.admission
        if not admission.refusing:  # what somebody has drained, with an end to come, stays so
            admission.refuse("no new AI work is taken on")
        return {}

    def _resume(self, _: Values) -> Values:
        self._process.tree.admission.resume()
        return {}

    def _stop(self, _: Values) -> Values:
        self._process.begin(PAGE)
        return {}

    def _restart(self, _: Values) -> Values:
        self._process.restart(PAGE)
        return {}


def _number(values: Values) -> int | None:
    number = values.get("id")
    return number if isinstance(number, int) and not isinstance(number, bool) else None
