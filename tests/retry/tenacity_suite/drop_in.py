"""A pytest plugin for tenacity's own tests: its loops are ours, with its defaults.

The defaults are the one thing that is meant to differ; everything else a test may notice is to be
as in tenacity.
"""

import contextlib
import sys
import types

import tenacity
import tenacity.asyncio

from nonebot_plugin_graceful.retry import decorator, loops

DEFAULTS = {
    "stop": tenacity.stop_never,
    "wait": tenacity.wait_none(),
    "retry": tenacity.retry_if_exception_type(),
    "before_sleep": None,
}
calls = []


class Counted:
    """Shows that the tests did not pass without us."""

    def start(self, *args):
        calls.append(self)
        return super().start(*args)


class AsyncRetrying(Counted, loops.AsyncRetrying):
    def __init__(self, *args, **keywords):
        super().__init__(*args, **{**DEFAULTS, **keywords})


class Retrying(Counted, loops.Retrying):
    def __init__(self, *args, **keywords):
        # the sleep that some tests put a mock into
        super().__init__(*args, **{**DEFAULTS, "sleep": tenacity.sleep, **keywords})


with contextlib.suppress(ImportError):
    import typeguard
if "typeguard" not in sys.modules:  # older versions of the tests import it for a single one
    sys.modules["typeguard"] = typeguard = types.ModuleType("typeguard")
    typeguard.check_type = None

decorator.AsyncRetrying = tenacity.AsyncRetrying = tenacity.asyncio.AsyncRetrying = AsyncRetrying
decorator.Retrying = tenacity.Retrying = Retrying
tenacity.retry = decorator.retry


def pytest_terminal_summary(terminalreporter):
    """Tell how often we were asked."""
    terminalreporter.write_line(f"drop-in: {len(calls)} calls")
