"""What systemd hears."""

import os
import socket
import sys

import pytest

pytestmark = pytest.mark.skipif(not hasattr(socket, "AF_UNIX"), reason="systemd is Linux's")


class Driver:
    def __init__(self):
        self.hooks = []

    def on_startup(self, hook):
        self.hooks.append(hook)


@pytest.fixture(params=["a path", "abstract"])
def manager(request, tmp_path, monkeypatch):
    """Who listens at ``NOTIFY_SOCKET``."""
    if request.param == "abstract":
        if not sys.platform.startswith("linux"):
            pytest.skip("abstract sockets are Linux's")
        name = f"@graceful-{os.getpid()}"
        address = "\0" + name[1:]
    else:
        name = address = str(tmp_path / "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind(address)
        listener.settimeout(5)
        monkeypatch.setenv("NOTIFY_SOCKET", name)
        yield listener


async def test_it_hears_ready_stopping_and_how_long(app, manager):
    """READY=1 at the start; at the shutdown STOPPING=1 and a time-out above the deadline."""
    from nonebot_plugin_graceful.config import Config
    from nonebot_plugin_graceful.core.tree import Tree
    from nonebot_plugin_graceful.ops import systemd

    driver, tree = Driver(), Tree()
    systemd.install(Config(graceful_deadline=8), driver, tree)
    await driver.hooks[0]()
    assert manager.recv(100) == b"READY=1"
    (stopping,) = tree.lifecycle.hooks
    stopping()
    assert manager.recv(100) == b"STOPPING=1\nEXTEND_TIMEOUT_USEC=9000000"


def test_without_systemd_there_is_nothing(app, monkeypatch):
    """No socket, no hook."""
    from nonebot_plugin_graceful.config import Config
    from nonebot_plugin_graceful.core.tree import Tree
    from nonebot_plugin_graceful.ops import systemd

    monkeypatch.delenv("NOTIFY_SOCKET", raising=False)
    driver, tree = Driver(), Tree()
    systemd.install(Config(), driver, tree)
    assert (driver.hooks, tree.lifecycle.hooks) == ([], [])


def test_a_socket_that_is_gone_does_no_harm(app, tmp_path, monkeypatch):
    """It is a warning in the log, no more."""
    from loguru import logger

    from nonebot_plugin_graceful.ops import systemd

    lines = []
    sink = logger.add(lambda line: lines.append(line.record["message"]))
    monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "gone"))
    systemd.notify("READY=1")
    logger.remove(sink)
    assert lines[0].startswith("systemd does not hear READY=1: ")
