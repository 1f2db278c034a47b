"""Full disks, and folders and files that are read-only."""

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from outbox.helpers import TIMEOUT, RecordingBackend, assert_balanced, fill_with_garbage, mode, put, run_program
from xpander_sdk import OutboxError
from xpander_sdk.outbox.outbox import Outbox
from xpander_sdk.receipt import Receipt, ReceiptState


@contextmanager
def small_disk(folder: Path, size: str) -> Iterator[Path]:
    folder.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(folder)], capture_output=True)
    if mounted.returncode:
        pytest.skip("this machine does not allow mounting a small disk")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


def test_full_disk_refuses_reports_and_still_delivers(tmp_path: Path, backend: RecordingBackend):
    with small_disk(tmp_path / "disk", "16m") as disk:
        outbox = Outbox(str(disk / "outbox.db"), send=backend)
        receipts: list[Receipt[Any]] = []

        def fill() -> None:
            for number in range(10_000):
                receipts.append(put(outbox, f"run-{number}", worker="none", result="x" * 5_000))  # noqa: PERF401

        with pytest.raises(OutboxError, match="the disk is full") as raised:
            fill()
        assert raised.value.report_id == f"run-{len(receipts)}"
        assert len(receipts) > 50
        assert {receipt.state for receipt in receipts} == {ReceiptState.Pending}
        assert outbox.drain(60)
        assert {receipt.state for receipt in receipts} == {ReceiptState.Delivered}
        assert sorted(set(backend.runs)) == sorted(f"run-{number}" for number in range(len(receipts)))
        assert assert_balanced(outbox.stats()).accepted == len(receipts)
        assert put(outbox, "run-then", worker="none").state is ReceiptState.Pending
        assert outbox.close(TIMEOUT)


def submit_as_nobody(path: Path) -> str:
    if os.getuid():
        pytest.skip("only root can change the user")
    for folder in [path.parent, *path.parent.parents]:
        if folder == Path("/tmp"):
            break
        if folder.exists() and not mode(folder) & 0o001:
            folder.chmod(mode(folder) | 0o011)
    return run_program("submit_as_nobody.py", str(path))


def test_read_only_folder_raises_outbox_error(tmp_path: Path):
    folder = tmp_path / "readonly"
    folder.mkdir(mode=0o755)
    assert submit_as_nobody(folder / "outbox.db").startswith("OutboxError the outbox")
    assert submit_as_nobody(folder / "deeper" / "outbox.db").startswith("OutboxError the outbox")


def test_read_only_file_raises_outbox_error(tmp_path: Path, backend: RecordingBackend):
    folder = tmp_path / "readonly"
    outbox = Outbox(str(folder / "outbox.db"), send=backend)
    put(outbox, worker="none")
    outbox.close(0)
    folder.chmod(0o755)
    for file in folder.iterdir():
        file.chmod(0o644)
    assert submit_as_nobody(folder / "outbox.db").startswith("OutboxError the outbox")


def test_damaged_file_in_a_read_only_folder_raises_outbox_error(tmp_path: Path):
    folder = tmp_path / "readonly"
    folder.mkdir(mode=0o755)
    fill_with_garbage(folder / "outbox.db")
    (folder / "outbox.db").chmod(0o666)
    (folder / "outbox.db.lock").touch()
    (folder / "outbox.db.lock").chmod(0o666)
    assert submit_as_nobody(folder / "outbox.db").startswith("OutboxError the outbox")
    assert (folder / "outbox.db").read_bytes().startswith(b"this is no database")
