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
from nonebot_plugin_graceful.bundle import Bundle, pack

from nonebot_plugin_graceful.__main__ import main
from nonebot_plugin_graceful.config import Config

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
    assert set(files) == {"versions.txt", "settings.json", "last_shutdown.json", "logs/bot.log"}
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
    assert set(read(out)) == {"versions.txt", "settings.json"}
    assert "without logs: GRACEFUL_LOG_FILE is not set" in done.stdout
    assert "last_shutdown.json: No such file" in done.stdout


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
    monkeypatch.setattr("nonebot_plugin_graceful.__main__.find_out", lambda **_: Bundle())

    assert main(["bundle", "--out", str(tmp_path / "no" / "out.zip")]) == 1
    assert "cannot write " in capsys.readouterr().err


def test_command_is_required(capsys):
    """Without a command there is help."""
    with pytest.raises(SystemExit):
        main([])
    assert "command" in capsys.readouterr().err


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


def test_logs_of_one_name_all_go_in(tmp_path):
    """Rotated logs keep their names apart."""
    names = ["bot.log", "bot.1.log", "bot.1.log.gz"]
    for name in names:
        (tmp_path / name).write_bytes(gzip.compress(b"x") if name.endswith("gz") else b"x")
    bundle = Bundle(folder=tmp_path, logs=[tmp_path / name for name in names])
    packed = pack(bundle, tmp_path / "out.zip")

    assert len({name for name, _ in packed if name.startswith("logs/")}) == 3


def test_too_much_is_left_out(tmp_path, monkeypatch):
    """The newest logs go in, the rest is said."""
    monkeypatch.setattr("nonebot_plugin_graceful.bundle.LOGS_AT_MOST", 100)
    for number in range(4):
        (tmp_path / f"{number}.log").write_text("x" * 60)
    bundle = Bundle(folder=tmp_path, logs=sorted(tmp_path.glob("*.log")))
    packed = pack(bundle, tmp_path / "out.zip")

    assert [name for name, _ in packed if name.startswith("logs/")] == ["logs/0.log", "logs/1.log"]
    assert any("2 older" in what for what in bundle.missing)
