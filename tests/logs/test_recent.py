"""The last lines of the console are on disk, whatever becomes of the process."""

import io
import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from loguru import logger

from nonebot_plugin_graceful.config import Config
from nonebot_plugin_graceful.logs import Recent, flush_sinks, install, read_recent, wrap_sinks

KEY = "sk-a1B2c3D4e5F6g7H8i9J0"


class Console(io.StringIO):
    """What stands in the place of a terminal."""

    name = "<stdout>"


@pytest.fixture
def console():
    stream = Console()
    logger.add(stream, format="{level} {message}", level="INFO")
    return stream


@pytest.fixture
def recent(tmp_path, console):
    """A buffer of ten lines, fed by the console."""
    kept = Recent(tmp_path, 10)
    unwrap = wrap_sinks(256, recent=kept)
    yield kept
    unwrap()
    kept.close()


def lines(folder: Path, count: int = 10) -> list[str]:
    return read_recent(folder, count).splitlines()


def test_what_the_console_shows_is_kept(recent, console, tmp_path):
    """Level by level, as it is shown; what it does not show is not kept."""
    logger.info("shown {}", KEY)
    logger.debug("not shown")
    recent.flush()

    assert lines(tmp_path) == console.getvalue().splitlines() == ["INFO shown sk-***"]


def test_other_sinks_are_not_kept(recent, tmp_path):
    """A file holds its lines anyway."""
    logger.add(tmp_path / "debug.log", level="DEBUG", format="{message}")
    logger.info("once")
    logger.debug("not at all")
    recent.flush()

    assert lines(tmp_path) == ["INFO once"]


def test_lines_are_written_without_anybodys_asking(recent, tmp_path, monkeypatch):
    """Within a second, by a thread."""
    monkeypatch.setattr("nonebot_plugin_graceful.logs.recent._DELAY", 0)
    written = threading.Event()
    monkeypatch.setattr(
        recent, "_write", lambda data, write=recent._write: (write(data), written.set())
    )
    for turn in range(3):
        written.clear()
        logger.info("line {}", turn)
        assert written.wait(10)

    assert lines(tmp_path) == [f"INFO line {turn}" for turn in range(3)]


def test_no_thread_stays(recent, tmp_path, monkeypatch):
    """A process that goes on when its bot has ended has none of ours."""
    monkeypatch.setattr("nonebot_plugin_graceful.logs.recent._DELAY", 0)
    running = []
    monkeypatch.setattr("_thread.start_new_thread", lambda *call: running.append(call))
    logger.info("line")
    ((function, arguments),) = running
    function(*arguments)

    assert lines(tmp_path) == ["INFO line"]
    assert not recent.awake


def test_no_thread_to_be_had(recent, tmp_path, monkeypatch):
    """The lines are written when one is."""

    def refuse(*_):
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr("_thread.start_new_thread", refuse)
    logger.info("one")
    monkeypatch.setattr("_thread.start_new_thread", lambda function, arguments: None)
    assert not recent.awake
    logger.info("two")
    assert recent.awake
    recent.flush()

    assert lines(tmp_path) == ["INFO one", "INFO two"]


def test_only_the_last_lines_are_kept(recent, tmp_path):
    """And not much more than twice as many are on disk."""
    for number in range(95):
        logger.info("line {}", number)
        recent.flush()

    assert lines(tmp_path) == [f"INFO line {number}" for number in range(85, 95)]
    on_disk = sum(len(path.read_text("utf-8").splitlines()) for path in tmp_path.iterdir())
    assert 10 <= on_disk <= 21


def test_a_restart_goes_on_where_the_last_run_ended(recent, tmp_path):
    """What happened before the crash is what is asked for."""
    for number in range(7):
        logger.info("line {}", number)
    recent.close()
    again = Recent(tmp_path, 10)
    for number in range(7, 12):
        again.add(f"INFO line {number}\n")
        again.flush()
    again.close()

    assert lines(tmp_path) == [f"INFO line {number}" for number in range(2, 12)]


def test_colours_are_left_out_when_it_is_read(recent, tmp_path):
    """The file has them, for a terminal; a bug report has not."""
    recent.add("\x1b[32m10-11\x1b[0m [\x1b[1mINFO\x1b[0m] red\n")
    recent.flush()

    assert lines(tmp_path) == ["10-11 [INFO] red"]


def test_a_long_line_is_shortened(recent, tmp_path):
    """Two thousand lines are no more than some megabytes."""
    logger.info("begin {} end", "word " * 10_000)
    recent.flush()

    (line,) = lines(tmp_path)
    assert line.startswith("INFO begin word ")
    assert " characters>" in line
    assert line.endswith("word  end")
    assert len(line) < 10_000


def test_tracebacks_are_kept(recent, tmp_path):
    """With their secrets masked."""
    try:
        raise ValueError(f"password='{KEY}'")
    except ValueError:
        logger.exception("failed")
    recent.flush()

    assert lines(tmp_path, 1000)[0] == "ERROR failed"
    assert lines(tmp_path, 1000)[-1] == "ValueError: password='***'"


def test_it_is_redacted_though_the_console_is_not(tmp_path, console):
    """GRACEFUL_REDACT=false is for those who look at their own terminal."""
    uninstall = install(Config(graceful_redact=False), tmp_path)
    logger.info("got {} {}", KEY, "word " * 1000)
    logger.info("ordinary")
    uninstall()

    assert KEY in console.getvalue()
    assert lines(tmp_path)[0].startswith("INFO got sk-*** word")
    assert lines(tmp_path)[1] == "INFO ordinary"


def test_it_can_be_switched_off(tmp_path, console):
    """GRACEFUL_LOG_BUFFER=0 writes nothing."""
    uninstall = install(Config(graceful_log_buffer=0), tmp_path)
    logger.info("line")
    uninstall()

    assert list(tmp_path.iterdir()) == []
    assert lines(tmp_path) == []


def test_uninstalling_writes_what_is_left(tmp_path, console):
    """And nothing after that."""
    uninstall = install(Config(), tmp_path)
    logger.info("kept")
    uninstall()
    logger.info("not kept")

    assert lines(tmp_path) == ["INFO kept"]


def test_the_file_is_nobody_elses(recent, tmp_path):
    """It has in it what people say in chats."""
    logger.info("line")
    recent.flush()

    if sys.platform != "win32":
        assert (tmp_path / "recent.log").stat().st_mode & 0o077 == 0


def test_a_folder_that_cannot_be_written_is_one_warning(tmp_path, console, monkeypatch):
    """Logging goes on."""
    monkeypatch.setattr("nonebot_plugin_graceful.logs.recent._DELAY", 0)
    (tmp_path / "file").touch()
    recent = Recent(tmp_path / "file", 10)
    warned = threading.Event()
    logger.add(lambda _: warned.set(), level="WARNING")
    unwrap = wrap_sinks(256, recent=recent)
    logger.info("first")
    assert warned.wait(10)
    logger.info("second")
    unwrap()
    recent.close()

    first, warning, second = console.getvalue().splitlines()
    assert (first, second) == ("INFO first", "INFO second")
    assert warning.startswith("WARNING GRACEFUL_LOG_BUFFER: cannot write ")


def test_lines_that_cannot_be_encoded_are_kept(recent, tmp_path):
    """File names of strangers hold anything."""
    logger.info("name \udcff")
    recent.flush()

    assert lines(tmp_path) == ["INFO name \\udcff"]


def test_flushing_the_sinks_writes_them(recent, tmp_path):
    """As is done before the process is ended by force."""
    logger.info("last words")

    assert flush_sinks(60)
    assert lines(tmp_path) == ["INFO last words"]


BOT = """
import os, signal, sys, time
from pathlib import Path
from loguru import logger
from nonebot_plugin_graceful.config import Config
from nonebot_plugin_graceful.logs import flush_sinks, install
folder = Path(sys.argv[1])
logger.remove()
logger.add(sys.stdout, format="{message}")
install(Config(graceful_log_buffer=100), folder)
logger.info("last words")
"""
ENDS = {
    "exit": "",
    "exception": "raise SystemExit(1)",
    "force": "flush_sinks(60); os._exit(1)",
    # by the thread, a second later; the file is there a moment before what is in it
    "kill": (
        "file = folder / 'recent.log'\n"
        "while not (file.exists() and file.stat().st_size): time.sleep(0.01)\n"
        "os.kill(os.getpid(), signal.SIGTERM if os.name == 'nt' else signal.SIGKILL)"
    ),
}


@pytest.mark.parametrize("end", ENDS)
def test_lines_are_there_however_the_process_ends(tmp_path, end):
    """Exit, exception, the watchdog's os._exit(), SIGKILL."""
    code = BOT + ENDS[end]
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path)], capture_output=True, check=False, timeout=60
    )

    assert lines(tmp_path) == ["last words"], done.stderr.decode()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork")
def test_a_forked_child_keeps_its_hands_off(recent, tmp_path, monkeypatch):
    """It has a copy of the lines, which its parent writes."""
    # the parent's thread is not to come first, however long the child takes
    monkeypatch.setattr("nonebot_plugin_graceful.logs.recent._DELAY", 3600)
    logger.info("line")
    child = os.fork()
    if not child:
        recent.flush()
        os._exit(0)
    os.waitpid(child, 0)
    assert lines(tmp_path) == []
    recent.flush()

    assert lines(tmp_path) == ["INFO line"]
