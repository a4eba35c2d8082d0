"""For plugins under test: say when something happened, by the clock that the tests read too."""

import os
import time


def mark(what):
    """Write a line that ``BotProcess.mark`` finds; unbuffered, in one piece, from any thread."""
    os.write(1, f"MARK {time.monotonic():.6f} {what}\n".encode())
