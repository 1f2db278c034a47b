"""Kill (-9) the migration of an outbox file before each of its statements, and check the file after each kill.

    python kill_during_migration.py VERSION_1_SQL

Prints the number of kills. Each migration runs in a forked process on a new copy of the file.
"""

import os
import signal
import sqlite3
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from xpander_sdk.outbox.storage.connection import Database
from xpander_sdk.outbox.storage.stats import Counters

connect = sqlite3.connect
COUNTS = ("accepted", "delivered", "merged", "pending", "dead")


def migrate_and_die(path: str, killed_statement: int) -> None:
    """Migrate in this process, and kill it before the statement with this number."""
    executed = 0

    def count(statement: str) -> None:
        nonlocal executed
        executed += 1
        if executed == killed_statement:
            os.kill(os.getpid(), signal.SIGKILL)

    def connect_with_trace(*arguments: Any, **keywords: Any) -> sqlite3.Connection:
        connection = connect(*arguments, **keywords)
        connection.set_trace_callback(count)
        return connection

    sqlite3.connect = connect_with_trace  # type: ignore[assignment]
    Counters(Database(path, "crash", 1_000)).stats()


def check(path: str) -> int:
    """Return the version that the kill left; assert that the file is complete and can be migrated."""
    connection = connect(path)
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    tables = {name for (name,) in connection.execute("SELECT name FROM sqlite_schema WHERE type = 'table'")}
    assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    connection.close()
    expected = {"books", "turns", "targets"} if version == 1 else {"counters", "leases", "destinations"}
    assert version in (1, 2)
    assert expected <= tables
    stats = Counters(Database(path, "crash", 1_000)).stats()
    assert [getattr(stats, name) for name in COUNTS] == [12, 2, 1, 7, 1]
    assert stats.dropped == {"discarded": 1, "full": 1}
    return int(version)


def main(script: str) -> None:
    versions = []
    for killed_statement in range(1, 1_000):
        with TemporaryDirectory() as folder:
            path = f"{folder}/outbox.db"
            connection = connect(path)
            connection.executescript(script)
            connection.close()
            pid = os.fork()
            if not pid:
                try:
                    migrate_and_die(path, killed_statement)
                finally:
                    os._exit(0)
            was_killed = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == -signal.SIGKILL
            versions.append(check(path))
            if not was_killed:  # The migration has fewer statements.
                break
    assert versions == sorted(versions), "a later kill left an earlier version"
    assert {versions[0], versions[-1]} == {1, 2}
    print(len(versions) - 1)


if __name__ == "__main__":
    main(Path(sys.argv[1]).read_text("utf-8"))
