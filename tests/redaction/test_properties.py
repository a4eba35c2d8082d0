"""What always holds, for text with blobs and secrets at random places.

Each of them is apart from its surroundings by a character that none has in it:

- of each blob over the limit, no stretch of more than the limit is left: it is its label;
- what stands between stays to the letter, in its place;
- redacting again changes nothing.
"""

import base64
import re

from hypothesis import example, given, settings
from hypothesis import strategies as st

from nonebot_plugin_graceful.redaction import SHORTEST_LIMIT, redact

from .drawing import noise
from .encoders import ENCODERS, PNG

# what stands between blobs: words, punctuation, Chinese, line breaks, escapes, colours
plain = st.lists(
    st.sampled_from(
        [
            "word ",
            "A",
            "z",
            "9",
            "-",
            "/",
            "_",
            "+",
            "=",
            "你",
            "，",
            " ",
            "\n",
            "'",
            '"',
            ":",
            ",",
            "\\",
            "{}",
            "é",
            "0x",
        ]
    ),
    max_size=40,
).map("".join)
blob_text = st.builds(
    lambda encoder, seed, size: ENCODERS[encoder][0](PNG + noise(seed, size)),
    st.sampled_from(sorted(ENCODERS)),
    st.integers(0, 2**32),
    st.integers(300, 3000),
)


@settings(max_examples=300)
@given(st.lists(st.tuples(plain, blob_text), min_size=1, max_size=4), plain)
def test_blobs_go_and_the_rest_stays(parts, tail):
    """What the invariant at the top of this file says."""
    # a bracket and a blank: what no blob begins or ends with, and no literal goes on behind
    text = "".join(f"{before}( {blob} )" for before, blob in parts) + tail
    said = redact(text)

    # the last line of wrapped base64 is left if it is a word like any other (one in 700)
    last_word = r"(?:(?:\\n|[\s|]+)(?:[A-Z]?[a-z]+|[A-Z]+|-\S*))?"
    label = r"(?:bytearray\()?<image/png (?:base64|hex|bytes), [^<>]*>\)?" + last_word
    expected = "".join(re.escape(f"{before}( ") + label + re.escape(" )") for before, _ in parts)
    assert re.fullmatch(expected + re.escape(tail), said)
    assert redact(said) == said


@settings(max_examples=300)
@given(st.text(max_size=2000))
@example("Authorization: Bearer Bearer abcdefgh12")
@example('api_key="api_key="abcd1234efgh"')
def test_random_text_stays(text):
    """Text of any characters is returned as it is, or, where it looks like a secret, masked once."""
    said = redact(text)

    assert said == text or "***" in said
    assert redact(said) == said


pieces = st.sampled_from(
    [
        *(
            "base64,",
            "base64:",
            "//",
            "/",
            "\\/",
            "\\",
            "\\n",
            "\n",
            "\\x",
            "\\x89",
            "\\u00ff",
            "%2F",
            "=",
            "-",
            "b'",
            "'",
            '"',
        ),
        *(
            "api_key",
            "token",
            "Authorization",
            "Bearer ",
            "sk-",
            "eyJ",
            ".",
            "=",
            ":",
            ": ",
            "?",
            "&",
            "***",
            "AIza",
            "secret",
        ),
        *(
            "A" * 60,
            "Ab1/" * 20,
            "0123456789abcdef" * 9,
            "89 50 4e ",
            "00000010: ",
            "\x1b[1m",
            "https://",
            "<",
            ">",
            " ",
            ",",
            "a1B2c3D4e5F6",
        ),
    ]
)


@settings(max_examples=1000)
@given(st.lists(pieces, max_size=40).map("".join), st.sampled_from([128, 256]))
@example("0123456789abcdef" * 9 + "base64," + "A" * 200, 128)
def test_twice_is_once(text, limit):
    """Hostile mixtures of everything redact() looks for: the second time changes nothing."""
    said = redact(text, limit)

    assert redact(said, limit) == said


@settings(max_examples=100)
@given(st.integers(0, 2**32), st.integers(SHORTEST_LIMIT, 2000))
def test_limit_is_the_longest_run_that_stays(seed, limit):
    """A run of exactly the limit stays, one character more does not."""
    run = re.sub("[+/=]", "", base64.b64encode(noise(seed, 2000)).decode())

    assert redact(f"({run[:limit]})", limit) == f"({run[:limit]})"
    assert redact(f"({run[: limit + 1]})", limit).startswith("(<base64, ")
