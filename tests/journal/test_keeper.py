"""What a function has returned comes back as it was, or is refused."""

import collections
import dataclasses
import enum
import math
from collections.abc import Sequence
from datetime import datetime, timezone
from decimal import Decimal
from pathlib import Path
from typing import Any, Generic, NamedTuple, TypeVar

import pytest
from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    Json,
    PrivateAttr,
    SecretStr,
    computed_field,
    field_validator,
)
from pydantic_core import core_schema
from typing_extensions import TypedDict

from nonebot_plugin_graceful.journal.keeper import Keeper

T = TypeVar("T")
NAN = math.nan


class Animal(BaseModel):
    name: str = ""


class Dog(Animal):
    bark: int = 0


class Answer(BaseModel):
    """What an SDK gives: it writes down of which request it is the answer."""

    model_config = ConfigDict(extra="allow")
    text: str
    _request_id: str = PrivateAttr("")

    @computed_field
    @property
    def length(self) -> int:
        return len(self.text)

    @classmethod
    def of(cls, request, **fields):
        answer = cls(**fields)
        answer._request_id = request
        return answer


class Box(BaseModel, Generic[T]):
    item: T


class Parsed(BaseModel):
    numbers: Json[list[int]]


class Hidden(BaseModel):
    text: str = Field("", exclude=True)


class Login(BaseModel):
    key: SecretStr


class Counted(BaseModel):
    n: int

    @field_validator("n", mode="before")
    @classmethod
    def once_more(cls, n):
        return n + 1


@dataclasses.dataclass
class Size:
    width: float


@dataclasses.dataclass
class Room(Size):
    height: float = 1


@dataclasses.dataclass
class Cached:
    text: str
    size: Size = dataclasses.field(init=False, default_factory=lambda: Size(0))
    words: list[str] = dataclasses.field(init=False, default_factory=list, compare=False)


@dataclasses.dataclass(eq=False)
class Incomparable:
    n: int


class Row(TypedDict):
    n: int


class Pair(NamedTuple):
    n: float
    text: str


class Colour(enum.Enum):
    RED = b"red"


class Text(str):
    __slots__ = ()


class Custom:
    """One that tells pydantic how, and is equal to nothing."""

    def __init__(self, value):
        self.value = value

    @classmethod
    def __get_pydantic_core_schema__(cls, source, handler):
        dump = core_schema.plain_serializer_function_ser_schema(lambda custom: custom.value)
        return core_schema.no_info_plain_validator_function(cls, serialization=dump)


class Array(Custom):
    """One that is compared item by item."""

    __hash__ = None

    def __eq__(self, other):
        raise ValueError("the truth value of an array is ambiguous")


def keeper_of(annotation):
    async def draw():
        pass

    draw.__annotations__["return"] = annotation
    return Keeper(draw, "step")


def changed(value, **attributes):
    for name, each in attributes.items():
        setattr(value, name, each)
    return value


LOST = {
    "a subclass": (Animal, Dog(name="a", bark=7), "it would come back as Animal instead of Dog"),
    "a subclass without fields of its own": (Animal, Dog(), "it would come back as Animal"),
    "one in a list": (list[Animal], [Animal(), Dog()], "it[1] would come back as Animal"),
    "one in a model": (Box[Animal], Box[Animal](item=Dog()), "it.item would come back as Animal"),
    "one in a dict": (dict[str, Any], {"a": [Dog()]}, "it['a'][0] would come back as dict"),
    "a subclass of a dataclass": (Size, Room(1), "it would come back as Size instead of Room"),
    "another of a union": (Dog | Animal, Animal(name="a"), "it would come back as Dog"),
    "what is excluded": (Hidden, Hidden(text="secret"), "it.text would not be the same"),
    "validated once more": (Counted, Counted(n=1), "it.n would not be the same"),
    "no argument of its class": (
        Cached,
        changed(Cached("a"), size=Size(9)),
        "it.size.width would not be the same",
    ),
    "a key that is not declared": (Row, {"n": 1, "m": 2}, "it['m'] would not be the same"),
}


@pytest.mark.parametrize("case", LOST)
def test_what_would_be_lost_is_refused(case):
    """The message names the function, what would be lost, and the annotation."""
    annotation, result, message = LOST[case]
    with pytest.raises(TypeError) as raised:
        keeper_of(annotation).encode(result)
    assert "step cannot keep what " in str(raised.value)
    assert "keeper_of.<locals>.draw has returned" in str(raised.value)
    assert message in str(raised.value)
    assert "The return annotation (" in str(raised.value)


def test_a_secret_is_not_kept_as_stars():
    """The message names the function and the class."""
    with pytest.raises(TypeError, match=r"draw has returned, a Login: SecretStr cannot be written"):
        keeper_of(Login).encode(Login(key="sesame"))


KEPT = {
    "an int for a float": (float, 3),
    "a bool for an int": (int, True),
    "text of a class": (str, Text("a")),
    "not a number": (float, NAN),
    "not a number within": (dict[str, list[float]], {"a": [NAN, 1]}),
    "not a number in a set": (set[float], {NAN, 1}),
    "not a number in a model": (Box[Size], Box[Size](item=Size(NAN))),
    "a dict of a class": (dict[str, list[float]], collections.defaultdict(list, a=[NAN])),
    "a tuple": (tuple[int, ...], (1, 2)),
    "a tuple or a list": (Sequence[int], (1, 2)),
    "a named tuple": (Pair, Pair(NAN, "a")),
    "a named one for a tuple": (tuple[float, str], Pair(1, "a")),
    "a typed dict": (Row, {"n": 1}),
    "no more than a dict": (dict, {1: (1, b"a"), ("a", 1): {3}}),
    "a time": (datetime, datetime.now(timezone.utc)),
    "a decimal": (Decimal | float, Decimal("1.10")),
    "a path": (Path | str, Path("a")),
    "an enum": (Colour, Colour.RED),
    "bytes or text": (list[bytes | str], [b"\xff", "a"]),
    "a private attribute": (Answer, Answer.of("id", text="a")),
    "private attributes in a list": (list[Answer], [Answer.of("id", text="a", more=[1])]),
    "a subclass that is named": (Dog | Animal, Dog(bark=1)),
    "a default that is excluded": (Hidden, Hidden()),
    "what was parsed": (Parsed, Parsed(numbers="[1]")),
    "a cache": (Cached, changed(Cached("a b"), words=["a", "b"])),
    "a generic one": (Box[int], Box[int](item=1)),
    "a generic one without its type": (Box[int], Box(item=1)),
    "equal to nothing": (list[Incomparable], [Incomparable(1)]),
    "a class with a way of its own": (Custom, Custom(1)),
    "an array": (Array, Array(1)),
}


@pytest.mark.parametrize("case", KEPT)
def test_what_is_no_loss_is_kept(case):
    """Not a number, private attributes and what cannot be compared do not count as lost."""
    annotation, result = KEPT[case]
    keeper = keeper_of(annotation)
    keeper.decode(keeper.encode(result))
