"""Signal handlers: ours goes in front of the server's, counts presses, and leaves no trace."""

import signal
from types import SimpleNamespace

import pytest

from nonebot_plugin_graceful import signals as module
from nonebot_plugin_graceful.signals import DEBOUNCE, Signals, numbers

TERM = int(signal.SIGTERM)


@pytest.fixture
def server():
    """A server whose handler notes what it is sent; puts SIGTERM back at the end."""
    got = []

    def handle(signum, frame):
        got.append(signum)

    before = signal.signal(TERM, handle)
    yield SimpleNamespace(handle=handle, got=got)
    signal.signal(TERM, before)


@pytest.fixture
def clock(monkeypatch):
    """The time signals.py sees."""
    clock = SimpleNamespace(now=100.0)
    monkeypatch.setattr(module, "time", SimpleNamespace(monotonic=lambda: clock.now))
    return clock


@pytest.fixture
def presses():
    return []


@pytest.fixture
def ours(presses):
    return Signals(SimpleNamespace(), lambda *press: presses.append(press))


async def test_a_signal_comes_to_us_and_not_to_the_server(server, ours, presses):
    """Until it is handed over, which gives it to the server once."""
    ours.install([TERM])
    assert ours.installed
    signal.raise_signal(TERM)
    assert presses == [(TERM, 1)]
    assert server.got == []
    ours.hand_over(TERM)
    assert server.got == [TERM]
    assert presses == [(TERM, 1)]


async def test_the_servers_handler_is_put_back(server, ours, presses):
    """And hears of the next signal directly."""
    assert not ours.installed
    ours.install([TERM])
    assert signal.getsignal(TERM) is not server.handle
    ours.restore()
    assert not ours.installed
    assert signal.getsignal(TERM) is server.handle
    signal.raise_signal(TERM)
    assert server.got == [TERM]
    assert presses == []


async def test_somebody_who_came_in_front_stays_there(server, ours, presses):
    """He is not overwritten; and what he passes to us, we pass to the server."""
    ours.install([TERM])
    beneath = signal.getsignal(TERM)

    def in_front(signum, frame):
        beneath(signum, frame)

    signal.signal(TERM, in_front)
    ours.restore()
    assert signal.getsignal(TERM) is in_front
    signal.raise_signal(TERM)
    assert server.got == [TERM]
    assert presses == []


async def test_several_at_once_are_one_press(server, ours, presses, clock):
    """A launcher passes on what the terminal has sent already; a later one is a second press."""
    ours.install([TERM])
    signal.raise_signal(TERM)
    clock.now += DEBOUNCE * 0.9
    signal.raise_signal(TERM)
    assert presses == [(TERM, 1)]
    clock.now += DEBOUNCE * 1.1
    signal.raise_signal(TERM)
    assert presses == [(TERM, 1), (TERM, 2)]
    assert ours.presses == 2
    assert server.got == []


async def test_the_first_press_is_never_debounced(server, ours, presses, clock):
    """Even where the monotonic clock has only just begun."""
    clock.now = 0.0
    ours.install([TERM])
    signal.raise_signal(TERM)
    assert presses == [(TERM, 1)]


async def test_a_press_without_a_signal_counts(server, ours, presses):
    """As ``shutdown()`` does it."""
    ours.install([TERM])
    ours.press(TERM)
    assert presses == [(TERM, 1)]


async def test_what_is_ignored_stays_ignored(server, ours):
    """``nohup`` and its like mean it."""
    signal.signal(TERM, signal.SIG_IGN)
    ours.install([TERM])
    assert signal.getsignal(TERM) is signal.SIG_IGN
    assert not ours.installed


async def test_without_a_handler_of_the_server_its_exit_is_called(presses):
    """``~none`` is told to stop by ``Driver.exit``."""
    exits = []
    driver = SimpleNamespace(exit=lambda: exits.append(1))
    Signals(driver, lambda *press: presses.append(press)).hand_over(TERM)
    assert exits == [1]


def test_signals_are_known_by_name():
    """A name this platform does not have is passed over; Windows gets Ctrl+Break on top."""
    extra = [int(signal.SIGBREAK)] if hasattr(signal, "SIGBREAK") else []
    assert numbers(["SIGINT", "SIGTERM", "SIGNOSUCH"]) == [int(signal.SIGINT), TERM, *extra]
