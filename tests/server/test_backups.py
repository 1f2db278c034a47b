"""Copies of a store: made and put back while it is served and reported to."""

import shutil
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import httpx
import pytest
from click.testing import CliRunner

from server.conftest import Shop
from support.server import KEY, Server, running_server
from xpander_sdk.cli import main
from xpander_server.store import Store

AUTHORIZED = {"x-api-key": KEY}


def cli(*arguments: object):
    return CliRunner().invoke(main, [str(argument) for argument in arguments])


def ids(path: Path) -> list[str]:
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        return [row[0] for row in connection.execute("SELECT id FROM tasks ORDER BY created_at, id")]


@contextmanager
def reported_to(server: Server) -> Iterator[list[str]]:
    """Reports one after the other from several threads; the ids that were taken."""
    taken: list[str] = []
    go_on = [True]
    started = threading.Barrier(5, timeout=60)

    def report(worker: int) -> None:
        with httpx.Client(base_url=server.url, headers=AUTHORIZED, trust_env=False, timeout=60) as client:
            number = 0
            while go_on:
                task_id = f"{worker}-{number}"
                client.post("/agent-execution/a/report_task", json={"id": task_id}).raise_for_status()
                taken.append(task_id)
                number += 1
                if number == 5:
                    started.wait()

    workers = [threading.Thread(target=report, args=(number,)) for number in range(4)]
    for worker in workers:
        worker.start()
    try:
        started.wait()
        yield taken
    finally:
        go_on.clear()
        for worker in workers:
            worker.join(60)


def test_a_backup_under_load_has_all_that_was_answered_before_it_began(shop: Shop, tmp_path: Path):
    with running_server(shop.path) as server, reported_to(server) as taken:
        for number in range(3):
            before = set(taken)
            done = cli("backup", tmp_path / f"{number}.db", "--store", shop.url)
            assert done.exit_code == 0, done.output
            found = ids(tmp_path / f"{number}.db")
            assert before <= set(found)
            assert f"{len(found):,} tasks" in done.output
    assert sorted(path.name for path in tmp_path.iterdir()) == ["0.db", "1.db", "2.db"]
    assert (tmp_path / "0.db").stat().st_mode & 0o777 == 0o600


def test_a_backup_is_a_store_of_its_own(shop: Shop, tmp_path: Path):
    key = shop.key("ci", "org")
    assert cli("backup", tmp_path / "copy.db", "--store", shop.url).exit_code == 0
    with running_server(tmp_path / "copy.db") as server:
        answer = httpx.get(f"{server.url}/agents-metrics/a", headers={"x-api-key": key}, trust_env=False)
        assert answer.status_code == 200


def test_a_restore_under_load_puts_back_what_was_there(shop: Shop, tmp_path: Path):
    with (
        running_server(shop.path) as server,
        httpx.Client(base_url=server.url, headers=AUTHORIZED, trust_env=False) as client,
    ):
        client.post("/agent-execution/a/report_task", json={"id": "kept", "result": "r"}).raise_for_status()
        assert cli("backup", tmp_path / "copy.db", "--store", shop.url).exit_code == 0
        client.post("/agent-execution/a/report_task", json={"id": "gone"}).raise_for_status()
        with reported_to(server):
            done = cli("restore", tmp_path / "copy.db", "--store", shop.url, "--yes")
        assert (done.exit_code, "1 task of" in done.output) == (0, True), done.output
        assert client.get("/agent-execution/kept/status").json()["result"] == "r"
        assert client.get("/agent-execution/gone/status").status_code == 404
        # It goes on as a store.
        client.post("/agent-execution/a/report_task", json={"id": "later"}).raise_for_status()
    found = ids(shop.path)
    assert {"kept", "later"} <= set(found)
    assert "gone" not in found


def test_a_restore_makes_a_store_where_there_is_none(shop: Shop, tmp_path: Path):
    shop.key("ci", "org")
    assert cli("backup", tmp_path / "copy.db", "--store", shop.url).exit_code == 0
    assert cli("restore", tmp_path / "copy.db", "--store", f"sqlite:///{tmp_path}/new.db", "--yes").exit_code == 0
    assert [key.name for key in keys_of(tmp_path / "new.db")] == ["ci"]


def keys_of(path: Path):
    store = Store(f"sqlite:///{path}")
    try:
        return store.keys.list_keys()
    finally:
        store.close()


def test_a_restore_asks_first(shop: Shop, tmp_path: Path):
    shop.key("ci", "org")
    cli("backup", tmp_path / "copy.db", "--store", shop.url)
    shop.key("another", "org")
    refused = CliRunner().invoke(main, ["restore", str(tmp_path / "copy.db"), "--store", shop.url], input="n\n")
    assert refused.exit_code == 1
    assert len(keys_of(shop.path)) == 2
    CliRunner().invoke(main, ["restore", str(tmp_path / "copy.db"), "--store", shop.url], input="y\n")
    assert len(keys_of(shop.path)) == 1


def test_a_backup_replaces_nothing(shop: Shop, tmp_path: Path):
    shop.key("ci", "org")
    (tmp_path / "precious").write_text("diary")
    done = cli("backup", tmp_path / "precious", "--store", shop.url)
    assert (done.exit_code, "must not exist yet" in done.output) == (2, True)
    assert (tmp_path / "precious").read_text() == "diary"


@pytest.mark.parametrize(
    ("content", "told"),
    [(None, "no file"), (b"", "not a store of this program"), (b"my diary, " * 1_000, "not a store")],
)
def test_what_is_no_store_is_not_put_back(shop: Shop, tmp_path: Path, content: bytes | None, told: str):
    shop.key("ci", "org")
    if content is not None:
        (tmp_path / "copy.db").write_bytes(content)
    done = cli("restore", tmp_path / "copy.db", "--store", shop.url, "--yes")
    assert (done.exit_code, told in done.output) == (2, True), done.output
    assert [key.name for key in keys_of(shop.path)] == ["ci"]


def test_a_damaged_copy_is_not_put_back(shop: Shop, tmp_path: Path):
    shop.key("ci", "org")
    cli("backup", tmp_path / "copy.db", "--store", shop.url)
    whole = (tmp_path / "copy.db").read_bytes()
    (tmp_path / "copy.db").write_bytes(whole[: 3 * 4_096] + b"\xff" * (len(whole) - 3 * 4_096))
    done = cli("restore", tmp_path / "copy.db", "--store", shop.url, "--yes")
    assert done.exit_code == 2, done.output
    assert [key.name for key in keys_of(shop.path)] == ["ci"]


def test_another_programs_file_is_not_overwritten(shop: Shop, tmp_path: Path):
    shop.key("ci", "org")
    cli("backup", tmp_path / "copy.db", "--store", shop.url)
    with closing(sqlite3.connect(tmp_path / "theirs.db")) as connection:
        connection.execute("CREATE TABLE precious (x)")
    done = cli("restore", tmp_path / "copy.db", "--store", f"sqlite:///{tmp_path}/theirs.db", "--yes")
    assert (done.exit_code, "another program's" in done.output) == (2, True), done.output
    with closing(sqlite3.connect(tmp_path / "theirs.db")) as connection:
        assert [row[0] for row in connection.execute("SELECT name FROM sqlite_master")] == ["precious"]


def test_a_copy_of_a_newer_version_is_refused_and_the_store_stays(shop: Shop, tmp_path: Path):
    shop.key("ci", "org")
    cli("backup", tmp_path / "copy.db", "--store", shop.url)
    with closing(sqlite3.connect(tmp_path / "copy.db")) as connection:
        connection.execute("UPDATE alembic_version SET version_num = '9999'")
        connection.commit()
    done = cli("restore", tmp_path / "copy.db", "--store", shop.url, "--yes")
    assert (done.exit_code, "newer" in done.output) == (2, True), done.output
    assert [key.name for key in keys_of(shop.path)] == ["ci"]


@pytest.mark.parametrize("command", ["backup", "restore"])
def test_postgresql_is_told_its_own_tools(command: str, tmp_path: Path):
    sure = ["--yes"] if command == "restore" else []
    done = cli(command, tmp_path / "copy", "--store", "postgresql://user:hunter2@db/runs", *sure)
    assert (done.exit_code, "pg_dump" in done.output) == (2, True)
    assert "hunter2" not in done.output


def test_a_folder_that_is_missing_is_told(shop: Shop, tmp_path: Path):
    shop.key("ci", "org")
    done = cli("backup", tmp_path / "none" / "copy.db", "--store", shop.url)
    assert (done.exit_code, "cannot write to the folder" in done.output) == (2, True)
    shutil.rmtree(shop.path.parent)
    assert "no file" in cli("backup", tmp_path / "copy.db", "--store", shop.url).output
