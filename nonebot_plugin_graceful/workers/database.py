"""The database of the workers, and what everybody has to call alike in it."""

import atexit
import gc
import logging
import re
import sqlite3
import sys
import time
from collections.abc import Iterable
from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING, Any

from nonebot.log import LoguruHandler

from nonebot_plugin_graceful.core.kinds import Kind

if TYPE_CHECKING:
    from dbos import DBOSClient

__all__ = ["FILE", "NAME", "POLL", "VERSION", "WORK", "connect", "declare"]

NAME, VERSION, WORK = "graceful", "1", "graceful.work"
"""The application, its version (by default DBOS takes up no work of another version, and derives it
from the source), and its one workflow: whoever does not know a function says so in its result."""
POLL = 0.2
"""Seconds between two looks for work, and for its result."""
OURS = re.compile(r"cancelled|Exception encountered in asynchronous workflow")
"""Lines of DBOS about what is done on purpose, and what the engine logs itself."""
FILE = "workers.sqlite3"
UNCLAIMED_FOR = timedelta(hours=24)
"""After which a result goes that nobody has come for, as its request has gone from the journal."""


def connect(url: str) -> "DBOSClient":
    """Have the database ready. Blocks."""
    from dbos import DBOS, DBOSClient

    _prepare()
    DBOS.migrate(url)
    client = DBOSClient(
        system_database_url=url, application_name=NAME, retry_connection_errors=False
    )
    old = datetime.now(timezone.utc) - UNCLAIMED_FOR
    unclaimed = client.list_workflows(
        completed_before=old.isoformat(), load_input=False, load_output=False
    )
    client.delete_workflows([each.workflow_id for each in unclaimed])
    return client


def declare(client: "DBOSClient", kinds: Iterable[Kind], *, ours: bool) -> None:
    """See to it that some kinds have a queue. Blocks.

    Args:
        client: The database's.
        kinds: Which.
        ours: Whether our limits are to hold, also where a queue has got one already.

    """
    for kind in kinds:
        client.register_queue(
            kind.name,
            global_concurrency=kind.limit,
            polling_interval_sec=POLL,
            on_conflict="always_update" if ours else "never_update",
        )


def _prepare() -> None:
    """Put DBOS's warnings where all other lines are, but for ``OURS``; and get around its quirks.

    Once in a process.
    """
    log = logging.getLogger("dbos")
    if not log.handlers:
        log.addHandler(LoguruHandler())
        log.propagate = False
        log.setLevel(logging.WARNING)
        # Taking so many modules apart would cost the exit a fifth of a second.
        atexit.register(gc.freeze)
        if sys.version_info >= (3, 12) and sqlite3.sqlite_version_info < (3, 42):
            _give_sqlite_the_time()
        log.addFilter(lambda record: not OURS.search(record.getMessage()))


def _give_sqlite_the_time() -> None:
    """Have our file, and no other, know ``unixepoch('subsec')``, which only SQLite 3.42 does.

    DBOS (3.4) takes it from Python 3.12 on, whatever SQLite that was built with; Debian 12's is
    3.40, and gives NULL where a time has to be.
    """
    from sqlalchemy import event
    from sqlalchemy.pool import Pool

    def now(_: str) -> float:
        return time.time()

    def connected(connection: Any, _: Any) -> None:
        if not isinstance(connection, sqlite3.Connection):
            return
        if connection.execute("PRAGMA database_list").fetchone()[2].endswith(FILE):
            connection.create_function("unixepoch", 1, now)

    event.listen(Pool, "connect", connected)
