"""A pytest plugin for tenacity's own tests: its loops are ours, with its defaults.

The defaults of bare ``@retry`` are the one thing that is meant to differ; everything else a test
may notice is to be as in tenacity.
"""

import tenacity
import tenacity.asyncio

from nonebot_plugin_graceful.retry import decorator, loops

loops._FOR_AI_SERVICES.clear()
calls = []


class Counted:
    """Shows that the tests did not pass without us."""

    def begin(self):
        calls.append(self)
        super().begin()


class AsyncRetrying(Counted, loops.AsyncRetrying):
    pass


class Retrying(Counted, loops.Retrying):
    def __init__(self, *args, **keywords):
        # the sleep that some tests put a mock into
        super().__init__(*args, **{"sleep": tenacity.sleep, **keywords})


decorator.AsyncRetrying = tenacity.AsyncRetrying = tenacity.asyncio.AsyncRetrying = AsyncRetrying
decorator.Retrying = tenacity.Retrying = Retrying
tenacity.retry = decorator.retry


def pytest_terminal_summary(terminalreporter):
    """Tell how often we were asked, and on which tenacity."""
    terminalreporter.write_line(f"drop-in: {len(calls)} calls")
    terminalreporter.write_line(f"drop-in: {tenacity.__file__}")
