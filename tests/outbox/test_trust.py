"""Outbox files that somebody else has made or changed: they are refused, and the error states why and what to do."""

import os
import sqlite3
import stat
from pathlib import Path

import pytest

from outbox.helpers import make_report, read_files, store_at
from xpander_sdk import OutboxError
from xpander_sdk.outbox.storage import peek
from xpander_sdk.outbox.storage.queue_store import QueueStore
from xpander_sdk.outbox.storage.stats import Counters

VERSION_1 = Path(__file__).parent / "data" / "version_1.sql"
TRIGGER = "CREATE TRIGGER spy AFTER INSERT ON {} BEGIN DELETE FROM {}; END"
needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")


def make_file(path: Path) -> QueueStore:
    """Create an outbox with one report, whose `-wal` and `-shm` exist, and return its open store."""
    store = store_at(path)
    store.put(lambda salt: ("http://backend.test", "", "none"), make_report(), max_reports=9, max_bytes=1 << 20)
    return store


def pending_count(path: Path) -> int:
    """Return the number of pending reports of a file, as a new outbox reads it."""
    database = store_at(path).database
    try:
        return Counters(database).stats().pending
    finally:
        database.close()


def execute(path: Path, *statements: str) -> None:
    connection = sqlite3.connect(path)
    for statement in statements:
        connection.execute(statement)
    connection.commit()
    connection.close()


def refusal(path: Path) -> str:
    """Return the error of the outbox; assert that it has not changed the database."""
    before = path.read_bytes() if path.is_file() else None
    with pytest.raises(OutboxError) as error:
        pending_count(path)
    assert (path.read_bytes() if path.is_file() else None) == before
    return str(error.value)


@needs_root
@pytest.mark.parametrize("suffix", ["", "-wal", "-shm", ".lock"])
def test_file_of_another_user_is_refused(suffix, path: Path):
    store = make_file(path)
    os.chown(f"{path}{suffix}", 65_534, 65_534)
    text = refusal(path)
    assert f"{path}{suffix} belongs to the user with id 65534, and this process runs as 0" in text
    assert "set XPANDER_OUTBOX to a path of its own" in text
    store.database.close()


@pytest.mark.parametrize("suffix", ["", "-wal", "-shm", ".lock"])
@pytest.mark.parametrize("mode", [0o620, 0o602, 0o666])
def test_file_that_others_may_write_to_is_refused(mode, suffix, path: Path):
    store = make_file(path)
    os.chmod(f"{path}{suffix}", mode)
    text = refusal(path)
    assert f"others may write to {path}{suffix}" in text
    assert f"run chmod 600 {path}{suffix}" in text
    os.chmod(f"{path}{suffix}", 0o600)
    assert pending_count(path) == 1
    store.database.close()


@pytest.mark.parametrize("suffix", ["", "-wal", "-shm", ".lock"])
def test_symbolic_link_is_refused(suffix, path: Path):
    make_file(path).database.close()
    file = Path(f"{path}{suffix}")
    if file.exists():
        file.rename(path.parent / "elsewhere")
    else:
        (path.parent / "elsewhere").touch()
    file.symlink_to(path.parent / "elsewhere")
    before = (path.parent / "elsewhere").read_bytes()
    text = refusal(path)
    assert "symbolic link" in text
    assert "XPANDER_OUTBOX" in text
    assert (path.parent / "elsewhere").read_bytes() == before


def test_pipe_is_refused_without_waiting(path: Path):
    os.mkfifo(path)
    assert "not a regular file" in refusal(path)


def test_planted_log_is_not_read(path: Path, tmp_path: Path):
    other = tmp_path / "other" / "outbox.db"
    store = make_file(other)
    planted = Path(f"{other}-wal").read_bytes()
    make_file(path).database.close()
    Path(f"{path}-wal").write_bytes(planted)
    os.chmod(f"{path}-wal", 0o666)
    assert "others may write to" in refusal(path)
    store.database.close()


@pytest.mark.parametrize(
    "statement",
    [
        TRIGGER.format("reports", "reports"),
        "CREATE TABLE notes (text TEXT)",
        "CREATE VIEW v AS SELECT body FROM reports",
        "CREATE INDEX i ON reports (upper(task_id))",
        "DROP TRIGGER report_inserted",
        "ALTER TABLE reports ADD COLUMN copy TEXT GENERATED ALWAYS AS (upper(task_id))",
    ],
)
def test_foreign_objects_are_refused(statement, path: Path):
    make_file(path).database.close()
    execute(path, statement)
    text = refusal(path)
    assert "are not those of xpander-report" in text
    assert any(name in text for name in ("spy", "notes", "v", "i", "report_inserted", "reports"))


def test_known_trigger_with_another_body_is_refused(path: Path):
    make_file(path).database.close()
    execute(
        path, "DROP TRIGGER report_deleted",
        "CREATE TRIGGER report_deleted AFTER DELETE ON reports BEGIN UPDATE counters SET pending = 0; END",
    )  # fmt: skip
    assert "objects report_deleted are not" in refusal(path)


def test_foreign_trigger_in_a_file_of_version_1_is_refused_before_the_migration(path: Path):
    connection = sqlite3.connect(path)
    connection.executescript(VERSION_1.read_text("utf-8"))
    connection.execute("PRAGMA journal_mode = WAL")
    connection.close()
    os.chmod(path, 0o600)
    execute(path, TRIGGER.format("reports", "reports"))
    assert "objects spy are not" in refusal(path)
    assert b"CREATE TABLE books" in path.read_bytes()
    execute(path, "DROP TRIGGER spy")
    assert pending_count(path) == 7


def test_statistics_of_sqlite_are_accepted(path: Path):
    make_file(path).database.close()
    execute(path, "ANALYZE")
    assert pending_count(path) == 1


def test_schema_is_not_trusted(path: Path):
    store = make_file(path)
    assert store.database.fetch("PRAGMA trusted_schema") == [(0,)]
    store.database.close()


def test_peek_reads_no_file_of_others(path: Path):
    store = make_file(path)
    assert peek.may_have_pending(str(path))
    os.chmod(path, 0o666)
    assert not peek.may_have_pending(str(path))
    os.chmod(path, 0o600)
    store.database.run(lambda connection: connection.execute("DELETE FROM reports"))
    assert not peek.may_have_pending(str(path))
    store.database.close()
    before = read_files(path)
    assert not peek.may_have_pending(str(path))
    assert read_files(path) == before
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
