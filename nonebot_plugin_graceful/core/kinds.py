"""Kinds: what work does, and from that when it is stopped and how long it may take."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

__all__ = ["DEFAULT_KINDS", "ORDINARY", "Kind", "Kinds"]


@dataclass(frozen=True, slots=True)
class Kind:
    """What work of one kind has in common."""

    name: str
    tier: int = 2
    """The order of cancelling: lower first."""
    grace: float = 0.0
    """Seconds after the shutdown began during which such work may still finish by itself."""
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

ORDINARY = frozenset({"handler", "job", "background"})
"""Kinds of which new work is taken on even while the bot is being drained."""


class Kinds(dict[str, Kind]):
    """Every kind by its name.

    A name nobody declared is a kind too: it is stopped in the tier of handlers, without grace.

    Args:
        overrides: What differs from the defaults, by the kind's name.
        plugins: Kinds that an operator has given to other people's plugins, by the plugin's id.

    """

    def __init__(
        self,
        overrides: Mapping[str, Mapping[str, Any]] | None = None,
        plugins: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__({kind.name: kind for kind in DEFAULT_KINDS})
        self.plugins: dict[str, str] = dict(plugins or {})
        self.declared: set[str] = set(self)
        """Names that somebody has given settings to: any other may be a slip of the pen."""
        for name, values in (overrides or {}).items():
            self[name] = replace(self[name], **values)
            self.declared.add(name)

    def __missing__(self, name: str) -> Kind:
        if not isinstance(name, str) or not name:  # pyright: ignore[reportUnnecessaryIsInstance]
            raise TypeError(f'a kind has to be a name, as in track("image"); it is {name!r}')
        kind = self[name] = Kind(name)
        return kind

    def given_to(self, plugin: str | None) -> str | None:
        """Tell the kind that an operator has given to a plugin, or to the one it is a part of.

        Args:
            plugin: Its id; NoneBot writes a sub-plugin's as ``parent:child``.

        """
        if not self.plugins:
            return None
        while plugin:
            if plugin in self.plugins:
                return self.plugins[plugin]
            plugin = plugin.rpartition(":")[0]
        return None

    def of_plugin(self, plugin: str | None, default: str) -> Kind:
        """Give the kind of what a plugin does.

        Args:
            plugin: Its id.
            default: The kind's name where the operator has said nothing.

        """
        return self[self.given_to(plugin) or default]
