"""Receipts in other processes, frozen clocks, failing workers, and logging handlers that report."""

import copy
import logging
import pickle
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from outbox.helpers import (
    TIMEOUT,
    RecordingBackend,
    ReplaceableSend,
    make_configuration,
    make_report,
    put,
    remove_files,
    wait_until,
)
from xpander_sdk import Backend, Configuration, OutboxError, OutboxSettings, Receipt, ReceiptState, RetryPolicy, errors
from xpander_sdk.outbox import registry
from xpander_sdk.outbox.delivery import Delivery
from xpander_sdk.outbox.outbox import Outbox
from xpander_sdk.settings import outbox as outbox_settings


@pytest.fixture
def outbox(tmp_path: Path, send: ReplaceableSend, monkeypatch: pytest.MonkeyPatch) -> Iterator[Outbox]:
    outbox = Outbox(str(tmp_path / "outbox.db"), send=send)
    monkeypatch.setattr(registry, "_outboxes", {outbox.path: outbox})
    yield outbox
    outbox.close(0)


# Pickling


def test_pickled_receipt_finds_its_outbox_again(outbox: Outbox, monkeypatch):
    receipt = put(outbox, worker="none")
    content = pickle.dumps(receipt)
    assert b"key-that-nobody-may-see" not in content
    other = Outbox(outbox.path)
    monkeypatch.setattr(registry, "_outboxes", {outbox.path: other})  # As in another process.
    restored: Receipt[Any] = pickle.loads(content)
    assert (restored.id, restored.path, restored.state) == (receipt.id, outbox.path, ReceiptState.Pending)
    assert restored.wait(0.01) is ReceiptState.Pending
    outbox.drain(TIMEOUT)
    assert restored.wait(TIMEOUT) is ReceiptState.Delivered
    assert restored.task is None
    other.close(0)


def test_receipt_without_its_file_is_unknown_and_creates_none(outbox: Outbox):
    restored: Receipt[Any] = pickle.loads(pickle.dumps(put(outbox, worker="none")))
    outbox.close(0)
    remove_files(Path(outbox.path))
    assert restored.state is ReceiptState.Unknown
    assert not Path(outbox.path).exists()


def test_copies_of_a_receipt_are_the_receipt(outbox: Outbox):
    receipt = put(outbox, worker="none")
    assert copy.copy(receipt) is copy.deepcopy([receipt])[0] is receipt


def test_error_with_receipt_and_outbox_can_be_pickled(outbox: Outbox):
    backend = Backend(
        Configuration(
            base_url="http://127.0.0.1:9", api_key="k", retry=RetryPolicy(attempts=1),
            outbox=OutboxSettings(file=outbox.path, worker="none"),
        )
    )  # fmt: skip
    with pytest.raises(errors.ConnectionFailedError) as info:
        backend.report_external_task(agent_id="a", id="r1")
    restored = pickle.loads(pickle.dumps(info.value))
    assert (type(restored), str(restored), restored.report_id) == (type(info.value), str(info.value), "r1")
    assert restored.receipt.state is ReceiptState.Pending
    assert copy.deepcopy(info.value).receipt is info.value.receipt
    assert pickle.loads(pickle.dumps(outbox)) is outbox


# Clocks and homes


def test_frozen_clock_does_not_stop_waits(outbox: Outbox, backend: RecordingBackend, monkeypatch):
    monkeypatch.setattr(time, "monotonic", lambda: 1_000.0)
    frozen = time.time_ns()
    monkeypatch.setattr(time, "time_ns", lambda: frozen)
    backend.is_unavailable = True
    receipt = put(outbox)
    assert receipt.wait(0.2) is ReceiptState.Pending
    assert not outbox.flush(0.2)
    assert not outbox.drain(0.2)
    assert not outbox.close(0.2)


def test_missing_home_directory_is_an_error_that_names_the_variable(monkeypatch):
    import platformdirs

    def fail(*_: object, **__: object) -> str:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setattr(outbox_settings, "_default_paths", [])
    monkeypatch.setattr(platformdirs, "user_data_dir", fail)
    with pytest.raises(OutboxError, match="no home directory for the default file; set XPANDER_OUTBOX to a path"):
        Backend(Configuration(base_url="http://127.0.0.1:9", api_key="k")).submit_external_task(agent_id="a")


# Failing workers


def test_error_of_each_round_of_the_worker_is_in_the_statistics(outbox: Outbox, monkeypatch):
    def fail(_: Delivery) -> None:
        raise LookupError("of each round")

    original = Delivery.claim
    monkeypatch.setattr(Delivery, "claim", fail)
    receipt = put(outbox)
    wait_until(lambda: outbox.stats().destinations[0].last_error)
    assert outbox.stats().destinations[0].last_error == "the worker failed with LookupError: of each round"
    monkeypatch.setattr(Delivery, "claim", original)
    assert receipt.wait(TIMEOUT) is ReceiptState.Delivered
    assert outbox.stats().destinations[0].last_error is None


def test_report_that_is_not_json_does_not_block_its_run(
    outbox: Outbox, backend: RecordingBackend, send: ReplaceableSend
):
    put(outbox, "run-1", worker="none")
    put(outbox, "run-1", result="second", worker="none")
    outbox._state.database.run(lambda connection: connection.execute("UPDATE reports SET body = x'7b' WHERE seq = 1"))
    deliver, raw = send.backend, []
    send.backend = lambda configuration, operation: (
        raw.append(operation.content) if operation.content == b"{" else deliver(configuration, operation)
    )
    assert outbox.drain(TIMEOUT)
    assert raw == [b"{"]
    assert [body.get("result") for body in backend.recorded] == ["second"]


# Logging handlers that report


class ReportingHandler(logging.Handler):
    def __init__(self, outbox: Outbox, **settings: Any) -> None:
        super().__init__()
        self.outbox = outbox
        self.settings = settings
        self.receipts: list[Receipt[Any]] = []

    def emit(self, record: logging.LogRecord) -> None:
        configuration = make_configuration(Path(self.outbox.path), **self.settings)
        report = make_report(f"log-{len(self.receipts)}")
        self.receipts.append(registry.submit(configuration, report, lambda response: response))


@pytest.fixture
def logger() -> Iterator[logging.Logger]:
    root = logging.getLogger()
    level = root.level
    root.setLevel(logging.DEBUG)
    yield root
    root.setLevel(level)
    for handler in [handler for handler in root.handlers if isinstance(handler, ReportingHandler)]:
        root.removeHandler(handler)


def test_log_records_of_a_delivery_do_not_become_reports(outbox: Outbox, send: ReplaceableSend, backend, logger):
    def log_and_send(configuration: Configuration, operation: Any) -> Any:
        logging.getLogger("httpcore.connection").debug("connect_tcp")
        return backend(configuration, operation)

    send.backend = log_and_send
    handler = ReportingHandler(outbox)
    logger.addHandler(handler)
    logging.getLogger("app").info("hello")
    assert handler.receipts[0].wait(TIMEOUT) is ReceiptState.Delivered
    time.sleep(0.1)
    assert outbox.stats().accepted == 1
    assert {receipt.state for receipt in handler.receipts[1:]} == {ReceiptState.Unknown}


def test_log_records_of_a_submission_do_not_become_reports(outbox: Outbox, logger):
    def fail(_: dict[str, Any]) -> dict[str, Any]:
        raise LookupError("of the mask")

    handler = ReportingHandler(outbox, mask=fail, worker="none")
    logger.addHandler(handler)
    logging.getLogger("app").info("hello")
    assert outbox.stats().accepted == 1


def test_signal_handler_that_interrupts_a_submission_may_submit(outbox: Outbox):
    receipts: list[Receipt[Any]] = []

    def mask(report: dict[str, Any]) -> dict[str, Any]:
        signal.raise_signal(signal.SIGUSR1)
        return report

    before = signal.signal(signal.SIGUSR1, lambda *_: receipts.append(put(outbox, "signal", worker="none")))
    try:
        receipts.append(put(outbox, mask=mask, worker="none"))
    finally:
        signal.signal(signal.SIGUSR1, before)
    assert [receipt.state for receipt in receipts] == [ReceiptState.Pending] * 2
