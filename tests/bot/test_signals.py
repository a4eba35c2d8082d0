"""Signal handlers: ours goes in front of the server's, counts presses, and leaves no trace."""

import asyncio
import contextlib
import os
import signal
import sys
from types import SimpleNamespace

import pytest

from nonebot_plugin_graceful.bot import signals as module
from nonebot_plugin_graceful.bot.signals import ANOTHER, SAME, Signals, numbers

TERM = int(signal.SIGTERM)
INT = int(signal.SIGINT)


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
def default():
    """Nobody handles SIGTERM."""
    before = signal.signal(TERM, signal.SIG_DFL)
    yield
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
    ours = Signals([TERM], presses.append)
    yield ours
    ours.restore()


async def test_a_signal_comes_to_us_and_not_to_the_server(server, ours, presses):
    """Until it is delivered, which gives it to the server once."""
    assert ours.install() == []
    assert ours.installed
    signal.raise_signal(TERM)
    assert presses == [TERM]
    assert server.got == []
    ours.deliver(TERM)
    assert server.got == [TERM]
    assert presses == [TERM]


@pytest.mark.skipif(sys.platform == "win32", reason="nothing forks there")
@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")
async def test_a_forked_child_hears_for_itself(server, ours, presses):
    """As without us, and it begins no shutdown of its parent's."""
    ours.install()
    child = os.fork()
    if child == 0:
        signal.raise_signal(TERM)
        os._exit(10 * len(presses) + len(server.got))
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 1
    signal.raise_signal(TERM)
    assert (presses, server.got) == ([TERM], [])


async def test_the_servers_handler_is_put_back(server, ours, presses):
    """And hears of the next signal directly."""
    assert not ours.installed
    ours.install()
    assert signal.getsignal(TERM) is not server.handle
    ours.restore()
    assert not ours.installed
    assert signal.getsignal(TERM) is server.handle
    signal.raise_signal(TERM)
    assert server.got == [TERM]
    assert presses == []


async def test_somebody_who_came_in_front_stays_there(server, ours, presses):
    """He is not overwritten; and what he passes to us, we pass to the server."""
    ours.install()
    beneath = signal.getsignal(TERM)

    def in_front(signum, frame):
        beneath(signum, frame)

    signal.signal(TERM, in_front)
    ours.restore()
    assert signal.getsignal(TERM) is in_front
    signal.raise_signal(TERM)
    assert server.got == [TERM]
    assert presses == []


@pytest.fixture
def chain():
    """Go in front of whoever handles a signal, as programs do; gives the list of what is noted there."""
    before = {}

    def chain(signum):
        beneath, got = signal.getsignal(signum), []
        before.setdefault(signum, beneath)

        def in_front(signum, frame):
            got.append(signum)
            if callable(beneath):
                beneath(signum, frame)

        signal.signal(signum, in_front)
        return got

    yield chain
    for signum, handler in before.items():
        signal.signal(signum, handler)


async def test_who_came_in_front_before_a_run_hears_it_once(default, ours, presses, chain):
    """As with the default action beneath: it is he who has to end the process, if anybody does."""
    ours.install_early()
    got = chain(TERM)
    signal.raise_signal(TERM)
    assert (got, presses) == ([TERM], [])


@pytest.fixture
def interrupts():
    """Ctrl+C is Python's; puts back whose it was at the end."""
    before = signal.signal(INT, signal.default_int_handler)
    yield
    signal.signal(INT, before)


def test_ctrl_c_is_an_interrupt_beneath_who_came_in_front(interrupts, presses, chain):
    """And one alone. Without an event loop, whose runner would take it."""
    ours = Signals([INT], presses.append)
    ours.install_early()
    got = chain(INT)
    with pytest.raises(KeyboardInterrupt):
        signal.raise_signal(INT)
    assert (got, presses) == ([INT], [])


async def test_what_is_delivered_beneath_who_came_in_front_ends_the_process(default, ours, chain):
    """He has heard of it, and there is nobody else who would."""
    ours.install_early()
    ours.install()
    got = chain(TERM)
    with pytest.raises(SystemExit) as exit_:
        ours.deliver(TERM)
    assert exit_.value.code == 128 + TERM
    assert got == []


@pytest.fixture
def left_behind(default, server, ours, chain):
    """Signals of a run whose server has ended, while somebody was in front; who that is."""
    early = signal.signal(TERM, signal.SIG_DFL)
    ours.install_early()
    ours_early = signal.signal(TERM, early)

    def end():
        ours.install()
        in_front = chain(TERM)
        ours.restore()
        return in_front, ours_early

    return end


async def test_a_server_that_has_put_us_back_is_gone(left_behind, server, monkeypatch):
    """It has put back whom it had found: what comes now is for who was there before all of us."""
    _, early = left_behind()
    signal.signal(TERM, early)  # uvicorn
    raised = []
    monkeypatch.setattr(module.signal, "raise_signal", raised.append)
    with pytest.raises(SystemExit):
        early(TERM, None)
    assert (raised, server.got) == ([TERM], [])
    assert signal.getsignal(TERM) is signal.SIG_DFL


async def test_a_server_whose_loop_is_closed_is_gone(left_behind, server, ours, monkeypatch):
    """Also where somebody is still in front."""
    in_front, _ = left_behind()
    monkeypatch.setattr(ours, "_is_over", lambda: True)
    signal.raise_signal(TERM)
    assert (in_front, server.got) == ([TERM], [])


async def test_several_at_once_are_one_press(server, ours, presses, clock):
    """A launcher passes on what the terminal has sent already; a later one is a second press."""
    ours.install()
    signal.raise_signal(TERM)
    clock.now += SAME * 0.9
    signal.raise_signal(TERM)
    assert presses == [TERM]
    clock.now += SAME * 1.1
    signal.raise_signal(TERM)
    assert presses == [TERM, TERM]
    assert server.got == []


@pytest.fixture
def theirs_for_int():
    """Put SIGINT back at the end."""
    before = signal.signal(INT, lambda signum, frame: None)
    yield
    signal.signal(INT, before)


async def test_another_signal_soon_after_is_no_second_press(server, theirs_for_int, presses, clock):
    """``nb run`` sends SIGTERM on top of the terminal's SIGINT, as late as it likes to within 2 s."""
    ours = Signals([INT, TERM], presses.append)
    ours.install()
    signal.raise_signal(INT)
    clock.now += ANOTHER * 0.9
    signal.raise_signal(TERM)
    assert presses == [INT]
    clock.now += ANOTHER * 1.1
    signal.raise_signal(TERM)
    assert presses == [INT, TERM]
    ours.restore()


async def test_what_is_no_press_does_not_put_the_next_one_off(server, ours, presses, clock):
    """A key that is held down is a second press after all."""
    ours.install()
    for _ in range(4):
        signal.raise_signal(TERM)
        clock.now += SAME * 0.6
    assert presses == [TERM, TERM]


async def test_the_first_press_is_never_debounced(server, ours, presses, clock):
    """Even where the monotonic clock has only just begun."""
    clock.now = 0.0
    ours.install()
    signal.raise_signal(TERM)
    assert presses == [TERM]


async def test_the_first_press_of_the_next_run_is_none_of_the_lasts(server, ours, presses, clock):
    """A driver may be started again in the same process, at once."""
    for _ in range(2):
        ours.install()
        signal.raise_signal(TERM)
        ours.restore()
    assert presses == [TERM, TERM]


async def test_what_is_ignored_stays_ignored(server, ours):
    """``nohup`` and its like mean it; it is told to who asks."""
    signal.signal(TERM, signal.SIG_IGN)
    assert ours.install() == [TERM]
    assert signal.getsignal(TERM) is signal.SIG_IGN
    assert not ours.installed


async def test_a_handler_of_the_loop_is_removed(ours, presses):
    """On ``~none``, say: the loop alone would call it, and never while it is blocked."""
    loop, called = asyncio.get_running_loop(), []
    before = signal.getsignal(TERM)
    loop.add_signal_handler(TERM, called.append, 1)
    try:
        assert ours.install() == []
        signal.raise_signal(TERM)
        await asyncio.sleep(0.01)
        assert presses == [TERM]
        assert called == []
        ours.restore()
    finally:
        signal.signal(TERM, before)


@pytest.mark.skipif(sys.platform == "win32", reason="its loops have no signals")
async def test_who_came_in_front_of_the_loops_own_goes_with_it(default, ours, chain):
    """A loop that is closed puts the default back, whoever is there."""
    loop = asyncio.get_running_loop()
    ours.install_early()
    loop.add_signal_handler(TERM, lambda: None)
    ours.install()
    chain(TERM)
    ours.restore()
    assert signal.getsignal(TERM) is signal.SIG_DFL


@pytest.mark.skipif(sys.platform == "win32", reason="its loops have no signals")
async def test_who_asks_the_loop_for_it_later_hears_it_too(server, ours, presses):
    """When the server does. A second one in the loop would have it for itself before uvicorn 0.29."""
    loop, heard = asyncio.get_running_loop(), asyncio.Event()
    ours.install()
    loop.add_signal_handler(TERM, heard.set)
    signal.raise_signal(TERM)
    await asyncio.sleep(0.01)
    assert presses == [TERM]
    assert not heard.is_set()
    assert not ours.tell_who_asked(TERM)
    await heard.wait()
    assert loop.remove_signal_handler(TERM)
    assert not loop.remove_signal_handler(TERM)
    heard.clear()
    ours.tell_who_asked(TERM)
    ours.deliver(TERM)
    await asyncio.sleep(0.01)
    assert server.got == [TERM]
    assert not heard.is_set()
    ours.restore()
    assert "add_signal_handler" not in vars(loop)


@pytest.fixture
async def asked(default):
    """Somebody has asked the loop for SIGTERM before us: what he was told, in order."""
    loop, told = asyncio.get_running_loop(), []
    with contextlib.suppress(NotImplementedError):
        loop.add_signal_handler(TERM, told.append, "theirs")
    yield told
    with contextlib.suppress(NotImplementedError):
        loop.remove_signal_handler(TERM)


posix = pytest.mark.skipif(sys.platform == "win32", reason="its loops have no signals")


@posix
@pytest.mark.parametrize("signum", [TERM, None], ids=["a signal", "no signal"])
async def test_who_has_asked_the_loop_before_hears_it_instead_of_the_server(
    signum, asked, ours, presses
):
    """After the drain; and when the run is over it is his again."""
    assert ours.install(lambda callback: callback is None) == []
    signal.raise_signal(TERM)
    await asyncio.sleep(0.01)
    assert (presses, asked) == ([TERM], [])
    assert ours.tell_who_asked(signum)
    await asyncio.sleep(0)
    assert asked == ["theirs"]
    ours.restore()
    signal.raise_signal(TERM)
    await asyncio.sleep(0.01)
    assert (presses, asked) == ([TERM], ["theirs", "theirs"])


@posix
async def test_who_has_asked_the_loop_beside_the_server_hears_it_too(asked, ours, server, presses):
    """Whose handler is the process's: both are told, and not before the drain."""
    before = signal.signal(TERM, server.handle)
    try:
        ours.install(lambda callback: callback is None)
        signal.raise_signal(TERM)
        await asyncio.sleep(0.01)
        assert (presses, asked, server.got) == ([TERM], [], [])
        assert not ours.tell_who_asked(TERM)
        await asyncio.sleep(0)
        assert asked == ["theirs"]
        ours.restore()
        assert signal.getsignal(TERM) is server.handle
    finally:
        signal.signal(TERM, before)


@posix
async def test_of_a_loop_that_does_not_tell_it_is_left_alone(asked, ours, presses, monkeypatch):
    """As uvloop: he hears it as without us, and of an end that no signal began by a signal."""
    monkeypatch.setattr(module, "asked_of", lambda loop, signum: None)
    assert ours.install(lambda callback: False) == [TERM]
    assert ours.hidden == [TERM]
    signal.raise_signal(TERM)
    await asyncio.sleep(0.01)
    assert (presses, asked) == ([], ["theirs"])
    assert ours.tell_who_asked(None)
    await asyncio.sleep(0.01)
    assert (presses, asked) == ([], ["theirs", "theirs"])


@pytest.mark.skipif(sys.platform == "win32", reason="its loops have no signals")
async def test_other_signals_of_the_loop_are_the_loops(server, ours):
    """They are none of our business."""
    loop, heard = asyncio.get_running_loop(), asyncio.Event()
    ours.install()
    loop.add_signal_handler(signal.SIGUSR2, heard.set)
    signal.raise_signal(signal.SIGUSR2)
    await heard.wait()
    assert loop.remove_signal_handler(signal.SIGUSR2)
    ours.restore()


async def test_in_another_thread_there_is_nothing_to_install(server, ours):
    """Signals are the main thread's: it is told that all of them go to somebody else."""
    loop = asyncio.get_running_loop()
    left = await loop.run_in_executor(None, ours.install)
    assert left == [TERM]
    assert signal.getsignal(TERM) is server.handle
    assert not ours.installed


async def test_we_are_there_before_the_server_is(default, ours, presses, monkeypatch):
    """A signal during the imports takes its default action; process 1, that has none, exits too."""
    raised = []
    ours.install_early()
    assert signal.getsignal(TERM) not in (signal.SIG_DFL, None)
    handler = signal.getsignal(TERM)
    monkeypatch.setattr(module.signal, "raise_signal", raised.append)
    with pytest.raises(SystemExit) as exit_:
        handler(TERM, None)
    assert exit_.value.code == 128 + TERM
    assert raised == [TERM]
    assert signal.getsignal(TERM) is signal.SIG_DFL
    assert presses == []


async def test_a_server_that_has_no_handler_leaves_ours_in_place(default, ours, presses):
    """The early one counts presses from the start on; after the run the default is back."""
    ours.install_early()
    assert ours.install() == []
    signal.raise_signal(TERM)
    assert presses == [TERM]
    ours.restore()
    assert signal.getsignal(TERM) is signal.SIG_DFL


async def test_whoever_handles_it_before_us_is_not_replaced_early(server, ours):
    """A bot with signals of its own keeps them until it starts its server."""
    ours.install_early()
    assert signal.getsignal(TERM) is server.handle


def test_signals_are_known_by_name():
    """A name this platform does not have is passed over; Windows gets Ctrl+Break on top."""
    extra = [int(signal.SIGBREAK)] if hasattr(signal, "SIGBREAK") else []
    assert numbers(["SIGINT", "SIGTERM", "SIGNOSUCH"]) == [int(signal.SIGINT), TERM, *extra]
