"""What tenacity's loops have from 9.2 on. google-genai, up to 3.6 at least, wants one before that."""

import inspect
import threading
from typing import TYPE_CHECKING, Any

from tenacity import BaseRetrying, DoAttempt, RetryCallState

if TYPE_CHECKING:
    from typing_extensions import Self

__all__ = ["Loop", "once"]

_NEEDED = "enabled" not in inspect.signature(BaseRetrying.copy).parameters


class Loop(BaseRetrying):
    """A loop that has a name, can be turned off, and is pickled and copied with both."""

    _name: str | None = None
    enabled = True

    if _NEEDED and not TYPE_CHECKING:

        def __init__(self, *positions: Any, **keywords: Any) -> None:
            self._name = keywords.pop("name", None)
            self.enabled = keywords.pop("enabled", True)
            super().__init__(*positions, **keywords)

    @property
    def name(self) -> str | None:
        """What the log calls it, if it was given a name."""
        return self._name

    def copy(self, *positions: Any, **changes: Any) -> "Self":
        """Copy this object, with some keywords changed."""
        if not positions and not changes:
            # tenacity's decorator does so at each call, which need not look for defaults each time
            copy = object.__new__(type(self))
            vars(copy).update(vars(self))
            copy._local = threading.local()
        elif _NEEDED:
            name, enabled = changes.pop("name", self.name), changes.pop("enabled", self.enabled)
            copy = super().copy(*positions, **changes)
            copy._name, copy.enabled = name, enabled  # noqa: SLF001
        else:
            copy = super().copy(*positions, **changes)
        return copy

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in vars(self).items() if name != "_local"}

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state)
        self._local = threading.local()


def once(retry_state: RetryCallState) -> Any:
    """Tell what comes next in a loop that is turned off, which 9.2 does not ask it."""
    return DoAttempt() if retry_state.outcome is None else retry_state.outcome.result()
