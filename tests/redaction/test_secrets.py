"""Keys, tokens and passwords become ***, and nothing else does."""

import base64
import json
import random

import pytest

from nonebot_plugin_graceful.redaction import redact
from nonebot_plugin_graceful.redaction.looks import LOOKS
from nonebot_plugin_graceful.redaction.names import NAMES, Kind, kind_of

from .drawing import draw, noise

SECRET = "a1B2c3D4e5F6g7H8i9J0"
JWT = (
    "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0"
    ".dozjgNryP4J3jVmNHl0w5N_XgL0n3I9PlFUP0THsR8U"
)


@pytest.mark.parametrize(
    ("text", "masked"),
    [
        (f"Authorization: Bearer {SECRET}", "Authorization: Bearer ***"),
        (f"authorization: Basic {SECRET}==", "authorization: Basic ***"),
        (
            f"{{'Authorization': 'Bearer {SECRET}', 'x': 1}}",
            "{'Authorization': 'Bearer ***', 'x': 1}",
        ),
        (f'{{"authorization": "{SECRET}"}}', '{"authorization": "***"}'),
        (f"[(b'Authorization', b'Bearer {SECRET}')]", "[(b'Authorization', b'Bearer ***')]"),
        (f"using Bearer {SECRET} now", "using Bearer *** now"),
        (f"api_key={SECRET},", "api_key=***,"),
        (f"OPENAI_API_KEY={SECRET}", "OPENAI_API_KEY=***"),
        (f"X-Api-Key: {SECRET}", "X-Api-Key: ***"),
        ('{"apiKey":"abcdef"}', '{"apiKey":"***"}'),
        ("OpenAI(api_key='abcdef', x=1)", "OpenAI(api_key='***', x=1)"),
        ('{"args": "{\\"api_key\\": \\"abcdef\\"}"}', '{"args": "{\\"api_key\\": \\"***\\"}"}'),
        (f"access_token: {SECRET}", "access_token: ***"),
        ("ws://127.0.0.1:6700/?access_token=mytoken", "ws://127.0.0.1:6700/?access_token=***"),
        (f"https://x.cn/v1?key={SECRET}&alt=sse", "https://x.cn/v1?key=***&alt=sse"),
        (f"https://x.cn/v1?a=1&token={SECRET}&b=2", "https://x.cn/v1?a=1&token=***&b=2"),
        ("{'client_secret': 'abcdef'}", "{'client_secret': '***'}"),
        ("password='hunter2x'", "password='***'"),
        (f"key is sk-proj-{SECRET}!", "key is sk-***!"),
        ("Incorrect API key: sk-ant-api03-AbCdEf012345678_XyZ.", "Incorrect API key: ***."),
        (f"key AIzaSy{SECRET}abcdefghijklm", "key AIza***"),
        (f"cookie: {JWT};", "cookie: eyJ***;"),
        (f"\x1b[1msk-{SECRET}\x1b[0m", "\x1b[1msk-***\x1b[0m"),
        (f"\x1b[31meyJ{JWT[3:]}\x1b[0m", "\x1b[31meyJ***\x1b[0m"),
        (f"Bearer {JWT}", "Bearer eyJ***"),
        (f'"access_token": "{JWT}"', '"access_token": "eyJ***"'),
    ],
)
def test_secrets_are_masked(text, masked):
    """Keys, tokens and passwords are nobody's business, whatever they stand in."""
    assert redact(text) == masked
    assert redact(masked) == masked


def test_jwt_with_a_long_payload_is_masked():
    """Its payload is a blob; the rest of it is still a JWT's."""
    payload = (
        base64.urlsafe_b64encode(json.dumps({"a": noise(6, 300).hex()}).encode())
        .decode()
        .rstrip("=")
    )

    said = redact(f"got eyJhbGciOiJIUzI1NiJ9.{payload}.{SECRET} then")

    assert said == "got eyJ*** then"


@pytest.mark.parametrize("value", ["hunter@2024!", "a b#1", "p;w,d&x", "<a1>b", "üñ1{x}", "12345"])
@pytest.mark.parametrize(
    ("before", "after"),
    [('{"password": "', '", "n": 1}'), ("{'password': '", "'}"), ("password=`", "`")],
    ids=["JSON", "Python", "Markdown"],
)
def test_the_value_between_quotes_is_the_value(before, after, value):
    """Whatever characters it has, it goes as a whole."""
    assert redact(before + value + after) == f"{before}***{after}"


@pytest.mark.parametrize("levels", range(4))
def test_json_in_json_is_read(levels):
    """However often quotes were escaped, a value ends at its own."""
    text, masked = ('{"password": "a\\"b,c"}', '{"password": "***"}')
    for _ in range(levels):
        text, masked = json.dumps({"body": text}), json.dumps({"body": masked})

    assert redact(text) == masked


@pytest.mark.parametrize(
    "template", ["api_key={}", "X-Api-Key: {}", "Authorization: Bearer {}", "密钥：{}", "?key={}"]
)
def test_keys_of_16_letters_and_digits_are_found(template):
    """Also the quarter of them that has fewer than two digits."""
    dice = random.Random(1)
    keys = [draw("b62:16", dice) for _ in range(1000)]
    missed = [key for key in keys if key in redact(template.format(key))]

    assert len(missed) <= 10, missed


def test_long_private_keys_lose_their_label_as_well():
    """A key over the limit was a blob before."""
    lines = base64.encodebytes(noise(1, 1200)).decode()

    said = redact(f"-----BEGIN RSA PRIVATE KEY-----\n{lines}-----END RSA PRIVATE KEY-----\n")

    assert said == "-----BEGIN RSA PRIVATE KEY-----***-----END RSA PRIVATE KEY-----\n"


def test_a_certificate_stays_readable():
    """Only private keys are secrets."""
    text = "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----"

    assert redact(text) == text


@pytest.mark.parametrize("name", NAMES)
def test_every_name_of_the_table_is_known(name):
    """In any of the ways in which names are written."""
    for variant in (name, name.upper(), f"my_{name}", f"my-{name}", f"MY_{name.upper()}"):
        known = kind_of(variant)
        if variant.lower() == name:
            assert known is NAMES[name]
        elif NAMES[name] is Kind.TOKEN:
            assert known is Kind.KEY
        elif NAMES[name] not in (Kind.COOKIE, Kind.PARAMETER):
            assert known is NAMES[name]


@pytest.mark.parametrize("name", ["max_tokens", "eosToken", "next_page_token", "forgot_password"])
def test_names_that_end_like_those_of_secrets_are_not_taken_for_them(name):
    """What language models read is a token as well."""
    assert kind_of(name.rstrip("s")) is None


def test_signs_of_the_table_are_different():
    """No row hides another."""
    signs = [look.sign for look in LOOKS]

    assert len(signs) == len(set(signs))
