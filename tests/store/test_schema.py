"""Schemas: creation, upgrade from earlier revisions, rejection of newer ones, and the DDL snapshots."""

import sqlite3
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from hashlib import sha256
from pathlib import Path

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Boolean, Connection, MetaData, inspect, text

from store.ddl import DIALECTS, FOLDER, ddl, snapshot
from store.reports import submission
from store.revisions import MIGRATIONS, downgrade, engine
from xpander_server.auth.verifier import Verifier
from xpander_server.clock import DAY, HOUR
from xpander_server.domain.metrics import merge_amounts, task_amounts, with_agent_runs
from xpander_server.store import Store, StoreError, TaskQuery
from xpander_server.store.schema import migrate
from xpander_server.store.schema.inspection import check_store
from xpander_server.store.schema.migrate import SNAPSHOT, snapshot_header
from xpander_server.store.schema.tables import REVISION, metadata

SQL_OF_0001 = Path(__file__).with_name("0001.sql").read_text("utf-8")
SQL_OF_0004 = Path(__file__).with_name("0004.sql").read_text("utf-8")
"""A store with tasks, rollups, a delta that is not compacted, an API key, a session and deleted tasks."""
START_OF_0004 = 1_760_000_000_000_000
"""The time of the first commit in that store, in microseconds since 1970."""


@pytest.fixture(params=["sqlite", "postgresql"])
def empty_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Return the URL of an empty database of each kind."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/store.db"
    return request.getfixturevalue("postgresql_url")


def run(url: str, *statements: str) -> None:
    """Execute SQL statements in one transaction."""
    plain = engine(url)
    with plain.begin() as connection:
        for statement in statements:
            connection.execute(text(statement))
    plain.dispose()


def create_revision_0004(url: str, folder: Path) -> None:
    """Create the store of `0004.sql`; for PostgreSQL, by the migrations and a copy of all rows."""
    path = folder / "store.db"
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript(SQL_OF_0004)
    if not url.startswith("sqlite"):
        source, target = engine(f"sqlite:///{path}"), engine(url)
        with source.connect() as reader, target.begin() as writer:
            config = Config()
            config.set_main_option("script_location", str(MIGRATIONS))
            config.attributes["connection"] = writer
            command.upgrade(config, "0004")
            copy_rows(reader, writer)
        source.dispose()
        target.dispose()


def copy_rows(source: Connection, target: Connection) -> None:
    """Copy the rows of all tables except Alembic's."""
    tables = MetaData()
    tables.reflect(target)
    for table in tables.sorted_tables:
        if table.name == "alembic_version":
            continue
        rows = [dict(row) for row in source.execute(text(f"SELECT * FROM {table.name}")).mappings()]
        for column in table.columns:
            if isinstance(column.type, Boolean):  # SQLite has integers
                for row in rows:
                    row[column.name] = None if row[column.name] is None else bool(row[column.name])
        target.execute(table.insert(), rows)


def test_the_migrations_create_the_tables_that_the_queries_expect(empty_url):
    store = Store(empty_url)
    differences = store._database.read(lambda c: compare_metadata(MigrationContext.configure(c), metadata))
    store.close()
    assert differences == []


@pytest.mark.parametrize("dialect", DIALECTS)
def test_the_ddl_snapshots_equal_the_tables(dialect):
    assert ddl(metadata, dialect) == (FOLDER / f"{dialect}.sql").read_text("utf-8"), "run `make ddl`"


def test_the_snapshot_of_a_new_file_equals_the_migrations():
    assert snapshot() == SNAPSHOT.read_text("utf-8"), "run `make ddl`"


def test_a_new_file_has_the_schema_of_the_migrations_and_needs_no_alembic(tmp_path):
    path = tmp_path / "store.db"
    program = f"import sys; from xpander_server.store import Store; Store('sqlite:///{path}').close(); "
    command = [sys.executable, "-c", program + "sys.exit('alembic' in sys.modules)"]
    assert subprocess.run(command, check=False).returncode == 0
    with closing(sqlite3.connect(path)) as connection:
        check_store(connection)


def test_a_snapshot_of_another_revision_is_not_used(tmp_path, monkeypatch):
    old = tmp_path / "old.sql"
    old.write_text(snapshot_header("0001") + "\n\nCREATE TABLE foreign_table (x)", "utf-8")
    monkeypatch.setattr(migrate, "SNAPSHOT", old)
    Store(f"sqlite:///{tmp_path}/store.db").close()
    with closing(sqlite3.connect(tmp_path / "store.db")) as connection:
        check_store(connection)


def test_the_revision_of_the_tables_is_the_newest_migration():
    assert ScriptDirectory(str(MIGRATIONS)).get_heads() == [REVISION]


def test_a_store_of_revision_0001_gets_prices_and_metrics_while_another_connection_is_open(tmp_path):
    path = tmp_path / "store.db"
    other = sqlite3.connect(path)
    other.executescript(SQL_OF_0001)
    for _ in range(2):  # the second time, there is nothing to upgrade
        store = Store(f"sqlite:///{path}")
        page = store.history(TaskQuery(organization_id="org"), limit=10)
        tasks = [store.task("org", task.id) for task in page.tasks]
        assert [task.id for task in tasks] == ["3", "2", "1"]
        assert [task.model for task in tasks] == [None, "gpt-4o", None]
        assert [task.cost for task in tasks] == [None, 2_500_000_000, None]
        metrics = store.metrics("org")
        assert metrics.amounts == merge_amounts(with_agent_runs(task.agent_id, task_amounts(task)) for task in tasks)
        assert metrics.amounts["completed runs"] == 2
        store.close()
    assert other.execute("SELECT count(*) FROM tasks WHERE model IS NOT NULL").fetchone() == (1,)
    other.close()


def test_a_store_of_revision_0004_keeps_its_tasks_metrics_keys_and_sessions(empty_url, tmp_path):
    create_revision_0004(empty_url, tmp_path)
    for _ in range(2):  # the second time, there is nothing to upgrade
        store = Store(empty_url)
        page = store.history(TaskQuery(organization_id="org"), limit=10)
        tasks = {task.id: store.task("org", task.id) for task in page.tasks}
        assert list(tasks) == ["new", "priced", "executing", "old"]
        priced = tasks["priced"]
        assert (priced.model, priced.cost, priced.result) == ("gpt-4o", 2_500_000_000, "changed later")
        assert [change["before"] for change in priced.changes] == [{"result": None}]
        # One task was deleted; its metrics are kept.
        deleted_at = START_OF_0004 - 60 * DAY
        deleted = store.metrics("org", since=deleted_at // HOUR * HOUR, until=deleted_at // HOUR * HOUR + HOUR).amounts
        assert (deleted["completed runs"], deleted["completed duration"]) == (1, 2_000_000)
        stored = [with_agent_runs(task.agent_id, task_amounts(task)) for task in tasks.values()]
        metrics = store.metrics("org").amounts
        assert metrics == merge_amounts([deleted, *stored])
        # The metrics of the task "new" were a delta that was not compacted.
        assert store.metrics("org", "search agent").amounts["completed duration"] == 3_000_000
        store.rebuild_metrics()
        assert store.metrics("org").amounts == metrics
        assert Verifier(store.keys).verify(b"report-key").grant.organization_id == "org"
        session_key = store.sessions.find_key("org", sha256(b"cookie").digest(), START_OF_0004)
        assert session_key == store.keys.list_keys("org")[0]
        store.close()


def test_the_upgrade_of_revision_0004_leaves_no_former_name(empty_url, tmp_path):
    create_revision_0004(empty_url, tmp_path)
    Store(empty_url).close()
    plain = engine(empty_url)
    inspector = inspect(plain)
    names = set(inspector.get_table_names())
    for table in list(names):
        names.add(inspector.get_pk_constraint(table)["name"])
        names.update(column["name"] for column in inspector.get_columns(table))
    plain.dispose()
    assert {name for name in names if name and ("movement" in name or "forgotten" in name)} == set()
    assert "metric_deltas" in names


def test_a_store_of_revision_0006_gets_extended_reports_and_keeps_its_metrics(empty_url):
    store = Store(empty_url)
    store.report(submission(llm_response='{"model": "gpt-4o"}', tokens={"prompt_tokens": 1_000_000}, is_success=True))
    metrics = store.metrics("org").amounts
    store.close()
    downgrade(empty_url, "0006")
    store = Store(empty_url)
    assert store.metrics("org").amounts == metrics
    store.report(
        submission(
            error="timeout",
            conversation_id="c",
            metadata={"env": "prod"},
            calls=[{"model": "gpt-4o", "tokens": {"prompt_tokens": 1_000_000}}, {"model": "own", "cost": 1.0}],
        )
    )
    task = store.task("org", "t")
    assert (task.error, task.conversation_id, task.metadata) == ("timeout", "c", {"env": "prod"})
    assert (task.call_costs, task.cost) == ([2_500_000_000, 1_000_000_000], 3_500_000_000)
    amounts = store.metrics("org").amounts
    assert (amounts["completed model_cost gpt-4o"], amounts["completed model_cost own"]) == (2_500_000_000, 10**9)
    store.rebuild_metrics()
    assert store.metrics("org").amounts == amounts
    store.close()


def test_a_store_of_revision_0010_gets_the_reasons_of_failures(empty_url):
    store = Store(empty_url)
    store.report(submission(is_success=False, error="timeout"))
    store.close()
    downgrade(empty_url, "0010")
    store = Store(empty_url)
    task = store.task("org", "t")
    assert task is not None
    assert (task.error, task.reason) == ("timeout", None)
    updated = store.report(submission(result="stopped"))
    assert updated.reason == "timeout"
    assert store.task("org", "t") == updated
    store.close()


def test_several_processes_create_one_store_at_the_same_time(empty_url):
    with ThreadPoolExecutor(4) as pool:
        for store in list(pool.map(Store, [empty_url] * 4)):
            assert store.health.failed_part() is None
            store.close()


def test_a_newer_schema_is_rejected_with_advice(empty_url):
    Store(empty_url).close()
    run(empty_url, "UPDATE alembic_version SET version_num = '9999'")
    with pytest.raises(StoreError, match="9999 is newer than this program's, .*: update xpander-report"):
        Store(empty_url)


def test_a_database_with_a_foreign_table_of_the_same_name_is_rejected(postgresql_url):
    run(postgresql_url, "CREATE TABLE tasks (precious text)", "CREATE TABLE theirs (x text)")
    with pytest.raises(StoreError, match="another program's: it has the tables tasks"):
        Store(postgresql_url)


def test_a_database_may_contain_tables_of_other_programs(postgresql_url):
    run(postgresql_url, "CREATE TABLE theirs (x text)")
    Store(postgresql_url).close()
