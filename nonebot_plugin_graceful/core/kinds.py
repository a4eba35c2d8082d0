"""Kinds: what a task does, and from that when it is stopped and how long it may take."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

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


class Kinds(Mapping[str, Kind]):
    """Every kind by its name.

    A name nobody declared is a kind too: it is stopped in the tier of handlers, without grace.
    """

    def __init__(self, overrides: Mapping[str, Mapping[str, float | int | None]] | None = None):
        self._kinds = {kind.name: kind for kind in DEFAULT_KINDS}
        for name, values in (overrides or {}).items():
            self._kinds[name] = replace(self[name], **values)  # pyright: ignore[reportArgumentType]

    def __getitem__(self, name: str) -> Kind:
        kind = self._kinds.get(name)
        if kind is None:
            kind = self._kinds[name] = Kind(name)
        return kind

    def __iter__(self) -> Iterator[str]:
        return iter(self._kinds)

    def __len__(self) -> int:
        return len(self._kinds)
