"""Encoded bytes become a word on what they are."""

import base64
import json
import re

import pytest

from nonebot_plugin_graceful.redaction import redact

from .drawing import noise
from .encoders import ENCODERS, ROUGH, picture, sha1, xxd


@pytest.mark.parametrize("name", ENCODERS)
def test_picture_becomes_its_label(name):
    """However a picture is written, its type, its size and its hash are left of it."""
    encode, encoding = ENCODERS[name]
    text = f"[群:1] 图 ({encode(picture())}) 完"

    said = redact(text)

    assert f"<image/png {encoding}, 50.0 kB, sha1 {sha1(picture())}>" in said
    assert re.sub("<.*>", "", said) in ("[群:1] 图 () 完", "[群:1] 图 (bytearray()) 完")
    assert redact(said) == said


@pytest.mark.parametrize("name", ROUGH)
def test_picture_in_escapes_is_cut_out(name):
    """Of bytes in escapes that belong to no literal, next to nothing is left."""
    said = redact(f"before {ROUGH[name](picture(20_000))} after")

    assert said.startswith("before ")
    assert said.endswith(" after")
    assert "escaped bytes, " in said
    assert len(said) < 2000
    assert redact(said) == said


@pytest.mark.parametrize("colon", [":", " "])
def test_hex_dump_becomes_its_label(colon):
    """A dump is left out with its offsets and its column of text."""
    data = picture(4000)

    said = redact(f"got:\n{xxd(data, colon=colon)}\nthe end")

    assert said == f"got:\n<image/png hex dump, 4.0 kB, sha1 {sha1(data)}>\nthe end"


@pytest.mark.parametrize(
    ("data", "mime"),
    [
        (b"\xff\xd8\xff\xe0", "image/jpeg"),
        (b"GIF89a", "image/gif"),
        (b"RIFF\0\0\0\0WEBPVP8 ", "image/webp"),
        (b"\x02#!SILK_V3", "audio/silk"),
        (b"\0\0\0\x20ftypisom", "video/mp4"),
        (b"%PDF-1.7", "application/pdf"),
    ],
)
def test_type_is_told_by_the_first_bytes(data, mime):
    """What was declared counts less than what it is."""
    data += noise(2, 600)

    said = redact("data:image/png;base64," + base64.b64encode(data).decode())

    assert said == f"<{mime} base64, {len(data)} B, sha1 {sha1(data)}>"


def test_declared_type_is_used_when_the_bytes_tell_nothing():
    """A type of its sender's is better than none."""
    data = noise(3, 600)

    said = redact("data:font/woff2;base64," + base64.b64encode(data).decode())

    assert said == f"<font/woff2 base64, 600 B, sha1 {sha1(data)}>"


def test_declared_base64_needs_no_looks():
    """Behind base64, even zeros are a blob."""
    said = redact("[CQ:image,file=base64://" + "A" * 400 + "]")

    assert said == f"[CQ:image,file=<base64, 300 B, sha1 {sha1(bytes(300))}>]"


def test_zeros_do_not_hide_what_is_among_them():
    """Half of a file may be padding."""
    data = noise(8, 150) + bytes(300) + noise(9, 150)

    assert redact(base64.b64encode(data).decode()) == f"<base64, 600 B, sha1 {sha1(data)}>"


@pytest.mark.parametrize("count", [1000, 30_000])
def test_repetitions_of_a_few_characters_stay(count):
    """A pattern is no encoding, however long it is."""
    for pattern in ("aB1", "xyz-", "0123456789", "/\\"):
        assert redact(pattern * count) == pattern * count


def test_short_dumps_are_found_wherever_they_begin():
    """65 pairs are one more than a SHA-512 has; two lines of a dump are enough, too."""
    data = noise(10, 65)
    dumps = [data.hex(" "), data.hex(":"), xxd(data), xxd(data, group=1, colon=" ")]
    for offset in range(170):
        for dump in dumps:
            said = redact("你" * offset + f"\n{dump}\n" + "你" * 60, 128)

            assert f", 65 B, sha1 {sha1(data)}>\n" in said


def test_cq_code_keeps_what_is_no_blob():
    """Only the file of a CQ code is replaced."""
    data = picture(5000)
    code = f"你看[CQ:image,file=base64://{base64.b64encode(data).decode()},type=flash,id=40000]吧"

    assert redact(code) == (
        f"你看[CQ:image,file=<image/png base64, 5.0 kB, sha1 {sha1(data)}>,type=flash,id=40000]吧"
    )


def test_url_with_a_long_token_keeps_its_host_and_path():
    """The token goes, the address stays."""
    token = base64.urlsafe_b64encode(noise(4, 450)).decode()
    said = redact(f"GET https://cdn.example.com/a/b/c.png?expires=9&signature={token}&v=2 200")

    assert said.startswith(
        "GET https://cdn.example.com/a/b/c.png?expires=9&signature=<base64, 450 B"
    )
    assert said.endswith(">&v=2 200")

    said = redact(f"GET http://localhost:8080/files/of/{token}/thumbnail/small 200")
    assert said.startswith("GET http://localhost:8080/files/of/<base64, 450 B")
    assert said.endswith(">/thumbnail/small 200")


def test_binary_literal_with_text_in_it_is_one_label():
    """A picture's metadata is a long stretch of text."""
    data = picture(4000) + b"<x:xmpmeta>" + b"Adobe Photoshop, edited twice. " * 30 + noise(5, 4000)

    assert (
        redact(f"got {data!r}")
        == f"got <image/png bytes, {len(data) / 1000:.1f} kB, sha1 {sha1(data)}>"
    )


def test_colour_codes_stay_whole():
    """The m of a colour is no part of the base64 behind it."""
    data = picture(3000)

    said = redact(f"\x1b[1m{base64.b64encode(data).decode()}\x1b[0m")

    assert said == f"\x1b[1m<image/png base64, 3.0 kB, sha1 {sha1(data)}>\x1b[0m"


def test_json_stays_json():
    """A line that was JSON can still be read as such."""
    document = {
        "text": "line\n" + base64.b64encode(picture(3000)).decode(),
        "raw": picture(3000).decode("latin-1"),
        "nested": json.dumps({"api_key": "sk-0123456789abcdefghij", "b": repr(picture(900))}),
        "api_key": "abcdef",
        "n": [1, 2],
        "list": [picture(900).decode("latin-1")] * 3,
    }
    for text in (
        json.dumps(document),
        json.dumps(document, ensure_ascii=False),
        json.dumps(document, separators=(",", ":")),
    ):
        read = json.loads(redact(text))

        assert list(read) == list(document)
        assert read["text"].startswith("line\n<image/png base64, 3.0 kB")
        assert read["api_key"] == "***"
        assert json.loads(read["nested"])["api_key"] == "***"
        assert read["n"] == [1, 2]
        assert len(read["list"]) == 3
