"""The ways in which pictures are written into logs."""

import base64
import hashlib
import json
import re

from .drawing import noise

PNG = b"\x89PNG\r\n\x1a\n"


def picture(size: int = 50_000) -> bytes:
    return PNG + noise(1, size - len(PNG))


def sha1(data: bytes) -> str:
    return hashlib.sha1(data).hexdigest()[:8]


ENCODERS = {
    "data URI": (lambda data: f"data:image/png;base64,{base64.b64encode(data).decode()}", "base64"),
    "data URI with a charset": (
        lambda data: f"data:image/png;charset=utf-8;base64,{base64.b64encode(data).decode()}",
        "base64",
    ),
    "OneBot's base64://": (lambda data: f"base64://{base64.b64encode(data).decode()}", "base64"),
    "bare base64": (lambda data: base64.b64encode(data).decode(), "base64"),
    "base64 without padding": (lambda data: base64.b64encode(data).decode().rstrip("="), "base64"),
    "base64url": (lambda data: base64.urlsafe_b64encode(data).decode(), "base64"),
    "MIME lines": (lambda data: base64.encodebytes(data).decode().strip(), "base64"),
    "PEM lines": (
        lambda data: "\r\n".join(re.findall(".{1,64}", base64.b64encode(data).decode())),
        "base64",
    ),
    "wide lines": (
        lambda data: "\n".join(re.findall(".{1,500}", base64.b64encode(data).decode())),
        "base64",
    ),
    "lines in an exception group": (
        lambda data: base64.encodebytes(data).decode().strip().replace("\n", "\n    | "),
        "base64",
    ),
    "lines in JSON": (
        lambda data: json.dumps(base64.encodebytes(data).decode().strip())[1:-1],
        "base64",
    ),
    "PHP's JSON": (lambda data: base64.b64encode(data).decode().replace("/", "\\/"), "base64"),
    "data URI in PHP's JSON": (
        lambda data: f"data:image/png;base64,{base64.b64encode(data).decode()}".replace("/", "\\/"),
        "base64",
    ),
    ".NET's JSON": (lambda data: base64.b64encode(data).decode().replace("+", "\\u002B"), "base64"),
    "base64 in a URL": (
        lambda data: (
            base64.b64encode(data)
            .decode()
            .replace("+", "%2B")
            .replace("/", "%2F")
            .replace("=", "%3D")
        ),
        "base64",
    ),
    "hex": (lambda data: data.hex(), "hex"),
    "capital hex": (lambda data: data.hex().upper(), "hex"),
    "0x hex": (lambda data: "0x" + data.hex(), "hex"),
    "hex pairs": (lambda data: data.hex(" "), "hex"),
    "hex with colons": (lambda data: data.hex(":"), "hex"),
    "a C array": (lambda data: ", ".join(f"0x{byte:02x}" for byte in data), "hex"),
    "hex lines": (
        lambda data: "\n".join(data[i : i + 16].hex(" ") for i in range(0, len(data), 16)),
        "hex",
    ),
    "repr": (repr, "bytes"),
    "repr of a bytearray": (lambda data: repr(bytearray(data)), "bytes"),
}
# The hash can't be told of these: a run of escapes begins with the first and ends with the last.
ROUGH = {
    "JSON of a repr": lambda data: json.dumps(repr(data)),
    "JSON of latin-1": lambda data: json.dumps(data.decode("latin-1")),
    "a repr that was cut": lambda data: repr(data)[:-5] + "...",
    "escapes": lambda data: "".join(f"\\x{byte:02x}" for byte in data),
}


def xxd(data: bytes, *, group: int = 2, colon: str = ":") -> str:
    return "\n".join(
        f"{offset:08x}{colon} {data[offset : offset + 16].hex(' ', group):{32 + 16 // group - 1}}  "
        + "".join(chr(c) if 32 <= c < 127 else "." for c in data[offset : offset + 16])
        for offset in range(0, len(data), 16)
    )
