"""What of a value has not come back, as far as that is certain."""

import dataclasses
from typing import Any, cast

from pydantic import BaseModel

__all__ = ["find_loss"]


def find_loss(value: Any, again: Any, where: str = "it") -> str | None:
    """Say what is not the same in what has come back for a value; None: nothing, or nobody can tell.

    Whatever is equal is as good: to an author who says text, a class of text is text, and 3 is 3.0
    to one who says float. What is not equal is looked into, part by part: NaN is unequal to itself,
    and a model to one that differs in its private attributes alone, for which no result is kept.

    Args:
        value: What was to be kept.
        again: What has come back.
        where: What to call it.

    """
    equal = _are_equal(value, again)
    if equal:
        return None
    kind, kind_again = (cast("type[Any]", type(each)) for each in (value, again))
    contains = isinstance(again, list | tuple | dict)  # a defaultdict is as good as a dict
    if not (isinstance(value, kind_again) if contains else kind is kind_again):
        return (
            f"{where} would come back as {kind_again.__qualname__} instead of {kind.__qualname__}"
        )
    if isinstance(value, set | frozenset):  # of those that are unequal, the like are side by side
        value, again = sorted(value - again, key=repr), sorted(again - value, key=repr)
    parts, parts_again = _parts(value), _parts(again)
    if parts is not None and parts_again is not None:
        if others := parts.keys() ^ parts_again.keys():
            return f"{where}{min(others)} would not be the same"
        losses = (find_loss(parts[key], parts_again[key], where + key) for key in parts)
        return next((loss for loss in losses if loss is not None), None)
    if kind.__eq__ is object.__eq__ or equal is None:
        return None
    return f"{where} would not be the same" if _are_equal(value, value) else None


def _are_equal(value: Any, other: Any) -> bool | None:
    """Whether two values are equal; None: they do not say, as arrays do not."""
    try:
        return bool(value == other)
    except Exception:
        return None


def _parts(value: Any) -> dict[str, Any] | None:
    """Give what a value consists of, by the way there; None: it is one piece."""
    if isinstance(value, BaseModel):
        fields = type(value).model_fields  # what else it has in its state, it has computed
        state = {key: each for key, each in value.__dict__.items() if key in fields}
        return {f".{key}": each for key, each in {**state, **(value.model_extra or {})}.items()}
    if dataclasses.is_dataclass(value):
        names = [field.name for field in dataclasses.fields(value) if field.compare]
        return {f".{name}": getattr(value, name, None) for name in names}
    if isinstance(value, list | tuple):
        return {f"[{n}]": each for n, each in enumerate(cast("list[Any]", value))}
    if isinstance(value, dict):
        return {f"[{key!r}]": each for key, each in cast("dict[Any, Any]", value).items()}
    return None
