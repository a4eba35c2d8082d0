"""describe_failure: one line out of whatever was raised."""

import asyncio
import base64
import json
import random
import sys
import types

import aiohttp
import httpx
import openai
import pytest
import requests
import tenacity
from loguru import logger

from nonebot_plugin_graceful.core.failures import describe_failure, log_failure, status_of

URL = "https://api.example.com/v1/images/generations?key=abc"


def httpx_error(status: int, body: bytes | str = b"", **kwargs) -> httpx.HTTPStatusError:
    request = httpx.Request("POST", URL)
    response = httpx.Response(status, content=body, request=request, **kwargs)
    return httpx.HTTPStatusError(
        "Server error for url\nFor more", request=request, response=response
    )


@pytest.mark.parametrize(
    "body",
    [
        {"error": {"message": "quota exceeded", "type": "x", "code": "insufficient_quota"}},
        {"error": "quota exceeded"},
        {"message": "quota exceeded", "code": 1},
        {"error_code": 17, "error_msg": "quota exceeded"},
        {"base_resp": {"status_code": 1, "status_msg": "quota exceeded"}},
        {"Response": {"Error": {"Code": "X", "Message": "quota exceeded"}, "RequestId": "r"}},
        {"header": {"code": 1, "message": "quota exceeded"}},
        {"detail": "quota exceeded"},
        {"detail": [{"loc": ["body", "n"], "msg": "quota exceeded", "type": "int"}]},
        {"errors": [{"message": "quota exceeded"}]},
        [{"error": {"code": 429, "message": "quota exceeded"}}],
        {"error": {"message": json.dumps({"error": {"message": "quota exceeded"}})}},
        {"error": "invalid", "error_description": "quota exceeded"},
    ],
)
def test_providers_own_message_is_taken_out_of_its_json(body):
    """Every shape providers answer in gives the provider's own words."""
    error = httpx_error(429, json.dumps(body))

    assert describe_failure(error) == "429 Too Many Requests from api.example.com: quota exceeded"
    assert status_of(error) == 429


@pytest.mark.parametrize(
    ("body", "line"),
    [
        (b"", "504 Gateway Timeout from api.example.com"),
        (
            b"<html><head><title>504 Gateway Time-out</title></head><body></body></html>",
            "504 Gateway Timeout from api.example.com",
        ),
        (
            b"<!DOCTYPE html><title>Origin &amp; edge\n down</title>",
            "504 Gateway Timeout from api.example.com: Origin & edge down",
        ),
        (b"upstream\nis busy", "504 Gateway Timeout from api.example.com: upstream is busy"),
        (b"{not json", "504 Gateway Timeout from api.example.com: {not json"),
        (b"[" * 100_000, None),
        (b"\x89PNG\r\n\x1a\n" * 9, None),
    ],
)
def test_bodies_that_are_not_json(body, line):
    """A proxy's page, plain text, or rubbish: still one short line."""
    said = describe_failure(httpx_error(504, body))

    assert len(said) <= 200
    assert "\n" not in said
    assert said.startswith("504 Gateway Timeout from api.example.com")
    if line is not None:
        assert line == said


def test_status_nobody_registered():
    """Cloudflare's own statuses have no phrase."""
    assert describe_failure(httpx_error(522)) == "HTTP 522 from api.example.com"


def test_answer_that_was_not_read_is_not_waited_for():
    """A streamed answer stays unread."""
    request = httpx.Request("GET", URL)
    response = httpx.Response(500, request=request, stream=httpx.ByteStream(b"x"))
    error = httpx.HTTPStatusError("x", request=request, response=response)

    assert describe_failure(error) == "500 Internal Server Error from api.example.com"
    assert not response.is_stream_consumed


def test_openai_status_error():
    """The SDK's error is the provider's message, not a repr of the whole answer."""
    body = {"error": {"message": "Incorrect API key", "code": "invalid_api_key"}}
    response = httpx.Response(401, json=body, request=httpx.Request("POST", URL))
    error = openai.AuthenticationError(
        f"Error code: 401 - {body}", response=response, body=body["error"]
    )

    assert describe_failure(error) == "401 Unauthorized from api.example.com: Incorrect API key"


def test_openai_connection_error_says_why():
    """'Connection error.' alone helps nobody."""
    try:
        try:
            raise httpx.ConnectError("All connection attempts failed")
        except httpx.ConnectError as cause:
            raise openai.APIConnectionError(request=httpx.Request("POST", URL)) from cause
    except openai.APIConnectionError as error:
        said = describe_failure(error)

    assert said == (
        "APIConnectionError: Connection error. (api.example.com)"
        " (ConnectError: All connection attempts failed)"
    )


def test_timeouts():
    """A time-out has no text; its type and host are the message."""
    assert describe_failure(TimeoutError()) == "TimeoutError"
    assert (
        describe_failure(httpx.ReadTimeout("", request=httpx.Request("GET", URL)))
        == "ReadTimeout (api.example.com)"
    )


def test_httpx_error_without_request():
    """Httpx raises when the request of an error is asked for and there is none."""
    assert describe_failure(httpx.ConnectError("no route")) == "ConnectError: no route"


async def test_aiohttp_error_of_a_real_answer():
    """Aiohttp's raise_for_status()."""

    async def answer(reader, writer):
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 503 Model Overloaded\r\nContent-Length: 0\r\n\r\n")
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/?token=abc"
    async with server, aiohttp.ClientSession() as session, session.get(url) as response:
        with pytest.raises(aiohttp.ClientResponseError) as caught:
            response.raise_for_status()

    assert (
        describe_failure(caught.value) == "503 Service Unavailable from 127.0.0.1: Model Overloaded"
    )


def test_requests_error():
    """Requests' raise_for_status(), read or not."""
    response = requests.Response()
    response.status_code = 400
    response.url = URL
    response._content = b'{"error": {"message": "bad size"}}'
    response._content_consumed = True
    response.request = requests.Request("POST", URL).prepare()
    with pytest.raises(requests.HTTPError) as caught:
        response.raise_for_status()

    assert describe_failure(caught.value) == "400 Bad Request from api.example.com: bad size"

    reads = []

    class Raw:
        def read(self, *_, **__):
            reads.append("from the network")
            return b""

    response._content = False
    response._content_consumed = False
    response.raw = Raw()
    assert describe_failure(caught.value).startswith("400 Bad Request from api.example.com")
    assert reads == []


def test_retry_error_is_its_last_attempt():
    """tenacity.RetryError hides what happened in a Future."""

    @tenacity.retry(stop=tenacity.stop_after_attempt(3))
    def draw():
        raise httpx_error(504)

    with pytest.raises(tenacity.RetryError) as caught:
        draw()

    assert (
        describe_failure(caught.value)
        == "gave up after 3 attempts: 504 Gateway Timeout from api.example.com"
    )


def test_retry_error_because_of_a_result():
    """A result nobody wanted is no exception."""

    @tenacity.retry(
        stop=tenacity.stop_after_attempt(1), retry=tenacity.retry_if_result(lambda _: True)
    )
    def draw():
        return None

    with pytest.raises(tenacity.RetryError) as caught:
        draw()

    assert describe_failure(caught.value) == "gave up after 1 attempt: the result was not accepted"


def test_exception_group_counts_equal_failures():
    """Five image requests that failed the same way are one clause."""
    group_type = sys.modules["builtins"].__dict__.get("ExceptionGroup")
    if group_type is None:
        group_type = pytest.importorskip("exceptiongroup").ExceptionGroup
    error = group_type("x", [*(httpx_error(504) for _ in range(5)), ValueError("odd\nsize")])

    assert (
        describe_failure(error)
        == "6 failures: 5 x 504 Gateway Timeout from api.example.com; ValueError: odd size"
    )
    assert describe_failure(group_type("x", [KeyError("data")])) == "KeyError: 'data'"


def test_exit_code_is_no_status():
    """SystemExit has a code, too."""
    assert describe_failure(SystemExit(130)) == "SystemExit: 130"


def test_error_that_cannot_be_printed():
    """A broken __str__ is a stranger's bug, not ours."""

    class BrokenError(Exception):
        def __str__(self):
            raise RuntimeError

        @property
        def response(self):
            raise RuntimeError

    assert describe_failure(BrokenError()) == "BrokenError: <unprintable>"


def test_line_is_never_longer_than_the_limit():
    """The limit counts the ellipsis."""
    said = describe_failure(ValueError("词" * 1000), limit=40)

    assert len(said) == 40
    assert said.endswith("…")


def test_line_holds_no_blob_and_no_secret():
    """A provider that repeats the request, key and picture, in its answer."""
    said = describe_failure(
        httpx_error(
            400,
            json.dumps(
                {
                    "message": f"bad key sk-{'a1B2' * 6} for {base64.b64encode(random.Random(1).randbytes(15_000)).decode()}"
                }
            ),
        )
    )

    assert said.startswith("400 Bad Request from api.example.com: bad key sk-*** for <base64, ")
    assert said.endswith(">")


def test_cause_chain_that_loops():
    """Causes can be a circle."""
    first, second = ValueError(), ValueError()
    first.__cause__, second.__cause__ = second, first

    assert describe_failure(first) == "ValueError"


def test_nothing_is_imported(monkeypatch):
    """Looking at an error imports no library."""
    before = set(sys.modules)
    error = types.new_class("APIStatusError", (Exception,))("x")
    error.status_code = 500
    describe_failure(error)

    assert set(sys.modules) == before


def test_log_failure_is_one_line_and_a_traceback_at_debug():
    """WARNING says it, DEBUG shows where."""
    records = []
    handler = logger.add(
        lambda message: records.append(message.record), level=0, format="{message}"
    )
    try:
        try:
            raise httpx_error(500, '{"message": "brace {x} <red>"}')
        except httpx.HTTPStatusError as error:
            log_failure("image 'draw'", error, level="WARNING")
    finally:
        logger.remove(handler)

    line, trace = records
    assert (
        line["message"]
        == "image 'draw' failed: 500 Internal Server Error from api.example.com: brace {x} <red>"
    )
    assert (line["level"].name, line["exception"]) == ("WARNING", None)
    assert ("DEBUG", httpx.HTTPStatusError) == (trace["level"].name, trace["exception"].type)
    assert __name__ == line["name"] == trace["name"]
    assert line["function"] == "test_log_failure_is_one_line_and_a_traceback_at_debug"
