"""Who is still there: what a worker was doing that is not, others may do."""

import hashlib
import os
import socket
import uuid
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    import psycopg

__all__ = ["PostgresPresence", "Presence"]

KEEPALIVE = "-c tcp_keepalives_idle=10 -c tcp_keepalives_interval=5 -c tcp_keepalives_count=3"
"""So that PostgreSQL notices within half a minute that a machine has lost its power."""


class Presence(Protocol):
    """A process among those that share a database. Blocks; in one thread."""

    own: str
    """Its name."""

    def begin(self) -> None:
        """Be seen to be there. More than once does no harm."""

    def end(self) -> None:
        """Be seen to have ended."""

    def is_over(self, life: str) -> bool:
        """Whether a process has ended."""
        ...


class PostgresPresence:
    """Presence by an advisory lock, which PostgreSQL takes away from whoever's connection ends.

    Args:
        url: The database.

    """

    def __init__(self, url: str) -> None:
        self.own: str = f"{socket.gethostname()}-{os.getpid()}-{uuid.uuid4().hex[:8]}"
        self._url = url
        self._connection: psycopg.Connection[Any] | None = None

    def begin(self) -> None:
        """Be seen to be there, again if the connection was lost.

        Raises:
            psycopg.Error: The database cannot be reached.

        """
        import psycopg

        if self._connection is None or self._connection.closed:
            self._connection = psycopg.connect(self._url, autocommit=True, options=KEEPALIVE)
            self._ask("pg_advisory_lock", self.own)

    def end(self) -> None:
        """Be seen to have ended."""
        if self._connection is not None:
            self._connection.close()

    def is_over(self, life: str) -> bool:
        """Whether nobody holds a process's lock any more.

        Raises:
            psycopg.Error: The database cannot be reached.

        """
        if life == self.own or not self._ask("pg_try_advisory_lock", life):
            return False
        self._ask("pg_advisory_unlock", life)
        return True

    def _ask(self, function: str, life: str) -> Any:
        assert self._connection is not None
        key = int.from_bytes(hashlib.sha256(life.encode()).digest()[:8], "big", signed=True)
        row = self._connection.execute(f"SELECT {function}(%s)".encode(), (key,)).fetchone()
        return row[0] if row else None
