"""What the headers of a failed answer say of another attempt."""

import math
import time
from datetime import datetime, timezone
from email.utils import parsedate_to_datetime
from typing import Any

__all__ = ["attribute", "refuses_retries", "retry_after"]


def retry_after(error: BaseException | None) -> float | None:
    """Tell how many seconds the answer asks to wait, or None if it does not say.

    ``retry-after-ms`` (OpenAI's, in milliseconds) goes before ``Retry-After``, which is seconds or
    a date (RFC 9110, 10.2.3). A date is compared with the answer's own ``Date`` where it has one:
    the two clocks need not agree.

    Args:
        error: What was raised, of whatever library; see ``describe_failure``.

    """
    headers = _headers_of(error)
    if headers is None:
        return None
    milliseconds = _seconds(_header(headers, "retry-after-ms"))
    if milliseconds is not None:
        return milliseconds / 1000
    value = _header(headers, "retry-after")
    seconds = _seconds(value)
    if seconds is not None:
        return seconds
    until = _date(value)
    if until is None:
        return None
    now = _date(_header(headers, "date")) or datetime.fromtimestamp(time.time(), timezone.utc)
    return max((until - now).total_seconds(), 0.0)


def refuses_retries(error: BaseException) -> bool:
    """Tell whether the answer says ``x-should-retry: false``, as OpenAI's and Anthropic's do.

    Args:
        error: As of :func:`retry_after`.

    """
    headers = _headers_of(error)
    if headers is None:
        return False
    return (_header(headers, "x-should-retry") or "").strip().lower() == "false"


def attribute(thing: object, name: str) -> Any:
    """Read an attribute of a stranger's error; None if there is none: properties may raise anything."""
    try:
        return getattr(thing, name, None)
    except Exception:
        return None


def _headers_of(error: BaseException | None) -> Any:
    headers = attribute(attribute(error, "response"), "headers")  # httpx, requests, openai
    return headers if headers is not None else attribute(error, "headers")  # aiohttp, urllib


def _header(headers: Any, name: str) -> str | None:
    try:
        value = headers.get(name)
        if value is None and _minds_case(headers):
            value = headers.get(name.title())
    except Exception:
        return None
    return value if isinstance(value, str) else None


def _minds_case(headers: object) -> bool:
    return type(headers) is dict  # as no other mapping of headers does


def _seconds(value: str | None) -> float | None:
    try:
        seconds = float(value or "")
    except ValueError:
        return None
    return seconds if math.isfinite(seconds) and seconds >= 0 else None


def _date(value: str | None) -> datetime | None:
    try:
        date = parsedate_to_datetime(value or "")
    except (TypeError, ValueError, IndexError, OverflowError):
        return None
    return date if date.tzinfo is not None else date.replace(tzinfo=timezone.utc)
