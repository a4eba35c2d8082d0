"""Bytes that are text, tables of addresses and disassembly stay; what is binary does not."""

import json

import pytest

from nonebot_plugin_graceful.redaction import redact

from .drawing import noise
from .encoders import picture

CHINESE = "机器人正在重启，刚才的请求已取消，请稍后再试。HTTP 状态码：504。" * 12
PAGE = f"<html><head><title>网关超时</title></head><body>{CHINESE}</body></html>"


@pytest.mark.parametrize("encoding", ["utf-8", "gbk"])
@pytest.mark.parametrize("text", [CHINESE, PAGE], ids=["text", "page"])
def test_chinese_in_bytes_stays(text, encoding):
    """An answer that was logged before it was decoded can still be decoded."""
    line = f"answer: {text.encode(encoding)!r}"

    assert redact(line) == line


@pytest.mark.parametrize("encoding", ["utf-8", "gbk"])
@pytest.mark.parametrize("cut", range(1, 13))
def test_chinese_in_bytes_that_were_cut_stays(encoding, cut):
    """Wherever it was cut, also in the middle of a character or of an escape."""
    line = f"answer: {CHINESE.encode(encoding)!r}"[:-cut] + "..."

    assert redact(line) == line


def test_chinese_read_as_latin_1_stays():
    """As JSON writes what was decoded in the wrong way."""
    line = json.dumps({"error": CHINESE.encode().decode("latin-1")})

    assert redact(line) == line


def test_emoji_and_colours_in_bytes_stay():
    """Invisible joiners and colours are text, too."""
    line = repr(("👩‍👩‍👧‍👦 \x1b[31m红\x1b[0m\r\n" * 40).encode())

    assert redact(line) == line


def test_a_picture_behind_chinese_does_not_stay():
    """Bytes are judged as a whole."""
    data = CHINESE[:40].encode() + picture(2000)

    assert redact(f"got {data!r}").startswith("got <bytes, 2.1 kB, ")


def test_short_binary_in_many_pieces_is_no_text():
    """Control characters give it away, though GBK could be read into it."""
    data = bytes(byte for byte in noise(5, 4000) if byte < 0x80)
    line = f"got {data!r}"

    assert "<bytes, " in redact(line)


MAC_TABLE = "\n".join(
    f"192.168.1.{number}  " + noise(number, 6).hex(":") + f"  host{number}" for number in range(60)
)


@pytest.mark.parametrize(
    "separator", [" ", "\n", ", ", "; ", "\t"], ids=["blank", "line", "comma", "semicolon", "tab"]
)
@pytest.mark.parametrize("colon", [":", "-"])
def test_lists_of_mac_addresses_stay(separator, colon):
    """Six pairs each, and something else between two of them."""
    text = separator.join(noise(number, 6).hex(colon) for number in range(60))

    assert redact(text) == text
    assert redact(MAC_TABLE) == MAC_TABLE


DISASSEMBLY = {
    "x86": """
0000000000401000 <_start>:
  401000:\t55                   \tpush   %rbp
  401001:\t48 89 e5             \tmov    %rsp,%rbp
  401004:\t48 83 ec 10          \tsub    $0x10,%rsp
  401008:\t89 7d fc             \tmov    %edi,-0x4(%rbp)
  40100b:\tc7 45 f8 00 00 00 00 \tmovl   $0x0,-0x8(%rbp)
  401012:\teb 0c                \tjmp    401020 <_start+0x20>
  401014:\t8b 45 f8             \tmov    -0x8(%rbp),%eax
  401017:\t0f af 45 fc          \timul   -0x4(%rbp),%eax
  40101b:\te8 e0 ff ff ff       \tcall   401000 <_start>
  401020:\tc9                   \tleave
  401021:\tc3                   \tret
""",
    "ARM": "".join(
        f"   {offset:x}:\t{noise(offset, 4).hex()} \tldr\tr{offset % 12}, [fp, #-{offset}]\n"
        for offset in range(0, 200, 4)
    ),
}


@pytest.mark.parametrize("machine", DISASSEMBLY)
def test_disassembly_stays(machine):
    """It looks like a dump, but for the words behind the bytes."""
    assert redact(DISASSEMBLY[machine], 128) == DISASSEMBLY[machine]
