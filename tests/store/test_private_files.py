"""SQLite only: rights of the files of a store."""

import os
import sqlite3
import sqlite3.dbapi2
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from store.reports import submission
from xpander_server.store import Store, StoreError

pytestmark = pytest.mark.skipif(not hasattr(os, "geteuid"), reason="Windows has no rights of users and groups")


@pytest.fixture(params=[0o000, 0o022, 0o077], ids=oct)
def umask(request: pytest.FixtureRequest) -> Iterator[int]:
    previous = os.umask(request.param)
    yield request.param
    os.umask(previous)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return a folder that was created before the umask changes."""
    return tmp_path


def modes(folder: Path) -> dict[str, int]:
    return {path.name: path.stat().st_mode & 0o777 for path in folder.iterdir()}


def test_only_the_owner_can_read_the_files_of_a_new_store(folder: Path, umask: int):
    store = Store(f"sqlite:///{folder}/store.db")
    store.report(submission("1"))
    assert {name: mode for name, mode in modes(folder).items() if name != "store.db-turn"} == {
        "store.db": 0o600,
        "store.db-wal": 0o600,
        "store.db-shm": 0o600,
    }
    assert modes(folder)["store.db-turn"] & 0o077 == 0
    store.close()


def test_file_is_private_before_anything_is_written(folder: Path, monkeypatch: pytest.MonkeyPatch):
    seen = []
    connect = sqlite3.dbapi2.connect
    monkeypatch.setattr(
        sqlite3.dbapi2,
        "connect",
        lambda *arguments, **options: (seen.append(modes(folder)), connect(*arguments, **options))[1],
    )
    Store(f"sqlite:///{folder}/store.db").close()
    assert seen[0] == {"store.db": 0o600}


def test_store_that_everybody_can_read_is_restricted(tmp_path: Path, caplog: pytest.LogCaptureFixture):
    path = tmp_path / "store.db"
    Store(f"sqlite:///{path}").close()
    path.chmod(0o644)
    with closing(sqlite3.connect(path)) as other:  # keeps the write-ahead log
        other.execute("CREATE TEMP TABLE t (x)")
        other.execute("SELECT count(*) FROM tasks").fetchall()
        assert modes(tmp_path)["store.db-wal"] == 0o644
        store = Store(f"sqlite:///{path}")
        store.report(submission("1"))
        assert {modes(tmp_path)[name] for name in ("store.db", "store.db-wal", "store.db-shm")} == {0o600}
        store.close()
    assert "restricted the file" in caplog.text


def test_store_that_a_group_shares_keeps_its_mode(tmp_path: Path):
    path = tmp_path / "store.db"
    Store(f"sqlite:///{path}").close()
    path.chmod(0o660)
    store = Store(f"sqlite:///{path}")
    store.report(submission("1"))
    assert {modes(tmp_path)[name] for name in ("store.db", "store.db-wal", "store.db-shm")} == {0o660}
    store.close()


def test_lock_file_is_never_created_through_a_link(tmp_path: Path):
    (tmp_path / "store.db-turn").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(StoreError, match=r"lock file .*store\.db-turn"):
        Store(f"sqlite:///{tmp_path}/store.db")
    assert not (tmp_path / "elsewhere").exists()


def test_folder_in_place_of_a_file_is_refused_and_keeps_its_mode(tmp_path: Path):
    tmp_path.chmod(0o755)
    with pytest.raises(StoreError, match=r"is a folder: name a file in it, such as sqlite:///.*/runs\.db"):
        Store(f"sqlite:///{tmp_path}")
    assert tmp_path.stat().st_mode & 0o777 == 0o755


@pytest.mark.parametrize("journal_mode", ["delete", "wal"])
def test_database_of_another_program_is_refused_and_keeps_its_mode_and_content(tmp_path: Path, journal_mode: str):
    path = tmp_path / "contacts.db"
    with closing(sqlite3.connect(path)) as other:
        other.execute(f"PRAGMA journal_mode = {journal_mode}")
        other.execute("CREATE TABLE contacts (name TEXT)")
    path.chmod(0o644)
    content = path.read_bytes()
    with pytest.raises(StoreError, match="another program's: it has the tables contacts"):
        Store(f"sqlite:///{path}")
    assert (path.stat().st_mode & 0o777, path.read_bytes()) == (0o644, content)


def test_file_that_is_no_database_keeps_its_mode_and_content(tmp_path: Path):
    path = tmp_path / "notes.txt"
    path.write_text("Buy milk.\n" * 200)
    path.chmod(0o644)
    with pytest.raises(StoreError, match="not a database"):
        Store(f"sqlite:///{path}")
    assert (path.stat().st_mode & 0o777, path.read_text()) == (0o644, "Buy milk.\n" * 200)


def test_device_keeps_its_mode():
    mode = os.stat("/dev/null").st_mode
    with pytest.raises(StoreError):
        Store("sqlite:////dev/null")
    assert os.stat("/dev/null").st_mode == mode
