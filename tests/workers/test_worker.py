"""The command that runs a worker, where it cannot begin."""

import subprocess
import sys

import pytest

FUNCTION = """
from nonebot_plugin_graceful import on_worker

@on_worker("image")
async def paint(prompt: str) -> str: ...
"""


@pytest.fixture
def work(tmp_path):
    """Run it for a module of this source."""

    def work(source, **environment):
        (tmp_path / "painting.py").write_text(source)
        return subprocess.run(
            [sys.executable, "-m", "nonebot_plugin_graceful", "worker", "painting"],
            cwd=tmp_path,
            env={"PYTHONPATH": ":".join(sys.path), "NO_COLOR": "1", **environment},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    return work


def test_it_needs_the_bots_database(work):
    """A file's work is done by the bot itself."""
    done = work(FUNCTION)
    assert done.returncode == 2
    assert "Set GRACEFUL_DATABASE_URL" in done.stdout


def test_it_needs_a_function(work):
    """A module that was named by mistake is told."""
    done = work("", GRACEFUL_DATABASE_URL="postgresql://127.0.0.1:1/none")
    assert done.returncode == 2
    assert "no @on_worker function in painting" in done.stdout


def test_it_ends_if_the_database_cannot_be_reached(work):
    """A supervisor starts it again."""
    done = work(FUNCTION, GRACEFUL_DATABASE_URL="postgresql://127.0.0.1:1/none")
    assert done.returncode == 1
    assert "Cannot begin" in done.stdout
    assert "Traceback" not in done.stdout + done.stderr
