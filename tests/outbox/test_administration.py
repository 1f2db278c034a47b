"""Discard and move of all reports of a destination."""

import threading
from pathlib import Path

import pytest

from outbox.helpers import (
    TIMEOUT,
    RecordingBackend,
    ReplaceableSend,
    assert_balanced,
    error_of_status,
    make_configuration,
    put,
    reject_all,
)
from xpander_sdk import AuthenticationError, ConnectionFailedError, ContractError, ReceiptState, TimedOutError
from xpander_sdk.outbox import registry
from xpander_sdk.outbox.outbox import Outbox
from xpander_sdk.outbox.storage import administration

ONE, TWO = "https://one.test", "https://two.test"


def test_discard_deletes_the_reports_of_one_destination(outbox: Outbox, send: ReplaceableSend):
    send.backend = reject_all
    put(outbox, "dead", base_url=ONE, worker="none")
    outbox.drain(TIMEOUT)
    receipts = [put(outbox, f"run-{number}", base_url=ONE, worker="none") for number in range(3)]
    put(outbox, "other", base_url=TWO, worker="none")
    assert outbox.discard(destination=ONE) == 4
    stats = assert_balanced(outbox.stats())
    assert (stats.pending, stats.dead, stats.dropped) == (1, 0, {"discarded": 4})
    assert {receipt.state for receipt in receipts} == {ReceiptState.Dropped}


def test_move_addresses_reports_anew(outbox: Outbox, backend: RecordingBackend, send: ReplaceableSend):
    send.backend = lambda configuration, _: (_ for _ in ()).throw(error_of_status(403))
    receipt = put(outbox, "run-1", base_url=ONE, worker="none", api_key="wrong key")
    put(outbox, "run-1", result="later", base_url=ONE, worker="none", api_key="wrong key")
    outbox.drain(TIMEOUT)
    assert outbox.stats().destinations[0].last_error == "[403] detail"
    send.backend = backend
    assert outbox.move(make_configuration(Path(outbox.path), TWO, api_key="right key"), ONE) == 2
    assert outbox.stats().destinations[0].last_error is None
    assert outbox.drain(TIMEOUT)
    assert backend.runs == ["run-1"]
    assert receipt.state is ReceiptState.Delivered
    assert assert_balanced(outbox.stats()).delivered == 2


def test_move_takes_dead_letters_along(outbox: Outbox, backend: RecordingBackend, send: ReplaceableSend):
    send.backend = reject_all
    put(outbox, "dead", base_url=ONE, worker="none")
    outbox.drain(TIMEOUT)
    send.backend = backend
    assert outbox.move(make_configuration(Path(outbox.path), TWO)) == 1
    assert [letter.base_url for letter in outbox.dead()] == [TWO]
    assert outbox.move(make_configuration(Path(outbox.path), TWO)) == 0
    outbox.retry()
    assert outbox.drain(TIMEOUT)
    assert backend.runs == ["dead"]


def test_report_that_is_being_sent_stays(outbox: Outbox, backend: RecordingBackend):
    backend.unblocked.clear()
    sending = put(outbox, "run-1", base_url=ONE, worker="none")
    thread = threading.Thread(target=outbox.drain, args=(TIMEOUT,))
    thread.start()
    while not backend.calls:
        pass
    put(outbox, "run-2", base_url=ONE, worker="none")
    assert outbox.discard(destination=outbox.stats().destinations[0]) == 1
    backend.unblocked.set()
    thread.join()
    assert sending.state is ReceiptState.Delivered
    assert assert_balanced(outbox.stats()).dropped == {"discarded": 1}


def test_many_reports_are_changed_in_several_transactions(outbox: Outbox, monkeypatch):
    monkeypatch.setattr(administration, "_ROWS_PER_TRANSACTION", 4)
    for number in range(8):
        put(outbox, f"run-{number}", base_url=ONE, worker="none")
    assert outbox.move(make_configuration(Path(outbox.path), TWO), ONE) == 8
    assert outbox.discard(destination=TWO) == 8
    assert assert_balanced(outbox.stats()).pending == 0


def test_unknown_destination_is_an_error_that_names_the_known_ones(outbox: Outbox):
    put(outbox, base_url=ONE, worker="none")
    with pytest.raises(ValueError, match=f"destination must be one of the outbox, got 'x'; the outbox has {ONE}"):
        outbox.discard(destination="x")
    with pytest.raises(ValueError, match="seqs must be None"):
        outbox.discard([1], destination=ONE)


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (TimedOutError(None, "no response"), "and will be delivered."),
        (ConnectionFailedError(None, "Connection refused"), "and will be delivered."),
        (error_of_status(503), "and will be delivered."),
        (error_of_status(429), "and will be delivered."),
        (AuthenticationError(401, "unknown key"), "and waits for a valid key: correct XPANDER_API_KEY"),
        (error_of_status(403), "and waits for a valid key: correct XPANDER_API_KEY"),
        (error_of_status(301), "and waits until its address is right: check base_url"),
        (ContractError(200, "a page"), "and waits until its address is right: check base_url"),
        (ConnectionFailedError(None, "[SSL: WRONG_VERSION_NUMBER]"), "and waits until its address is right"),
        (ConnectionFailedError(None, "[Errno -2] Name or service not known"), "and waits until its address is right"),
    ],
)
def test_error_of_a_kept_report_states_what_it_waits_for(error, text, tmp_path: Path, monkeypatch):
    monkeypatch.setattr(registry, "_outboxes", {})
    configuration = make_configuration(tmp_path / "outbox.db", worker="none")
    from outbox.helpers import make_report

    registry.keep(configuration, make_report(), lambda response: response, error)
    assert text in error.description
    registry.outbox_for(configuration).close(0)
