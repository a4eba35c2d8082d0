"""Type-checked, never run: which client http_client gives, and where the transport fits."""

import httpx
import httpx2
from anthropic import AsyncAnthropic
from openai import AsyncOpenAI
from typing_extensions import assert_type

from nonebot_plugin_graceful import GracefulTransport, http_client

assert_type(http_client(kind="llm"), httpx.AsyncClient)
assert_type(http_client(kind="llm", library="httpx", timeout=(5, 10)), httpx.AsyncClient)
assert_type(http_client(kind="llm", library="httpx2", timeout=5), httpx2.AsyncClient)
http_client(kind="llm", library="httpx2", timeout=httpx2.Timeout(5, connect=1), retries=2)
http_client(kind="llm", timeout=httpx.Timeout(5, connect=1), follow_redirects=True)
http_client(kind="llm", library="aiohttp")  # pyright: ignore[reportArgumentType, reportCallIssue]

httpx.AsyncClient(transport=GracefulTransport(kind="llm"))
httpx2.AsyncClient(transport=GracefulTransport(httpx2.AsyncHTTPTransport(), kind="llm"))

AsyncAnthropic(http_client=http_client(kind="llm", library="httpx2"))
AsyncOpenAI(http_client=http_client(kind="llm", library="httpx2"))
