"""Who is ended with the process."""

import multiprocessing
import os
import signal
import subprocess
import sys
import time

import pytest

from nonebot_plugin_graceful.core.children import end_children, names_of_children

SPAWN = multiprocessing.get_context("spawn")


@pytest.fixture
def start():
    """Start children, which do not outlive the test."""
    children = []

    def start(target, *args):
        children.append(SPAWN.Process(target=target, args=args))
        children[-1].start()
        return children[-1]

    yield start
    for child in children:
        child.kill()
        child.join()


def _deaf(ready):
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    ready.set()
    time.sleep(1000)


def test_they_are_ended_and_not_waited_for(start):
    """They go by their names, and are nobody's business once they have ended."""
    child = start(time.sleep, 1000)
    assert names_of_children() == [child.name]
    end_children()
    child.join()
    assert names_of_children() == []
    end_children()


@pytest.mark.skipif(sys.platform == "win32", reason="nobody is asked there")
def test_one_that_is_deaf_is_ended(start):
    """It has the server's handler of SIGTERM, say."""
    ready = SPAWN.Event()
    child = start(_deaf, ready)
    ready.wait()
    end_children()
    child.join()
    assert child.exitcode == -signal.SIGKILL


def test_other_processes_are_not_ours_to_end():
    """An author's own may be meant to outlive the bot."""
    other = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    assert names_of_children() == []
    end_children()
    other.stdin.write(b"\n")
    other.stdin.close()
    assert other.wait() == 0


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork there")
def test_nor_are_those_of_the_process_that_we_were_forked_from(start):
    """Whatever else goes wrong, nothing is raised."""
    child = start(time.sleep, 1000)
    pid = os.fork()
    if pid == 0:
        end_children()
        os._exit(len(names_of_children()))
    _, status = os.waitpid(pid, 0)
    assert os.waitstatus_to_exitcode(status) == 0
    assert child.is_alive()
