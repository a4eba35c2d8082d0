"""What C's signal handler writes to: ours while a bot runs, and everybody gets what he got."""

import os
import queue
import signal
import socket
import sys
import threading

import pytest

from nonebot_plugin_graceful.bot import wakeup as module
from nonebot_plugin_graceful.bot.wakeup import Wakeup

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="it stays as it is there")


def current():
    """Whom C tells; to look means to set."""
    fd = signal.set_wakeup_fd(-1)
    signal.set_wakeup_fd(fd)
    return fd


@pytest.fixture
def theirs():
    """Somebody whom C tells; puts back who was there at the end, as SIGUSR2."""
    ours, others = socket.socketpair()
    others.setblocking(False)
    ours.settimeout(10)
    fd = signal.set_wakeup_fd(others.fileno())
    handler = signal.signal(signal.SIGUSR2, lambda *_: None)
    with ours, others:
        yield ours, others.fileno()
        signal.set_wakeup_fd(fd)
    signal.signal(signal.SIGUSR2, handler)


@pytest.fixture
def heard():
    return queue.SimpleQueue()


@pytest.fixture
def wakeup(theirs, heard):
    wakeup = Wakeup(heard.put)
    yield wakeup
    wakeup.give_back()


def test_both_hear_of_a_signal(theirs, wakeup, heard):
    """And afterwards he alone."""
    reader, fd = theirs
    wakeup.take()
    assert current() != fd
    signal.raise_signal(signal.SIGUSR2)
    assert heard.get(timeout=10) == signal.SIGUSR2
    assert reader.recv(100) == bytes([signal.SIGUSR2])
    wakeup.give_back()
    assert current() == fd
    signal.raise_signal(signal.SIGUSR2)
    assert reader.recv(100) == bytes([signal.SIGUSR2])


def test_what_is_ours_is_passed_on_to_nobody(theirs, heard):
    """A loop would call for it who was called already; all other signals it gets."""
    wakeup = Wakeup(heard.put, ours={signal.SIGUSR1})
    before = signal.signal(signal.SIGUSR1, lambda *_: None)
    wakeup.take()
    try:
        for signum in (signal.SIGUSR1, signal.SIGUSR2):
            signal.raise_signal(signum)
            assert heard.get(timeout=10) == signum
        assert theirs[0].recv(100) == bytes([signal.SIGUSR2])
    finally:
        wakeup.give_back()
        signal.signal(signal.SIGUSR1, before)


def test_whoever_has_taken_it_since_is_told_from_then_on(theirs, wakeup, heard):
    """As a loop does when somebody asks it for a signal."""
    reader, fd = theirs
    signal.set_wakeup_fd(-1)
    wakeup.take()
    signal.set_wakeup_fd(fd)
    wakeup.take()
    signal.raise_signal(signal.SIGUSR2)
    assert heard.get(timeout=10) == signal.SIGUSR2
    assert reader.recv(100) == bytes([signal.SIGUSR2])
    wakeup.give_back()
    assert current() == fd


def test_whoever_came_in_front_stays_there(theirs, wakeup):
    """He is not overwritten."""
    _, fd = theirs
    wakeup.take()
    signal.set_wakeup_fd(fd)
    wakeup.give_back()
    assert current() == fd


def test_its_thread_ends_with_it(theirs, wakeup):
    """However often it is taken."""
    before = set(threading.enumerate())
    for _ in range(3):
        wakeup.take()
        wakeup.take()
        [listener] = set(threading.enumerate()) - before
        wakeup.give_back()
        listener.join(10)
        assert not listener.is_alive()


def test_without_a_thread_all_stays_as_it_is(theirs, wakeup, monkeypatch):
    """The process may have no more of them."""

    def refuse(*args, **keywords):
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(module.threading.Thread, "start", refuse)
    wakeup.take()
    assert current() == theirs[1]


def test_what_the_parent_had_is_the_childs(theirs, wakeup, heard):
    """A signal that a forked process is sent is none to its parent."""
    wakeup.take()
    child = os.fork()
    if child == 0:
        signal.raise_signal(signal.SIGUSR2)
        # from 3.12 on asyncio sees to it that a child tells nobody
        os._exit(0 if current() in (theirs[1], -1) else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    signal.raise_signal(signal.SIGUSR2)
    heard.get(timeout=10)
    assert heard.empty()
