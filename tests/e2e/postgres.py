"""A PostgreSQL of a test's own, in a temporary folder."""

import os
import shutil
import subprocess
import tempfile
from pathlib import Path

from examples.sandbox import free_port


def find() -> Path | None:
    """Find the folder of PostgreSQL's programs; Debian puts them where no path leads."""
    found = shutil.which("initdb")
    folders = [Path(found).resolve().parent] if found else []
    folders += sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)
    return next((each for each in folders if (each / "pg_ctl").exists()), None)


class Postgres:
    """A cluster that listens on a port of 127.0.0.1 until it is stopped."""

    def __init__(self, programs: Path) -> None:
        self._programs = programs
        self._folder = Path(tempfile.mkdtemp(prefix="graceful-postgres-"))
        self._data = self._folder / "data"
        self._user: dict[str, object] = {}
        if os.geteuid() == 0:  # as whom it refuses to run
            self._user = {"user": "nobody", "group": "nogroup", "extra_groups": []}
            shutil.chown(self._folder, "nobody")
        self.port = free_port()
        self.url = f"postgresql://graceful@127.0.0.1:{self.port}/postgres"
        self._run(
            "initdb", "--pgdata", self._data, "--username", "graceful", "--auth", "trust",
            "--no-sync", "--encoding", "UTF8", "--no-locale",
        )  # fmt: skip
        self.start()

    def start(self) -> None:
        """Begin to listen."""
        options = f"-c listen_addresses=127.0.0.1 -p {self.port} -k {self._folder} -F"
        self._run(
            "pg_ctl", "start", "--wait", "--pgdata", self._data, "--options", options,
            "--log", self._folder / "log",
        )  # fmt: skip

    def stop(self) -> None:
        """Listen no more, whoever is connected."""
        self._run("pg_ctl", "stop", "--wait", "--mode", "immediate", "--pgdata", self._data)

    def remove(self) -> None:
        """Leave nothing."""
        self.stop()
        shutil.rmtree(self._folder, ignore_errors=True)

    def _run(self, program: str, *arguments: object) -> None:
        done = subprocess.run(
            [self._programs / program, *map(str, arguments)],
            cwd=self._folder,
            stdin=subprocess.DEVNULL,
            # a file: the server inherits it, and a pipe would stay open as long as it runs
            stdout=(output := (self._folder / "output").open("a")),
            stderr=output,
            timeout=60,
            check=False,
            **self._user,
        )
        output.close()
        assert done.returncode == 0, (self._folder / "output").read_text()
