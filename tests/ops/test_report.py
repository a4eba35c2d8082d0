"""The picture of the last shutdown, and the command that shows it."""

import json
import os
import re
import subprocess
import sys
import webbrowser
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nonebot_plugin_graceful.__main__ import main
from nonebot_plugin_graceful.core.report import (
    Report,
    Straggler,
    current_folder,
    load_report,
)
from nonebot_plugin_graceful.core.timeline import HookSpan, Span, Timeline, WorkSpan
from nonebot_plugin_graceful.ops.timeline import CHINESE, ENGLISH, draw, picture, write

ROOT = Path(__file__).parents[2]
SVG = "{http://www.w3.org/2000/svg}"


def report_of(*works, hooks=(), reason="SIGINT", **values):
    """Make a report of a shutdown that took two seconds."""
    phases = [Span("work", 0.0, 1.0), Span("server", 1.0, 1.2), Span("hooks", 1.2, 2.0)]
    return Report(
        reason=reason,
        at="2026-01-02 03:04:05",
        phases={"work": 1.0, "server": 0.2, "hooks": 0.8},
        kinds={"image": {"cancelled": 1}},
        timeline=Timeline(phases, list(works), list(hooks)),
        **values,
    )


PICTURE = WorkSpan(
    "draw", -3.0, 0.5, kind="image", plugin="pictures", told=0.1, outcome="cancelled"
)
STUCK = WorkSpan("", -1.0, None, kind="llm", plugin="talk", outcome="abandoned", where="talk.py:7")


@pytest.fixture
def folder(tmp_path):
    """The folder of a bot that was stopped."""
    report_of(PICTURE, STUCK, hooks=[HookSpan("talk.save", 1.2, 2.0)]).save(
        tmp_path / "last_shutdown.json"
    )
    return tmp_path


def texts(svg):
    """Give what can be read in a picture."""
    return [" ".join(text.itertext()) for text in ET.fromstring(svg).iter(f"{SVG}text")]


def test_a_report_is_read_as_it_was_written(tmp_path):
    """With its timeline."""
    report = report_of(PICTURE, STUCK, hooks=[HookSpan("talk.save", 1.2, 2.0, failure="failed")])
    report.save(tmp_path / "report.json")
    assert load_report(tmp_path / "report.json") == report


def test_a_report_of_an_older_version_is_shown(tmp_path, capsys):
    """It has phases and no timeline."""
    path = tmp_path / "last_shutdown.json"
    report_of().save(path)
    values = json.loads(path.read_text("utf-8"))
    del values["timeline"]
    path.write_text(json.dumps(values), "utf-8")
    assert main(["report", "--folder", str(tmp_path)]) == 0
    said = capsys.readouterr().out
    assert "SIGINT" in said and "2.00 s" in said
    assert re.search(r"^hooks +━", said, re.MULTILINE)


def test_the_text_shows_each_piece_of_work_and_each_hook(folder, capsys):
    """With its outcome, and where stood what did not stop."""
    assert main(["report", "--folder", str(folder)]) == 0
    said = capsys.readouterr().out
    assert re.search(r"draw · pictures +cancelled 0\.50 s", said)
    assert re.search(r"talk +did not stop +talk\.py:7", said)
    assert re.search(r"talk\.save +0\.80 s", said)


@pytest.mark.parametrize("columns", [20, 80, 300])
def test_bars_are_as_wide_as_the_terminal_at_most(columns):
    """And the ticks above them."""
    lines = write(report_of(PICTURE, STUCK), columns=columns, ascii_only=True)
    bars = [line for line in lines if re.search(r"^\w+ +[-=#!]+$", line)]
    assert len(bars) == 5
    assert all(len(bar) <= max(columns, 34) for bar in bars)
    assert all(line.isascii() for line in bars)


@pytest.mark.parametrize("words", [ENGLISH, CHINESE], ids=["en", "zh"])
@pytest.mark.parametrize("width", [320, 760])
def test_the_picture_stays_within_its_width(width, words):
    """Every bar of it, whatever the width."""
    svg = ET.fromstring(draw(report_of(PICTURE, STUCK), width=width, words=words))
    assert svg.get("width") == str(width)
    for bar in svg.iter(f"{SVG}rect"):
        if bar.get("x"):
            assert (
                float(bar.get("x")) >= 0 and float(bar.get("x")) + float(bar.get("width")) <= width
            )


def test_the_picture_says_it_in_words(folder):
    """Who looks for a name finds it."""
    found = "\n".join(texts(draw(load_report(folder / "last_shutdown.json"))))
    for word in ("image", "draw · pictures", "did not stop", "talk.py:7", "talk.save", "server"):
        assert word in found


def test_what_did_not_stop_is_red_and_goes_to_the_edge():
    """A straggler cannot be overlooked."""
    svg = ET.fromstring(draw(report_of(PICTURE, STUCK)))
    red = [bar for bar in svg.iter(f"{SVG}rect") if bar.get("fill") == "#e11d48"]
    assert max(float(bar.get("x")) + float(bar.get("width")) for bar in red) == 760 - 14


@pytest.mark.parametrize(
    "name", ["<img src=x onerror=alert(1)>", "]]></svg>", "\x1b[31m\x00", "a&b"]
)
def test_a_name_is_a_text_whatever_it_contains(name):
    """The picture stays well-formed, and has no element of the name's."""
    span = WorkSpan(name, -1.0, 0.5, kind=name, plugin=name, outcome="cancelled")
    hook = HookSpan(name, 1.2, 2.0, failure=name)
    drawn = draw(report_of(span, hooks=[hook], forced=name))
    tags = {each.tag.removeprefix(SVG) for each in ET.fromstring(drawn).iter()}
    assert tags <= {"svg", "title", "style", "rect", "circle", "line", "text", "tspan"}


@given(st.text("ab图", max_size=40), st.floats(0, 300), st.booleans())
def test_a_text_is_cut_to_what_fits_and_no_further(text, room, mono):
    """Of a path its end is left, of anything else its beginning."""
    cut = picture._cut(text, room, mono=mono)
    bare = cut.strip("…")
    assert picture._wide(cut) <= room
    assert text.endswith(bare) if mono else text.startswith(bare)
    if cut != text and len(bare) < len(text):
        one_more = picture._wide(text[-len(bare) - 1 :] if mono else text[: len(bare) + 1])
        assert one_more > room - 2 * picture.CHARACTER


def test_what_a_straggler_waits_for_is_said_in_its_language():
    """Also where that is no service."""
    span = WorkSpan("", -1.0, None, outcome="abandoned", where="x.py:1", waits_for="a lock")
    assert "x.py:1, 等待 锁" in texts(draw(report_of(span), words=CHINESE))
    assert "x.py:1, waits for a lock" in texts(draw(report_of(span), words=ENGLISH))


def test_too_much_work_is_counted_only():
    """What did not stop is shown first."""
    timeline = Timeline()
    timeline.set_works([*([PICTURE] * 500), STUCK])
    assert timeline.works[0] is STUCK
    assert (len(timeline.works), timeline.more) == (200, 301)


def test_open_shows_the_picture_in_the_browser(folder, monkeypatch, capsys):
    """From a file beside the report."""
    opened = []
    monkeypatch.setattr(webbrowser, "open", lambda url: opened.append(url) or True)
    assert main(["report", "--folder", str(folder), "--open"]) == 0
    picture = folder / "last_shutdown.svg"
    assert opened == [picture.as_uri()]
    assert str(picture) in capsys.readouterr().out
    assert texts(picture.read_text("utf-8"))


def test_without_a_report_it_says_so(tmp_path, capsys):
    """And fails."""
    assert main(["report", "--folder", str(tmp_path)]) == 1
    assert "no report" in capsys.readouterr().err


class House:
    """A user with a bot in a folder, and the folder of data that all his bots share."""

    def __init__(self, folder):
        self.bot, self.other = folder / "bot", folder / "other"
        self.in_bots = self.bot / "data" / "nonebot_plugin_graceful"
        self.in_users = folder / "share" / "nonebot2" / "nonebot_plugin_graceful"
        self.bot.mkdir()

    def stop(self, where, *, by, reason, age=0):
        """Stop a bot some seconds ago that is run in a folder, and keeps its report in another."""
        report_of(folder=str(by)).save(where / "last_shutdown.json")
        text = (where / "last_shutdown.json").read_text("utf-8").replace("SIGINT", reason)
        (where / "last_shutdown.json").write_text(text, "utf-8")
        if not by:  # version 0.1
            values = json.loads(text)
            del values["folder"]
            (where / "last_shutdown.json").write_text(json.dumps(values), "utf-8")
        then = (where / "last_shutdown.json").stat().st_mtime - age
        os.utime(where / "last_shutdown.json", (then, then))

    def run(self, *arguments):
        """Run the command line in the bot's folder."""
        environment = {
            **{name: text for name, text in os.environ.items() if not name.startswith("GRACEFUL_")},
            "XDG_DATA_HOME": str(self.in_users.parents[1]),
            "PYTHONPATH": str(ROOT),
            "PYTHONIOENCODING": "utf-8",
        }
        command = [sys.executable, "-m", "nonebot_plugin_graceful", *arguments]
        done = subprocess.run(
            command,
            cwd=self.bot,
            env=environment,
            capture_output=True,
            encoding="utf-8",
            check=True,
        )
        return done.stdout


@pytest.fixture
def house(tmp_path):
    """A user's."""
    return House(tmp_path.resolve())


only_here = pytest.mark.skipif(sys.platform != "linux", reason="XDG_DATA_HOME is Linux's")


@only_here
def test_what_bot_py_sets_is_found(house):
    """``nonebot.init(localstore_use_cwd=True)``: another bot's report is not taken for its own."""
    house.stop(house.in_users, by=house.other, reason="theirs")
    house.stop(house.in_bots, by=house.bot, reason="ours", age=100)
    assert house.run("report").startswith("ours · ")
    house.in_bots.joinpath("last_shutdown.json").unlink()
    with pytest.raises(subprocess.CalledProcessError) as failed:
        house.run("report")
    assert str(house.in_bots) in failed.value.stderr


@only_here
@pytest.mark.parametrize(("age", "first"), [(100, "before"), (0, "since")])
def test_the_newer_of_a_bots_own_reports_is_shown(house, age, first):
    """It may keep its data in another place than before."""
    house.stop(house.in_users, by=house.bot, reason="since", age=age)
    house.stop(house.in_bots, by=house.bot, reason="before", age=50)
    assert house.run("report").startswith(f"{first} · ")


@only_here
def test_a_report_of_another_folder_says_so_first(house):
    """In the user's folder it is another bot's, in the bot's own it is of before it was moved."""
    house.stop(house.in_users, by=house.other, reason="theirs")
    first, _, third, *_ = house.run("report").splitlines()
    assert first.startswith(f"of a bot in {house.other}, not in {house.bot}: {house.in_users}")
    assert third.startswith("theirs · ")
    house.stop(house.in_bots, by="/app", reason="ours")
    assert house.run("report").startswith(f"of a bot in /app, not in {house.bot}: {house.in_bots}")
    assert house.run("report", "--out", "x.svg") == f"{house.bot / 'x.svg'}\n"


@only_here
def test_a_report_that_tells_no_folder_is_ones_own_only_in_ones_own_folder(house):
    """Version 0.1 wrote none."""
    house.stop(house.in_users, by="", reason="whose")
    assert house.run("report").startswith("of a bot nobody knows where")
    file = str(house.in_users / "last_shutdown.json")
    assert house.run("report", "--file", file).startswith("whose · ")
    house.stop(house.in_bots, by="", reason="ours")
    assert house.run("report").startswith("ours · ")


@only_here
def test_a_bundle_of_another_bots_says_so(house):
    """On the first line, and in the zip; of one's own it says nothing."""
    house.stop(house.in_users, by=house.other, reason="theirs")
    said = f"last_shutdown.json, and maybe recent.log, is of a bot in {house.other}"
    assert house.run("bundle").startswith(said)
    house.stop(house.in_bots, by=house.bot, reason="ours")
    assert "of a bot" not in house.run("bundle")


def test_a_folder_whose_name_is_no_utf_8_is_written_down(tmp_path, monkeypatch):
    """It does not keep the report from being written; nor does one that is gone."""
    monkeypatch.setattr(os, "getcwd", lambda: "/bot-\udce9")
    report_of(folder=current_folder()).save(tmp_path / "report.json")
    report = load_report(tmp_path / "report.json")
    assert report is not None and report.elsewhere(current_folder()) == ""

    def gone():
        raise FileNotFoundError

    monkeypatch.setattr(os, "getcwd", gone)
    assert current_folder() == ""


def test_half_a_surrogate_pair_is_written_down(tmp_path):
    """Chats send them, and names are made of what chats send."""
    report = report_of(WorkSpan("half of \ud83d", -1.0, 0.5, kind="\ud83d"), reason="\udc00")
    report.save(tmp_path / "report.json")
    assert load_report(tmp_path / "report.json") == report
    assert ET.fromstring(draw(report)) is not None


def test_a_straggler_of_the_report_needs_no_timeline(tmp_path):
    """As in a report of version 0.2."""
    straggler = Straggler("talk", "llm", "", "1", "2", 3.0, "talk.py:7", 5, "re-raise it")
    report = report_of(stragglers=[straggler])
    report.save(tmp_path / "report.json")
    assert load_report(tmp_path / "report.json") == report
