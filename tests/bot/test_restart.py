"""What the process is replaced by, and where it cannot be."""

import multiprocessing
import subprocess
import sys

import pytest

from nonebot_plugin_graceful.bot import restart

TELL = "from nonebot_plugin_graceful.bot.restart import command; print(command())"

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="there is no exec there")


def test_it_is_what_was_started_with_all_its_options(tmp_path):
    """The interpreter by its full name: the folder may change meanwhile, and the PATH."""
    script = tmp_path / "script.py"
    script.write_text(TELL)
    told = subprocess.run(
        [sys.executable, "-X", "utf8", str(script), "one"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert told.stdout.strip() == repr([sys.executable, "-X", "utf8", str(script), "one"])


@pytest.mark.parametrize("arguments", [[], ["-"]])
def test_what_came_from_a_pipe_cannot_be_read_again(arguments):
    """So the exit code has to do."""
    told = subprocess.run(
        [sys.executable, *arguments], input=TELL, capture_output=True, text=True, check=True
    )
    assert told.stdout.strip() == "None"


@pytest.mark.parametrize(
    ("where", "name", "value"),
    [
        (sys, "frozen", True),
        (sys, "platform", "win32"),
        (sys, "executable", ""),
        (multiprocessing, "parent_process", object),
    ],
)
def test_nor_can_a_program_that_is_part_of_something_else(where, name, value, monkeypatch):
    """A frozen one, somebody's worker; and Windows has no exec worth the name."""
    assert restart.command() is not None
    monkeypatch.setattr(where, name, value, raising=False)
    assert restart.command() is None


@pytest.mark.parametrize(
    ("how", "known", "possible"),
    [("exec", ["python"], True), ("exec", None, False), ("exit", None, True)],
)
def test_it_is_possible_where_the_bot_comes_back(how, known, possible, monkeypatch):
    """In its place, or since whoever says ``exit`` has somebody who starts it again."""
    monkeypatch.setattr(restart, "command", lambda: known)
    asked = restart.Restart(how, called_off=lambda: False, flush=lambda: None)
    assert asked.possible is possible


@pytest.fixture
def process(tree, monkeypatch):
    """The plugin's own, whose shutdown goes no further than its first word."""
    from nonebot_plugin_graceful import _process

    monkeypatch.setattr(_process, "_runs", [])
    yield _process
    _process.restarting.forget()


def test_a_bot_that_is_being_stopped_does_not_come_back(process, tree):
    """Who said stop first meant it."""
    tree.lifecycle.begin("SIGTERM")
    process.restart("too late")
    assert not process.restarting.wanted


def test_a_signal_calls_it_off(process, tree):
    """And so does the end of a console; the next start is asked anew."""
    process.restart("an upgrade")
    assert process.restarting.wanted
    assert tree.lifecycle.reason == "an upgrade"
    process.begin_quickly("CTRL_CLOSE_EVENT")
    assert not process.restarting.wanted
