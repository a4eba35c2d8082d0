"""Kinds: what a task does, and from that when it is stopped and how long it may take."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

__all__ = ["DEFAULT_KINDS", "Kind", "Kinds"]


@dataclass(frozen=True, slots=True)
class Kind:
    """What tasks of one kind have in common."""

    name: str
    tier: int = 2
    """The order of cancelling: lower first."""
    grace: float = 0.0
    """Seconds after the shutdown began during which such a task may still finish by itself."""
    limit: int | None = None
    """How many may run at once; the rest wait in a queue. None: no limit."""
    timeout: float | None = None
    """Seconds one section of this kind may take. None: no limit."""


DEFAULT_KINDS: tuple[Kind, ...] = (
    Kind("image", tier=0),
    Kind("llm", tier=1),
    Kind("handler", tier=2, grace=1.0),
    Kind("job", tier=3),
    Kind("background", tier=4),
)


class Kinds(dict[str, Kind]):
    """Every kind by its name.

    A name nobody declared is a kind too: it is stopped in the tier of handlers, without grace.
    """

    def __init__(self, overrides: Mapping[str, Mapping[str, Any]] | None = None) -> None:
        super().__init__({kind.name: kind for kind in DEFAULT_KINDS})
        for name, values in (overrides or {}).items():
            self[name] = replace(self[name], **values)

    def __missing__(self, name: str) -> Kind:
        if not isinstance(name, str) or not name:  # pyright: ignore[reportUnnecessaryIsInstance]
            raise TypeError(f'a kind has to be a name, as in track("image"); it is {name!r}')
        kind = self[name] = Kind(name)
        return kind
