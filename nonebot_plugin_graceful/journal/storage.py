"""The journal's file: SQLite in WAL mode. A commit survives the end of the process, however it ends.

Every statement takes some 20 µs, so they are run where they are needed, in the event loop. What
would take longer, a picture, is a file of its own, and written in a thread.
"""

import os
import sqlite3
import time
import uuid
from collections import deque
from collections.abc import Callable, Iterable
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

from loguru import logger

from .rows import Reply, Row

__all__ = ["DONE_FOR", "FILE", "Storage", "numbers"]

FILE = "journal.sqlite3"
"""In localstore's data folder."""
VERSION = 2
TABLES = """
CREATE TABLE IF NOT EXISTS requests (
    id INTEGER PRIMARY KEY AUTOINCREMENT, adapter TEXT NOT NULL, bot TEXT NOT NULL,
    key TEXT NOT NULL, event TEXT NOT NULL, plugin TEXT NOT NULL, matcher TEXT NOT NULL,
    kind TEXT NOT NULL, user TEXT NOT NULL, chat TEXT NOT NULL, asked REAL NOT NULL,
    attempts INTEGER NOT NULL, unfit TEXT NOT NULL, owner TEXT NOT NULL
);
CREATE TABLE IF NOT EXISTS replies (
    request INTEGER NOT NULL REFERENCES requests ON DELETE CASCADE,
    number INTEGER NOT NULL, place TEXT NOT NULL, said TEXT NOT NULL, result TEXT,
    PRIMARY KEY (request, number)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS steps (
    request INTEGER NOT NULL REFERENCES requests ON DELETE CASCADE,
    step TEXT NOT NULL, number INTEGER NOT NULL, result BLOB,
    PRIMARY KEY (request, step, number)
);
CREATE TABLE IF NOT EXISTS done (key TEXT PRIMARY KEY, at REAL NOT NULL) WITHOUT ROWID;
CREATE TRIGGER IF NOT EXISTS finished AFTER DELETE ON requests WHEN old.key != '' BEGIN
    INSERT OR REPLACE INTO done VALUES (old.key, (julianday('now') - 2440587.5) * 86400);
END;
CREATE TABLE IF NOT EXISTS perils (
    life TEXT NOT NULL, bot TEXT NOT NULL, PRIMARY KEY (life, bot)
) WITHOUT ROWID;
"""
COLUMNS = ", ".join(Row.__slots__)
INSERT = (
    "INSERT INTO requests (adapter, bot, key, event, plugin, matcher, kind, user, chat, asked,"
    " attempts, unfit, owner) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, 0, ?, ?)"
)
ADD_REPLY = (
    "INSERT INTO replies SELECT ?, coalesce(max(number) + 1, 0), ?, ?, ? FROM replies"
    " WHERE request = ?"
)
ADD_STEP = "INSERT OR REPLACE INTO steps VALUES (?, ?, ?, ?)"

DONE_FOR = 8 * 3600.0
"""Seconds for which platforms push again what they believe unanswered (Feishu: six hours)."""
FORGOTTEN_AFTER = 24 * 3600.0
"""Seconds after which a request goes whose bot has never connected again: it is people's words."""
BUSY = 0.05
"""Seconds that the event loop may wait for another process's statement."""
BINARY = getattr(os, "O_BINARY", 0)  # on Windows


class Storage:
    """The journal on disk. No method raises: what cannot be kept is not kept, and that is said once.

    Args:
        file: Where. It is made when something is first kept.

    """

    def __init__(self, file: Path) -> None:
        self.file = file
        self._with_files: set[int] = set()
        """Requests that have such, as far as they have been asked for; the others' go later."""
        self._pictures = file.with_name("journal-results")
        """Large results of steps: in the file they would hold up the event loop when they go."""
        self._connection: sqlite3.Connection | None = None
        self._owed: deque[tuple[str, tuple[Any, ...]]] = deque(maxlen=10_000)
        """What could not be written, and matters: a finished request is not to be asked again."""
        self._failing = False

    # -- the file

    def open(self) -> bool:
        """Have the file ready. False if it cannot be used."""
        return self._run(_nothing)

    def close(self) -> None:
        """Write what is owed, and leave the file."""
        self._pay()
        if self._connection is not None:
            with suppress(sqlite3.Error):
                self._connection.close()
            self._connection = None

    def _connect(self) -> sqlite3.Connection:
        try:
            return self._connect_once()
        except sqlite3.OperationalError:
            raise
        except sqlite3.DatabaseError as error:
            self._put_aside(error)
            return self._connect_once()

    def _connect_once(self) -> sqlite3.Connection:
        self.file.parent.mkdir(parents=True, exist_ok=True)
        # SQLite gives the two files beside it the mode of this one.
        os.close(os.open(self.file, os.O_CREAT | os.O_RDWR, 0o600))
        # While it cannot be used, each message asks for it: only the first one waits.
        connection = _connect(self.file, 0.0 if self._failing else BUSY)
        try:
            version = connection.execute("PRAGMA user_version").fetchone()[0]
            if version not in (0, VERSION):
                raise sqlite3.DatabaseError(f"it is of version {version}, not {VERSION}")
            if connection.execute("PRAGMA quick_check(1)").fetchone()[0] != "ok":
                raise sqlite3.DatabaseError("it is malformed")
            _to_wal(connection)
            if version != VERSION:
                connection.executescript(f"BEGIN; {TABLES} PRAGMA user_version={VERSION}; COMMIT;")
            self._tidy_up(connection)
        except BaseException:
            connection.close()
            raise
        return connection

    def _put_aside(self, error: Exception) -> None:
        aside = self.file.with_name(f"{self.file.name}.damaged-{time.strftime('%Y%m%d-%H%M%S')}")
        self.file.replace(aside)
        for beside in ("-wal", "-shm"):
            with suppress(OSError):
                self.file.with_name(self.file.name + beside).unlink()
        logger.warning(
            f"The journal cannot be read ({error}), so its requests are not resumed: {aside.name}"
        )

    # -- running statements

    def _run(self, statements: Callable[[sqlite3.Connection], object]) -> bool:
        """Run some statements as one; False if that was not possible."""
        try:
            connection = self._connection
            if connection is None:
                connection = self._connection = self._connect()
            statements(connection)
        except sqlite3.IntegrityError:  # it is about a request that has gone meanwhile
            return True
        except (sqlite3.Error, OSError) as error:
            if not self._failing:
                logger.warning(
                    f"The journal cannot be used, so requests are not resumed for now: {error}"
                )
            self._fail(True)
            return False
        if self._failing:
            logger.info("The journal can be used again")
            self._fail(False)
        return True

    def _fail(self, failing: bool) -> None:
        """Wait for nobody while it cannot be used: the event loop has waited once."""
        self._failing = failing
        if self._connection is not None:
            timeout = 0 if failing else int(BUSY * 1000)
            self._connection.execute(f"PRAGMA busy_timeout={timeout}")

    def _write(self, sql: str, values: tuple[Any, ...]) -> bool:
        return self._run(lambda connection: connection.execute(sql, values))

    def _owe(self, sql: str, values: tuple[Any, ...]) -> None:
        """Write something that is to be written later if it cannot be now."""
        if not self._pay() or not self._write(sql, values):
            self._owed.append((sql, values))

    def _pay(self) -> bool:
        """Write what is owed, in its order."""
        while self._owed:
            if not self._write(*self._owed[0]):
                return False
            self._owed.popleft()
        return True

    def _read(self, sql: str, values: tuple[Any, ...] = ()) -> list[Any]:
        found: list[Any] = []
        self._run(lambda connection: found.extend(connection.execute(sql, values).fetchall()))
        return found

    # -- requests

    def add(self, row: Row) -> int | None:
        """Keep a request; its ``id`` and ``attempts`` do not matter.

        Returns:
            Its id. None: it could not be kept.

        """
        self._pay()
        new: list[int | None] = []
        values = (row.adapter, row.bot, row.key, row.event, row.plugin, row.matcher, row.kind)
        values += (row.user, row.chat, row.asked, row.unfit, row.owner)
        self._run(lambda connection: new.append(connection.execute(INSERT, values).lastrowid))
        return new[0] if new else None

    def finish(self, request: int) -> None:
        """Take a request out; a second delivery of its event is known for some hours."""
        self._owe("DELETE FROM requests WHERE id = ?", (request,))
        if request in self._with_files:
            self._with_files.discard(request)
            self._remove_files(str(request))

    def claim(self, row: Row, owner: str) -> bool:
        """Take a request over and charge it an attempt; False if somebody else has."""
        claimed: list[int] = []
        self._run(
            lambda connection: claimed.append(
                connection.execute(
                    "UPDATE requests SET owner = ?, attempts = attempts + 1"
                    " WHERE id = ? AND owner = ?",
                    (owner, row.id, row.owner),
                ).rowcount
            )
        )
        return claimed == [1]

    def give_back(self, request: int) -> None:
        """Take back the attempt that a request was charged."""
        sql = "UPDATE requests SET attempts = max(attempts - 1, 0) WHERE id = ?"
        self._owe(sql, (request,))

    def rows(self, adapter: str | None = None, bot: str | None = None) -> list[Row]:
        """Give the requests, of one bot or of all, the oldest first."""
        where, values = "", ()
        if adapter is not None:
            where, values = " WHERE adapter = ? AND bot = ?", (adapter, bot)
        sql = f"SELECT {COLUMNS} FROM requests{where} ORDER BY asked, id"  # noqa: S608 - our own words
        found = self._read(sql, values)
        return [Row(*each) for each in found]

    def count(self) -> int:
        """Tell how many requests it holds."""
        counted = self._read("SELECT count(*) FROM requests") if self.file.exists() else []
        return counted[0][0] if counted else 0

    def keys(self) -> dict[str, float] | None:
        """Give what was done or is kept, and when. None: it cannot be read."""
        sql = "SELECT key, at FROM done UNION ALL SELECT key, asked FROM requests WHERE key != ''"
        found: list[Any] = []
        read = self._run(lambda connection: found.extend(connection.execute(sql).fetchall()))
        return dict(found) if read else None

    # -- replies

    def add_reply(self, request: int, reply: Reply) -> None:
        """Keep that a request has sent a message."""
        values = (request, reply.place, reply.said, reply.result, request)
        self._write(ADD_REPLY, values)

    def replies(self, request: int) -> list[Reply]:
        """Give the messages that a request has sent."""
        sql = "SELECT place, said, result FROM replies WHERE request = ? ORDER BY number"
        return [Reply(*each) for each in self._read(sql, (request,))]

    # -- steps

    def add_step(self, request: int, step: str, number: int, result: bytes) -> None:
        """Keep the result of a step's n-th call, from 0."""
        self._write(ADD_STEP, (request, step, number, result))

    def drop_steps(self, request: int, step: str) -> None:
        """Forget the results of a step."""
        self._write("DELETE FROM steps WHERE request = ? AND step = ?", (request, step))

    def write_file(self, request: int, result: bytes) -> bytes:
        """Write a large result, in a thread.

        Returns:
            What to keep in its place.

        Raises:
            OSError: It cannot be written.

        """
        self._with_files.add(request)
        self._pictures.mkdir(mode=0o700, exist_ok=True)
        name = f"{request}-{uuid.uuid4().hex[:8]}"
        descriptor = os.open(self._pictures / name, os.O_CREAT | os.O_WRONLY | BINARY, 0o600)
        with open(descriptor, "wb") as file:  # noqa: PTH123 - for its mode
            file.write(result)
        return name.encode()

    def read_file(self, name: bytes) -> bytes | None:
        """Read a large result, in a thread; None if it has gone."""
        self._with_files.add(int(name.partition(b"-")[0]))
        try:
            return (self._pictures / name.decode()).read_bytes()
        except OSError:
            return None

    def _remove_files(self, requests: str) -> None:
        for file in self._pictures.glob(f"{requests}-*"):
            with suppress(OSError):
                file.unlink()

    def _tidy_up(self, connection: sqlite3.Connection) -> None:
        """Remove what is too old, and the large results of requests that have gone."""
        now = time.time()
        connection.execute("DELETE FROM requests WHERE asked < ?", (now - FORGOTTEN_AFTER,))
        connection.execute("DELETE FROM done WHERE at < ?", (now - DONE_FOR,))
        there = {str(id_) for (id_,) in connection.execute("SELECT id FROM requests")}
        gone = {file.name.partition("-")[0] for file in self._pictures.glob("*-*")} - there
        for request in gone:
            self._remove_files(request)

    def step(self, request: int, step: str, number: int) -> bytes | None:
        """Give the n-th (from 0) kept result of a step."""
        sql = "SELECT result FROM steps WHERE request = ? AND step = ? AND number = ?"
        found = self._read(sql, (request, step, number))
        return found[0][0] if found else None

    # -- perils: bots that died soon after a replay

    def risk(self, life: str, bot: str) -> None:
        """Note that requests of a bot are being replayed."""
        self._write("INSERT OR IGNORE INTO perils VALUES (?, ?)", (life, bot))

    def survived(self, bots: Iterable[str]) -> None:
        """Note that they did no harm."""
        for bot in bots:
            self._owe("DELETE FROM perils WHERE bot = ?", (bot,))

    def at_risk(self, bot: str) -> list[str]:
        """Give the lives that are not known to have survived a replay of a bot's requests."""
        return [life for (life,) in self._read("SELECT life FROM perils WHERE bot = ?", (bot,))]


def _nothing(_: sqlite3.Connection) -> None:
    pass


def _connect(file: Path, timeout: float) -> sqlite3.Connection:
    # The final sweep and a shutdown without signals may close it in another thread.
    connection = sqlite3.connect(
        file, timeout=timeout, isolation_level=None, check_same_thread=False
    )
    connection.execute("PRAGMA synchronous=NORMAL")
    connection.execute("PRAGMA foreign_keys=ON")
    return connection


def _to_wal(connection: sqlite3.Connection) -> None:
    """Switch to WAL: the first one to do so needs the file for itself, and SQLite does not wait."""
    for tries in range(20):
        try:
            connection.execute("PRAGMA journal_mode=WAL")
        except sqlite3.OperationalError:
            if tries == 19:
                raise
            time.sleep(0.01)
        else:
            return


def numbers(file: Path) -> dict[str, Any]:
    """Count what a journal holds, for a bug report: no words of anybody's."""
    if not file.exists():
        return {}
    with closing(sqlite3.connect(f"{file.absolute().as_uri()}?mode=ro", uri=True)) as connection:

        def read(sql: str) -> list[Any]:
            return connection.execute(sql).fetchall()

        return {
            "bytes": file.stat().st_size,
            "requests": [
                {"kind": kind or "any", "unfit": unfit, "attempts": attempts, "count": count}
                for kind, unfit, attempts, count in read(
                    "SELECT kind, unfit, attempts, count(*) FROM requests GROUP BY 1, 2, 3"
                )
            ],
            "replies": read("SELECT count(*) FROM replies")[0][0],
            "steps": read("SELECT count(*) FROM steps")[0][0],
            "done": read("SELECT count(*) FROM done")[0][0],
        }
