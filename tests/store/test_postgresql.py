"""PostgreSQL only: lost connections, a restart, races between processes, and invalid URLs."""

import multiprocessing
from collections.abc import Iterator

import pytest
from sqlalchemy import event, text

from store.reports import submission
from support.postgres import Postgres, running_postgres
from xpander_server.store import Store, StoreError, StoreUnavailable, TaskQuery
from xpander_server.store.bulk import key_parameters
from xpander_server.store.commit import TaskKey
from xpander_server.store.traces import _SELECT_AGENTS_ON_POSTGRESQL


@pytest.fixture
def store_url(postgresql_url: str) -> str:
    """Return the URL of an empty database, so that `store` uses PostgreSQL only."""
    return postgresql_url


@pytest.fixture
def durable_server() -> Iterator[Postgres]:
    """Return a server of this test alone, with fsync; the test may stop and start it."""
    with running_postgres("fsync=on") as server:
        yield server


def test_a_connection_that_the_server_closed_is_replaced(store, store_url):
    store.report(submission("before"))
    other = Store(store_url)
    other_connections = "datname = current_database() AND pid != pg_backend_pid()"
    kill = f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE {other_connections}"
    for _ in range(2):
        other._database.read(lambda connection: connection.exec_driver_sql(kill).all())
        store.report(submission("after"))
        other._database.read(lambda connection: connection.exec_driver_sql(kill).all())
        assert store.task("org", "after") is not None
    other.close()


def test_a_committed_task_survives_a_power_loss_and_the_store_recovers(durable_server):
    store = Store(durable_server.url())
    store.report(submission("before", result="kept"))
    durable_server.stop("immediate")
    with pytest.raises(StoreUnavailable):
        store.task("org", "before")
    durable_server.start()
    assert store.task("org", "before").result == "kept"
    store.report(submission("after"))
    assert store.metrics("org").amounts["executing runs"] == 2
    store.close()


def test_a_commit_that_loses_a_race_for_a_new_id_is_repeated(store, store_url):
    other = Store(store_url)
    has_raced = []

    def report_concurrently(connection, cursor, statement, *_):
        if statement.startswith("INSERT INTO tasks") and not has_raced:
            has_raced.append(True)
            other.report(submission("t", result="theirs"))

    event.listen(store._database._backend.engine, "before_cursor_execute", report_concurrently)
    task = store.report(submission("t", duration=1.0))
    assert (task.result, task.duration) == ("theirs", 1.0)
    assert store.metrics("org").amounts["executing runs"] == 1
    other.close()


def report_some(store_url: str, name: str) -> None:
    """Commit reports of 20 own tasks, and of 10 shared tasks in alternating order."""
    store = Store(store_url)
    for number in range(20):
        batch = [submission(f"shared {n}", **{name: "x"}) for n in range(10)]
        if number % 2:
            batch.reverse()
        store.commit([*batch, submission(f"{name} {number}", is_success=True)])
    store.close()


@pytest.mark.slow
def test_reports_of_several_processes_are_all_counted(store, store_url):
    names = ("input", "result", "user_id")
    context = multiprocessing.get_context("spawn")
    processes = [context.Process(target=report_some, args=(store_url, name)) for name in names]
    for process in processes:
        process.start()
    for process in processes:
        process.join(60)
    assert [process.exitcode for process in processes] == [0, 0, 0]
    amounts = store.metrics("org").amounts
    assert (amounts["completed runs"], amounts["executing runs"]) == (60, 10)
    shared = store.task("org", "shared 3")
    assert (shared.input, shared.result, shared.user_id) == ("x", "x", "x")
    assert len(store.history(TaskQuery(organization_id="org"), limit=1_000).tasks) == 70


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://",
        "postgresql://u:hunter2@127.0.0.1:1",
        "postgresql://u:hunter2@127.0.0.1:x/db",
        "postgresql://u:hunter2@127.0.0.1:1/db?password=hunter2",
        "mysql://u:hunter2@host/db",
    ],
)
def test_the_error_of_an_invalid_url_contains_no_password(url):
    with pytest.raises(StoreError) as error:
        Store(url)
    assert "hunter2" not in str(error.value)


def test_agents_of_traces_are_looked_up_one_by_one_before_the_first_analyze(store):
    store.commit([submission(str(number)) for number in range(6_000)])
    (parameters,) = key_parameters(TaskKey("org", f"trace-{number}") for number in range(300))
    query = text(f"EXPLAIN {_SELECT_AGENTS_ON_POSTGRESQL}")
    plan = "\n".join(store._database.read(lambda connection: connection.scalars(query, parameters).all()))
    assert "using tasks_pkey" in plan, plan
