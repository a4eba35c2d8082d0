"""Ends what the tests started, should the tests themselves be killed.

Started once per test session. Reads ``+pid`` and ``-pid`` lines; when the pipe ends, because the
test process did, it kills the process groups that are left.
"""

import contextlib
import os
import signal
import sys

alive = set()
for line in sys.stdin:
    (alive.add if line[0] == "+" else alive.discard)(int(line[1:]))
for pid in alive:
    with contextlib.suppress(OSError):
        if sys.platform == "win32":
            os.kill(pid, signal.SIGTERM)  # TerminateProcess
        else:
            os.killpg(pid, signal.SIGKILL)
