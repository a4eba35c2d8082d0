"""Windows: its window is closed, the user logs off, the machine is shut down.

None of that is a signal. Windows ends the process when whoever handles it returns, and Python's own
handler returns at once.
"""

import sys
import threading
from collections.abc import Callable
from typing import Any

__all__ = ["EVENTS", "PATIENCE", "Console"]

EVENTS = {2: "CTRL_CLOSE_EVENT", 5: "CTRL_LOGOFF_EVENT", 6: "CTRL_SHUTDOWN_EVENT"}
"""Ctrl+C and Ctrl+Break are left to Python, which makes signals of them."""
PATIENCE = 4.5
"""Seconds for which the handler blocks. Windows itself waits for 5."""


class Console:
    """The end that a console brings.

    Args:
        begin: Begins the shutdown, with the event's name.
        patience: Seconds for which the handler blocks at most.

    """

    def __init__(self, begin: Callable[[str], None], patience: float = PATIENCE) -> None:
        self._begin = begin
        self._patience = patience
        self._never = threading.Event()
        self._routine: Any = None
        """Windows calls it for as long as the process lives."""

    def install(self) -> None:
        """Be asked before Python, where there are consoles of this kind."""
        if sys.platform != "win32":
            return
        import ctypes
        from ctypes import wintypes

        self._routine = ctypes.WINFUNCTYPE(wintypes.BOOL, wintypes.DWORD)(self.handle)
        ctypes.windll.kernel32.SetConsoleCtrlHandler(self._routine, True)

    def handle(self, event: int) -> bool:
        """Shut the bot down, and do not return before that has ended: the process goes under us.

        Called in a thread of its own.

        Args:
            event: What has happened, in Windows' numbers.

        Returns:
            Whether it was ours to handle.

        """
        name = EVENTS.get(event)
        if name is None:
            return False
        self._begin(name)
        self._never.wait(self._patience)
        return True
