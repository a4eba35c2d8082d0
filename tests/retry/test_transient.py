"""is_transient: what another attempt may mend."""

import asyncio
import concurrent.futures
import errno
import http.client
import importlib.util
import socket
import ssl
import urllib.error

import aiohttp
import httpx
import openai
import pytest
import requests
import tenacity
import urllib3

from nonebot_plugin_graceful.core.errors import Interrupted, Refused
from nonebot_plugin_graceful.retry import is_transient, retry_after

URL = "https://api.example.com/v1/images/generations"
REQUEST = httpx.Request("POST", URL)
TRANSIENT = [408, 425, 429, 500, 502, 503, 504, 520, 529]
LASTING = [400, 401, 403, 404, 413, 422]


def from_httpx(status):
    return httpx.HTTPStatusError("", request=REQUEST, response=httpx.Response(status))


def from_aiohttp(status):
    info = aiohttp.RequestInfo(URL, "POST", {}, URL)
    return aiohttp.ClientResponseError(info, (), status=status)


def from_requests(status):
    response = requests.Response()
    response.status_code = status
    response._content = b""
    return requests.HTTPError(response=response)


def from_openai(status):
    return openai.APIStatusError("", response=httpx.Response(status, request=REQUEST), body=None)


def from_urllib(status):
    return urllib.error.HTTPError(URL, status, "", http.client.HTTPMessage(), None)


def from_an_unknown_sdk(status):
    error = RuntimeError()
    error.status_code = status
    return error


EVERYBODY = [
    from_httpx,
    from_aiohttp,
    from_requests,
    from_openai,
    from_urllib,
    from_an_unknown_sdk,
]


@pytest.mark.parametrize("make", EVERYBODY)
@pytest.mark.parametrize("status", TRANSIENT)
def test_statuses_that_may_be_over_the_next_time(make, status):
    """Overload and the server's own faults are worth another attempt, whoever raises them."""
    assert is_transient(make(status))


@pytest.mark.parametrize("make", EVERYBODY)
@pytest.mark.parametrize("status", LASTING)
def test_statuses_that_say_the_request_is_wrong(make, status):
    """What the server refuses it will refuse again."""
    assert not is_transient(make(status))


def name_of(error):
    return f"{type(error).__module__}.{type(error).__qualname__}"


def caused(error, cause):
    error.__cause__ = cause
    return error


def connector_error():
    key = aiohttp.client_reqrep.ConnectionKey("h", 443, True, None, None, None, None)
    return aiohttp.ClientConnectorError(key, OSError(errno.ECONNREFUSED, "refused"))


def httpx2_errors(*names):
    """What the newer OpenAI SDKs are built on, where one is installed."""
    if importlib.util.find_spec("httpx2") is None:
        return []
    import httpx2

    return [getattr(httpx2, name)("", request=httpx2.Request("POST", URL)) for name in names]


@pytest.mark.parametrize(
    "error",
    [
        ConnectionRefusedError(),
        ConnectionResetError(),
        BrokenPipeError(),
        TimeoutError(),
        asyncio.TimeoutError(),
        concurrent.futures.TimeoutError(),
        socket.gaierror(),
        http.client.IncompleteRead(b""),
        http.client.RemoteDisconnected(),
        urllib.error.URLError(ConnectionRefusedError()),
        httpx.ConnectError(""),
        httpx.ConnectTimeout(""),
        httpx.ReadTimeout(""),
        httpx.WriteError(""),
        httpx.PoolTimeout(""),
        httpx.ProxyError(""),
        httpx.RemoteProtocolError("Server disconnected without sending a response."),
        caused(httpx.ConnectError(""), ssl.SSLEOFError()),
        *httpx2_errors("ReadTimeout", "ConnectError", "RemoteProtocolError"),
        connector_error(),
        aiohttp.ServerDisconnectedError(),
        aiohttp.SocketTimeoutError(),
        aiohttp.ClientPayloadError(),
        requests.ConnectionError(),
        requests.ConnectTimeout(),
        requests.ReadTimeout(),
        requests.exceptions.ChunkedEncodingError(),
        urllib3.exceptions.MaxRetryError(None, URL, TimeoutError()),
        openai.APIConnectionError(request=REQUEST),
        openai.APITimeoutError(request=REQUEST),
        caused(openai.APIConnectionError(request=REQUEST), httpx.ReadError("")),
    ],
    ids=name_of,
)
def test_connections_and_time_outs(error):
    """Connection errors and time-outs are worth another attempt, whoever raises them."""
    assert is_transient(error)


@pytest.mark.parametrize(
    "error",
    [
        ValueError(),
        FileNotFoundError(),
        PermissionError(),
        httpx.InvalidURL(""),
        httpx.UnsupportedProtocol(""),
        httpx.LocalProtocolError(""),
        httpx.DecodingError(""),
        httpx.TooManyRedirects(""),
        *httpx2_errors("LocalProtocolError", "UnsupportedProtocol"),
        caused(httpx.ConnectError(""), caused(OSError(), ssl.SSLCertVerificationError())),
        caused(openai.APIConnectionError(request=REQUEST), httpx.UnsupportedProtocol("")),
        requests.exceptions.SSLError(),
        requests.exceptions.InvalidURL(),
        urllib.error.URLError(ssl.SSLCertVerificationError()),
        tenacity.RetryError(tenacity.Future.construct(3, ConnectionError(), True)),
        requests.exceptions.JSONDecodeError("", "", 0),
    ],
    ids=name_of,
)
def test_what_no_attempt_will_mend(error):
    """Mistakes of ours, wrong certificates, and what was retried already, fail at once."""
    assert not is_transient(error)


@pytest.mark.parametrize(
    "order", [asyncio.CancelledError(), Interrupted(), KeyboardInterrupt(), SystemExit(503)]
)
def test_orders_are_no_failures(order):
    """What is no Exception is never worth another attempt."""
    assert not is_transient(order)


def test_groups_are_as_bad_as_their_worst_member():
    """A group is transient if all its members are."""

    class Group(Exception):  # noqa: N818 - as ExceptionGroup, which 3.10 lacks
        exceptions = (from_httpx(503), TimeoutError())

    class Mixed(Exception):  # noqa: N818
        exceptions = (from_httpx(503), ValueError())

    assert is_transient(Group())
    assert not is_transient(Mixed())


def test_circular_chains_come_to_an_end():
    """An error that was raised from itself is looked at like any other."""
    error = httpx.ReadError("")
    error.__cause__ = error
    assert is_transient(error)


@pytest.mark.parametrize("make", [from_httpx, from_openai, from_aiohttp, from_requests])
@pytest.mark.parametrize(("said", "transient"), [("false", False), ("True", True), ("", True)])
def test_servers_that_say_whether_to_come_again(make, said, transient):
    """``x-should-retry: false`` is obeyed, whatever the status."""
    error = make(503)
    headers = {"x-should-retry": said}
    if make is from_aiohttp:
        error.headers = headers
    else:
        error.response.headers.update(headers)
    assert is_transient(error) is transient


def test_refusals_are_not_transient():
    """Nor are the connection errors that SDKs make of them."""
    assert not is_transient(Refused())
    assert not is_transient(caused(openai.APIConnectionError(request=REQUEST), Refused()))


@pytest.mark.parametrize("name", ["response", "headers", "status_code", "reason", "exceptions"])
def test_errors_whose_attributes_raise(name):
    """Are looked at like any other: a connection error is transient, others are not."""

    def raises(self):
        raise RuntimeError

    for base in (ConnectionError, ValueError):
        error = type("Odd", (base,), {name: property(raises)})()
        assert is_transient(error) is (base is ConnectionError)
        assert retry_after(error) is None
