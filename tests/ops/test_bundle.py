"""The command line that packs what a bug report needs, run as people run it."""

import bz2
import gzip
import json
import lzma
import os
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

from nonebot_plugin_graceful.__main__ import main
from nonebot_plugin_graceful.config import Config
from nonebot_plugin_graceful.ops.bundle import pack
from nonebot_plugin_graceful.ops.surroundings import Bundle

ROOT = Path(__file__).parents[2]
SETTINGS = """
DRIVER=~fastapi
LOCALSTORE_USE_CWD=true
GRACEFUL_LOG_FILE=bot.log
GRACEFUL_DEADLINE=5
ONEBOT_ACCESS_TOKEN=topsecret
DATABASE_URL=postgres://user:hunter22@host/db
QQ_BOTS=[{"id": "1", "secret": "inadict"}]
"""


@pytest.fixture
def bot(tmp_path):
    """A folder as a bot is run in."""
    (tmp_path / ".env").write_text(SETTINGS)
    data = tmp_path / "data" / "nonebot_plugin_graceful"
    data.mkdir(parents=True)
    (data / "last_shutdown.json").write_text('{"reason": "SIGINT", "forced": "inadict"}')
    (data / "bot.log").write_text("newest topsecret hunter22 fromenv1 end\n")
    (data / "recent.log").write_text("\x1b[32mrecent\x1b[0m topsecret\n")
    return tmp_path


def run(folder: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith("GRACEFUL_")},
        "PYTHONPATH": str(ROOT),
        "PYTHONIOENCODING": "utf-8",
        **environment,
    }
    return subprocess.run(
        [sys.executable, "-m", "nonebot_plugin_graceful", "bundle", *arguments],
        cwd=folder,
        env=environment,
        capture_output=True,
        encoding="utf-8",
        check=False,
    )


def read(path: Path) -> dict[str, str]:
    with zipfile.ZipFile(path) as archive:
        return {name: archive.read(name).decode() for name in archive.namelist()}


def test_everything_is_packed_and_no_secret(bot):
    """Logs, report, settings and versions; what is secret in the settings is in none of them."""
    done = run(bot, "--out", "out.zip", OPENAI_API_KEY="fromenv1")

    assert done.returncode == 0, done.stderr
    files = read(bot / "out.zip")
    assert set(files) == {
        *("versions.txt", "settings.json", "last_shutdown.json", "recent.log", "logs/bot.log")
    }
    assert files["recent.log"] == "recent ***\n"
    assert files["logs/bot.log"] == "newest *** *** *** end\n"
    assert json.loads(files["last_shutdown.json"]) == {"reason": "SIGINT", "forced": "***"}
    assert json.loads(files["settings.json"])["graceful_deadline"] == 5
    for name in ("Python 3.", "nonebot2 ", "nonebot-adapter-onebot ", "driver fastapi", "uvicorn "):
        assert name in files["versions.txt"]
    for name, text in files.items():
        assert f"{name} " in done.stdout
        assert f"{len(text.encode()):,} bytes" in done.stdout
    assert "without" not in done.stdout
    assert done.stderr == ""


def test_nothing_to_be_found_is_said(tmp_path):
    """A folder without a bot still gives the versions, and it is said what is not there."""
    done = run(tmp_path, LOCALSTORE_USE_CWD="true")

    assert done.returncode == 0, done.stderr
    (out,) = tmp_path.glob("graceful-*.zip")
    files = read(out)
    assert set(files) == {"versions.txt", "settings.json", "missing.txt"}
    assert "last_shutdown.json: No such file" in done.stdout
    assert "without recent.log, the last lines of the console: there are none yet" in done.stdout
    assert "last_shutdown.json: No such file" in files["missing.txt"]


def test_no_log_file_is_what_is_said_first(bot):
    """Whoever has a problem has set nothing: the last lines of the console are packed anyway."""
    (bot / ".env").write_text(SETTINGS.replace("GRACEFUL_LOG_FILE", "NO_LOG_FILE"))
    done = run(bot, "--out", "out.zip")

    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("no log file: GRACEFUL_LOG_FILE is not set, so none is written\n")
    files = read(bot / "out.zip")
    assert files["recent.log"] == "recent ***\n"
    assert files["missing.txt"].startswith("GRACEFUL_LOG_FILE is not set")


def test_a_buffer_that_is_off_is_said(bot):
    """What an earlier run left is not packed."""
    with (bot / ".env").open("a") as file:
        file.write("GRACEFUL_LOG_BUFFER=0\n")
    done = run(bot, "--out", "out.zip")

    assert "recent.log" not in read(bot / "out.zip")
    assert (
        "without recent.log, the last lines of the console: GRACEFUL_LOG_BUFFER is 0" in done.stdout
    )


def test_wrong_settings_do_not_keep_it(bot):
    """A bot that does not start for its settings can report that."""
    with (bot / ".env").open("a") as file:
        file.write("DRIVER=~nothing\nGRACEFUL_DEADLINE=-1\n")
    done = run(bot, "--out", "out.zip")

    assert done.returncode == 0, done.stderr
    assert "logs/bot.log" not in read(bot / "out.zip")  # the default is: no file
    assert "without NoneBot's driver: " in done.stdout
    assert "without GRACEFUL_* settings, defaults are taken: wrong settings" in done.stdout


def test_paths_can_be_given(bot):
    """What bot.py passes to nonebot.init() can be told."""
    (bot / ".env").unlink()
    data = bot / "data" / "nonebot_plugin_graceful"
    done = run(bot, "--out", "out.zip", "--folder", str(data), "--log", str(data / "bot.log"))

    assert done.returncode == 0, done.stderr
    assert {"last_shutdown.json", "logs/bot.log"} < set(read(bot / "out.zip"))


def test_unwritable_zip(capsys, monkeypatch, tmp_path):
    """One line and an exit code."""
    monkeypatch.setattr("nonebot_plugin_graceful.ops.bundle.find_out", lambda **_: Bundle())

    assert main(["bundle", "--out", str(tmp_path / "no" / "out.zip")]) == 1
    assert "cannot write " in capsys.readouterr().err


@pytest.mark.parametrize("extension", ["gz", "bz2", "xz", "lzma", "zip", "tar", "tar.gz"])
def test_compressed_logs_are_read(tmp_path, extension):
    """What rotation has packed is unpacked, to be masked like the rest."""
    text = b"old sk-a1B2c3D4e5F6g7H8i9J0\n"
    path = tmp_path / f"bot.2024-01-01_00-00-00_000000.log.{extension}"
    if extension == "zip":
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("bot.log", text)
    elif extension.startswith("tar"):
        (tmp_path / "plain").write_bytes(text)
        with tarfile.open(path, "w:gz" if extension == "tar.gz" else "w") as archive:
            archive.add(tmp_path / "plain")
    else:
        opener = {"gz": gzip.open, "bz2": bz2.open}.get(extension, lzma.open)
        with opener(path, "wb") as file:
            file.write(text)
    bundle = Bundle(config=Config(), folder=tmp_path, logs=[path])
    pack(bundle, tmp_path / "out.zip")

    files = read(tmp_path / "out.zip")
    assert [text for name, text in files.items() if name.startswith("logs/")] == ["old sk-***\n"]


def test_broken_log_is_said(tmp_path):
    """A packed log that is none does not keep the others."""
    (tmp_path / "a.gz").write_bytes(b"no gzip")
    (tmp_path / "b.zip").write_bytes(b"no zip")
    (tmp_path / "c.tar").write_bytes(b"no tar")
    (tmp_path / "d.log").write_text("fine")
    bundle = Bundle(folder=tmp_path, logs=sorted(tmp_path.iterdir()))
    pack(bundle, tmp_path / "out.zip")

    assert "logs/d.log" in read(tmp_path / "out.zip")
    assert (
        len([what for what in bundle.missing if ".gz" in what or ".zip" in what or ".tar" in what])
        == 3
    )


def pack_logs(folder: Path, *names: str) -> tuple[dict[str, str], list[str]]:
    """Pack the logs of these names, the newest first; give them, and what was left out."""
    bundle = Bundle(folder=folder, logs=[folder / name for name in names])
    pack(bundle, folder / "out.zip")
    files = read(folder / "out.zip")
    logs = {name.removeprefix("logs/"): files[name] for name in files if name.startswith("logs/")}
    return logs, [what for what in bundle.missing if "log" in what and "recent" not in what]


def test_logs_of_one_name_all_go_in(tmp_path):
    """Rotated logs keep their names apart, whatever their suffixes and folders are."""
    names = [
        "bot.log",
        "bot.txt",
        "bot.1.log",
        "bot.1.log.gz",
        "bot.1.log.log",
        "a/bot.log",
        "b/bot.log",
    ]
    for number, name in enumerate(names):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        text = f"line of {number}".encode()
        (tmp_path / name).write_bytes(gzip.compress(text) if name.endswith("gz") else text)
    logs, _ = pack_logs(tmp_path, *names)

    assert sorted(logs.values()) == [f"line of {number}" for number in range(len(names))]
    assert {"bot.log", "bot.txt", "bot.1.log", "bot.1.log.gz.txt", "bot.1.log.log"} < set(logs)


@pytest.mark.parametrize("extension", ["log", "log.gz"])
def test_the_newest_part_of_a_long_log_is_kept(tmp_path, monkeypatch, extension):
    """The end is what a bug report is about; what was cut is said, in the log too."""
    monkeypatch.setattr("nonebot_plugin_graceful.ops.bundle.LOGS_AT_MOST", 100)
    monkeypatch.setattr("nonebot_plugin_graceful.ops.tail._CHUNK", 7)
    text = "".join(f"line {number:03}\n" for number in range(50)).encode()
    name = f"bot.{extension}"
    (tmp_path / name).write_bytes(gzip.compress(text) if name.endswith("gz") else text)
    logs, missing = pack_logs(tmp_path, name)

    (log,) = logs.values()
    first, *lines = log.splitlines()
    assert first == "<351 bytes before this are left out>"
    assert lines == [f"line {number:03}" for number in range(39, 50)]
    assert missing == [f"the first 351 bytes of {name}, too much"]


def test_chinese_counts_by_its_bytes(tmp_path, monkeypatch):
    """No character is cut in two."""
    monkeypatch.setattr("nonebot_plugin_graceful.ops.bundle.LOGS_AT_MOST", 50)
    (tmp_path / "bot.log").write_text("第一行\n第二行日志\n第三行日志也不短\n", "utf-8")
    logs, _ = pack_logs(tmp_path, "bot.log")

    assert logs["bot.log"].splitlines()[1:] == ["第二行日志", "第三行日志也不短"]


def test_too_much_is_left_out(tmp_path, monkeypatch):
    """The newest logs go in, of the next as much as there is room for, and the rest is named."""
    monkeypatch.setattr("nonebot_plugin_graceful.ops.bundle.LOGS_AT_MOST", 100)
    names = [f"{number}.log" for number in range(4)]
    for name in names:
        (tmp_path / name).write_text("x" * 29 + "\n" + "y" * 29 + "\n")
    logs, missing = pack_logs(tmp_path, *names)

    assert list(logs) == ["0.log", "1.log"]
    assert logs["0.log"].startswith("x")
    assert logs["1.log"] == "<30 bytes before this are left out>\n" + "y" * 29 + "\n"
    assert missing == [
        "the first 30 bytes of 1.log, too much",
        "logs: 2 older files, too much: 2.log, 3.log",
    ]
