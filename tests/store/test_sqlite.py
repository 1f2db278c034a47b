"""SQLite only: turns of writers, time limits, the size of the write-ahead log, and health."""

import random
import sqlite3
import threading
import time
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from store.reports import NOON, submission
from xpander_server.clock import DAY
from xpander_server.embedded import Embedded
from xpander_server.store import StoreUnavailable
from xpander_server.store.engine import sqlite as sqlite_engine
from xpander_server.store.engine.limits import Limits, Watchdog
from xpander_server.store.engine.locks import FairFileLock
from xpander_server.store.metrics.queries import MetricsQuery
from xpander_server.store.pace import CHUNK, Pace

ENDLESS = "WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n) SELECT count(*) FROM n"


@pytest.fixture
def store_url(tmp_path: Path) -> str:
    """Return the URL of a new file, so that `store` uses SQLite only."""
    return f"sqlite:///{tmp_path}/store.db"


def test_a_thread_that_always_writes_lets_others_write(store):
    is_done = threading.Event()

    def write_always() -> None:
        while not is_done.is_set():
            store._database.write(lambda _: time.sleep(0.02))

    threads = [threading.Thread(target=write_always) for _ in range(2)]
    for thread in threads:
        thread.start()
    started_at = time.monotonic()
    for number in range(20):
        store.report(submission(str(number)))
    seconds = time.monotonic() - started_at
    is_done.set()
    for thread in threads:
        thread.join()
    # Each report waits for at most one transaction of each thread.
    assert seconds < 20 * 3 * 0.02 + 3.0


def test_a_writer_that_gives_up_does_not_block_the_next_ones(store, monkeypatch):
    monkeypatch.setattr("xpander_server.store.engine.locks.BUSY_SECONDS", 0.05)
    is_inside, may_leave = threading.Event(), threading.Event()

    def write_long() -> None:
        store._database.write(lambda _: (is_inside.set(), may_leave.wait(10)))

    thread = threading.Thread(target=write_long)
    thread.start()
    is_inside.wait(10)
    for _ in range(3):
        with pytest.raises(StoreUnavailable, match="was busy"):
            store.report(submission("t"))
    may_leave.set()
    thread.join()
    assert store.report(submission("t")).id == "t"


def test_a_writer_that_waits_for_a_long_transaction_tries_again_rarely(tmp_path):
    attempts: list[str] = []

    class BusyDriver:
        def execute(self, statement: str) -> None:
            attempts.append(statement)
            if statement == "BEGIN IMMEDIATE" and time.monotonic() < released_at:
                with closing(sqlite3.connect(tmp_path / "store.db", timeout=0)) as other:
                    other.execute(statement)

    with closing(sqlite3.connect(tmp_path / "store.db")) as holder:
        holder.execute("BEGIN IMMEDIATE")
        released_at = time.monotonic() + 0.3
        sqlite_engine._begin_immediate(BusyDriver(), 5.0)
    assert time.monotonic() - released_at < 0.1
    assert attempts.count("BEGIN IMMEDIATE") <= 200  # with the first pause it would be 3,000


def test_wait_for_another_process_leaves_the_random_numbers_of_a_seeded_program_unchanged(tmp_path):
    lock = FairFileLock(tmp_path / "lock")
    state = random.getstate()
    with lock.hold(), pytest.raises(StoreUnavailable), lock.hold(seconds=0.02):
        pass
    assert random.getstate() == state


def test_reports_get_half_of_the_time_of_a_deletion():
    pace = Pace()
    started_at = time.monotonic()
    assert pace.run(lambda: time.sleep(0.2) or 7) == 7
    assert time.monotonic() - started_at >= 0.4
    assert pace.chunk < CHUNK / 4
    for _ in range(10):
        pace.run(lambda: 0)
    assert pace.chunk == CHUNK


def test_a_deletion_in_small_transactions_deletes_all_old_tasks(store):
    store.commit([submission(str(number), now=NOON - 2 * DAY) for number in range(700)])
    store.report(submission("young"))
    assert store.delete_before(NOON - DAY) == 700
    assert store.task("org", "0") is None
    assert store.task("org", "young") is not None


@pytest.mark.parametrize("method", ["read", "write"])
def test_a_statement_that_takes_too_long_is_interrupted(store, method):
    def run(connection: Any) -> None:
        connection.exec_driver_sql(ENDLESS).all()

    started_at = time.monotonic()
    with pytest.raises(StoreUnavailable, match=r"no response within 0\.5 seconds"):
        getattr(store._database, method)(run, Limits(total=0.5))
    assert time.monotonic() - started_at < 3.0
    assert store.report(submission("t")).id == "t"


def test_an_interrupted_store_lets_its_threads_end(store, caplog):
    is_inside = threading.Event()
    errors: list[Exception] = []

    def read_endlessly(connection: Any) -> None:
        is_inside.set()
        connection.exec_driver_sql(ENDLESS).all()

    def read() -> None:
        try:
            store._database.read(read_endlessly)
        except StoreUnavailable as unavailable:
            errors.append(unavailable)

    thread = threading.Thread(target=read)
    thread.start()
    is_inside.wait(10)
    time.sleep(0.1)
    store.interrupt()
    thread.join(3)
    assert len(errors) == 1
    with pytest.raises(StoreUnavailable, match="the server stops"):
        store.report(submission("t"))
    # A server that stops has no error to report.
    assert caplog.records == []


def test_transaction_limits_are_watched_after_a_thread_could_not_start(store, monkeypatch):
    def fail(_thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    def run(connection: Any) -> None:
        connection.exec_driver_sql(ENDLESS).all()

    watchdog = Watchdog(store._database._backend.interrupt)
    monkeypatch.setattr(store._database, "_watchdog", watchdog)
    with monkeypatch.context() as without_threads:
        without_threads.setattr(threading.Thread, "start", fail)
        assert store.task("org", "t") is None
    with pytest.raises(StoreUnavailable, match=r"no response within 0\.5 seconds"):
        store._database.read(run, Limits(total=0.5))


def test_metrics_query_that_takes_too_long_is_stopped(store, monkeypatch):
    monkeypatch.setattr("xpander_server.store.store.METRICS", Limits(total=10.0, statement=0.05))
    monkeypatch.setattr(MetricsQuery, "run", lambda _, connection: connection.exec_driver_sql(ENDLESS).all())
    started_at = time.monotonic()
    with pytest.raises(StoreUnavailable, match="interrupted"):
        store.metrics("org")
    assert time.monotonic() - started_at < 3.0


def test_the_write_ahead_log_shrinks_when_a_long_query_has_ended(store, tmp_path, monkeypatch):
    monkeypatch.setattr(sqlite_engine, "WAL_BYTES", 200_000)
    monkeypatch.setattr(sqlite_engine, "_CHECK_INTERVAL", 0.0)
    monkeypatch.setattr(sqlite_engine, "_CHECKPOINT_INTERVAL", 0.0)
    wal = tmp_path / "store.db-wal"
    with closing(sqlite3.connect(tmp_path / "store.db", isolation_level=None)) as reader:
        reader.execute("BEGIN")
        reader.execute("SELECT count(*) FROM tasks").fetchall()
        for number in range(30):
            store.report(submission(str(number), result="x" * 50_000))
        assert wal.stat().st_size > 1_000_000
        reader.execute("COMMIT")
    time.sleep(0.2)  # longer than the time between two looks at the size
    store.report(submission("last"))
    assert wal.stat().st_size < 200_000


def test_the_health_check_finds_that_the_file_cannot_be_written(store, tmp_path):
    assert store.health.failed_part() is None
    with closing(sqlite3.connect(tmp_path / "store.db", isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        time.sleep(1.1)
        started_at = time.monotonic()
        assert store.health.failed_part() == "written"
        assert time.monotonic() - started_at < 5.0
        other.execute("COMMIT")
    time.sleep(1.1)
    assert store.health.failed_part() is None


def test_health_checks_do_not_let_the_file_grow(store, tmp_path, monkeypatch):
    monkeypatch.setattr("xpander_server.store.health.CACHE_SECONDS", 0.0)
    store.report(submission("t"))
    sizes = []
    for _ in range(2):
        for _ in range(50):
            assert store.health.failed_part() is None
        with closing(sqlite3.connect(tmp_path / "store.db")) as other:
            other.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
        sizes.append((tmp_path / "store.db").stat().st_size)
    assert sizes[0] == sizes[1]


def test_an_embedded_store_starts_no_thread(tmp_path):
    before = set(threading.enumerate())
    with closing(Embedded(f"sqlite:///{tmp_path}/store.db")) as embedded:
        embedded.call("GET", b"/health", [], b"")
        assert not set(threading.enumerate()) - before
