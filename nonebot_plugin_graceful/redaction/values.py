"""Values without blobs and secrets: what was bound to a line, which sinks are given as it is."""

from collections.abc import Callable, Iterable
from copy import copy
from typing import Any, cast

from .carriers import mask_cookies
from .label import label
from .named import mask_value
from .readable import is_text
from .text import redact

__all__ = ["redact_value"]

_DEEPEST = 16
_MOST = 10_000
"""Items that are looked at; of what is left, nobody is shown anything."""
_COOKIE = "cookie: "
_CONTAINERS = (dict, list, tuple, set, frozenset)


def redact_value(value: Any, limit: int, name: str = "") -> Any:
    """Redact a value, and what dictionaries, lists, tuples and sets in it hold.

    Args:
        value: Anything. It is never changed: where something is redacted, there is a copy.
        limit: As of `redact`.
        name: What the value is called, which may tell that it is a secret.

    Returns:
        The value itself if there is nothing to redact. A container that is too large or too deep
        becomes a word on what it is.

    """
    if isinstance(value, str | bytes | bytearray):
        return _redact_one(value, limit, name)
    return _Walk(limit).clean(value, name) if isinstance(value, _CONTAINERS) else value


def _redact_one(value: str | bytes | bytearray, limit: int, name: str) -> str | bytes | bytearray:
    if isinstance(value, str):
        return _redact_text(value, limit, name)
    if len(value) > limit and not is_text(bytes(value)):
        return type(value)(label("bytes", bytes(value)).encode())
    text = value.decode("utf-8", "surrogateescape")  # which gives the same bytes back
    clean = _redact_text(text, limit, name)
    return value if clean == text else type(value)(clean.encode("utf-8", "surrogateescape"))


def _redact_text(text: str, limit: int, name: str) -> str:
    clean = redact(text, limit)
    if not name:
        return clean
    if "cookie" in name.lower():
        clean = mask_cookies(_COOKIE + clean).removeprefix(_COOKIE)
    return mask_value(name, clean)


class _Walk:
    """Goes through a container.

    Args:
        limit: As of `redact`.

    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._left = _MOST

    def clean(self, value: Any, name: str, depth: int = 0) -> Any:
        if isinstance(value, str | bytes | bytearray):
            return _redact_one(value, self._limit, name)
        if not isinstance(value, _CONTAINERS):
            return value
        container = cast("dict[Any, Any] | list[Any] | tuple[Any, ...] | set[Any]", value)
        try:
            self._left -= len(container)
            if depth >= _DEEPEST or self._left < 0:
                return _word(container)
            return self._container(container, name, depth + 1)
        except Exception:  # of a class of somebody's own, or another thread changes it just now
            return _word(container)

    def _container(self, value: Any, name: str, depth: int) -> Any:
        if isinstance(value, dict):
            return self._dictionary(cast("dict[Any, Any]", value), depth)
        items = list(cast("Iterable[Any]", value))
        cleaned = [self.clean(item, name, depth) for item in items]
        if len(items) == 2 and not isinstance(value, set | frozenset):
            # ("x-api-key", "..."), as headers are kept
            called, second = _name(items[0]), cleaned[1]
            if called and isinstance(second, str | bytes | bytearray):
                cleaned[1] = _redact_one(second, self._limit, called)
        if all(map(_is, items, cleaned)):
            return cast("object", value)
        return _made_like(
            cast("object", value), lambda copied: copied.__setitem__(slice(None), cleaned), cleaned
        )

    def _dictionary(self, value: dict[Any, Any], depth: int) -> Any:
        items = list(value.items())
        cleaned = [
            (self.clean(key, "", depth), self.clean(item, _name(key), depth)) for key, item in items
        ]
        if all(
            key is key_before and item is item_before
            for (key, item), (key_before, item_before) in zip(cleaned, items, strict=True)
        ):
            return value

        def fill(copied: dict[Any, Any]) -> None:
            copied.clear()
            copied.update(cleaned)

        return _made_like(value, fill, dict(cleaned))


def _made_like(value: object, fill: Callable[[Any], None], plain: Any) -> Any:
    """Make a container of the same class, with other content; or a plain one."""
    kind = cast("type[Any]", type(value))
    if isinstance(value, frozenset):
        return frozenset(plain)
    if isinstance(value, set):
        return set(plain)
    if isinstance(value, tuple):
        make: Any = getattr(kind, "_make", tuple)  # of a named tuple
        return make(plain)
    if kind not in (dict, list):
        try:
            copied = copy(value)
            if copied is not value:
                fill(copied)
                return copied
        except Exception:  # a class that cannot be copied, or checks what it is given
            return plain
    return plain


def _name(key: object) -> str:
    """Give a key as a name; an empty text if it is none."""
    if isinstance(key, bytes):
        key = key.decode("latin-1")
    return key if isinstance(key, str) else ""


def _is(one: object, other: object) -> bool:
    return one is other


def _word(value: Any) -> str:
    """Tell what stands where nothing is shown: ``<dict of 20,000>``."""
    try:
        return f"<{type(value).__name__} of {len(value):,}>"
    except Exception:
        return f"<{type(value).__name__}>"
