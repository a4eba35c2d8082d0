"""A console that is closed; Windows itself is not needed for it."""

import sys
import threading

import pytest

from nonebot_plugin_graceful.bot.console import EVENTS, PATIENCE, Console

WINDOWS_PATIENCE = 5


@pytest.mark.parametrize("event", EVENTS)
def test_the_handler_begins_the_shutdown_and_does_not_return(event):
    """When it returns, Windows ends the process: so it is the process's end that ends it."""
    begun = threading.Event()
    console = Console(lambda reason: reason == EVENTS[event] and begun.set(), patience=3600)
    thread = threading.Thread(target=console.handle, args=(event,), daemon=True)
    thread.start()
    assert begun.wait(10)
    thread.join(0.05)
    assert thread.is_alive()


def test_it_gives_up_before_windows_does():
    """What is returned says that nobody else has to handle it."""
    assert Console(lambda reason: None, patience=0).handle(2)
    assert PATIENCE < WINDOWS_PATIENCE


@pytest.mark.parametrize("event", [0, 1, 3, 7])
def test_the_keys_are_pythons(event):
    """Ctrl+C and Ctrl+Break become signals."""
    console = Console(pytest.fail, patience=3600)
    assert not console.handle(event)


@pytest.mark.skipif(sys.platform == "win32", reason="there it is there")
def test_elsewhere_there_is_none():
    """Nothing is imported, nothing installed."""
    console = Console(lambda reason: None)
    console.install()
    assert console._routine is None
