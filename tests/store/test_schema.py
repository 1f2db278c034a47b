"""Schemas: made, brought up to date from the first one, refused when newer, and as the snapshots say."""

import sqlite3
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import create_engine, make_url, text

from store.ddl import DIALECTS, FOLDER, ddl
from xpander_server.domain.metrics import merge_amounts, task_amounts, with_agent_runs
from xpander_server.store import Store, StoreError, TaskQuery
from xpander_server.store.schema import migrate as schema_module
from xpander_server.store.schema.tables import REVISION, metadata

MIGRATIONS = Path(schema_module.__file__).with_name("migrations")
FIRST = Path(__file__).with_name("0001.sql").read_text("utf-8")


@pytest.fixture(params=["sqlite", "postgresql"])
def empty_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/store.db"
    return request.getfixturevalue("postgresql_url")


def run(url: str, *statements: str) -> None:
    engine = create_engine(make_url(url.replace("postgresql://", "postgresql+psycopg://")))
    with engine.begin() as connection:
        for statement in statements:
            connection.execute(text(statement))
    engine.dispose()


def test_the_migrations_make_the_tables_that_the_queries_expect(empty_url):
    store = Store(empty_url)
    found = store._database.read(lambda c: compare_metadata(MigrationContext.configure(c), metadata))
    store.close()
    assert found == []


@pytest.mark.parametrize("dialect", DIALECTS)
def test_the_snapshots_are_those_of_the_tables(dialect):
    told = "run `make ddl`"
    assert ddl(metadata, dialect) == (FOLDER / f"{dialect}.sql").read_text("utf-8"), told


def test_the_revision_of_the_tables_is_the_newest_migration():
    assert ScriptDirectory(str(MIGRATIONS)).get_heads() == [REVISION]


def test_a_store_of_the_first_version_is_brought_up_to_date_with_its_metrics_while_others_have_it_open(tmp_path):
    path = tmp_path / "store.db"
    other = sqlite3.connect(path)
    other.executescript(FIRST)
    for _ in range(2):  # opened again, nothing is left to do
        store = Store(f"sqlite:///{path}")
        found = store.history(TaskQuery(organization_id="org"), limit=10).tasks
        tasks = [store.task("org", task.id) for task in found]
        assert [task.id for task in tasks] == ["3", "2", "1"]
        assert [task.model for task in tasks] == [None, "gpt-4o", None]
        assert [task.cost for task in tasks] == [None, 2_500_000_000, None]
        totals = store.metrics("org")
        assert totals.amounts == merge_amounts(with_agent_runs(task.agent_id, task_amounts(task)) for task in tasks)
        assert totals.amounts["completed runs"] == 2
        store.close()
    assert other.execute("SELECT count(*) FROM tasks WHERE model IS NOT NULL").fetchone() == (1,)
    other.close()


def test_several_processes_may_make_one_new_store_at_once(empty_url):
    with ThreadPoolExecutor(4) as pool:
        for store in list(pool.map(Store, [empty_url] * 4)):
            store.ping()
            store.close()


def test_a_newer_schema_is_refused_with_what_to_do(empty_url):
    Store(empty_url).close()
    run(empty_url, "UPDATE alembic_version SET version_num = '9999'")
    with pytest.raises(StoreError, match="9999 is newer than this program's, .*: update xpander-report"):
        Store(empty_url)


def test_a_database_with_others_tables_of_our_names_is_left_alone(postgresql_url):
    run(postgresql_url, "CREATE TABLE tasks (precious text)", "CREATE TABLE theirs (x text)")
    with pytest.raises(StoreError, match="another program's: it has the tables tasks"):
        Store(postgresql_url)


def test_a_database_may_be_shared_with_others(postgresql_url):
    run(postgresql_url, "CREATE TABLE theirs (x text)")
    Store(postgresql_url).close()
