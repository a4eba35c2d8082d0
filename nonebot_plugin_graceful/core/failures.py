"""What went wrong, in one line: for logs, notices and reports."""

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from html import unescape
from http import HTTPStatus
from typing import Any, cast
from urllib.parse import urlsplit

from loguru import logger

from nonebot_plugin_graceful.redaction import SHORTEST_LIMIT, redact

__all__ = ["describe_failure", "log_failure", "status_of"]

_BODY = 256 * 1024
"""Bytes of an answer that are looked at. Error bodies are short; a picture sent as one is not read."""

# Where providers put their own words. Compared in lower case, in this order: what is made for
# people first. error_msg: Baidu; errmsg: DingTalk, WeChat; status_msg: MiniMax (in base_resp);
# Response.Error.Message: Tencent Cloud; header.message: iFlytek; detail: FastAPI, RFC 9457.
_MESSAGE_KEYS = (
    "message",
    "error_message",
    "error_msg",
    "errmsg",
    "msg",
    "status_msg",
    "error_description",
    "detail",
    "faultstring",
    "title",
    "reason",
)
_CONTAINER_KEYS = ("error", "errors", "response", "base_resp", "header", "fault", "detail", "data")


def describe_failure(error: BaseException, *, limit: int = 200) -> str:
    """Say in one line what went wrong.

    An HTTP error is its status, its host and the provider's own message, taken out of the JSON of
    its answer: ``429 Too Many Requests from api.example.com: quota exceeded``. A
    ``tenacity.RetryError`` is what its last attempt failed with, an exception group its distinct
    failures. Everything else is its type and its text. Blobs and secrets are redacted.

    It goes by the attributes that httpx, aiohttp, requests, urllib and the AI SDKs built on them
    give their errors, so it imports none of them, and it never waits for an answer that has not
    been read yet.

    Args:
        error: What was raised.
        limit: Characters the line may have at most.

    """
    return _shorten(redact(_describe(error, depth=0), SHORTEST_LIMIT), limit)


def status_of(error: BaseException) -> int | None:
    """Tell the HTTP status a failure carries, or None if there was no answer at all."""
    if isinstance(error, SystemExit):  # its code is another thing
        return None
    for owner, name in (
        (error, "status_code"),  # openai, anthropic
        (_get(error, "response"), "status_code"),  # httpx, requests, websockets
        (error, "status"),  # aiohttp
        (error, "code"),  # urllib, google-genai
    ):
        value = _get(owner, name)
        if isinstance(value, int) and 100 <= value <= 599:
            return int(value)
    return None


def log_failure(what: str, error: BaseException, *, level: str = "ERROR", depth: int = 0) -> None:
    """Log a failure as one line at ``level``, and its traceback at DEBUG.

    Args:
        what: What failed, e.g. ``image 'draw' of nonebot_plugin_novelai``.
        error: What was raised.
        level: The name of the line's level.
        depth: How many callers up the line is said to come from; 0 is the caller.

    """
    line = f"{what} failed: {describe_failure(error)}"
    # As an argument: a brace in the provider's message is no placeholder.
    logger.opt(depth=depth + 1).log(level, "{}", line)
    logger.opt(depth=depth + 1, exception=error).debug("{}", line)


def _describe(error: BaseException, depth: int) -> str:
    if depth == 3:
        return type(error).__name__
    inner = _last_attempt(error)
    if inner is not None:
        attempts, last = inner
        return f"gave up after {attempts} attempt{'s' * (attempts != 1)}: " + (
            _describe(last, depth + 1) if last is not None else "the result was not accepted"
        )
    members = _members(error)
    if members:
        return _describe_group(members, depth)
    status = status_of(error)
    host = _host_of(error)
    if status is not None:
        said = _provider_message(error, status)
        return _phrase(status) + (host and f" from {host}") + (said and f": {said}")
    return _plain(error, host)


def _plain(error: BaseException, host: str) -> str:
    name, text = type(error).__name__, _text(error)
    line = (f"{name}: {text}" if text else name) + (
        f" ({host})" if host and host not in text else ""
    )
    # "Connection error." is all that some SDKs say; what they were raised from says why.
    for cause in _causes(error):
        why = _text(cause)
        if why and why not in text:
            return f"{line} ({type(cause).__name__}: {why})"
    return line


def _describe_group(members: tuple[BaseException, ...], depth: int) -> str:
    lines = [_describe(member, depth + 1) for member in members]
    counted = {line: lines.count(line) for line in lines}
    if len(lines) == 1:
        return lines[0]
    return f"{len(lines)} failures: " + "; ".join(
        f"{count} x {line}" if count > 1 else line for line, count in counted.items()
    )


def _phrase(status: int) -> str:
    with suppress(ValueError):
        return f"{status} {HTTPStatus(status).phrase}"
    return f"HTTP {status}"  # e.g. Cloudflare's 520 to 530


def _provider_message(error: BaseException, status: int) -> str:
    for body in (_get(error, "body"), _get(error, "details"), _body_of(error)):
        said = _message_in_text(body) if isinstance(body, str) else _message_in(body)
        if said:
            return _without_status(said, status)
    for name in ("message", "reason"):
        said = _get(error, name)  # aiohttp, urllib: the reason phrase; websockets, SDKs: a text
        # an SDK that found no message puts the whole request or answer here
        if isinstance(said, str) and said and "\n" not in said and len(said) < 1000:
            return _without_status(_one_line(said), status)
    return ""


def _without_status(said: str, status: int) -> str:
    """Leave out what the line begins with anyway: "504 Gateway Time-out"."""
    rest = said.removeprefix("Error code:").strip().removeprefix(str(status)).lstrip(" :-")
    phrase = _phrase(status).partition(" ")[2]
    plain = "".join(filter(str.isalpha, rest)).lower()
    return "" if plain == "".join(filter(str.isalpha, phrase)).lower() else rest or said


def _message_in_text(text: str) -> str:
    text = text.strip()
    if not text:
        return ""
    if text[0] in "{[":
        with suppress(ValueError, RecursionError):
            return _message_in(json.loads(text))
    if text[0] == "<":
        # a proxy's error page: its title is all there is to it
        head = text[:4096]
        start = head.lower().find("<title>")
        end = head.lower().find("</title>", start)
        return _one_line(unescape(head[start + 7 : end])) if 0 <= start < end else ""
    return _one_line(text)


def _message_in(value: object, depth: int = 0) -> str:
    """Find the provider's own words in its parsed JSON."""
    if isinstance(value, str):
        # what a relay got from the provider behind it is often passed on as JSON in JSON
        return _message_in_text(value) if depth else ""
    if depth == 5:
        return ""
    if isinstance(value, list):
        return _first(_message_in(item, depth + 1) for item in cast("list[object]", value[:3]))
    if not isinstance(value, Mapping):
        return ""
    by_key = {
        str(key).lower(): item for key, item in cast("Mapping[object, object]", value).items()
    }
    return _first(
        _message_in(by_key.get(key), depth + 1) for key in (*_MESSAGE_KEYS, *_CONTAINER_KEYS)
    )


def _first(texts: Iterator[str]) -> str:
    return next(filter(None, texts), "")


def _body_of(error: BaseException) -> str:
    response = _get(error, "response")
    # requests would read the rest of the answer from the network
    if response is None or _get(response, "_content_consumed") is False:
        return ""
    content = _get(response, "content") or _get(response, "body")  # httpx raises if it is unread
    if not isinstance(content, bytes | bytearray):
        return ""
    return bytes(content[:_BODY]).decode("utf-8", "replace")


def _host_of(error: BaseException) -> str:
    request = _get(error, "request") or _get(_get(error, "response"), "request")
    for url in (
        _get(request, "url"),  # httpx, requests
        _get(_get(error, "request_info"), "real_url"),  # aiohttp
        _get(error, "url"),  # urllib
    ):
        if isinstance(url, str):
            with suppress(ValueError):
                return urlsplit(url).hostname or ""
        host = _get(url, "host")
        if isinstance(host, str):
            return host
    host = _get(error, "host")  # aiohttp's connection errors
    return host if isinstance(host, str) else ""


def _last_attempt(error: BaseException) -> tuple[int, BaseException | None] | None:
    """Look into a tenacity.RetryError: how many attempts, and what the last one raised."""
    attempt = _get(error, "last_attempt")
    number = _get(attempt, "attempt_number")
    exception = _get(attempt, "exception")
    done = _get(attempt, "done")
    if not (isinstance(number, int) and callable(exception) and callable(done) and done()):
        return None
    with suppress(Exception):
        last = cast("Callable[[], object]", exception)()
        return number, last if isinstance(last, BaseException) else None
    return None


def _members(error: BaseException) -> tuple[BaseException, ...]:
    members = _get(error, "exceptions")  # by name: 3.10 has no built-in exception groups
    if not isinstance(members, tuple):
        return ()
    return tuple(
        member
        for member in cast("tuple[object, ...]", members)
        if isinstance(member, BaseException)
    )


def _causes(error: BaseException) -> Iterator[BaseException]:
    cause = error.__cause__
    for _ in range(5):
        if cause is None:
            return
        yield cause
        cause = cause.__cause__


def _text(error: BaseException) -> str:
    with suppress(Exception):
        return _one_line(str(error))
    return "<unprintable>"


def _one_line(text: str) -> str:
    return " ".join(text.split())


def _shorten(line: str, limit: int) -> str:
    return line if len(line) <= limit else line[: max(limit - 1, 0)].rstrip() + "…"


def _get(thing: object, name: str) -> Any:
    """Read an attribute of something of a stranger's: properties may raise anything."""
    with suppress(Exception):
        return getattr(thing, name, None)
    return None
