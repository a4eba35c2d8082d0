"""The file: private, shared by bots, and never in the way of an answer."""

import asyncio
import sqlite3
import stat
import sys
from contextlib import closing

import pytest

from nonebot_plugin_graceful.journal.lives import Lives
from nonebot_plugin_graceful.journal.rows import Reply, Row
from nonebot_plugin_graceful.journal.storage import Storage, numbers

from .conftest import message
from .test_requests import Painter, until


def a_row(**values):
    defaults = dict.fromkeys(("adapter", "bot", "key", "event", "plugin", "matcher", "kind"), "x")
    defaults |= dict.fromkeys(("user", "chat", "owner"), "x")
    return Row(**{**defaults, "id": 0, "asked": 2e9, "attempts": 0, "unfit": "", **values})


@pytest.fixture
def storage(tmp_path):
    storage = Storage(tmp_path / "journal.sqlite3")
    yield storage
    storage.close()


@pytest.fixture
def painter(house, matcher):
    return Painter(matcher)


@pytest.mark.skipif(sys.platform == "win32", reason="there, a folder of a user's is his own")
def test_only_its_owner_reads_it(storage, tmp_path):
    """People's words are in there: also in the files beside it."""
    storage.add(a_row())
    files = list(tmp_path.iterdir())
    assert len(files) == 3
    assert {stat.S_IMODE(file.stat().st_mode) for file in files} == {0o600}


def test_a_damaged_file_is_put_aside(storage, tmp_path, log):
    """With a warning; the journal begins anew."""
    storage.file.write_bytes(b"SQLite format 3\0" + b"nonsense" * 500)
    assert storage.add(a_row()) == 1
    assert len(storage.rows()) == 1
    (aside,) = tmp_path.glob("journal.sqlite3.damaged-*")
    assert b"nonsense" in aside.read_bytes()
    assert [line for line in log if line.startswith("WARNING")]


def test_a_file_that_is_damaged_inside_is_put_aside(storage, tmp_path):
    """Its head is whole."""
    for n in range(200):
        storage.add(a_row(event="x" * 1000, key=str(n)))
    storage.close()
    data = bytearray(storage.file.read_bytes())
    data[8192:-8192] = b"\xff" * (len(data) - 16384)
    storage.file.write_bytes(data)
    assert storage.rows() == []
    assert list(tmp_path.glob("*.damaged-*"))


def test_a_file_of_another_version_is_put_aside(storage, tmp_path):
    """A newer one had been there."""
    with closing(sqlite3.connect(storage.file)) as connection:
        connection.execute("PRAGMA user_version=99")
    assert storage.add(a_row()) == 1
    assert list(tmp_path.glob("*.damaged-*"))


def test_old_words_go(storage):
    """Those of a bot that has never connected again."""
    storage.add(a_row(asked=1.0))
    storage.close()
    assert storage.rows() == []


def test_it_is_counted_without_a_word(storage):
    """For a bug report."""
    storage.add(a_row(event="secret", user="secret", kind="image"))
    storage.add_step(1, "draw", 0, b"secret")
    storage.add_reply(1, Reply("secret", "secret", "secret"))
    counted = numbers(storage.file)
    assert counted["requests"] == [{"kind": "image", "unfit": "", "attempts": 0, "count": 1}]
    assert (counted["steps"], counted["replies"], counted["done"]) == (1, 1, 0)
    assert "secret" not in str(counted)


def test_no_file_no_numbers(tmp_path):
    """Nor is one made."""
    assert numbers(tmp_path / "journal.sqlite3") == {}
    assert list(tmp_path.iterdir()) == []


@pytest.fixture
def locked(house):
    """Hold the file for oneself, as a backup program may."""

    def lock():
        connection = sqlite3.connect(house.folder / "journal.sqlite3", isolation_level=None)
        connection.execute("BEGIN IMMEDIATE")
        return connection

    return lock


async def test_a_locked_file_costs_no_answer(house, painter, within, locked, log):
    """It costs the request its resumption, and one line."""
    life = house.life()
    life.storage.open()
    lock = locked()
    painter.picture.set()
    for n in range(3):
        await within(life.say(f"/画图 {n}"))
    assert house.said().count("正在画…") == 3
    assert sum("The journal cannot be used" in line for line in log) == 1
    lock.execute("ROLLBACK")
    lock.close()
    await within(life.say("/画图 4"))
    assert any("can be used again" in line for line in log)


async def test_what_was_answered_while_it_was_locked_is_not_asked_again(
    house, painter, within, locked
):
    """Its end is written as soon as it can be."""
    life = house.life()
    life.say("/画图 猫")
    await painter.begun(within)
    lock = locked()
    painter.picture.set()
    await life.ended()
    lock.execute("ROLLBACK")
    lock.close()
    assert len(life.rows) == 1
    await life.stop()
    second = house.life()
    await second.connect()
    assert painter.asked == ["猫"]
    assert second.rows == []


async def test_what_was_answered_before_is_known_once_it_can_be_read(
    house, painter, within, locked
):
    """It was locked when the first message came."""
    event = message("/画图 猫")
    painter.picture.set()
    first = house.life()
    await within(first.hear(event.model_copy(deep=True)))
    await first.stop()
    second = house.life()
    lock = locked()
    await within(second.say("/画图 狗"))
    lock.execute("ROLLBACK")
    lock.close()
    await within(second.hear(event.model_copy(deep=True)))
    assert painter.asked == ["猫", "狗"]


async def test_a_folder_that_cannot_be_written_costs_no_answer(house, painter, within, log):
    """A full disk neither."""
    blocked = house.folder / "file"
    blocked.touch()
    house.folder = blocked / "below"
    life = house.life()
    painter.picture.set()
    await within(life.say("/画图 猫"))
    assert house.said() == ["正在画…", "画好了：猫"]
    assert sum("The journal cannot be used" in line for line in log) == 1


def test_a_life_is_over_when_its_process_is(tmp_path):
    """Its lock goes with it, and its file with the next who looks."""
    mine, other = Lives(tmp_path), Lives(tmp_path)
    mine.begin()
    other.begin()
    assert not mine.is_over(mine.own)
    assert not mine.is_over(other.own)
    other._lock.close()  # as the system does it
    assert mine.is_over(other.own)
    assert mine.is_over("never seen")
    mine.end()
    assert list(tmp_path.iterdir()) == []


async def test_two_bots_in_one_folder_do_not_take_each_others(house, painter, within):
    """Neither another account's, nor those of a process that lives."""
    first = house.life()
    first.say("/画图 猫")
    await painter.begun(within)
    second = house.life()  # beside it, with the same account
    await second.connect()
    assert painter.asked == ["猫"]
    await second.stop()
    await first.die()
    third = house.life()
    third.say  # noqa: B018
    house.bot.self_id, mine = "20000", house.bot.self_id
    await third.connect()
    assert painter.asked == ["猫"]
    house.bot.self_id = mine
    await third.connect()
    await painter.begun(within)
    assert painter.asked == ["猫", "猫"]
    await within(until(lambda: len(third.rows) == 1))
    await asyncio.sleep(0)
