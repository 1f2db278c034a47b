"""SQLite stores: files, URLs, durability, several processes, and pausing."""

import multiprocessing
import sqlite3
from pathlib import Path

import pytest
from sqlalchemy import text

from xpander_server.store import Store, StoreError, StoreUnavailable, Submission, TaskQuery


def url(path: Path) -> str:
    """Return the URL of a store in this file."""
    return f"sqlite:///{path}"


def submission(task_id: str = "t", organization_id: str = "org", **report) -> Submission:
    """Return a submission with these fields of the report."""
    return Submission(organization_id, "agent", task_id, report, reported_at=None, now=1)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Return the path of a file that does not exist."""
    return tmp_path / "store.db"


@pytest.fixture
def store(path):
    """Return an empty store."""
    store = Store(url(path))
    yield store
    store.close()


def test_a_reopened_store_has_its_tasks(path):
    for _ in range(2):
        store = Store(url(path))
        store.report(submission(result="r"))
        assert store.task("org", "t").created_at == 1
        store.close()


def test_a_commit_is_synced_to_disk(store):
    settings = [text("PRAGMA journal_mode"), text("PRAGMA synchronous")]
    values = store._database.read(lambda connection: [connection.scalar(setting) for setting in settings])
    assert values == ["wal", 2]  # FULL


def test_a_newer_schema_is_rejected_with_advice(path, store):
    with sqlite3.connect(path) as connection:
        connection.execute("UPDATE alembic_version SET version_num = '9999'")
    connection.close()
    with pytest.raises(StoreError, match="9999 is newer than this program's, .*: update xpander-report"):
        Store(url(path))


def test_a_database_of_another_program_is_rejected_and_not_changed(path):
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE precious (x)")
    connection.close()
    with pytest.raises(StoreError, match="another program's.*precious"):
        Store(url(path))
    with sqlite3.connect(path) as connection:
        assert [row[0] for row in connection.execute("SELECT name FROM sqlite_master")] == ["precious"]
    connection.close()


def test_a_file_that_is_not_a_database_is_rejected_and_not_changed(path):
    path.write_bytes(b"my diary, " * 1_000)
    with pytest.raises(StoreError, match="not a database"):
        Store(url(path))
    assert path.read_bytes() == b"my diary, " * 1_000


@pytest.mark.parametrize(
    "bad",
    ["", "nonsense", "mysql://localhost/x", "sqlite://", "sqlite:///:memory:", "sqlite:////no/such/folder/x.db"],
)
def test_an_invalid_url_is_rejected_with_advice(bad):
    with pytest.raises(StoreError, match=r"sqlite:///FILE|create it first"):
        Store(bad)


def report_some(store_url: str, name: str) -> None:
    """Report 20 own tasks, and one shared task 20 times."""
    store = Store(store_url)
    for number in range(20):
        store.report(submission(f"{name}-{number}", is_success=True))
        store.report(submission("shared", result=name))
    store.close()


def test_several_processes_create_and_write_one_file_at_the_same_time(path):
    context = multiprocessing.get_context("spawn")
    processes = [context.Process(target=report_some, args=(url(path), f"p{number}")) for number in range(3)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(60)
    assert [process.exitcode for process in processes] == [0, 0, 0]
    store = Store(url(path))
    assert len(store.history(TaskQuery(organization_id="org"), limit=1_000).tasks) == 61
    assert store.metrics("org").amounts["completed runs"] == 60
    store.close()


def test_a_path_is_not_decoded_as_a_url(tmp_path):
    folder = tmp_path / "a%41b c"
    folder.mkdir()
    Store(url(folder / "x%20y.db")).close()
    assert sorted(path.name for path in folder.iterdir()) == ["x%20y.db", "x%20y.db-turn"]


def test_a_nested_call_in_the_same_thread_fails_immediately(store):
    with store._database._gate.write(), pytest.raises(StoreUnavailable, match="in the middle of another call"):
        store.report(submission())


def test_a_paused_store_is_unavailable_until_it_is_resumed(store, monkeypatch):
    monkeypatch.setattr("xpander_server.store.engine.locks.BUSY_SECONDS", 0.05)
    store.pause()
    with pytest.raises(StoreUnavailable, match="was busy"):
        store.task("org", "t")
    store.resume()
    assert store.health.failed_part() is None
