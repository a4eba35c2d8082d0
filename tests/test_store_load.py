"""Loading the way the plugin store does it: a stub driver, and nothing configured."""

import os
import subprocess
import sys
from pathlib import Path

DRIVER = """
from nonebot.drivers import Driver as Base

class Driver(Base):
    type = "stub"
    logger = None
    def run(self, *args, **kwargs):
        super().run(*args, **kwargs)
"""

SCRIPT = """
import sys
# What a bare installation does not have.
for name in ("fastapi", "uvicorn", "starlette", "quart", "aiohttp", "websockets", "openai",
             "nonebot.adapters.onebot"):
    sys.modules[name] = None
import nonebot
nonebot.init(driver="stub_driver")
plugin = nonebot.load_plugin("nonebot_plugin_graceful")
assert plugin is not None, "not loaded"
assert plugin.metadata is not None and plugin.metadata.config is not None
from nonebot_plugin_graceful import is_shutting_down, tasks, track
assert not is_shutting_down()
print("LOADED", type(nonebot.get_driver()).__module__)
"""


def load(tmp_path, script=SCRIPT, **environ):
    (tmp_path / "stub_driver.py").write_text(DRIVER, encoding="utf-8")
    path = os.pathsep.join([str(tmp_path), str(Path.cwd())])
    kept = {name: value for name, value in os.environ.items() if not name.startswith("GRACEFUL_")}
    return subprocess.run(
        [sys.executable, "-c", script],
        cwd=tmp_path,
        env={**kept, "PYTHONPATH": path, "HOME": str(tmp_path), "PYTHONUTF8": "1", **environ},
        capture_output=True,
        text=True,
        encoding="utf-8",
        timeout=60,
        check=False,
    )


def test_it_loads_with_a_stub_driver_and_nothing_else(tmp_path):
    """No server, no adapter, no configuration."""
    result = load(tmp_path)
    assert result.returncode == 0, result.stdout + result.stderr
    assert "LOADED stub_driver" in result.stdout


def test_a_wrong_setting_keeps_it_from_loading(tmp_path):
    """And its name is in the log."""
    result = load(tmp_path, GRACEFUL_DEADLINE="soon")
    assert result.returncode != 0
    assert "GRACEFUL_DEADLINE" in result.stdout + result.stderr
