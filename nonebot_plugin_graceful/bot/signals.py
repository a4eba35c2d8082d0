"""SIGINT, SIGTERM and their like: ours comes first, the server's after it."""

import asyncio
import contextlib
import contextvars
import functools
import signal
import sys
import threading
import time
from collections.abc import Callable
from types import FrameType
from typing import Any

from .loop_handlers import Asked, asked_of, give_to_loop, is_loops_own, remove_from_loop
from .tally import SAME, Tally
from .wakeup import Wakeup, in_children

__all__ = ["Signals", "numbers"]

ANOTHER = 2.0
"""Seconds within which another signal is no further press: ``nb run`` sends SIGTERM on top of the
SIGINT that the terminal has sent to the whole process group."""


def numbers(names: list[str]) -> list[int]:
    """Give the signals by these names; on Windows Ctrl+Break, too."""
    known = [int(getattr(signal, name)) for name in names if hasattr(signal, name)]
    if sys.platform == "win32" and signal.SIGBREAK not in known:
        known.append(int(signal.SIGBREAK))
    return known


class Signals:
    """Our handler in front of whoever's it was.

    Args:
        signums: The signals.
        on_press: Called by the signal handler, so at any bytecode of the main thread, with the
            number of the signal. While that thread is in C code, called in another one.
        is_over: Whether there is nobody any more to stop, though nobody has said so.

    """

    def __init__(
        self,
        signums: list[int],
        on_press: Callable[[int], None],
        is_over: Callable[[], bool] = lambda: False,
    ) -> None:
        self._signums = signums
        self._is_over = is_over
        self._on_press = on_press
        self._beneath: dict[int, Any] = {}
        """Who handled them before the plugin was loaded."""
        self._previous: dict[int, Any] = {}
        """Who handles them for the server that runs; None: the event loop itself, or nobody."""
        self._loops: set[int] = set()
        """Those that the event loop itself handles."""
        self._asked: dict[int, Asked] = {}
        """Who had asked the event loop for them before, and is not the server."""
        self._besides: dict[int, Asked] = {}
        """Who has asked the event loop for them since."""
        self.hidden: list[int] = []
        """Those that somebody has asked an event loop for that does not tell who."""
        self._loop: asyncio.AbstractEventLoop | None = None
        """The one whose signals they are while a server runs."""
        self._active = False
        self._last: tuple[int, float] | None = None
        self._tally = Tally()
        self._counting = threading.Lock()
        self._taken: set[int] = set()
        """Those that came to us when a server was last begun, and to no loop."""
        self._wakeup = Wakeup(self._see_that_it_is_handled, ours=self._taken)
        self.heard: bool = False
        """Whether any has come; whoever wants to know puts it back."""
        in_children(self._leave_to_parent)

    def _leave_to_parent(self) -> None:
        """In a child process: what it is sent is for whom it would be without us."""
        self._active = False
        for signum in self._signums:
            if self._is_on_top(signum):
                signal.signal(signum, self._without_us(signum))

    def _without_us(self, signum: int) -> Any:
        """Give who would handle a signal if we did not."""
        return self._previous.get(signum) or self._beneath.get(signum, signal.SIG_DFL)

    @property
    def installed(self) -> bool:
        """Whether signals come to us first."""
        return self._active and bool(self._previous)

    def install_early(self) -> None:
        """Be there from now on, so a signal before the server's start is not lost.

        The kernel drops the default action of SIGTERM for process 1, as in a container.
        """
        if threading.current_thread() is not threading.main_thread():
            return
        for signum in self._signums:
            current = signal.getsignal(signum)
            if current in (signal.SIG_DFL, signal.default_int_handler):
                self._beneath[signum] = current
                signal.signal(signum, self._handle)

    def install(self, is_servers: Callable[[Any], bool] = lambda _: True) -> list[int]:
        """Go in front of whoever handles these signals now. In the event loop's thread.

        Args:
            is_servers: Whether what the event loop is to call at a signal is the server's, which
                is told otherwise. None: the loop does not say what it is to call.

        Returns:
            Those that still go to somebody else.

        """
        if not self._active:
            self._previous.clear()  # of a run before this one, which somebody was in front of
        self._active, self._last = True, None
        self.hidden.clear()
        self._loops.clear()
        if threading.current_thread() is not threading.main_thread():
            # Signals are the main thread's: there ours is if nobody has come after us.
            ours = [each for each in self._signums if self._is_on_top(each)]
            self._previous.update(dict.fromkeys(ours))
            return [each for each in self._signums if each not in ours]
        loop = asyncio.get_running_loop()
        left: list[int] = []
        for signum in self._signums:
            current = signal.getsignal(signum)
            if (
                not self._take_from_loop(loop, signum, current, is_servers)
                or current is None
                or current is signal.SIG_IGN
            ):
                left.append(signum)
            elif current == self._handle:  # the server has none of its own
                self._previous.setdefault(signum, None)
            else:
                # A handler of the loop's is called by the loop alone, never while it is blocked.
                if is_loops_own(current):
                    self._loops.add(signum)
                self._previous[signum] = None if signum in self._loops else current
                signal.signal(signum, self._handle)
        self._share(loop)
        self._taken.clear()
        self._taken.update(self._previous)
        if self._previous:
            self._wakeup.take()
        return left

    def _take_from_loop(
        self,
        loop: asyncio.AbstractEventLoop,
        signum: int,
        current: Any,
        is_servers: Callable[[Any], bool],
    ) -> bool:
        """See to it that the loop calls nobody before we do. Whether nobody is left in our way."""
        asked = asked_of(loop, signum)
        if asked is None and not is_loops_own(current):
            return True
        if asked is None and not is_servers(None):
            self.hidden.append(signum)
            return False
        if not remove_from_loop(loop, signum):
            return False
        if asked is not None and not is_servers(asked[0]):
            self._asked[signum] = asked
        return True

    def _share(self, loop: asyncio.AbstractEventLoop) -> None:
        """Let whoever asks the loop for our signals from now on have them after us.

        A second server would take them for itself, and for good, where that is uvicorn before 0.29.
        """
        if sys.platform == "win32":  # its loops have no signals
            return
        add, remove = loop.add_signal_handler, loop.remove_signal_handler

        @functools.wraps(add)
        def add_signal_handler(sig: int, callback: Callable[..., object], *args: Any) -> None:
            if sig in self._previous:
                self._besides[sig] = callback, args, contextvars.copy_context()
            else:
                add(sig, callback, *args)
                self._wakeup.take()  # the loop has it now

        @functools.wraps(remove)
        def remove_signal_handler(sig: int) -> bool:
            if sig in self._previous:  # the loop's own would put the default action in our place
                return self._besides.pop(sig, None) is not None
            removed = remove(sig)
            self._wakeup.take()
            return removed

        with contextlib.suppress(AttributeError):  # a loop that lets nobody
            setattr(loop, "add_signal_handler", add_signal_handler)  # noqa: B010 - types
            setattr(loop, "remove_signal_handler", remove_signal_handler)  # noqa: B010
            self._loop = loop

    def restore(self) -> None:
        """Put back who handled the signals before."""
        self._active = False
        self._let_go_of_wakeup()
        loop, self._loop = self._loop, None
        for name in ("add_signal_handler", "remove_signal_handler"):
            with contextlib.suppress(AttributeError):
                delattr(loop, name)
        for signum, previous in list(self._previous.items()):
            asked = self._besides.get(signum) or self._asked.get(signum)
            # Somebody may have come in front of us since. He will put us back, and until then we
            # only pass on. What was the loop's is nobody's when that ends, whoever is in front.
            if self._is_on_top(signum) or (signum in self._loops and asked is None):
                given_back = asked is not None and give_to_loop(loop, signum, asked)
                if previous is not None or not given_back:
                    _set(signum, self._without_us(signum))
                del self._previous[signum]
        self._asked.clear()
        self._besides.clear()

    def tell_who_asked(self, signum: int | None) -> bool:
        """Have the event loop call who has asked it for a signal. In the loop.

        Args:
            signum: The signal; None if none has come: then it is one that somebody has asked for.

        Returns:
            Whether he alone would have heard of it, and not the server.

        """
        if signum is None:
            asked = {*self._asked, *self._besides, *self.hidden}
            signum = min(asked, key=lambda each: each != signal.SIGTERM, default=None)
        if signum is None:
            return False
        if signum in self.hidden:
            signal.raise_signal(signum)
            return True
        loop = asyncio.get_running_loop()
        for each in (self._asked, self._besides):
            if signum in each:
                callback, args, context = each[signum]
                loop.call_soon(callback, *args, context=context)
        return signum in self._asked and self._previous.get(signum) is None

    def deliver(self, signum: int) -> None:
        """Pass a signal on to whoever handled it before us. In the main thread."""
        if not self._pass_on(signum, None):
            raise SystemExit(128 + signum)  # nobody else is going to end the process

    def _pass_on(self, signum: int, frame: FrameType | None) -> bool:
        """Give a signal to whoever is beneath us. False: nobody is.

        Raised anew it would go to whoever is in front of us, who passes it on to us again.
        """
        handler, on_top = self._without_us(signum), self._is_on_top(signum)
        if handler is signal.default_int_handler or (on_top and not callable(handler)):
            for each, early in self._beneath.items():
                if self._is_on_top(each):
                    signal.signal(each, early)
        if callable(handler):
            handler(signum, frame)
        elif on_top:
            signal.signal(signum, signal.SIG_DFL)
            signal.raise_signal(signum)
            # Who is still here is process 1.
            raise SystemExit(128 + signum)
        return callable(handler)

    def _is_on_top(self, signum: int) -> bool:
        """Whether nobody has come in front of us."""
        return signal.getsignal(signum) == self._handle

    def _let_go_of_wakeup(self) -> None:
        if threading.current_thread() is threading.main_thread():
            self._wakeup.give_back()

    def _handle(self, signum: int, frame: FrameType | None) -> None:
        counted = self._tally.call(signum)
        self.heard = True
        if self._active and self._is_over():
            self._active = False
            self._let_go_of_wakeup()
        if not self._active:
            # The server that ran is gone when its loop is, or when it has put us back: it had found
            # us there, and not whoever came in front of us since.
            if self._is_over() or self._is_on_top(signum):
                self._previous.pop(signum, None)
            self._pass_on(signum, frame)
        elif not counted:
            self._press(signum)

    def _see_that_it_is_handled(self, signum: int) -> None:
        """Count a signal that the main thread does not come to handle. In a thread."""
        if signum not in self._signums or not self._tally.is_left(signum):
            return
        if self._active and not self._is_over() and self._is_on_top(signum):
            self.heard = True
            self._press(signum)
        else:
            self._tally.forget(signum)

    def _press(self, signum: int) -> None:
        if not self._counting.acquire(blocking=False):
            return  # the other thread is at it, for the same signal
        try:
            now = time.monotonic()
            if self._last is not None:
                last, when = self._last
                if now - when < (SAME if signum == last else ANOTHER):
                    return
            self._last = (signum, now)
            self._on_press(signum)
        finally:
            self._counting.release()


def _set(signum: int, handler: Any) -> None:
    if threading.current_thread() is threading.main_thread():  # no other thread can
        signal.signal(signum, handler)
