"""Signals are counted once, by whichever thread comes to it, however late the other one is."""

import threading

import pytest

from nonebot_plugin_graceful.bot import tally as module
from nonebot_plugin_graceful.bot.tally import Tally

TERM, INT = 15, 2


@pytest.fixture
def tally(monkeypatch):
    """One to which every signal is a further press."""
    monkeypatch.setattr(module, "SAME", 0.0)
    return Tally()


def test_what_is_handled_is_not_left(tally):
    """However late the thread hears of it."""
    for _ in range(3):
        assert not tally.call(TERM)
        assert not tally.is_left(TERM)


def test_what_is_handled_meanwhile_is_not_left(tally, monkeypatch):
    """It is waited for; a call for another signal is none for this one."""
    monkeypatch.setattr(module, "MOMENT", 60)
    left = []
    waiting = threading.Thread(target=lambda: left.append(tally.is_left(TERM)))
    waiting.start()
    tally.call(INT)
    tally.call(TERM)
    waiting.join()
    assert left == [False]


def test_what_nobody_handles_is_left_each_time(tally):
    """And the one call that comes at last is for all of them; the next one is new."""
    assert tally.is_left(TERM)
    assert tally.is_left(TERM)
    assert tally.call(TERM)
    assert not tally.call(TERM)
    assert not tally.is_left(TERM)
    assert tally.is_left(TERM)
    assert tally.call(TERM)


def test_what_was_not_counted_after_all_is_handled(tally):
    """By the call for it."""
    assert tally.is_left(TERM)
    tally.forget(TERM)
    assert not tally.call(TERM)


@pytest.mark.parametrize("taken", [False, True])
def test_a_call_at_the_last_moment_is_counted_once(tally, monkeypatch, taken):
    """Before it looks whether it was counted, or after."""
    counted = []

    class Owed(dict):
        def __setitem__(self, signum, value):
            if taken:
                super().__setitem__(signum, value)
                counted.append(not tally.call(signum))
            else:
                tally._calls[signum] = 1
                super().__setitem__(signum, value)

    monkeypatch.setattr(tally, "_owed", Owed())
    left = tally.is_left(TERM)
    if not taken:
        counted.append(not tally._owed.pop(TERM, False))
    assert [left, *counted].count(True) == 1


def test_the_same_again_at_once_is_none(monkeypatch):
    """Another process passes on what the terminal has sent already."""
    monkeypatch.setattr(module, "SAME", 3600.0)  # whatever a busy machine takes for at once
    tally = Tally()
    assert tally.is_left(TERM)
    assert not tally.is_left(TERM)
