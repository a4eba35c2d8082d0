"""Events as JSON and back, equal in every field: no pickle, and no adapter needs a case of its own.

A dump and a validation would be shorter, but an event is more than its fields: adapters take the
mention of the bot out of the message, keep the original one beside it, and derive attributes that
validation does not give back. So the state of each object is written as it is, with its class.
"""

import base64
import dataclasses
import enum
import importlib
import json
from collections.abc import Callable
from functools import lru_cache
from typing import Any, cast

from pydantic import BaseModel, TypeAdapter

from .loss import find_loss

__all__ = ["CannotReadError", "decode", "dump", "encode", "load"]

DEEPEST = 60
"""Objects inside one another; beyond, they contain themselves."""
TAG = "$"
CONTAINERS = (list, tuple, set, frozenset)
PLAIN = frozenset({str, int, float, bool, type(None)})

Json = Any
Inner = Callable[[Any], Json]

_write = json.JSONEncoder(separators=(",", ":")).encode


class CannotReadError(ValueError):
    """What was written cannot be read any more: a class has gone, or has fields it did not have."""


def dump(value: Any) -> tuple[str, bool]:
    """Write a value as JSON.

    Returns:
        The text, and whether it gives back an equal value. If not, what could not be written is
        None in it.

    """
    losses: list[str] = []
    encoded = _encode(value, losses, 0)
    text = _write(encoded)
    if losses:
        return text, False
    try:
        again = decode(encoded)  # JSON itself gives back what it is given
        return text, type(again) is type(value) and bool(again == value)
    except Exception:  # its own classes do not take their state back
        return text, False


def load(text: str) -> Any:
    """Read what :func:`dump` has written.

    Raises:
        CannotReadError: It cannot be read any more.

    """
    return decode(json.loads(text))


def encode(value: Any) -> Json:
    """Give a value as what JSON knows.

    Raises:
        TypeError: Some part of it cannot be written; the message names it.

    """
    losses: list[str] = []
    encoded = _encode(value, losses, 0)
    if losses:
        raise TypeError(f"{losses[0]} cannot be written as JSON")
    return encoded


def decode(data: Json) -> Any:
    """Give the value that :func:`encode` was given, or an equal one.

    Raises:
        CannotReadError: It cannot be read any more.

    """
    try:
        return _decode(data)
    except CannotReadError:
        raise
    except Exception as error:
        raise CannotReadError(f"{type(error).__name__}: {error}") from error


# -- writing


def _encode(value: Any, losses: list[str], depth: int) -> Json:
    kind = cast("type[Any]", type(value))
    if kind in PLAIN:
        return value
    if depth > DEEPEST:
        losses.append(f"{kind.__qualname__}, which contains itself,")
        return None
    depth += 1
    if kind is list:
        return [_encode(each, losses, depth) for each in value]
    if kind is dict and TAG not in value and all(type(key) is str for key in value):
        return {key: _encode(each, losses, depth) for key, each in value.items()}
    return _encode_object(value, kind, losses, depth)


def _encode_object(value: Any, kind: type[Any], losses: list[str], depth: int) -> Json:
    def inner(each: Any) -> Json:
        return _encode(each, losses, depth)

    if isinstance(value, type):
        return {TAG: "class", "c": _name(cast("type[Any]", value))}
    name = _name(kind)
    if name is None:
        losses.append(f"{kind.__qualname__}, which is defined inside a function,")
        return None
    if dataclasses.is_dataclass(kind):
        return {TAG: "object", "c": name, "f": {k: inner(v) for k, v in _state(value).items()}}
    for base, tag, write in _WRITERS:
        if isinstance(value, base):
            return {TAG: tag, "c": name, **write(value, inner)}
    try:
        written = _adapter(kind).dump_python(value, mode="json")
        again = _adapter(kind).validate_python(written)
    except Exception:
        written = again = None
    if again is None or find_loss(value, again) is not None:  # two secrets read the same
        losses.append(kind.__qualname__)
        return None
    return {TAG: "leaf", "c": name, "v": written}


def _write_model(value: BaseModel, inner: Inner) -> dict[str, Json]:
    encoded: dict[str, Json] = {"f": {k: inner(v) for k, v in value.__dict__.items()}}
    encoded["s"] = sorted(value.model_fields_set)
    if value.__pydantic_extra__:
        encoded["x"] = {k: inner(v) for k, v in value.__pydantic_extra__.items()}
    private = getattr(value, "__pydantic_private__", None)
    if private:
        encoded["p"] = {k: inner(v) for k, v in private.items()}
    return encoded


def _write_enum(value: enum.Enum, inner: Inner) -> dict[str, Json]:
    return {"v": inner(value.value)}


def _write_bytes(value: bytes, _: Inner) -> dict[str, Json]:
    return {"v": base64.b64encode(value).decode()}


def _write_dict(value: dict[Any, Any], inner: Inner) -> dict[str, Json]:
    return {"v": [[inner(k), inner(v)] for k, v in value.items()]}


def _write_items(value: Any, inner: Inner) -> dict[str, Json]:
    state: dict[str, Any] | None = getattr(value, "__dict__", None)
    more = {k: inner(v) for k, v in state.items()} if state else {}
    items = [inner(each) for each in value]
    if isinstance(value, set | frozenset):  # in another process they come in another order
        items.sort(key=_write)
    return {"v": items, "f": more}


def _write_plain(value: str | float, _: Inner) -> dict[str, Json]:
    base = str if isinstance(value, str) else int if isinstance(value, int) else float
    return {"v": base(value)}


_WRITERS: tuple[tuple[Any, str, Callable[[Any, Inner], dict[str, Json]]], ...] = (
    (BaseModel, "model", _write_model),
    (enum.Enum, "enum", _write_enum),
    (bytes, "bytes", _write_bytes),
    (dict, "dict", _write_dict),
    (CONTAINERS, "items", _write_items),
    ((str, int, float), "plain", _write_plain),
)


def _state(value: Any) -> dict[str, Any]:
    state = cast("dict[str, Any]", getattr(value, "__dict__", {}))
    slots = [name for name in _field_names(cast("type[Any]", type(value))) if name not in state]
    return {**{name: getattr(value, name) for name in slots if hasattr(value, name)}, **state}


@lru_cache(maxsize=1024)
def _field_names(kind: type[Any]) -> frozenset[str]:
    if issubclass(kind, BaseModel):
        return frozenset(kind.model_fields)
    return frozenset(field.name for field in dataclasses.fields(kind))


@lru_cache(maxsize=1024)
def _name(kind: type[Any]) -> str | None:
    """``module:qualname``; None for a class that cannot be found by it."""
    name = f"{kind.__module__}:{kind.__qualname__}"
    try:
        return name if _find(name) is kind else None
    except CannotReadError:
        return None


@lru_cache(maxsize=256)
def _adapter(kind: type[Any]) -> TypeAdapter[Any]:
    return TypeAdapter(kind)


# -- reading


@lru_cache(maxsize=1024)
def _find(name: str) -> type[Any]:
    module, _, path = name.partition(":")
    try:
        found: Any = importlib.import_module(module)
        for part in path.split("."):
            found = getattr(found, part)
    except (ImportError, AttributeError, ValueError) as error:
        raise CannotReadError(f"there is no {name} any more") from error
    if not isinstance(found, type):
        raise CannotReadError(f"{name} is no class")
    return cast("type[Any]", found)


def _decode(data: Json) -> Any:
    kind = cast("type[Any]", type(data))
    if kind is list:
        return [_decode(each) for each in data]
    if kind is not dict:
        return data
    tag = data.get(TAG)
    if tag is None:
        return {key: _decode(each) for key, each in data.items()}
    cls = _find(data["c"])
    return cls if tag == "class" else _READERS[tag](cls, data)


def _read_model(cls: Any, data: dict[str, Json]) -> Any:
    if not issubclass(cls, BaseModel):
        raise CannotReadError(f"{data['c']} is no model")
    fields = data["f"]
    if not fields.keys() >= _field_names(cls):
        missing = ", ".join(_field_names(cls) - fields.keys())
        raise CannotReadError(f"{data['c']} has got further fields: {missing}")
    model = cls.__new__(cls)
    # As BaseModel.__setstate__ does, which is what copying uses.
    object.__setattr__(model, "__dict__", {k: _decode(v) for k, v in fields.items()})
    object.__setattr__(model, "__pydantic_fields_set__", set(data["s"]))
    extra = {k: _decode(v) for k, v in data.get("x", {}).items()}
    allowed = cls.model_config.get("extra") == "allow"
    object.__setattr__(model, "__pydantic_extra__", extra if allowed else None)
    private = {k: _decode(v) for k, v in data.get("p", {}).items()}
    object.__setattr__(
        model, "__pydantic_private__", private if cls.__private_attributes__ else None
    )
    return model


def _read_object(cls: Any, data: dict[str, Json]) -> Any:
    if not dataclasses.is_dataclass(cls):
        raise CannotReadError(f"{data['c']} is no dataclass")
    made: Any = object.__new__(cast("type[Any]", cls))
    for name, value in data["f"].items():
        object.__setattr__(made, name, _decode(value))
    return made


def _read_items(cls: Any, data: dict[str, Json]) -> Any:
    items = [_decode(each) for each in data["v"]]
    bases: tuple[Any, ...] = CONTAINERS
    base = cast("Any", next((each for each in bases if issubclass(cls, each)), None))
    if base is None:
        raise CannotReadError(f"{data['c']} is no container")
    # Not by the class itself: a Message's own constructor parses.
    made: Any = base.__new__(cls, items)
    if base is list or base is set:
        base.__init__(made, items)  # pyright: ignore[reportUnknownMemberType]
    for name, value in data["f"].items():
        setattr(made, name, _decode(value))
    return made


def _read_dict(cls: Any, data: dict[str, Json]) -> Any:
    if not issubclass(cls, dict):
        raise CannotReadError(f"{data['c']} is no dict")
    base: Any = dict
    made: Any = base.__new__(cls)
    for key, value in data["v"]:
        base.__setitem__(made, _decode(key), _decode(value))
    return made


def _read_plain(cls: Any, data: dict[str, Json]) -> Any:
    if not issubclass(cls, str | int | float):
        raise CannotReadError(f"{data['c']} is no plain value")
    return cls(data["v"])


def _read_enum(cls: Any, data: dict[str, Json]) -> Any:
    return cls(_decode(data["v"]))


def _read_bytes(cls: Any, data: dict[str, Json]) -> Any:
    return cls(base64.b64decode(data["v"]))


def _read_leaf(cls: Any, data: dict[str, Json]) -> Any:
    return _adapter(cls).validate_python(data["v"])


_READERS: dict[str, Callable[[Any, dict[str, Json]], Any]] = {
    "model": _read_model,
    "object": _read_object,
    "items": _read_items,
    "dict": _read_dict,
    "plain": _read_plain,
    "enum": _read_enum,
    "bytes": _read_bytes,
    "leaf": _read_leaf,
}
