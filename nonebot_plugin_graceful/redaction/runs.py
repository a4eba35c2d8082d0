"""Runs of base64, base64url and hexadecimal digits.

A run is a stretch of letters, digits and ``+ / - _``, with ``=`` at its end only. Over the limit,
it is a blob if

- it stands behind ``base64,`` or ``base64://``, whatever it looks like; or
- it is hexadecimal: one case of letters, and digits among them; or
- it has more than 16 different characters, which no rule or pattern has, and is longer than a
  path may be (4096); or is no longer than that, and what it consists of changes between capitals,
  small letters and digits as often as encoded bytes do (58 times in 100), which names, paths and
  identifiers don't (20 in 100).

So rules (``-----``), numbers of any length, ``aaaa``, paths and CamelCase stay. Lines are taken
together if they are as encoders wrap them: all of one width, which is a multiple of four and 60
at least, but for the last. In a URL, a blob is at most what is between two slashes of its path.
"""

import binascii
import re
from collections.abc import Iterator

from .label import Blob, Glance, label, put_labels
from .randomness import changes
from .unescaping import has_escapes, in_original, unescape

__all__ = ["hide"]

Span = tuple[int, int]

_C = "A-Za-z0-9+/_-"
# The look-behind makes each run be tried once, from its start, and nothing follows a repetition
# that could fail and send the search back into it. It stands behind the first character because
# a search is quickest when it knows what that may be.
_RUN = re.compile(rf"[{_C}](?<![{_C}].)[{_C}]{{59,}}={{0,2}}", re.DOTALL)
_may_have_run = Glance(_C, 30)
_REST_OF_RUN = re.compile(rf"[{_C}]*={{0,2}}")
_LOOK_BACK = 240
# What the letters after a backslash or a per cent sign belong to.
_TAIL_OF_ESCAPE = re.compile(
    r"(?<=\\)(?:u[0-9a-fA-F]{4}|x[0-9a-fA-F]{2}|[nrtbfv])|(?<=%)[0-9a-fA-F]{2}"
)
_TAIL_OF_COLOUR = re.compile(r"[0-9]{0,3}m")

_LINE_BREAK = re.compile(r"(?:\\+[rn])+|\r?\n[ \t|]{0,32}")
_LINE_WIDTH = 60
_NO_LAST_LINE = re.compile(r"-.*|[A-Z]?[a-z]+|[A-Z]+")

_DECLARATION = re.compile(
    rf"(?<![{_C}])"  # a run that happens to end with these letters stays whole
    r"(?:(?:data:)?([\w.+-]{1,40}/[\w.+-]{1,80})?(?:;[\w.+=-]{1,40}){0,4};)?"
    r"base64(?:[,:]|%2[cC])\Z"
)
_PATH_SEGMENT = re.compile(rf"[{_C.replace('/', '')}]+={{0,2}}")

_PATH_MAX = 4096
_PATTERN = 16
_HEX = (b"0123456789abcdef", b"0123456789ABCDEF")
# MD5, SHA-1 and the SHA-2 family: lines of one of these widths are a list of hashes
_HASH_WIDTHS = (32, 40, 56, 64, 96, 128)


def hide(text: str, limit: int) -> str:
    """Put a label in the place of every blob."""
    if has_escapes(text):
        return put_labels(text, in_original(text, _blobs(unescape(text), limit)))
    return put_labels(text, _blobs(text, limit)) if _may_have_run(text) else text


def _blobs(text: str, limit: int) -> Iterator[Blob]:
    done = 0
    for lines in _runs(text):
        start, end = lines[0][0], lines[-1][1]
        if end - start <= limit:
            continue
        declared = _declared(text, done, start)
        if declared:
            begin, start, mime = declared
            content = _content(text, [(start, lines[0][1]), *lines[1:]])
            if len(content) > limit:
                yield begin, end, _label("base64", content, mime)
                done = end
            continue
        if _in_url_path(text, start):
            blocks = [[segment] for line in lines for segment in _path_segments(text, line)]
        elif len(lines) > 1:
            blocks = [lines, *([line] for line in lines)]
        else:
            blocks = [lines]
        for block in blocks:
            content = _content(text, block)
            encoding = _encoding(content, wrapped=len(block) > 1) if len(content) > limit else ""
            if encoding:
                done = block[-1][1]
                yield block[0][0], done, _label(encoding, content)
                if block is lines:
                    break


def _runs(text: str) -> Iterator[list[Span]]:
    """Find what may be a blob: each time the lines it consists of."""
    position = 0
    while found := _RUN.search(text, position):
        lines = _lines(text, _own_start(text, found.start()), found.end())
        position = lines[-1][1]
        yield lines


def _own_start(text: str, start: int) -> int:
    """Leave what precedes a run its own letters: the n of a newline, the m of a colour."""
    tail = _TAIL_OF_ESCAPE.match(text, start)
    if (
        not tail
        and text[start - 1 : start] in ("[", ";")
        and "\x1b[" in text[max(0, start - 12) : start]
    ):
        tail = _TAIL_OF_COLOUR.match(text, start)
    return tail.end() if tail else start


def _lines(text: str, start: int, end: int) -> list[Span]:
    """Add the lines that an encoder would have wrapped the first one into."""
    lines = [(start, end)]
    width = end - start
    if width < _LINE_WIDTH or width % 4 or text[end - 1] == "=":
        return lines
    while line_break := _LINE_BREAK.match(text, end):
        start = line_break.end()
        line = _REST_OF_RUN.match(text, start)
        end = line.end() if line else start
        length = end - start
        is_last = length < width or text[end - 1] == "="
        if not 0 < length <= width or (
            is_last and (length % 4 or _NO_LAST_LINE.fullmatch(text, start, end))
        ):
            break
        lines.append((start, end))
        if is_last:
            break
    return lines


def _declared(text: str, done: int, start: int) -> tuple[int, int, str] | None:
    """See whether a run is declared to be base64: where that begins, where the run, its type."""
    if not text.endswith(("base64,", "base64:", "base64%2C", "base64%2c"), done, start):
        return None
    declaration = _DECLARATION.search(text, max(done, start - _LOOK_BACK), start)
    if not declaration:
        return None
    if text[start - 1] == ":" and text.startswith("//", start):
        start += 2
    return declaration.start(), start, declaration[1] or ""


def _in_url_path(text: str, start: int) -> bool:
    before = text[max(0, start - 2048) : start]
    # what no URL has in it, or what stands after one
    for end_of_other in " \n\t\"'<>,[]()":
        before = before.rpartition(end_of_other)[2]
    before += text[start : start + 4]
    return "://" in before and "?" not in before


def _path_segments(text: str, line: Span) -> Iterator[Span]:
    return (found.span() for found in _PATH_SEGMENT.finditer(text, *line))


def _content(text: str, lines: list[Span]) -> str:
    return "".join([text[start:end] for start, end in lines])


def _encoding(content: str, *, wrapped: bool) -> str:
    """Tell what a run of nobody's declaring is, by its looks: base64, hex, or ''."""
    if content.isdigit():
        return ""
    raw = content.encode("ascii")
    digits = raw[2:] if content[:2] in ("0x", "0X") else raw
    for alphabet in _HEX:
        if not digits[:_PATH_MAX].translate(None, alphabet) and not digits.translate(
            None, alphabet
        ):
            is_hashes = wrapped and len(digits) % 64 == 0
            return "hex" if len(set(digits[:65536])) > 8 and not is_hashes else ""
    if len(set(raw[:65536])) <= _PATTERN:
        return ""
    if len(raw) > _PATH_MAX:
        return "base64"
    # bytes that are all zero or all one are not much to go by
    classes, count = changes(raw.replace(b"AAAA", b"").replace(b"////", b""))
    size = len(classes)
    varied = (
        classes.count(b"u") * 20 >= size
        and classes.count(b"l") * 20 >= size
        and classes.count(b"d") * 100 >= size
    )
    return "base64" if size >= 32 and varied and count * 3 >= size else ""


def _label(encoding: str, content: str, mime: str = "") -> str:
    if encoding == "hex":
        digits = content.removeprefix("0x").removeprefix("0X")
        data = bytes.fromhex(digits[: len(digits) // 2 * 2])
        return label("hex", data)
    if "-" in content or "_" in content:
        content = content.replace("-", "+").replace("_", "/")
    if len(content) % 4:
        content = content.rstrip("=")
        content += "=" * (-len(content) % 4)
    size = len(content) * 3 // 4
    try:
        data = binascii.a2b_base64(content)
    except binascii.Error:  # a character too many: it was cut, or something stands next to it
        data = None
    return label("base64", data, mime=mime, size=size)
