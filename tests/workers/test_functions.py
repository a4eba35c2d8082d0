"""``on_worker`` itself: what it takes, and what it costs."""

import importlib.util
import subprocess
import sys

import pytest

from nonebot_plugin_graceful import on_worker

pytestmark = pytest.mark.usefixtures("no_functions")


def test_without_dbos_it_names_the_extra(monkeypatch):
    """At the decoration, and not at somebody's first request."""
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)

    with pytest.raises(ImportError, match=r"pip install nonebot-plugin-graceful\[dbos\]"):
        on_worker("image")


def test_a_function_has_to_be_a_coroutine_function():
    """And is named if it is not."""
    with pytest.raises(TypeError, match=r"on_worker decorates coroutine functions, and .*paint"):

        @on_worker("image")
        def paint() -> str: ...


def test_a_result_has_to_be_told():
    """It is kept, and so has to be known."""
    with pytest.raises(TypeError, match=r"on_worker has to know what .*paint returns"):

        @on_worker("image")
        async def paint(): ...


async def test_where_there_is_no_bot_it_is_a_plain_call():
    """As on a worker, and in a script."""

    @on_worker("image")
    async def paint(prompt: str) -> str:
        return f"picture of {prompt}"

    assert await paint("cat") == "picture of cat"
    assert await paint(prompt="cat") == "picture of cat"


def test_dbos_is_not_imported_before_the_first_call():
    """Whoever has only decorated something, or nothing, does not wait for it."""
    program = """
import sys, nonebot
nonebot.init(driver="~none", log_level="CRITICAL")
nonebot.load_plugin("nonebot_plugin_graceful")
from nonebot_plugin_graceful import on_worker

@on_worker("image")
async def paint(prompt: str) -> str: ...

print(sorted(name for name in ("dbos", "sqlalchemy", "psycopg") if name in sys.modules))
"""
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stdout.splitlines()[-1] == "[]"
