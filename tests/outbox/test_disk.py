"""What may happen to the file, and to the disk that it is on."""

import os
import shutil
import sqlite3
import stat
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from outbox.parts import KEY, ROOM, balanced, configuration, file_at, report
from outbox.test_queue import SOON, Backend, put, written
from xpander_sdk import OutboxError
from xpander_sdk.outbox.outbox import Outbox
from xpander_sdk.outbox.storage.stats import Counters
from xpander_sdk.receipt import Receipt, ReceiptState

TESTS = Path(__file__).parents[1]


@pytest.fixture
def backend() -> Backend:
    return Backend()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "folder" / "outbox.db"


@pytest.fixture
def queue(path: Path, backend: Backend) -> Iterator[Outbox]:
    queue = Outbox(str(path), send=backend)
    yield queue
    with suppress(OutboxError):
        queue.close(0)


def mode(path: Path | str) -> int:
    return stat.S_IMODE(os.stat(path).st_mode)


# Who may read it


@pytest.mark.parametrize("umask", [0o000, 0o022, 0o077, 0o277])
def test_the_file_is_its_owners_whatever_the_umask(umask, queue: Outbox, path: Path):
    path.parent.mkdir(mode=0o755)
    before = os.umask(umask)
    try:
        put(queue, worker="none")
        beside = sorted(path.parent.iterdir())
        assert {each.name for each in beside} >= {"outbox.db", "outbox.db-wal", "outbox.db-shm"}
        assert {mode(each) for each in beside if not each.name.endswith(".lock")} == {0o600}
    finally:
        os.umask(before)
    assert not any(mode(each) & 0o077 for each in beside)


def test_a_file_that_others_may_read_is_closed_to_them(queue: Outbox, path: Path):
    put(queue, worker="none")
    for each in path.parent.glob("outbox.db*"):
        each.chmod(0o644)
    later = Outbox(str(path))
    put(later, worker="none")
    assert {mode(each) for each in path.parent.glob("outbox.db*") if not each.name.endswith(".lock")} == {0o600}
    later.close(0)


def test_its_folder_is_made_for_its_owner(queue: Outbox, path: Path):
    put(queue, worker="none")
    assert mode(path.parent) == 0o700


def test_the_key_is_nowhere_in_the_file(queue: Outbox, path: Path, backend: Backend):
    put(queue, "run-1", worker="none")
    put(queue, "run-2", worker="none", api_key=lambda: KEY)
    (path.parent / "key").write_text(KEY)
    from xpander_sdk.settings.configuration import KeyFile

    put(queue, "run-3", worker="none", api_key=KeyFile(str(path.parent / "key")))

    def leaks(configuration: Any, operation: Any) -> Any:
        raise ValueError("of a key that cannot be had")

    queue._delivery._send = leaks
    queue.drain(SOON)
    assert queue.stats().pending == 3
    assert KEY.encode() not in written(path)


# A file that is not ours, or not any more


def garbage(path: Path) -> None:
    path.write_bytes(b"this is no database at all" * 1_000)


def truncated(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def scribbled(path: Path) -> None:
    """A header that is in order, and pages that are not."""
    data = bytearray(path.read_bytes())
    data[1_024:] = os.urandom(len(data) - 1_024)
    path.write_bytes(data)


@pytest.mark.parametrize("damage", [garbage, truncated, scribbled])
def test_a_damaged_file_is_set_aside_and_never_deleted(damage, path: Path, backend: Backend, caplog):
    before = Outbox(str(path), send=backend)
    for number in range(50):
        put(before, f"run-{number}", worker="none", result="x" * 500)
    before.close(0)
    damage(path)
    was = path.read_bytes()
    queue = Outbox(str(path), send=backend)
    receipt = put(queue, "run-after", worker="none")
    for _ in range(3):
        try:
            queue.drain(SOON)
            break
        except OutboxError:
            pass  # found only now; what was kept since is in the file that was set aside
    aside = [each for each in path.parent.glob("outbox.db.corrupt-*") if not each.name.endswith(("-wal", "-shm"))]
    assert len(aside) == 1
    assert len(aside[0].read_bytes()) >= len(was)
    assert "set aside" in caplog.text
    assert receipt.state in (ReceiptState.Delivered, ReceiptState.Unknown)
    assert put(queue, "run-then", worker="none").state is ReceiptState.Pending
    assert queue.drain(SOON)
    balanced(queue.stats())
    assert mode(aside[0]) == 0o600
    queue.close(0)


def test_an_empty_file_is_begun(queue: Outbox, path: Path):
    path.parent.mkdir()
    path.touch()
    assert put(queue, worker="none").state is ReceiptState.Pending
    assert [each.name for each in path.parent.glob("*corrupt*")] == []


@pytest.mark.parametrize("content", [b"", b"garbage" * 5_000])
def test_a_log_that_is_none_does_no_harm(content, path: Path, backend: Backend):
    before = Outbox(str(path), send=backend)
    put(before, "run-1", worker="none")
    before.close(0)
    Path(f"{path}-wal").write_bytes(content)
    Path(f"{path}-shm").write_bytes(content)
    queue = Outbox(str(path), send=backend)
    put(queue, "run-2", worker="none")
    assert queue.drain(SOON)
    assert sorted(backend.runs) == ["run-1", "run-2"]
    queue.close(0)


def test_a_file_of_a_newer_version_is_left_as_it_is(queue: Outbox, path: Path):
    put(queue, worker="none")
    queue.close(0)
    with sqlite3.connect(path) as newer:
        newer.execute("PRAGMA user_version = 99")
    newer.close()
    was = path.read_bytes()
    with pytest.raises(OutboxError, match="newer version") as caught:
        put(queue, worker="none")
    assert caught.value.report_id == "run-1"
    assert path.read_bytes() == was


def test_another_programs_file_is_left_as_it_is(queue: Outbox, path: Path):
    path.parent.mkdir()
    with sqlite3.connect(path) as theirs:
        theirs.execute("CREATE TABLE contacts (name TEXT)")
        theirs.execute("INSERT INTO contacts VALUES ('Ada')")
    theirs.close()
    was = path.read_bytes()
    with pytest.raises(OutboxError, match="another program's"):
        put(queue, worker="none")
    with pytest.raises(OutboxError):
        queue.stats()
    assert path.read_bytes() == was
    assert sorted(each.name for each in path.parent.iterdir()) in (["outbox.db"], ["outbox.db", "outbox.db.lock"])


def test_the_store_of_an_embedded_target_is_another_programs_file(tmp_path: Path, embedded):
    from xpander_sdk import Backend as Reporter

    store = embedded.base_url.removeprefix("sqlite:///")
    with Reporter(embedded) as reporter:
        reporter.report_external_task("agent-1", id="run-1")
    with pytest.raises(OutboxError, match="another program's"):
        put(Outbox(store), worker="none")


def test_a_folder_in_its_place_is_an_error_that_says_so(queue: Outbox, path: Path):
    path.mkdir(parents=True)
    with pytest.raises(OutboxError):
        put(queue, worker="none")


# A file that changes under a running process


def test_a_file_that_was_removed_is_begun_anew(queue: Outbox, path: Path, backend: Backend, caplog):
    old = put(queue, "run-1", worker="none")
    for each in path.parent.glob("outbox.db*"):
        each.unlink()
    new = put(queue, "run-2", worker="none")
    assert (old.state, new.state) == (ReceiptState.Unknown, ReceiptState.Pending)
    assert "removed or replaced" in caplog.text
    assert queue.drain(SOON)
    assert backend.runs == ["run-2"]


def test_a_folder_that_was_removed_is_made_again_by_a_report_only(queue: Outbox, path: Path):
    put(queue).wait(SOON)
    shutil.rmtree(path.parent)
    assert queue._worker is not None
    queue._worker.wake()
    queue._finish()
    assert not path.parent.exists()
    assert put(queue, "run-2").wait(SOON) is ReceiptState.Delivered


def test_a_file_that_was_put_in_its_place_is_used(queue: Outbox, path: Path, tmp_path: Path, backend: Backend):
    other = Outbox(str(tmp_path / "other.db"), send=backend)
    put(other, "run-of-other", worker="none")
    other.close(0)
    put(queue, "run-1", worker="none")
    for each in path.parent.glob("outbox.db*"):
        each.unlink()  # with its log, which would be taken for that of the other one
    os.replace(other.path, path)
    put(queue, "run-2", worker="none")
    assert queue.drain(SOON)
    assert sorted(backend.runs) == ["run-2", "run-of-other"]


@pytest.mark.parametrize("damage", [garbage, scribbled])
def test_a_damaged_file_that_many_find_at_once_is_set_aside_once(damage, path: Path):
    before = Outbox(str(path))
    for number in range(20):
        put(before, f"before-{number}", worker="none", result="x" * 500)
    before.close(0)
    damage(path)
    queues = [Outbox(str(path)) for _ in range(6)]
    kept = at_once([lambda each=each, n=n: put(each, f"run-{n}", worker="none") for n, each in enumerate(queues)])
    assert {receipt.state for receipt in kept} == {ReceiptState.Pending}
    assert len([each for each in path.parent.glob("*.corrupt-*") if not each.name.endswith(("-wal", "-shm"))]) == 1
    assert balanced(queues[0].stats()).pending == 6
    for each in queues:
        each.close(0)


def test_many_begin_one_file_at_once(path: Path):
    queues = [Outbox(str(path)) for _ in range(8)]
    at_once(
        [
            lambda each=each, n=n: [put(each, f"run-{n}-{turn}", worker="none") for turn in range(10)]
            for n, each in enumerate(queues)
        ]
    )
    assert balanced(queues[0].stats()).pending == 80
    for each in queues:
        each.close(0)


def at_once(calls: list[Callable[[], Any]]) -> list[Any]:
    barrier = threading.Barrier(len(calls))

    def call(one: Callable[[], Any]) -> Any:
        barrier.wait()
        return one()

    with ThreadPoolExecutor(len(calls)) as pool:
        return list(pool.map(call, calls))


# The disk


@contextmanager
def small_disk(folder: Path, size: str) -> Iterator[Path]:
    folder.mkdir()
    made = subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(folder)], capture_output=True)
    if made.returncode:
        pytest.skip("this machine does not let us mount a disk that is soon full")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


def test_a_full_disk_refuses_reports_and_lets_go_of_what_is_delivered(tmp_path: Path, backend: Backend):
    with small_disk(tmp_path / "disk", "16m") as disk:
        queue = Outbox(str(disk / "outbox.db"), send=backend)
        receipts: list[Receipt[Any]] = []

        def fill() -> None:
            for number in range(10_000):
                receipts.append(put(queue, f"run-{number}", worker="none", result="x" * 5_000))  # noqa: PERF401

        with pytest.raises(OutboxError, match="the disk is full") as caught:
            fill()
        assert caught.value.report_id == f"run-{len(receipts)}"
        assert len(receipts) > 50
        assert {receipt.state for receipt in receipts} == {ReceiptState.Pending}
        assert queue.drain(60)
        assert {receipt.state for receipt in receipts} == {ReceiptState.Delivered}
        assert sorted(set(backend.runs)) == sorted(f"run-{number}" for number in range(len(receipts)))
        assert balanced(queue.stats()).accepted == len(receipts)
        assert put(queue, "run-then", worker="none").state is ReceiptState.Pending
        assert queue.close(SOON)


AS_NOBODY = """
import encodings.idna, os, sys
sys.path[:0] = {paths!r}
from outbox.test_queue import put
from xpander_sdk import OutboxError
from xpander_sdk.outbox.outbox import Outbox
# Only now: this Python may be in a folder of root's.
os.setgid(65534); os.setuid(65534)
queue = Outbox({path!r})
try:
    put(queue, worker="none")
except OutboxError as error:
    print("OutboxError", error)
except BaseException as error:
    print("other", type(error), error)
else:
    print("kept")
"""


def as_nobody(path: Path) -> str:
    if os.getuid():
        pytest.skip("only root may become nobody")
    for folder in [path.parent, *path.parent.parents]:
        if folder == Path("/tmp"):
            break
        if folder.exists() and not mode(folder) & 0o001:
            folder.chmod(mode(folder) | 0o011)
    program = AS_NOBODY.format(paths=[str(TESTS), *sys.path], path=str(path))
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, cwd="/", timeout=60)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_a_folder_that_cannot_be_written_is_an_error_that_says_so(tmp_path: Path):
    folder = tmp_path / "readonly"
    folder.mkdir(mode=0o755)
    assert as_nobody(folder / "outbox.db").startswith("OutboxError the outbox")
    assert as_nobody(folder / "deeper" / "outbox.db").startswith("OutboxError the outbox")


def test_a_file_that_cannot_be_written_is_an_error_that_says_so(tmp_path: Path, backend: Backend):
    folder = tmp_path / "readonly"
    queue = Outbox(str(folder / "outbox.db"), send=backend)
    put(queue, worker="none")
    queue.close(0)
    folder.chmod(0o755)
    for each in folder.iterdir():
        each.chmod(0o644)
    assert as_nobody(folder / "outbox.db").startswith("OutboxError the outbox")


def test_a_damaged_file_that_cannot_be_set_aside_is_an_error_that_says_so(tmp_path: Path):
    folder = tmp_path / "readonly"
    folder.mkdir(mode=0o755)
    garbage(folder / "outbox.db")
    (folder / "outbox.db").chmod(0o666)
    (folder / "outbox.db.lock").touch()
    (folder / "outbox.db.lock").chmod(0o666)
    assert as_nobody(folder / "outbox.db").startswith("OutboxError the outbox")
    assert (folder / "outbox.db").read_bytes().startswith(b"this is no database")


# Its size


def test_the_file_gives_back_the_room_that_it_needs_no_more(path: Path):
    file = file_at(path)
    big = report(result="x" * 20_000)
    for _ in range(300):
        file.put(lambda salt: ("http://one", "", "key:1"), big, **ROOM)
    while (group := file.claim("holder", [1], 30_000_000)) is not None:
        file.delivered(group)
    steps = 1
    while file.database.vacuum_step():
        steps += 1
    assert steps > 3, "it is done in small steps, which hold up nobody"
    file.database.close()
    assert path.stat().st_size < 2_500_000
    balanced(Counters(file.database).stats())
    file.database.close()


def test_the_log_stays_small_whatever_goes_through(queue: Outbox, path: Path):
    largest = 0
    for number in range(3_000):
        put(queue, f"run-{number}", result="x" * 2_000)
        if number % 100 == 0:
            assert queue.flush(SOON)
            largest = max(largest, sum(each.stat().st_size for each in path.parent.glob("outbox.db*")))
    assert largest < 25_000_000
    assert queue.flush(SOON)
    rows = queue._store.database.run(lambda connection: connection.execute("SELECT count(*) FROM leases").fetchone())
    assert rows == (0,)


def test_the_settings_say_where_it_is(path: Path):
    assert configuration(path).outbox is not None
    assert configuration(path).outbox.path == str(path)  # type: ignore[union-attr]
