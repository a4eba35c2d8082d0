"""One name, the decorator's and the module's: whichever way it is imported."""

import asyncio
import inspect
import types
from unittest import mock


def test_the_module_and_the_decorator_are_one():
    """Python looks up the same attribute for both, so it is callable and a module."""
    import nonebot_plugin_graceful.retry
    import nonebot_plugin_graceful.retry as module
    from nonebot_plugin_graceful import retry

    assert isinstance(module, types.ModuleType)
    assert retry is module is nonebot_plugin_graceful.retry


def test_what_is_in_the_module_is_found_by_its_path():
    """As ``mock.patch`` and ``monkeypatch.setattr`` look for it."""
    from nonebot_plugin_graceful.retry import throttle

    with mock.patch("nonebot_plugin_graceful.retry.throttle.CAPACITY", 3):
        assert throttle.CAPACITY == 3


def test_it_decorates():
    """With and without parentheses."""
    from nonebot_plugin_graceful import retry

    @retry
    async def bare():
        return "fine"

    @retry(reraise=True)
    async def with_keywords():
        return "fine"

    for function in (bare, with_keywords):
        assert inspect.iscoroutinefunction(function)
        assert asyncio.run(function()) == "fine"
