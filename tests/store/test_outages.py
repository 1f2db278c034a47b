"""PostgreSQL that is locked, frozen, has vanished or is not the primary: every wait ends, and reports continue."""

import asyncio
import logging
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from typing import Any

import psycopg
import pytest
from sqlalchemy import event

from store.reports import submission
from support.postgres import Postgres, running_postgres
from support.proxy import Proxy, running_proxy
from xpander_server.store import Store, StoreError, StoreUnavailable, Writer
from xpander_server.store.engine.limits import Limits
from xpander_server.store.engine.postgresql import _connection_parameters


@pytest.fixture
def store_url(postgresql_url: str) -> str:
    """Return the URL of an empty database, so that `store` uses PostgreSQL only."""
    return postgresql_url


@pytest.fixture
def own_server() -> Iterator[Postgres]:
    """Return a server of this test alone; the test may stop it and change its settings."""
    with running_postgres("fsync=off") as server:
        yield server


@contextmanager
def proxied(store_url: str) -> Iterator[tuple[Proxy, str]]:
    """Yield a proxy in front of a database, and the URL that leads through it."""
    head, _, rest = store_url.rpartition(":")
    port, _, database = rest.partition("/")
    with running_proxy(int(port)) as proxy:
        yield proxy, f"{head}:{proxy.port}/{database}"


@contextmanager
def transaction(store_url: str, statement: str) -> Iterator[psycopg.Connection[Any]]:
    """Execute a statement in a transaction that stays open until the end of the block."""
    with psycopg.connect(store_url) as connection:
        connection.execute(statement)
        yield connection
        connection.rollback()


async def report_and_time(writer: Writer, task_id: str, **report: Any) -> tuple[Any, float]:
    """Report, and return the outcome and the seconds that it took."""
    started_at = time.monotonic()
    (outcome,) = await asyncio.gather(writer.report(submission(task_id, **report)), return_exceptions=True)
    return outcome, time.monotonic() - started_at


LOCKED = "SELECT 1 FROM tasks WHERE id = 'locked' FOR UPDATE"
INSERTED = """INSERT INTO tasks (organization_id, id, agent_id, created_at, updated_at, reported_at)
    VALUES ('org', 'locked', 'agent', 1, 1, '{}')"""


@pytest.mark.parametrize("statement", [LOCKED, INSERTED], ids=["locked row", "uncommitted row"])
def test_a_locked_task_delays_no_other_task(store, store_url, statement):
    if statement == LOCKED:
        store.report(submission("locked", input="old"))

    async def main() -> None:
        with Writer(store) as writer, transaction(store_url, statement) as other:
            locked = asyncio.create_task(report_and_time(writer, "locked", result="r"))
            batch = [report_and_time(writer, str(number)) for number in range(50)]
            assert max(seconds for _, seconds in await asyncio.gather(*batch)) < 4.0
            later = asyncio.create_task(report_and_time(writer, "locked", duration=1.0))
            for number in range(20):
                _, seconds = await report_and_time(writer, f"later {number}")
                assert seconds < 1.0
            assert not locked.done()
            other.rollback()
            assert [type(outcome).__name__ for outcome, _ in (await locked, await later)] == ["Task", "Task"]

    asyncio.run(main())
    task = store.task("org", "locked")
    assert (task.result, task.duration) == ("r", 1.0)
    assert store.metrics("org").amounts["executing runs"] == 71


def test_a_report_of_a_task_that_stays_locked_fails(store, store_url, monkeypatch):
    monkeypatch.setattr("xpander_server.store.locked_reports.GIVE_UP_SECONDS", 1.0)
    store.report(submission("locked"))

    async def main() -> Any:
        with Writer(store) as writer, transaction(store_url, LOCKED):
            return await report_and_time(writer, "locked", result="r")

    outcome, seconds = asyncio.run(main())
    assert isinstance(outcome, StoreUnavailable)
    assert seconds < 5.0
    assert store.task("org", "locked").result is None


def test_a_database_that_does_not_respond_is_given_up(store_url):
    with proxied(store_url) as (proxy, url):
        store = Store(url)
        proxy.go_silent()
        started_at = time.monotonic()
        with pytest.raises(StoreUnavailable, match=r"no response within 1\.0 seconds"):
            store.commit([submission("t")], limits=Limits(total=1.0))
        assert time.monotonic() - started_at < 3.0
        proxy.speak()
        assert store.report(submission("t")).id == "t"
        store.close()


def test_a_writer_ends_although_the_database_does_not_respond(store_url, caplog):
    async def main(store: Store, proxy: Proxy) -> float:
        writer = Writer(store)
        with writer:
            assert await writer.report(submission("before"))
            proxy.go_silent()
            report = asyncio.create_task(writer.report(submission("after")))
            await asyncio.sleep(0.2)
            stopped_at = time.monotonic()
        (outcome,) = await asyncio.gather(report, return_exceptions=True)
        assert isinstance(outcome, StoreUnavailable)
        return time.monotonic() - stopped_at

    with proxied(store_url) as (proxy, url):
        store = Store(url)
        assert asyncio.run(main(store, proxy)) < 6.0
        store.close()
    assert "the store does not respond" in caplog.text


def test_the_health_check_of_a_silent_database_occupies_one_thread(store_url):
    with proxied(store_url) as (proxy, url):
        store = Store(url)
        assert store.health.failed_part() is None
        proxy.go_silent()
        time.sleep(1.1)
        results: list[str | None] = []
        threads = [threading.Thread(target=lambda: results.append(store.health.failed_part())) for _ in range(5)]
        for thread in threads:
            thread.start()
        time.sleep(0.5)
        assert results == [None] * 4
        for thread in threads:
            thread.join(10)
        assert results[4:] == ["read"]
        assert store.health.failed_part() == "read"
        proxy.speak()
        time.sleep(1.1)
        assert store.health.failed_part() is None
        store.close()


def test_a_store_that_goes_away_and_is_back_writes_two_lines(own_server, caplog, monkeypatch):
    monkeypatch.setattr("xpander_server.store.engine.availability._SETTLE_SECONDS", 0.0)
    store = Store(own_server.url())
    store.report(submission("t"))
    with caplog.at_level(logging.INFO, "xpander_server"):
        own_server.stop("immediate")
        for _ in range(20):
            with pytest.raises(StoreUnavailable):
                store.report(submission("t", result="r"))
        assert store.health.failed_part() == "read"
        own_server.start()
        for _ in range(20):
            store.report(submission("t", result="r"))
    lines = [record.getMessage() for record in caplog.records if "for writing" in record.getMessage()]
    assert len(lines) == 2
    assert lines[0].startswith("store unavailable for writing: ")
    assert lines[1].startswith("store available for writing again: 20 failures in ")
    store.close()


def test_a_transaction_has_limits_that_the_url_can_change(store, store_url):
    names = ("lock_timeout", "statement_timeout", "idle_in_transaction_session_timeout", "transaction_timeout")

    def read_limits(store: Store, method: str = "read") -> list[str]:
        def call(connection: Any) -> list[str]:
            return [connection.exec_driver_sql(f"SHOW {name}").scalar() for name in names]

        return getattr(store._database, method)(call)

    assert read_limits(store) == ["10s", "12s", "5s", "13s"]
    assert read_limits(store, "write") == ["10s", "17s", "5s", "18s"]
    other = Store(f"{store_url}?options=-c%20statement_timeout%3D1234")
    assert read_limits(other) == ["10s", "1234ms", "5s", "13s"]
    other.close()
    with psycopg.connect(store_url) as connection:
        connection.execute("SET lock_timeout = 77")
    assert read_limits(store) == ["10s", "12s", "5s", "13s"]


def test_a_connection_notices_a_host_that_has_vanished(store, store_url):
    def parameters(store: Store) -> dict[str, str]:
        return store._database.read(lambda connection: connection.connection.driver_connection.info.get_parameters())

    expected = {"keepalives_idle": "2", "tcp_user_timeout": "5000", "target_session_attrs": "read-write"}
    assert expected.items() <= parameters(store).items()
    other = Store(f"{store_url}?tcp_user_timeout=9000&target_session_attrs=primary&keepalives_idle=60")
    expected = {"keepalives_idle": "60", "tcp_user_timeout": "9000", "target_session_attrs": "primary"}
    assert expected.items() <= parameters(other).items()
    other.close()


def test_a_url_with_several_hosts_finds_the_one_that_works(store_url):
    head, _, rest = store_url.rpartition("127.0.0.1:")
    port, _, database = rest.partition("/")
    for url in (
        f"{head}127.0.0.1:1,127.0.0.1:{port}/{database}",
        f"{head.removesuffix('postgres@')}/{database}?user=postgres&host=127.0.0.1,127.0.0.1&port=1,{port}",
        f"{head.removesuffix('postgres@')}/{database}?user=postgres&host=127.0.0.1:1&host=127.0.0.1:{port}",
    ):
        store = Store(url)
        assert store.health.failed_part() is None
        store.close()


def test_a_url_may_let_the_driver_prepare_every_statement(store_url):
    store = Store(f"{store_url}?prepare_threshold=0")
    store.report(submission("t"))
    assert store.task("org", "t") is not None
    store.close()


def test_parameters_of_a_url_keep_their_characters():
    url = "postgresql://u@h/db?application_name=a+b%20c&options=-c%20work_mem%3D1MB"
    parameters, threshold = _connection_parameters(url)
    assert (parameters["application_name"], parameters["options"], threshold) == ("a+b c", "-c work_mem=1MB", None)


def test_an_update_sets_no_column_of_the_key(store):
    statements = []
    engine = store._database._backend.engine
    event.listen(engine, "before_cursor_execute", lambda *arguments: statements.append(arguments[2]))
    store.report(submission("t"))
    store.report(submission("t", result="r"))
    (update,) = [statement for statement in statements if statement.startswith("UPDATE tasks")]
    columns = [part.split("=")[0].strip() for part in update.partition(" WHERE ")[0].partition(" SET ")[2].split(", ")]
    assert "result" in columns
    assert not {"id", "organization_id"} & {*columns}


@pytest.mark.slow
def test_a_commit_that_no_standby_confirms_is_not_answered(own_server):
    store = Store(own_server.url())
    with psycopg.connect(own_server.url(), autocommit=True) as admin:
        admin.execute("ALTER SYSTEM SET synchronous_standby_names = 'missing'")
        admin.execute("SELECT pg_reload_conf()")
        time.sleep(0.5)
        outcomes: list[Exception] = []

        def report() -> None:
            try:
                store.report(submission("t"))
            except StoreUnavailable as unavailable:
                outcomes.append(unavailable)

        thread = threading.Thread(target=report)
        thread.start()
        cancel = "SELECT pg_cancel_backend(pid) FROM pg_stat_activity WHERE wait_event = 'SyncRep'"
        deadline = time.monotonic() + 10
        while not admin.execute(cancel).fetchall():
            assert time.monotonic() < deadline
            time.sleep(0.05)
        thread.join(10)
        assert "the commit has a warning" in str(outcomes[0])
    store.close()


@pytest.mark.slow
def test_a_store_follows_a_failover_behind_one_address(own_server):
    Store(own_server.url()).close()  # creates the tables
    with own_server.standby() as standby, running_proxy(own_server.port) as proxy, ExitStack() as stack:

        def open_store(url: str) -> Store:
            return stack.enter_context(closing(Store(url)))

        with pytest.raises(StoreError, match="read-only"):
            Store(standby.url())
        hosts = f"127.0.0.1:{standby.port},127.0.0.1:{own_server.port}"
        stores = [
            open_store(f"postgresql://postgres@{hosts}/postgres"),
            open_store(f"postgresql://postgres@127.0.0.1:{proxy.port}/postgres"),
        ]
        for store in stores:
            store.report(submission("t"))
        # Its connections lead to the standby, like those of a pool from before a failover.
        misled = open_store(f"{standby.url()}?target_session_attrs=any")
        with pytest.raises(StoreUnavailable, match="during recovery"):
            misled.report(submission("t", result="r"))
        assert misled.health.failed_part() == "written"
        own_server.stop("immediate")
        with pytest.raises(StoreUnavailable):
            stores[1].report(submission("t", result="r"))
        standby.promote()
        proxy.target = standby.port
        for store in (*stores, misled):
            assert store.report(submission("t", result="r")).result == "r"
        own_server.start()


@pytest.mark.slow
def test_a_frozen_server_in_a_transaction_loses_its_locks(store, store_url):
    store.report(submission("locked"))
    # The process locks the row as the store does, and is frozen.
    program = (
        "import sys, time; from xpander_server.store import Store; from sqlalchemy import text\n"
        "def call(connection):\n"
        "    connection.execute(text(sys.argv[2])).all(); print('locked', flush=True); time.sleep(60)\n"
        "Store(sys.argv[1])._database.write(call)"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program, store_url, LOCKED], stdout=subprocess.PIPE, text=True
    ) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == "locked\n"
            os.kill(process.pid, signal.SIGSTOP)
            started_at = time.monotonic()
            assert store.report(submission("locked", result="r")).result == "r"
            assert time.monotonic() - started_at < 8.0
        finally:
            process.kill()
