"""retry_after: what the server says."""

from datetime import datetime, timedelta, timezone
from email.utils import format_datetime

import aiohttp
import httpx
import pytest
import requests
from multidict import CIMultiDict

from nonebot_plugin_graceful.retry import retry_after

NOW = datetime(2026, 3, 1, 12, 0, 0, tzinfo=timezone.utc)


def error(**headers):
    response = httpx.Response(429, headers={k.replace("_", "-"): v for k, v in headers.items()})
    return httpx.HTTPStatusError("", request=httpx.Request("GET", "http://h"), response=response)


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("7", 7),
        ("0", 0),
        ("1.5", 1.5),
        ("-3", None),
        ("nan", None),
        ("inf", None),
        ("1e999", None),
        ("soon", None),
        ("", None),
        ("Sun, 99 Nov 9999999 08:49:37 GMT", None),
    ],
)
def test_seconds(value, seconds):
    """Seconds are read; nonsense is as if nothing was said."""
    assert retry_after(error(Retry_After=value)) == seconds


def test_milliseconds_go_first():
    """OpenAI's header is the more exact one."""
    assert retry_after(error(retry_after_ms="1250", Retry_After="2")) == 1.25
    assert retry_after(error(retry_after_ms="x", Retry_After="2")) == 2


def test_dates_are_compared_with_the_answers_own():
    """The server's clock may be an hour off."""
    later = format_datetime(NOW + timedelta(seconds=42), usegmt=True)
    assert retry_after(error(Retry_After=later, Date=format_datetime(NOW, usegmt=True))) == 42


def test_dates_without_a_date_to_compare_with():
    """Then it is this machine's clock that counts."""
    soon = datetime.now(timezone.utc) + timedelta(seconds=100)
    assert 90 < retry_after(error(Retry_After=format_datetime(soon, usegmt=True))) <= 100


def test_dates_in_the_past_are_now():
    """No wait is negative."""
    assert retry_after(error(Retry_After="Wed, 21 Oct 2015 07:28:00 GMT")) == 0


def test_every_librarys_headers():
    """Wherever a library keeps them, and whatever it keeps them in."""
    theirs = requests.Response()
    theirs.headers["Retry-After"] = "3"
    assert retry_after(requests.HTTPError(response=theirs)) == 3
    info = aiohttp.RequestInfo("http://h", "GET", {}, "http://h")
    headers = CIMultiDict({"Retry-After": "4"})
    assert retry_after(aiohttp.ClientResponseError(info, (), status=429, headers=headers)) == 4
    plain = RuntimeError()
    plain.headers = {"Retry-After": "5"}
    assert retry_after(plain) == 5


def test_errors_without_an_answer():
    """Where there was no answer, nothing was asked."""
    assert retry_after(ConnectionError()) is None
    assert retry_after(None) is None
