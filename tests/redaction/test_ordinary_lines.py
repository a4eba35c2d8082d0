"""The glance at a line sees every sign of a secret, and lets ordinary lines through."""

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nonebot_plugin_graceful.redaction import SHORTEST_LIMIT, is_ordinary, redact
from nonebot_plugin_graceful.redaction.looks import LOOKS
from nonebot_plugin_graceful.redaction.names import NAMES

from .drawing import fill
from .test_corpus import LOOKALIKES, SECRETS

NAMES_AS_WRITTEN = [
    *("key", "Key", "KEY", "token", "Token", "TOKEN", "secret", "Secret", "SECRET", "password"),
    *("Password", "PASSWORD", "passwd", "PASSWD", "pwd", "Pwd", "PWD", "authorization"),
    *("Authorization", "AUTHORIZATION", "SESSDATA", "bili_jct", "skey", "cookie", "Cookie"),
    *("Set-Cookie", "COOKIE", *(name for name in NAMES if not name.isascii())),
]


@pytest.mark.parametrize("number", range(len(SECRETS)))
def test_no_line_with_a_secret_is_ordinary(number):
    """What is let through is never redacted, so that nothing may be missed."""
    dice = random.Random(number)

    assert not any(is_ordinary(fill(SECRETS[number], dice)[0]) for _ in range(20))


@pytest.mark.parametrize("sign", [look.sign for look in LOOKS])
def test_signs_of_secrets_are_seen(sign):
    """Who adds a row to the table of looks has to add it to the glance."""
    assert not is_ordinary(f"1{sign}1")


@pytest.mark.parametrize("name", NAMES_AS_WRITTEN)
def test_names_of_secrets_are_seen(name):
    """Names are known by what they end with, however they are written."""
    assert not is_ordinary(f"{name}=1")


def test_private_keys_and_addresses_with_passwords_are_seen():
    """What carries a secret; and tokens of three parts, which have no sign."""
    assert not is_ordinary("curl -u a:bcde")
    assert not is_ordinary(f"M{'Tz1' * 8}.abcdef.{'aB1' * 9}")
    assert not is_ordinary("-----BEGIN PRIVATE KEY-----")
    assert not is_ordinary("redis://:a@b")


def test_most_lines_are_ordinary():
    """The glance is worth it: of lines made to look like secrets it lets some through."""
    for line in (
        "OneBot V11 2233445566 | [message.group.normal]: Message 1838477731 from 10001@[群:20002]",
        "Event will be handled by Matcher(type='message', module=nonebot_plugin_draw, lineno=12)",
        '127.0.0.1:43210 - "GET /onebot/v11/status HTTP/1.1" 200',
        "正在为用户 10001 绘制：一只戴着帽子的猫，坐在窗台上，窗外下着雨",
    ):
        assert is_ordinary(line)
    assert any(map(is_ordinary, LOOKALIKES))


@settings(max_examples=500)
@given(
    st.lists(
        st.sampled_from(
            [
                *(
                    "a1B2c3D4e5F6g7H8",
                    "sk",
                    "-",
                    "_",
                    "=",
                    ":",
                    "://",
                    "@",
                    "key",
                    "tok",
                    "en",
                    " ",
                ),
                *(
                    "pass",
                    "word",
                    "Bear",
                    "er ",
                    "ey",
                    "J",
                    ".",
                    "AK",
                    "IA",
                    "gh",
                    "p_",
                    "密",
                    "钥",
                ),
                *("A" * 20, "0" * 8, "'", '"', "Cook", "ie", "auth", "orization", "x", "ai-"),
            ]
        ),
        max_size=12,
    ).map("".join)
)
def test_what_is_ordinary_is_not_redacted(text):
    """The glance may see too much, but never too little."""
    if is_ordinary(text):
        assert redact(text, SHORTEST_LIMIT) == text or len(text) > SHORTEST_LIMIT
