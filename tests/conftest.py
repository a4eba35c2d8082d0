"""One NoneBot for the whole session, with the plugin loaded; and the plugin's state, fresh for each test."""

import asyncio
import os
import re
import shutil
import signal
import sys
import tempfile

import hypothesis
import nonebot
import pytest
from loguru import logger
from nonebot.adapters.onebot.v11 import Adapter
from nonebug import NONEBOT_START_LIFESPAN

DATA = tempfile.mkdtemp(prefix="graceful-tests-")

# Containers like to forbid bytecode. Then every worker and each of the hundred bots that the tests
# start compiles all that it imports, which takes longer than everything else they do.
sys.dont_write_bytecode = False
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)

# A shell without job control starts what it puts in the background deaf to these, and with it all
# that the tests start.
for _signal in (signal.SIGINT, getattr(signal, "SIGQUIT", signal.SIGINT)):
    if signal.getsignal(_signal) is signal.SIG_IGN:
        signal.signal(
            _signal,
            signal.default_int_handler if _signal == signal.SIGINT else signal.SIG_DFL,
        )

# Here and not in pytest_configure: the conftest.py of folders named on the command line are
# imported before that, and NoneBot refuses a plugin that something else has imported already.
logger.disable(
    ""
)  # pytest-xdist's controller, which runs no tests, would print it below its summary
nonebot.init(
    _env_file=None,
    driver="~none",
    log_level="TRACE",
    localstore_cache_dir=f"{DATA}/cache",
    localstore_config_dir=f"{DATA}/config",
    localstore_data_dir=f"{DATA}/data",
)
nonebot.get_driver().register_adapter(Adapter)
assert nonebot.load_plugin("nonebot_plugin_graceful") is not None
logger.enable("")


# An example has 200 ms by default, and drawing the first ones a second or so: where a busy machine
# stands still for as long, that would be a failure of whatever test it was. What CI says depends on
# the commit alone; new examples are looked for everywhere else.
hypothesis.settings.register_profile(
    "ours",
    deadline=None,
    suppress_health_check=[hypothesis.HealthCheck.too_slow],
    derandomize="CI" in os.environ,
)
hypothesis.settings.load_profile("ours")


def pytest_configure(config):
    """Leave it to each test to start the driver: one that ran would take pytest's signals."""
    config.stash[NONEBOT_START_LIFESPAN] = False


def pytest_xdist_auto_num_workers(config):
    """Two a processor, six at most: more would only keep each other waiting. For tests named one by one, none."""
    if all("::" in argument for argument in config.args):
        return 0
    return min(6, 2 * (os.cpu_count() or 1))


def pytest_make_parametrize_id(val):
    """Settings and errors go by what they say; without addresses, which differ between workers."""
    if isinstance(val, dict | BaseException):
        return re.sub(r" at 0x[0-9a-fA-F]+", "", repr(val))
    return None


def pytest_unconfigure():
    """Leave no files."""
    shutil.rmtree(DATA, ignore_errors=True)


@pytest.fixture(autouse=True)
def fresh_plugin():
    """No shutdown, nothing in flight, the default kinds."""
    from nonebot_plugin_graceful.core import installed
    from nonebot_plugin_graceful.core.kinds import Kinds

    tree = installed.tree

    def reset():
        tree.lifecycle.reopen()
        tree.lifecycle.hooks[:] = hooks
        tree.kinds = Kinds(plugins=plugins)
        tree.admission.resume()
        tree.works.clear()
        tree.shields.clear()
        tree.places.__init__(tree.lifecycle)

    hooks, plugins = list(tree.lifecycle.hooks), dict(tree.kinds.plugins)
    reset()
    yield
    reset()


@pytest.fixture(scope="session")
def shared_folder(tmp_path_factory, worker_id):
    """One for this run of pytest: what a worker leaves there, the others find."""
    folder = tmp_path_factory.getbasetemp()
    return folder if worker_id == "master" else folder.parent


@pytest.fixture
def within():
    """Bound what has to happen soon. The bound is far below for ever."""

    async def within(awaitable, seconds=30):
        return await asyncio.wait_for(awaitable, seconds)

    return within
