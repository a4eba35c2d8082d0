"""What systemd hears."""

import asyncio
import contextlib
import os
import socket
import sys
import time

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


@pytest.fixture
def tree():
    from nonebot_plugin_graceful.core.tree import Tree

    return Tree()


@pytest.fixture
def install(app, tree, manager, monkeypatch):
    """Install it for a driver, whose start-up hook is given."""
    from nonebot_plugin_graceful.config import Config
    from nonebot_plugin_graceful.ops import systemd

    def install(watchdog=None, **keywords):
        monkeypatch.delenv("WATCHDOG_USEC", raising=False)
        monkeypatch.delenv("WATCHDOG_PID", raising=False)
        for name, value in (watchdog or {}).items():
            monkeypatch.setenv(name, value)
        monkeypatch.setattr(systemd, "PACE", 0.01)
        driver = Driver()
        systemd.install(Config(graceful_deadline=8), driver, tree, **keywords)
        (ready,) = driver.hooks
        timers.append(ready.__self__)
        return ready

    timers = []
    yield install
    for manager in timers:
        if manager._timer is not None:
            manager._timer.cancel()


async def hear(manager, wanted, within):
    """Wait until it hears a line; give everything it has heard until then."""
    heard = []

    async def listen():
        manager.setblocking(False)
        while wanted not in heard:
            try:
                heard.extend(manager.recv(1000).decode().split("\n"))
            except BlockingIOError:
                await asyncio.sleep(0.001)

    await within(listen())
    return heard


async def test_it_hears_ready_stopping_and_how_long(install, tree, manager, within):
    """READY=1 at the start; at the shutdown STOPPING=1 and a time-out above the deadline."""
    await install()()
    assert manager.recv(100) == b"READY=1"
    tree.lifecycle.begin("SIGTERM")
    (stopping,) = tree.lifecycle.hooks
    stopping()
    heard = await hear(manager, "STATUS=Stopping: SIGTERM", within)
    assert heard[-3:-1] == ["STOPPING=1", "EXTEND_TIMEOUT_USEC=9000000"]


async def test_a_restart_in_place_is_no_stop(install, tree, manager, within):
    """A service that said STOPPING=1 would be killed by and by."""
    install(comes_back=lambda: True)
    (stopping,) = tree.lifecycle.hooks
    stopping()
    heard = await hear(manager, "STATUS=Restarting", within)
    assert heard[0] == "RELOADING=1"
    assert heard[1].startswith("MONOTONIC_USEC=")


async def test_half_a_surrogate_pair_is_no_reason_to_be_silent(install, tree, manager, within):
    """Operators stop the bot for a reason that they give in a chat."""
    tree.lifecycle.begin("half of \ud83d")
    install()
    (stopping,) = tree.lifecycle.hooks
    stopping()
    await hear(manager, "STATUS=Stopping: half of ?", within)


async def test_it_hears_what_is_in_flight(install, tree, manager, within):
    """When that has changed, and not again and again."""
    from nonebot_plugin_graceful.core.work import Section

    await install()()
    await hear(manager, "STATUS=Running: nothing in flight", within)
    task = tree.start(Section(tree.kinds["image"]), asyncio.sleep(1000))
    await hear(manager, "STATUS=Running: image 1", within)
    tree.admission.refuse("drained")
    heard = await hear(manager, "STATUS=Drained: image 1", within)
    assert heard == ["STATUS=Drained: image 1"]
    task.cancel()
    await asyncio.wait([task])


async def test_a_blocked_event_loop_gives_no_sign_of_life(install, manager, within):
    """Several come within WatchdogSec while it answers; none while it does not."""
    began = time.monotonic()
    await install({"WATCHDOG_USEC": "300000", "WATCHDOG_PID": str(os.getpid())})()
    for _ in range(3):
        await hear(manager, "WATCHDOG=1", within)
    assert time.monotonic() - began < 5
    manager.setblocking(False)
    with contextlib.suppress(BlockingIOError):
        while True:  # what came at once with the last one
            manager.recv(1000)
    time.sleep(0.2)
    with pytest.raises(BlockingIOError):
        manager.recv(100)
    await hear(manager, "WATCHDOG=1", within)


@pytest.mark.parametrize(
    "watchdog", [{}, {"WATCHDOG_USEC": "x"}, {"WATCHDOG_USEC": "1", "WATCHDOG_PID": "1"}]
)
async def test_without_a_watchdog_there_are_no_signs_of_life(watchdog, install, manager, within):
    """Nor for one that watches another process."""
    from nonebot_plugin_graceful.ops.systemd import watchdog_seconds

    await install(watchdog)()
    assert watchdog_seconds() == 0
    assert "WATCHDOG=1" not in await hear(manager, "STATUS=Running: nothing in flight", within)


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
