"""Backups of SQLite stores."""

import threading

import pytest

from stores.reports import submission
from xpander_server.store import Question, Store, StoreError, backup, restore


def count(store: Store) -> int:
    return len(store.history(Question(organization_id="org"), limit=1_000).tasks)


def test_a_backup_is_whole_while_others_write_and_can_be_restored(tmp_path):
    url, copy, restored_url = f"sqlite:///{tmp_path}/a.db", tmp_path / "copy.db", f"sqlite:///{tmp_path}/b.db"
    store = Store(url)
    store.report(submission("before"))
    ended = threading.Event()

    def write() -> None:
        number = 0
        while not ended.is_set():
            store.commit([submission(f"{number} {part}") for part in "ab"])
            number += 1

    writer = threading.Thread(target=write)
    writer.start()
    backup(url, copy)
    ended.set()
    writer.join()
    store.close()
    restore(copy, restored_url)
    restored = Store(restored_url)
    assert count(restored) % 2 == 1  # the first, and whole commits of two
    before = restored.metrics("org").amounts
    assert before["executing runs"] == count(restored)
    restored.rebuild_metrics()
    assert restored.metrics("org").amounts == before
    restored.close()


def test_nothing_is_overwritten(tmp_path):
    url = f"sqlite:///{tmp_path}/a.db"
    Store(url).close()
    backup(url, tmp_path / "copy.db")
    with pytest.raises(StoreError, match="there already"):
        backup(url, tmp_path / "copy.db")
    with pytest.raises(StoreError, match="there already"):
        restore(tmp_path / "copy.db", url)


def test_a_damaged_backup_is_refused_and_leaves_nothing(tmp_path):
    (tmp_path / "copy.db").write_bytes(b"my diary, " * 1_000)
    with pytest.raises(StoreError, match="no store"):
        restore(tmp_path / "copy.db", f"sqlite:///{tmp_path}/a.db")
    assert [path.name for path in tmp_path.iterdir()] == ["copy.db"]


def test_what_is_not_there_or_no_file_is_refused(tmp_path):
    with pytest.raises(StoreError, match="there is no store"):
        backup(f"sqlite:///{tmp_path}/none.db", tmp_path / "copy.db")
    with pytest.raises(StoreError, match="there is no backup"):
        restore(tmp_path / "none.db", f"sqlite:///{tmp_path}/a.db")
    with pytest.raises(StoreError, match="pg_dump"):
        backup("postgresql://host/db", tmp_path / "copy.db")
