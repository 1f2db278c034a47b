"""Files of the outbox: permissions, damage, replacement, and size."""

import os
import shutil
import sqlite3
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from outbox.helpers import (
    KEY,
    NO_LIMITS,
    TIMEOUT,
    RecordingBackend,
    ReplaceableSend,
    assert_balanced,
    fill_with_garbage,
    make_configuration,
    make_report,
    mode,
    put,
    read_files,
    remove_files,
    store_at,
    wait_until,
)
from xpander_sdk import Backend, OutboxError
from xpander_sdk.outbox.outbox import Outbox
from xpander_sdk.outbox.storage.stats import Counters
from xpander_sdk.receipt import ReceiptState


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "folder" / "outbox.db"


@pytest.fixture
def outbox(path: Path, send: ReplaceableSend) -> Iterator[Outbox]:
    outbox = Outbox(str(path), send=send)
    yield outbox
    with suppress(OutboxError):
        outbox.close(0)


# Permissions


@pytest.mark.parametrize("umask", [0o000, 0o022, 0o077, 0o277])
def test_file_is_private_with_any_umask(umask, outbox: Outbox, path: Path):
    path.parent.mkdir(mode=0o755)
    before = os.umask(umask)
    try:
        put(outbox, worker="none")
        outbox.close(0)
        put(outbox, worker="none")
        files = sorted(path.parent.iterdir())
        assert {file.name for file in files} >= {"outbox.db", "outbox.db-wal", "outbox.db-shm"}
        assert {mode(file) for file in files} == {0o600}
    finally:
        os.umask(before)
    assert not any(mode(file) & 0o077 for file in files)


def test_readable_file_is_made_private(outbox: Outbox, path: Path):
    put(outbox, worker="none")
    for file in path.parent.glob("outbox.db*"):
        file.chmod(0o644)
    later = Outbox(str(path))
    put(later, worker="none")
    assert {mode(file) for file in path.parent.glob("outbox.db*") if not file.name.endswith(".lock")} == {0o600}
    later.close(0)


def test_folder_is_private(outbox: Outbox, path: Path):
    put(outbox, worker="none")
    assert mode(path.parent) == 0o700


def test_missing_parents_of_the_folder_are_private(tmp_path: Path):
    path = tmp_path / "share" / "product" / "outbox.db"
    outbox = Outbox(str(path))
    put(outbox, worker="none")
    outbox.close(0)
    assert [mode(folder) for folder in path.parents[:2]] == [0o700, 0o700]


def test_key_is_not_in_the_file(outbox: Outbox, path: Path, send: ReplaceableSend):
    put(outbox, "run-1", worker="none")
    put(outbox, "run-2", worker="none", api_key=lambda: KEY)
    (path.parent / "key").write_text(KEY)
    from xpander_sdk.settings.configuration import KeyFile

    put(outbox, "run-3", worker="none", api_key=KeyFile(str(path.parent / "key")))

    def fail(configuration: Any, operation: Any) -> Any:
        raise ValueError("the key is unavailable")

    send.backend = fail
    outbox.drain(TIMEOUT)
    assert outbox.stats().pending == 3
    assert KEY.encode() not in read_files(path)


# Damaged and foreign files


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def overwrite_pages(path: Path) -> None:
    """Keep the header and overwrite all other pages."""
    data = bytearray(path.read_bytes())
    data[1_024:] = os.urandom(len(data) - 1_024)
    path.write_bytes(data)


@pytest.mark.parametrize("damage", [fill_with_garbage, truncate, overwrite_pages])
def test_damaged_file_is_set_aside_and_not_deleted(damage, path: Path, backend: RecordingBackend, caplog):
    before = Outbox(str(path), send=backend)
    for number in range(50):
        put(before, f"run-{number}", worker="none", result="x" * 500)
    before.close(0)
    damage(path)
    damaged = path.read_bytes()
    outbox = Outbox(str(path), send=backend)
    receipt = put(outbox, "run-after", worker="none")
    for _ in range(3):
        try:
            outbox.drain(TIMEOUT)
            break
        except OutboxError:
            pass  # The damage was found only now. Reports stored since are in the file that was set aside.
    set_aside = files_set_aside(path)
    assert len(set_aside) == 1
    assert len(set_aside[0].read_bytes()) >= len(damaged)
    assert "set aside" in caplog.text
    assert receipt.state in (ReceiptState.Delivered, ReceiptState.Unknown)
    assert put(outbox, "run-then", worker="none").state is ReceiptState.Pending
    assert outbox.drain(TIMEOUT)
    assert_balanced(outbox.stats())
    assert mode(set_aside[0]) == 0o600
    outbox.close(0)


def test_empty_file_is_used(outbox: Outbox, path: Path):
    path.parent.mkdir()
    path.touch()
    assert put(outbox, worker="none").state is ReceiptState.Pending
    assert files_set_aside(path) == []


@pytest.mark.parametrize("content", [b"", b"garbage" * 5_000])
def test_invalid_log_is_ignored(content, path: Path, backend: RecordingBackend):
    before = Outbox(str(path), send=backend)
    put(before, "run-1", worker="none")
    before.close(0)
    Path(f"{path}-wal").write_bytes(content)
    Path(f"{path}-shm").write_bytes(content)
    outbox = Outbox(str(path), send=backend)
    put(outbox, "run-2", worker="none")
    assert outbox.drain(TIMEOUT)
    assert sorted(backend.runs) == ["run-1", "run-2"]
    outbox.close(0)


def test_file_of_a_newer_version_is_not_changed(outbox: Outbox, path: Path):
    put(outbox, worker="none")
    outbox.close(0)
    with sqlite3.connect(path) as connection:
        connection.execute("PRAGMA user_version = 99")
    connection.close()
    before = path.read_bytes()
    with pytest.raises(OutboxError, match="newer version") as raised:
        put(outbox, worker="none")
    assert raised.value.report_id == "run-1"
    assert path.read_bytes() == before


def test_file_of_another_program_is_not_changed(outbox: Outbox, path: Path):
    path.parent.mkdir()
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE contacts (name TEXT)")
        connection.execute("INSERT INTO contacts VALUES ('Ada')")
    connection.close()
    path.chmod(0o644)
    before = path.read_bytes()
    with pytest.raises(OutboxError, match="another program's"):
        put(outbox, worker="none")
    with pytest.raises(OutboxError):
        outbox.stats()
    assert (path.read_bytes(), path.stat().st_mode & 0o777) == (before, 0o644)
    assert sorted(file.name for file in path.parent.iterdir()) in (["outbox.db"], ["outbox.db", "outbox.db.lock"])


def test_store_of_an_embedded_backend_is_refused(embedded):
    store = embedded.base_url.removeprefix("sqlite:///")
    with Backend(embedded) as embedded_backend:
        embedded_backend.report_external_task("agent-1", id="run-1")
    with pytest.raises(OutboxError, match="another program's"):
        put(Outbox(store), worker="none")


def test_folder_at_the_path_raises_outbox_error(outbox: Outbox, path: Path):
    path.mkdir(parents=True)
    with pytest.raises(OutboxError):
        put(outbox, worker="none")


# Replaced files


def test_removed_file_is_created_again(outbox: Outbox, path: Path, backend: RecordingBackend, caplog):
    old = put(outbox, "run-1", worker="none")
    remove_files(path)
    new = put(outbox, "run-2", worker="none")
    assert (old.state, new.state) == (ReceiptState.Unknown, ReceiptState.Pending)
    assert "removed or replaced" in caplog.text
    assert outbox.drain(TIMEOUT)
    assert backend.runs == ["run-2"]


def is_asleep(thread: threading.Thread) -> bool:
    """Return whether a worker's thread waits for work, and thus is not between a look for the file and its use."""
    frame = sys._current_frames().get(thread.ident or 0)
    while frame is not None and frame.f_code.co_filename == threading.__file__:
        frame = frame.f_back
    return frame is not None and frame.f_code.co_name == "_wait_for_work"


def test_removed_folder_is_created_only_for_a_report(outbox: Outbox, path: Path):
    put(outbox).wait(TIMEOUT)
    assert outbox._state.worker is not None
    workers = list(outbox._state.worker._threads)
    wait_until(lambda: all(not thread.is_alive() or is_asleep(thread) for thread in workers))
    shutil.rmtree(path.parent)
    outbox._state.worker.wake()
    outbox._state.finish()  # as at exit
    assert not path.parent.exists()
    assert put(outbox, "run-2").wait(TIMEOUT) is ReceiptState.Delivered


def test_replaced_file_is_used(outbox: Outbox, path: Path, tmp_path: Path, backend: RecordingBackend):
    other = Outbox(str(tmp_path / "other.db"), send=backend)
    put(other, "run-of-other", worker="none")
    other.close(0)
    put(outbox, "run-1", worker="none")
    remove_files(path)  # With the log, which SQLite would apply to the other file.
    os.replace(other.path, path)
    put(outbox, "run-2", worker="none")
    assert outbox.drain(TIMEOUT)
    assert sorted(backend.runs) == ["run-2", "run-of-other"]


@pytest.mark.parametrize("damage", [fill_with_garbage, overwrite_pages])
def test_damaged_file_is_set_aside_once_by_many_processes(damage, path: Path):
    before = Outbox(str(path))
    for number in range(20):
        put(before, f"before-{number}", worker="none", result="x" * 500)
    before.close(0)
    damage(path)
    outboxes = [Outbox(str(path)) for _ in range(6)]
    receipts = run_at_once(
        [lambda outbox=outbox, n=n: put(outbox, f"run-{n}", worker="none") for n, outbox in enumerate(outboxes)]
    )
    assert {receipt.state for receipt in receipts} == {ReceiptState.Pending}
    assert len(files_set_aside(path)) == 1
    assert assert_balanced(outboxes[0].stats()).pending == 6
    for outbox in outboxes:
        outbox.close(0)


def test_many_outboxes_create_one_file_at_once(path: Path):
    outboxes = [Outbox(str(path)) for _ in range(8)]
    run_at_once(
        [
            lambda outbox=outbox, n=n: [put(outbox, f"run-{n}-{number}", worker="none") for number in range(10)]
            for n, outbox in enumerate(outboxes)
        ]
    )
    assert assert_balanced(outboxes[0].stats()).pending == 80
    for outbox in outboxes:
        outbox.close(0)


def files_set_aside(path: Path) -> list[Path]:
    return [file for file in path.parent.glob("*.corrupt-*") if not file.name.endswith(("-wal", "-shm"))]


def run_at_once(calls: list[Callable[[], Any]]) -> list[Any]:
    barrier = threading.Barrier(len(calls))

    def call_after_barrier(call: Callable[[], Any]) -> Any:
        barrier.wait()
        return call()

    with ThreadPoolExecutor(len(calls)) as pool:
        return list(pool.map(call_after_barrier, calls))


# Size


def test_file_shrinks_after_delivery(path: Path):
    store = store_at(path)
    big = make_report(result="x" * 20_000)
    for _ in range(300):
        store.put(lambda salt: ("http://one", "", "key:1"), big, **NO_LIMITS)
    while (batch := store.claim("owner", [1], 30_000_000)) is not None:
        store.delivered(batch)
    steps = 1
    while store.database.vacuum_step():
        steps += 1
    assert steps > 3, "the file must shrink in small steps, which do not delay other processes"
    store.database.close()
    assert path.stat().st_size < 2_500_000
    assert_balanced(Counters(store.database).stats())
    store.database.close()


def test_log_stays_small(outbox: Outbox, path: Path):
    largest = 0
    for number in range(3_000):
        put(outbox, f"run-{number}", result="x" * 2_000)
        if number % 100 == 0:
            assert outbox.flush(TIMEOUT)
            largest = max(largest, sum(file.stat().st_size for file in path.parent.glob("outbox.db*")))
    assert largest < 25_000_000
    assert outbox.flush(TIMEOUT)
    with sqlite3.connect(path) as connection:
        assert connection.execute("SELECT count(*) FROM leases").fetchone() == (0,)
    connection.close()


def test_settings_have_the_path(path: Path):
    assert make_configuration(path).outbox is not None
    assert make_configuration(path).outbox.path == str(path)  # type: ignore[union-attr]
