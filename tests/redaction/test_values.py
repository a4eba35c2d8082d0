"""Values that sinks are given as they are: nothing secret in them, and the author's own unchanged."""

import copy
import time
from collections import OrderedDict, UserDict, defaultdict, namedtuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nonebot_plugin_graceful.redaction import redact, redact_value

from .drawing import noise
from .encoders import ENCODERS, PNG

KEY = "sk-a1B2c3D4e5F6g7H8i9J0"
Pair = namedtuple("Pair", "left right")  # noqa: PYI024 - as it is found in other people's code


class Own(dict):
    """A dictionary of somebody's own, which has to be made in a way of its own."""

    def __init__(self, owner):
        self.owner = owner
        super().__init__()


def own(**values):
    """Make one."""
    made = Own("me")
    made.update(values)
    return made


@pytest.mark.parametrize(
    ("value", "clean"),
    [
        (KEY, "sk-***"),
        ({"h": {"Authorization": f"Bearer {KEY}"}, "l": [KEY]}, None),
        ([KEY, 1, None], ["sk-***", 1, None]),
        ((KEY, (KEY,)), ("sk-***", ("sk-***",))),
        ({KEY, "a"}, {"sk-***", "a"}),
        (frozenset({KEY}), frozenset({"sk-***"})),
        ({KEY: 5}, {"sk-***": 5}),
        (f"got {KEY}".encode(), b"got sk-***"),
        ([bytearray(f"键 {KEY}", "utf-8")], None),
        (b"\xff\xfe " + KEY.encode(), b"\xff\xfe sk-***"),
        (Pair(KEY, [KEY]), Pair("sk-***", ["sk-***"])),
        (OrderedDict(a=KEY), OrderedDict(a="sk-***")),
        (defaultdict(list, a=[KEY]), defaultdict(list, a=["sk-***"])),
        (own(a=KEY), own(a="sk-***")),
    ],
)
def test_secrets_in_containers_are_masked(value, clean):
    """In a copy of the same class; what its author holds is what it was."""
    before = copy.deepcopy(value)
    said = redact_value(value, 256)
    assert KEY not in repr(said)
    assert value == before
    assert type(said) is type(value)
    assert clean is None or said == clean
    assert redact_value(said, 256) == said


@pytest.mark.parametrize(
    "value",
    [
        {"password": "correcthorse", "n": 1},
        {"api_key": "abcdef"},
        {"api_keys": ["abcdef", "ghijkl"]},
        {"OPENAI_API_KEY_2": "abcdef"},
        {"headers": [("x-api-key", "abcdefghijklmnop")]},
        {"headers": [(b"X-Api-Key", b"a1B2c3D4e5F6g7H8")]},
        {b"password": b"correcthorse"},
        {"Authorization": "Basic YWRtaW46cGFzcw=="},
        {"cookie": "SESSDATA=a1b2c3d4; theme=a1b2c3d4"},
        {"Set-Cookie": b"sid=a1b2c3d4; Path=/"},
    ],
)
def test_names_tell_of_values(value):
    """As they do in a text, of which the value alone has none."""
    said = repr(redact_value(value, 256))
    assert "***" in said
    for secret in ("correcthorse", "abcdef", "ghijkl", "a1B2", "YWRt", "a1b2c3d4"):
        assert secret not in said


@pytest.mark.parametrize(
    "value",
    [
        *("hello", b"hello", 5, None, 1.5, object(), range(3), UserDict(a=KEY)),
        {"token": "Hello", "max_tokens": 4096, "tokens": ["Hello", " world"]},
        {"password": "请输入密码", "api_key": None, "secret": True, "key": "user:10001"},
        ["token", "secret", "password"],
        {"cookies": {"lang": "zh"}},
        [{"a": (1, 2, {3, 4})}, []],
    ],
)
def test_what_has_no_secret_is_the_same_object(value):
    """Nothing is copied; of objects nobody knows what is in them."""
    assert redact_value(value, 256) is value


@pytest.mark.parametrize("encoder", sorted(ENCODERS))
def test_blobs_are_named(encoder):
    """Pictures as bytes, and in any of the ways in which they are written as text."""
    picture = PNG + noise(1, 1000)
    blob = ENCODERS[encoder][0](picture)
    assert redact_value({"a": [blob]}, 256) == {"a": [redact(blob)]}
    (said,) = redact_value([picture], 256)
    assert said.startswith(b"<image/png bytes, 1.0 kB")


def test_what_contains_itself_comes_to_an_end():
    """And so does what holds the same list a million times over."""
    loop = [KEY]
    loop += [loop, loop]
    assert KEY not in repr(redact_value(loop, 256))
    wide = [KEY]
    for _ in range(10):
        wide = [wide] * 10
    start = time.process_time()
    assert KEY not in repr(redact_value(wide, 256))
    assert time.process_time() - start < 5


def test_what_is_too_large_or_too_deep_is_named():
    """Nobody is shown what was not looked at."""
    assert redact_value({"a": [KEY] * 20_000}, 256) == {"a": "<list of 20,000>"}
    deep = [KEY]
    for _ in range(100):
        deep = [deep]
    assert "<list of 1>" in repr(redact_value(deep, 256))


class Hostile(dict):
    """It cannot be gone through."""

    def items(self):
        """Fail."""
        raise RuntimeError("dictionary changed size during iteration")


def test_a_container_that_fails_keeps_no_line_from_being_written():
    """It is named."""
    assert redact_value([Hostile(a=KEY)], 256) == ["<Hostile of 1>"]


leaves = st.one_of(st.text(max_size=30), st.binary(max_size=30), st.integers(), st.just(KEY))
trees = st.recursive(
    leaves,
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.tuples(inner, inner)
        | st.dictionaries(st.text(max_size=8) | st.sampled_from(["token", "h"]), inner, max_size=4)
    ),
    max_leaves=30,
)


@settings(max_examples=300)
@given(trees)
def test_nothing_secret_is_left_and_nothing_of_the_authors_is_changed(value):
    """Whatever is in it; and twice is once."""
    before = copy.deepcopy(value)
    said = redact_value(value, 256)
    assert value == before
    assert KEY not in repr(said)
    assert redact_value(said, 256) == said
