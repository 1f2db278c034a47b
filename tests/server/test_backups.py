"""Backup and restore of a store while a server uses it."""

import shutil
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import httpx
import pytest
from click.testing import CliRunner
from sqlalchemy import create_engine

from server.conftest import StoreWithKeys
from support.server import KEY, Server, running_server
from xpander_sdk.cli import main
from xpander_server.store import Store
from xpander_server.store.schema.migrate import create_schema
from xpander_server.store.schema.tables import REVISION

AUTHORIZED = {"x-api-key": KEY}


def run_command(*arguments: object):
    return CliRunner().invoke(main, [str(argument) for argument in arguments])


def task_ids(path: Path) -> list[str]:
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        return [row[0] for row in connection.execute("SELECT id FROM tasks ORDER BY created_at, id")]


@contextmanager
def constant_load(server: Server) -> Iterator[list[str]]:
    """Send reports from several threads during the block; yield the growing list of accepted ids."""
    accepted: list[str] = []
    is_running = [True]
    started = threading.Barrier(5, timeout=60)

    def report(worker: int) -> None:
        with httpx.Client(base_url=server.url, headers=AUTHORIZED, trust_env=False, timeout=60) as client:
            number = 0
            while is_running:
                task_id = f"{worker}-{number}"
                client.post("/agent-execution/a/report_task", json={"id": task_id}).raise_for_status()
                accepted.append(task_id)
                number += 1
                if number == 5:
                    started.wait()

    workers = [threading.Thread(target=report, args=(number,)) for number in range(4)]
    for worker in workers:
        worker.start()
    try:
        started.wait()
        yield accepted
    finally:
        is_running.clear()
        for worker in workers:
            worker.join(60)


def test_backup_under_load_contains_all_earlier_reports(store_with_keys: StoreWithKeys, tmp_path: Path):
    with running_server(store_with_keys.path) as server, constant_load(server) as accepted:
        for number in range(3):
            before = set(accepted)
            result = run_command("backup", tmp_path / f"{number}.db", "--store", store_with_keys.url)
            assert result.exit_code == 0, result.output
            stored = task_ids(tmp_path / f"{number}.db")
            assert before <= set(stored)
            assert f"{len(stored):,} tasks" in result.output
    assert sorted(path.name for path in tmp_path.iterdir()) == ["0.db", "1.db", "2.db"]
    assert (tmp_path / "0.db").stat().st_mode & 0o777 == 0o600


def test_backup_can_be_served(store_with_keys: StoreWithKeys, tmp_path: Path):
    key = store_with_keys.create_key("ci", "org")
    assert run_command("backup", tmp_path / "copy.db", "--store", store_with_keys.url).exit_code == 0
    with running_server(tmp_path / "copy.db") as server:
        response = httpx.get(f"{server.url}/agents-metrics/a", headers={"x-api-key": key}, trust_env=False)
        assert response.status_code == 200


def test_restore_under_load_replaces_the_content(store_with_keys: StoreWithKeys, tmp_path: Path):
    with (
        running_server(store_with_keys.path) as server,
        httpx.Client(base_url=server.url, headers=AUTHORIZED, trust_env=False) as client,
    ):
        client.post("/agent-execution/a/report_task", json={"id": "kept", "result": "r"}).raise_for_status()
        assert run_command("backup", tmp_path / "copy.db", "--store", store_with_keys.url).exit_code == 0
        client.post("/agent-execution/a/report_task", json={"id": "gone"}).raise_for_status()
        with constant_load(server):
            result = run_command("restore", tmp_path / "copy.db", "--store", store_with_keys.url, "--yes")
        assert (result.exit_code, "1 task of" in result.output) == (0, True), result.output
        assert client.get("/agent-execution/kept/status").json()["result"] == "r"
        assert client.get("/agent-execution/gone/status").status_code == 404
        # The restored store accepts reports.
        client.post("/agent-execution/a/report_task", json={"id": "later"}).raise_for_status()
    stored = task_ids(store_with_keys.path)
    assert {"kept", "later"} <= set(stored)
    assert "gone" not in stored


def test_restore_creates_a_missing_store(store_with_keys: StoreWithKeys, tmp_path: Path):
    store_with_keys.create_key("ci", "org")
    assert run_command("backup", tmp_path / "copy.db", "--store", store_with_keys.url).exit_code == 0
    assert (
        run_command("restore", tmp_path / "copy.db", "--store", f"sqlite:///{tmp_path}/new.db", "--yes").exit_code == 0
    )
    assert [key.name for key in read_keys(tmp_path / "new.db")] == ["ci"]


def read_keys(path: Path):
    store = Store(f"sqlite:///{path}")
    try:
        return store.keys.list_keys()
    finally:
        store.close()


def test_restore_asks_for_confirmation(store_with_keys: StoreWithKeys, tmp_path: Path):
    store_with_keys.create_key("ci", "org")
    run_command("backup", tmp_path / "copy.db", "--store", store_with_keys.url)
    store_with_keys.create_key("another", "org")
    refused = CliRunner().invoke(
        main, ["restore", str(tmp_path / "copy.db"), "--store", store_with_keys.url], input="n\n"
    )
    assert refused.exit_code == 1
    assert len(read_keys(store_with_keys.path)) == 2
    CliRunner().invoke(main, ["restore", str(tmp_path / "copy.db"), "--store", store_with_keys.url], input="y\n")
    assert len(read_keys(store_with_keys.path)) == 1


def test_restore_prints_no_warning_about_its_temporary_file(store_with_keys: StoreWithKeys, tmp_path: Path):
    store_with_keys.create_key("ci", "org")
    run_command("backup", tmp_path / "copy.db", "--store", store_with_keys.url)
    command = [sys.executable, "-m", "xpander_sdk.cli", "restore", str(tmp_path / "copy.db"), "--yes"]
    result = subprocess.run(
        [*command, "--store", store_with_keys.url], capture_output=True, text=True, timeout=60, umask=0o022
    )
    assert (result.returncode, result.stderr) == (0, "")


def test_the_question_of_restore_names_the_audit_log(store_with_keys: StoreWithKeys, tmp_path: Path):
    result = CliRunner().invoke(main, ["restore", str(tmp_path / "copy.db"), "--store", store_with_keys.url], input="n")
    assert "Replace all tasks and keys and the audit log" in result.output


def test_backup_does_not_replace_a_file(store_with_keys: StoreWithKeys, tmp_path: Path):
    store_with_keys.create_key("ci", "org")
    (tmp_path / "precious").write_text("diary")
    result = run_command("backup", tmp_path / "precious", "--store", store_with_keys.url)
    assert (result.exit_code, "must not exist yet" in result.output) == (2, True)
    assert (tmp_path / "precious").read_text() == "diary"


@pytest.mark.parametrize(
    ("content", "error"),
    [(None, "no file"), (b"", "not a store of this program"), (b"my diary, " * 1_000, "not a store")],
)
def test_restore_rejects_files_that_are_not_stores(
    store_with_keys: StoreWithKeys, tmp_path: Path, content: bytes | None, error: str
):
    store_with_keys.create_key("ci", "org")
    if content is not None:
        (tmp_path / "copy.db").write_bytes(content)
    result = run_command("restore", tmp_path / "copy.db", "--store", store_with_keys.url, "--yes")
    assert (result.exit_code, error in result.output) == (2, True), result.output
    assert [key.name for key in read_keys(store_with_keys.path)] == ["ci"]


def test_restore_rejects_a_damaged_copy(store_with_keys: StoreWithKeys, tmp_path: Path):
    store_with_keys.create_key("ci", "org")
    run_command("backup", tmp_path / "copy.db", "--store", store_with_keys.url)
    content = (tmp_path / "copy.db").read_bytes()
    (tmp_path / "copy.db").write_bytes(content[: 3 * 4_096] + b"\xff" * (len(content) - 3 * 4_096))
    result = run_command("restore", tmp_path / "copy.db", "--store", store_with_keys.url, "--yes")
    assert result.exit_code == 2, result.output
    assert [key.name for key in read_keys(store_with_keys.path)] == ["ci"]


def test_restore_does_not_overwrite_other_databases(store_with_keys: StoreWithKeys, tmp_path: Path):
    store_with_keys.create_key("ci", "org")
    run_command("backup", tmp_path / "copy.db", "--store", store_with_keys.url)
    with closing(sqlite3.connect(tmp_path / "theirs.db")) as connection:
        connection.execute("CREATE TABLE precious (x)")
    result = run_command("restore", tmp_path / "copy.db", "--store", f"sqlite:///{tmp_path}/theirs.db", "--yes")
    assert (result.exit_code, "another program's" in result.output) == (2, True), result.output
    with closing(sqlite3.connect(tmp_path / "theirs.db")) as connection:
        assert [row[0] for row in connection.execute("SELECT name FROM sqlite_master")] == ["precious"]


def test_restore_rejects_a_newer_schema(store_with_keys: StoreWithKeys, tmp_path: Path):
    store_with_keys.create_key("ci", "org")
    run_command("backup", tmp_path / "copy.db", "--store", store_with_keys.url)
    with closing(sqlite3.connect(tmp_path / "copy.db")) as connection:
        connection.execute("UPDATE alembic_version SET version_num = '9999'")
        connection.commit()
    result = run_command("restore", tmp_path / "copy.db", "--store", store_with_keys.url, "--yes")
    assert (result.exit_code, "newer" in result.output) == (2, True), result.output
    assert [key.name for key in read_keys(store_with_keys.path)] == ["ci"]


@pytest.mark.parametrize("command", ["backup", "restore"])
def test_postgresql_error_names_pg_dump(command: str, tmp_path: Path):
    confirmation = ["--yes"] if command == "restore" else []
    result = run_command(command, tmp_path / "copy", "--store", "postgresql://user:hunter2@db/runs", *confirmation)
    assert (result.exit_code, "pg_dump" in result.output) == (2, True)
    assert "hunter2" not in result.output


def test_missing_folder_or_store_is_an_error(store_with_keys: StoreWithKeys, tmp_path: Path):
    store_with_keys.create_key("ci", "org")
    result = run_command("backup", tmp_path / "none" / "copy.db", "--store", store_with_keys.url)
    assert (result.exit_code, "cannot write to the folder" in result.output) == (2, True)
    shutil.rmtree(store_with_keys.path.parent)
    assert "there is no store at" in run_command("backup", tmp_path / "copy.db", "--store", store_with_keys.url).output


@pytest.mark.parametrize(
    "statement",
    [
        "CREATE TRIGGER backdoor AFTER INSERT ON tasks BEGIN UPDATE api_keys SET revoked_at = NULL; END",
        "CREATE VIEW more AS SELECT * FROM tasks",
        "CREATE TABLE hidden (x)",
        "CREATE INDEX slow ON tasks (result)",
        "ALTER TABLE tasks ADD COLUMN more",
        "DROP TABLE sessions",
        "DROP INDEX tasks_of_user",
        "INSERT INTO alembic_version VALUES ('0001')",
        "DELETE FROM alembic_version",
        "UPDATE alembic_version SET version_num = '0003'",
    ],
)
def test_restore_rejects_a_copy_that_somebody_has_changed(
    store_with_keys: StoreWithKeys, tmp_path: Path, statement: str
):
    store_with_keys.create_key("ci", "org")
    run_command("backup", tmp_path / "copy.db", "--store", store_with_keys.url)
    before = store_with_keys.path.read_bytes()
    with closing(sqlite3.connect(tmp_path / "copy.db")) as connection:
        connection.execute(statement)
        connection.commit()
    result = run_command("restore", tmp_path / "copy.db", "--store", store_with_keys.url, "--yes")
    assert (result.exit_code, "not a store of this program" in result.output) == (2, True), result.output
    assert store_with_keys.path.read_bytes() == before


def test_restore_executes_no_view_of_a_foreign_file(store_with_keys: StoreWithKeys, tmp_path: Path):
    store_with_keys.create_key("ci", "org")
    with closing(sqlite3.connect(tmp_path / "copy.db")) as connection:
        connection.execute("CREATE TABLE alembic_version (version_num)")
        connection.execute(f"INSERT INTO alembic_version VALUES ('{REVISION}')")
        # Counting its rows would never end.
        connection.execute(
            "CREATE VIEW tasks AS WITH RECURSIVE n (id) AS (SELECT 1 UNION ALL SELECT id + 1 FROM n) SELECT id FROM n"
        )
        connection.commit()
    result = run_command("restore", tmp_path / "copy.db", "--store", store_with_keys.url, "--yes")
    assert (result.exit_code, "view tasks" in result.output) == (2, True), result.output


def test_restore_reads_the_sql_of_objects_that_have_the_name_of_statistics(
    store_with_keys: StoreWithKeys, tmp_path: Path
):
    store_with_keys.create_key("ci", "org")
    run_command("backup", tmp_path / "copy.db", "--store", store_with_keys.url)
    with closing(sqlite3.connect(tmp_path / "copy.db")) as connection:
        connection.execute("ANALYZE")
        connection.commit()
    assert run_command("restore", tmp_path / "copy.db", "--store", store_with_keys.url, "--yes").exit_code == 0
    with closing(sqlite3.connect(tmp_path / "copy.db")) as connection:
        connection.execute("PRAGMA writable_schema = ON")
        connection.execute(
            "UPDATE sqlite_schema SET sql = 'CREATE TRIGGER backdoor AFTER INSERT ON tasks BEGIN SELECT 1; END' "
            "WHERE name = 'sqlite_stat1'"
        )
        connection.commit()
    assert run_command("restore", tmp_path / "copy.db", "--store", store_with_keys.url, "--yes").exit_code == 2
    with closing(sqlite3.connect(store_with_keys.path)) as connection:
        assert connection.execute("SELECT name FROM sqlite_schema WHERE type = 'trigger'").fetchall() == []


@pytest.mark.parametrize("revision", ["0001", "0002", "0003", "0004", "0005"])
def test_restore_migrates_backups_of_earlier_versions(store_with_keys: StoreWithKeys, tmp_path: Path, revision: str):
    engine = create_engine(f"sqlite:///{tmp_path}/copy.db")
    with engine.begin() as connection:
        create_schema(connection, revision)
    engine.dispose()
    result = run_command("restore", tmp_path / "copy.db", "--store", store_with_keys.url, "--yes")
    assert (result.exit_code, "0 tasks" in result.output) == (0, True), result.output
    assert read_keys(store_with_keys.path) == []
