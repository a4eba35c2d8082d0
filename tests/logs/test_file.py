"""The log file, and flushing at the end."""

import gzip
import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from loguru import logger

from nonebot_plugin_graceful.config import Config
from nonebot_plugin_graceful.logs import add_log_file, find_log_files, flush_sinks, install


def config(**settings) -> Config:
    return Config(**{f"graceful_{name}": value for name, value in settings.items()})


@pytest.fixture
def console():
    lines = []
    logger.add(lines.append, format="{level} {message}", level="INFO")
    return lines


def read(path: Path) -> list[str]:
    return path.read_text("utf-8").splitlines()


def test_relative_path_lies_in_the_folder(tmp_path, console):
    """DEBUG goes to the file, in UTF-8; the console stays quiet."""
    remove = add_log_file(config(log_file="logs/机器人.log"), tmp_path)
    logger.debug("你好 {}", "[CQ:face]")
    remove()

    (line,) = (line for line in read(tmp_path / "logs" / "机器人.log") if "DEBUG" in line)
    assert line.endswith(f"[DEBUG] {__name__} | 你好 [CQ:face]")
    assert not any("你好" in line for line in console)


def test_absolute_path(tmp_path, console):
    """An absolute path is taken as it is."""
    add_log_file(config(log_file=str(tmp_path / "a.log")), tmp_path / "elsewhere")()

    assert (tmp_path / "a.log").exists()
    assert not (tmp_path / "elsewhere").exists()


def test_level(tmp_path):
    """GRACEFUL_LOG_LEVEL is the file's own."""
    remove = add_log_file(config(log_file="a.log", log_level="warning"), tmp_path)
    logger.info("low")
    logger.warning("high")
    remove()

    assert [line.rpartition("| ")[2] for line in read(tmp_path / "a.log")] == ["high"]


def test_every_line_is_written_at_once(tmp_path):
    """A line is in the file when the call that logged it returns."""
    remove = add_log_file(config(log_file="a.log"), tmp_path)
    logger.info("one")
    assert read(tmp_path / "a.log")[-1].endswith("one")
    two = ["secret of mine"]
    try:
        len(two) / 0
    except ZeroDivisionError:
        logger.exception("failed")
    assert read(tmp_path / "a.log")[-1] == "ZeroDivisionError: division by zero"
    assert "secret of mine" not in (tmp_path / "a.log").read_text("utf-8")
    remove()


def test_what_is_no_utf8_costs_no_line(tmp_path):
    """Chats send halves of surrogate pairs, and NoneBot logs what they send."""
    remove = add_log_file(config(log_file="a.log"), tmp_path)
    logger.info("half of \ud83d")
    remove()

    assert read(tmp_path / "a.log")[-1].endswith(r"half of \ud83d")


def test_rotation_retention_and_compression(tmp_path):
    """As loguru has them."""
    remove = add_log_file(
        config(log_file="a.log", log_rotation=200, log_retention=2, log_compression="gz"), tmp_path
    )
    for number in range(20):
        logger.info("line {} {}", number, "x" * 100)
        for path in tmp_path.glob("a.*.log.gz"):
            os.utime(path, (0, 0))  # loguru goes by when, and many kernels tell that to 4 ms
    remove()

    packed = sorted(tmp_path.glob("a.*.log.gz"))
    assert len(packed) in (1, 2)
    assert b"line 18" in b"".join(gzip.decompress(path.read_bytes()) for path in packed)
    assert "line 19" in read(tmp_path / "a.log")[-1]


@pytest.mark.skipif(sys.platform == "win32" or os.geteuid() == 0, reason="may write anywhere")
def test_folder_without_permission_is_one_warning(tmp_path, console):
    """A bot that may not write its log starts all the same."""
    tmp_path.chmod(0o500)
    add_log_file(config(log_file="no/a.log"), tmp_path)()

    (line,) = console
    assert "Permission denied" in line


@pytest.mark.parametrize("name", ["file/a.log", "", "{nope}.log", "{.log", "bad\0name.log"])
def test_unwritable_path_is_one_warning(tmp_path, console, name):
    """A path that is no path names the setting, and nothing else happens."""
    (tmp_path / "file").touch()
    add_log_file(config(log_file=name), tmp_path)()

    (line,) = console
    assert line.startswith("WARNING GRACEFUL_LOG_FILE: cannot write ")
    assert "there is no log file" in line


@pytest.mark.parametrize(
    ("settings", "name"),
    [
        ({"log_rotation": "often"}, "GRACEFUL_LOG_ROTATION"),
        ({"log_rotation": "10 XB"}, "GRACEFUL_LOG_ROTATION"),
        ({"log_retention": "for ever"}, "GRACEFUL_LOG_RETENTION"),
        ({"log_level": "LOUD"}, "GRACEFUL_LOG_LEVEL"),
        ({"log_level": -5}, "GRACEFUL_LOG_LEVEL"),
    ],
)
def test_wrong_option_is_one_warning_and_its_default(tmp_path, console, settings, name):
    """The file is written all the same."""
    remove = add_log_file(config(log_file="a.log", **settings), tmp_path)
    logger.debug("written")
    remove()

    warnings = [line for line in console if line.startswith("WARNING")]
    assert len(warnings) == 1
    assert warnings[0].startswith(f"WARNING {name}: ")
    assert "is used" in warnings[0]
    assert read(tmp_path / "a.log")[-1].endswith("written")


def test_several_wrong_options_are_one_warning(tmp_path, console):
    """One warning names what to look at."""
    remove = add_log_file(config(log_file="a.log", log_rotation="x", log_level="y"), tmp_path)
    logger.debug("written")
    remove()

    (warning,) = [line for line in console if line.startswith("WARNING")]
    assert "GRACEFUL_LOG_LEVEL, GRACEFUL_LOG_ROTATION" in warning
    assert read(tmp_path / "a.log")[-1].endswith("written")


def test_install_does_what_the_settings_say(tmp_path, console):
    """Redaction and file, each if it is asked for; taken back together."""
    blob = "Ab1/" * 2000
    uninstall = install(config(log_file="a.log", redact_length=128), tmp_path)
    logger.info("got base64://{} sk-a1B2c3D4e5F6g7H8i9J0", blob)
    uninstall()
    assert "got <base64, 6.0 kB, sha1 " in (tmp_path / "a.log").read_text("utf-8")
    assert "sk-***" in console[-1]

    uninstall = install(config(redact=False), tmp_path)
    logger.info("base64://" + blob)
    uninstall()
    assert blob in console[-1]


def test_flushing_writes_what_is_held(tmp_path):
    """A file without line buffering and a queue: both are flushed, without being closed."""
    logger.add(tmp_path / "held.log", format="{message}", buffering=1 << 16)
    logger.add(tmp_path / "queued.log", format="{message}", enqueue=True)
    logger.info("last words")
    assert read(tmp_path / "held.log") == []

    assert flush_sinks(60)
    assert read(tmp_path / "held.log") == read(tmp_path / "queued.log") == ["last words"]


def test_flushing_waits_for_queues():
    """What is in a queue is not lost, however slow its sink is."""
    written, slow = [], threading.Event()
    logger.add(lambda message: (slow.wait(), written.append(message)), enqueue=True)
    logger.info("last words")
    assert not flush_sinks(0.01)
    threading.Timer(0.05, slow.set).start()

    assert flush_sinks(60)
    assert len(written) == 1


def test_flushing_ends_when_a_sink_does_not():
    """A stream that blocks for ever costs the timeout, and the others are not forgotten for it."""
    let_go = threading.Event()

    class Stuck:
        def write(self, text):
            pass

        def flush(self):
            let_go.wait()

    stream = Stuck()
    logger.add(stream)
    start = time.monotonic()
    try:
        assert not flush_sinks(0.05)
        assert time.monotonic() - start < 60
    finally:
        let_go.set()


def test_flushing_takes_no_lock():
    """A thread that holds loguru's locks does not keep the process."""
    logger.add(lambda message: None)
    (handler,) = logger._core.handlers.values()
    with logger._core.lock, handler._lock:
        assert flush_sinks(60)


LAST_WORDS = """
import os, sys
from pathlib import Path
from loguru import logger
from nonebot_plugin_graceful.config import Config
from nonebot_plugin_graceful.logs import flush_sinks, install
install(Config(graceful_log_file="a.log"), Path(sys.argv[1]))
logger.add(Path(sys.argv[1]) / "queued.log", format="{message}", enqueue=True)
for number in range(1000):
    logger.debug("line {}", number)
logger.critical("the end")
flush_sinks(60)
os._exit(3)
"""


def test_file_is_complete_when_the_process_is_ended_by_force(tmp_path):
    """os._exit() runs no exit handler and closes no file; the last line is there."""
    process = subprocess.run(
        [sys.executable, "-c", LAST_WORDS, str(tmp_path)], capture_output=True, check=False
    )

    assert process.returncode == 3, process.stderr.decode()
    assert read(tmp_path / "a.log")[-1].endswith("the end")
    assert sum("line " in line for line in read(tmp_path / "a.log")) == 1000
    assert read(tmp_path / "queued.log")[-1] == "the end"


def test_log_files_are_found_with_their_predecessors(tmp_path):
    """Newest first, rotated and compressed ones too, and nothing else."""
    names = ["bot.2024-01-01.log.gz", "bot.2024-02-01.log", "bot.log"]
    for age, name in enumerate(names):
        (tmp_path / name).touch()
        os.utime(tmp_path / name, (age, age))
    (tmp_path / "other.log").touch()
    (tmp_path / "robot.log").touch()

    assert [path.name for path in find_log_files(config(log_file="bot.log"), tmp_path)] == names[
        ::-1
    ]
    assert find_log_files(config(log_file=""), tmp_path) == []


def test_log_files_of_a_pattern_are_found(tmp_path):
    """A path may have the time in it, and signs that mean something to glob."""
    for name in ("a[1]-2024.log", "a[1]-2025.log", "a1-2025.log"):
        (tmp_path / name).touch()
    found = find_log_files(config(log_file="a[1]-{time:YYYY}.log"), tmp_path)

    assert {path.name for path in found} == {"a[1]-2024.log", "a[1]-2025.log"}


def test_rotated_files_of_loguru_are_found(tmp_path):
    """The names are loguru's own."""
    settings = config(log_file="a.log", log_rotation=100, log_compression="gz")
    remove = add_log_file(settings, tmp_path)
    for number in range(4):
        logger.info("line {} {}", number, "x" * 100)
    remove()

    assert set(find_log_files(settings, tmp_path)) == set(tmp_path.iterdir())
    assert len(list(tmp_path.iterdir())) > 2
