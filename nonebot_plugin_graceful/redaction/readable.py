"""Bytes that are text, though they were written out in escapes."""

import codecs
import re

__all__ = ["is_text"]

# Chinese sites and proxies still answer in GBK.
_ENCODINGS = ("utf-8", "gbk")
_CONTROL = re.compile(r"[\x00-\x08\x0b\x0e-\x1a\x1c-\x1f\x7f-\x9f]")
_TAIL_OF_CHARACTER = bytes(range(0x80, 0xC0))
_SAMPLE = 65536


def is_text(data: bytes) -> bool:
    """Tell text from a file: it can be decoded, and has hardly a control character.

    Both ends may have been cut in the middle of a character.
    """
    for encoding in _ENCODINGS:
        decoder = codecs.getincrementaldecoder(encoding)()
        start = data[:3].lstrip(_TAIL_OF_CHARACTER) if encoding == "utf-8" else data[:3]
        try:
            text = decoder.decode(start + data[3:])
        except UnicodeDecodeError:
            continue
        return len(_CONTROL.findall(text, 0, _SAMPLE)) * 100 <= min(len(text), _SAMPLE)
    return False
