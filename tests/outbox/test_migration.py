"""Migration of an outbox file of version 1, written by the code of that version (`data/make_version_1.py`)."""

import sqlite3
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from outbox.helpers import Clock, DeliveryBench, RecordingBackend, assert_balanced, make_report, run_program, store_at
from xpander_sdk import Configuration, OutboxError, OutboxStats
from xpander_sdk.outbox.storage import schema
from xpander_sdk.outbox.storage.models import Destination
from xpander_sdk.outbox.storage.stats import Counters, DeadLetters

VERSION_1 = Path(__file__).parent / "data" / "version_1.sql"
NOW = 1_793_000_000_000_000  # Time when the file of version 1 was written, in microseconds.
INSERT_OF_VERSION_1 = """
INSERT INTO reports (seq, target, task_id, agent_id, reported_at, accepted_at, body)
SELECT next_seq, 1, 'run-new', 'agent-1', 1, 1, x'7B7D' FROM books WHERE pending < 100 AND pending_bytes + 2 <= 1000000
"""
# The states of the reports by sequence number, as the script has made them.
STATES = {
    1: "dropped", 2: "delivered", 3: "delivered", 4: "dropped", 5: "dead", **dict.fromkeys(range(6, 13), "pending"),
    13: "unknown",
}  # fmt: skip


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "outbox.db"
    connection = sqlite3.connect(path)
    connection.executescript(VERSION_1.read_text("utf-8"))
    connection.close()
    return path


@pytest.fixture
def bench(path: Path, backend: RecordingBackend) -> Iterator[DeliveryBench]:
    bench = DeliveryBench(path, backend, clock=Clock(NOW))
    yield bench
    bench.close()


def add_keys(bench: DeliveryBench) -> None:

    for url in ("http://one.test", "http://two.test"):
        bench.keyring.add(Configuration(base_url=url, api_key="key-of-version-1"), bench.store.salt())


def results(backend: RecordingBackend) -> list[str]:
    return [body["result"] for body in backend.recorded]


def assert_complete(stats: OutboxStats) -> None:
    assert_balanced(stats)
    assert (stats.accepted, stats.delivered, stats.merged, stats.pending, stats.dead) == (12, 2, 1, 7, 1)
    assert stats.dropped == {"discarded": 1, "full": 1}
    assert (stats.pending_bytes, stats.dead_bytes, stats.oldest) == (1_988, 282, NOW)


def test_migration_keeps_counters_reports_and_destinations(bench: DeliveryBench):
    counters = Counters(bench.store.database)
    stats = counters.stats()
    assert_complete(stats)
    assert {seq: counters.report_state(seq) for seq in STATES} == STATES
    one, two = stats.destinations
    assert one == Destination(1, "http://one.test", None, "key:d3f80243")
    assert two == Destination(2, "http://two.test", None, "key:d3f80243", 1, NOW + 1_000_000, "[503] unavailable")
    (letter,) = DeadLetters(bench.store.database).list()
    assert (letter.seq, letter.task_id, letter.status, letter.error) == (5, "run-dead-5", 422, "[422] invalid 5")
    assert bench.put(make_report("run-new")) == 13


def test_migrated_reports_are_delivered(bench: DeliveryBench, backend: RecordingBackend):
    add_keys(bench)
    bench.deliver_due()
    assert results(backend) == ["6", "7", "8", "12"], "isolated reports one by one, queued ones merged"
    bench.clock.advance(2)
    bench.deliver_due()
    assert results(backend)[4:] == ["9"], "the wait of the rescheduled run is over"
    bench.clock.advance(34)
    bench.deliver_due()
    assert results(backend)[5:] == ["10"], "the lease of the dead process has expired"
    assert bench.counts() == (9, 0, 1)


def test_migrated_dead_letter_can_be_revived(bench: DeliveryBench, backend: RecordingBackend):
    add_keys(bench)
    assert DeadLetters(bench.store.database).revive([5]) == 1
    bench.deliver_due()
    assert results(backend)[0] == "5"
    assert bench.stats().dead == 0


def test_schema_of_a_migrated_file_equals_that_of_a_new_file(bench: DeliveryBench, tmp_path: Path):
    new = store_at(tmp_path / "new.db")
    assert _schema(bench.store) == _schema(new)
    new.database.close()


def _schema(store: Any) -> dict[str, Any]:
    """Return columns, indexes and triggers without the formatting of the statements that created them."""
    fetch = store.database.fetch
    tables = [name for (name,) in fetch("SELECT name FROM sqlite_schema WHERE type = 'table' ORDER BY name")]
    return {
        "version": fetch("PRAGMA user_version"),
        "columns": {table: fetch(f"PRAGMA table_xinfo({table})") for table in tables},
        "indexes": {
            (table, name): fetch(f"PRAGMA index_info({name})")
            for table in tables
            for _, name, *_ in fetch(f"PRAGMA index_list({table})")
        },
        "triggers": fetch("SELECT name, tbl_name, sql FROM sqlite_schema WHERE type = 'trigger' ORDER BY name"),
    }


def test_many_connections_migrate_at_once(path: Path):
    stores = [store_at(path) for _ in range(8)]
    with ThreadPoolExecutor(len(stores)) as pool:
        all_stats = list(pool.map(lambda store: Counters(store.database).stats(), stores))
    for stats in all_stats:
        assert_complete(stats)
    for store in stores:
        store.database.close()


def test_migration_waits_for_a_transaction_of_version_1(path: Path):
    version_1 = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    version_1.execute("PRAGMA journal_mode = WAL")
    version_1.execute("BEGIN IMMEDIATE")
    version_1.execute(INSERT_OF_VERSION_1)
    threading.Timer(0.3, lambda: version_1.execute("COMMIT")).start()
    started_at = time.monotonic()
    store = store_at(path)
    stats = Counters(store.database).stats()
    assert time.monotonic() - started_at > 0.2
    assert (stats.accepted, stats.pending) == (13, 8)
    store.database.close()
    version_1.close()


def test_open_connection_of_version_1_fails_and_changes_nothing(path: Path):
    version_1 = sqlite3.connect(path, isolation_level=None)
    version_1.execute("PRAGMA journal_mode = WAL")
    version_1.execute(INSERT_OF_VERSION_1)
    store = store_at(path)
    counters = Counters(store.database)
    before = counters.stats()
    for statement in (INSERT_OF_VERSION_1, "DELETE FROM turns", "UPDATE books SET delivered = delivered + 1"):
        with pytest.raises(sqlite3.OperationalError, match="no such (table|column)|has no column"):
            version_1.execute(statement)
    assert counters.stats() == before
    assert counters.report_state(13) == "pending"
    version_1.close()
    store.database.close()


def test_failed_migration_changes_nothing(path: Path, monkeypatch: pytest.MonkeyPatch):
    script = schema._VERSION_1_TO_2 + "ALTER TABLE missing RENAME TO present;\n"
    with monkeypatch.context() as broken:
        broken.setattr(schema, "_VERSION_1_TO_2", script)
        store = store_at(path)
        with pytest.raises(OutboxError, match="no such table: missing"):
            store.last_seq()
    assert_complete(Counters(store.database).stats())
    store.database.close()


def test_kill_at_any_statement_of_the_migration_leaves_one_version():
    kills = run_program("kill_during_migration.py", str(VERSION_1))
    assert int(kills) > 30
