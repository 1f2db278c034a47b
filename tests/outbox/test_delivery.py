"""Delivery by one process, step by step, with a clock that the test sets and a scripted backend."""

import time
from pathlib import Path
from typing import Any

import pytest
from attrs import evolve

from outbox.helpers import ONE, TWO, DeliveryBench, ScriptedBackend, make_report, remove_files
from xpander_sdk import Configuration, OutboxError, Timeouts, errors
from xpander_sdk.outbox.delivery import WorkAhead
from xpander_sdk.outbox.storage import sql


@pytest.fixture
def backend() -> ScriptedBackend:
    return ScriptedBackend()


# Successful deliveries


def test_reports_are_sent_oldest_first_with_their_own_times(bench: DeliveryBench, backend: ScriptedBackend):
    for number in range(3):
        bench.put(make_report(f"run-{number}", 100 - number))
    assert bench.deliver_due() == 3
    assert backend.runs == ["run-0", "run-1", "run-2"]
    assert [batch.reports[0].reported_at for batch, _, _ in bench.resolved] == [100, 99, 98]
    assert bench.counts() == (3, 0, 0)


def test_pending_reports_of_one_run_are_sent_as_one(bench: DeliveryBench, backend: ScriptedBackend):
    bench.put(make_report("run-1", 1, input="how much?", result="at first", is_success=None))
    bench.put(make_report("run-2", 2))
    bench.put(make_report("run-1", 3, input=None, result="at last", is_success=True))
    assert bench.deliver_due() == 2
    assert backend.seen[0][2] == {"id": "run-1", "input": "how much?", "result": "at last", "is_success": True}
    stats = bench.stats()
    assert (stats.delivered, stats.merged, stats.pending) == (3, 1, 0)


def test_equal_ids_at_two_destinations_are_two_runs(bench: DeliveryBench, backend: ScriptedBackend):
    bench.put(make_report("run-1", 1, result="one"), base_url=ONE)
    bench.put(make_report("run-1", 2, result="two"), base_url=TWO)
    bench.deliver_due()
    assert {(url, body["result"]) for url, _, body in backend.seen} == {(ONE, "one"), (TWO, "two")}


# Other failures


@pytest.mark.parametrize("response", [{"id": "another run"}, [], None, "recorded", {"id": 5}])
def test_response_that_does_not_name_the_run_is_a_failure(response, tmp_path: Path):
    # As client.send does it: an exception of `parse` means that the response is invalid.
    def send(configuration: Configuration, operation: Any) -> Any:
        try:
            return operation.parse(response, {})
        except (ValueError, TypeError, LookupError) as error:
            raise errors.ContractError(200, str(error)) from error

    bench = DeliveryBench(tmp_path / "outbox.db", send)
    bench.put(make_report("run-1"))
    assert bench.deliver_due() == 1
    assert bench.counts() == (0, 1, 0)
    assert bench.store.destinations()[0].failures == 1
    bench.close()


def test_run_that_always_causes_a_server_error_does_not_block_others(bench: DeliveryBench, backend: ScriptedBackend):
    backend.responses["run-0"] = 500
    for number in range(20):
        bench.put(make_report(f"run-{number}"))
    for _ in range(4):
        bench.deliver_due()
        bench.clock.advance(1)
    assert bench.counts() == (19, 1, 0)
    assert backend.runs.count("run-0") <= 4


def test_unexpected_exception_of_the_transport_keeps_the_report(bench: DeliveryBench, backend: ScriptedBackend, caplog):
    backend.responses["run-1"] = ZeroDivisionError("error of a transport")
    bench.put(make_report("run-1"))
    bench.deliver_due()
    assert bench.counts() == (0, 1, 0)
    assert "could not be sent" in caplog.text


def test_interrupted_call_releases_its_lease_at_once(bench: DeliveryBench, backend: ScriptedBackend):
    bench.put(make_report("run-1"))
    for earlier in (503, None):  # The first call is a probe of a failed destination.
        if earlier:
            backend.responses["run-1"] = earlier
            bench.deliver_due()
            bench.clock.advance(2)
        backend.responses["run-1"] = KeyboardInterrupt()
        batch = bench.claim()
        with pytest.raises(KeyboardInterrupt):
            bench.delivery.deliver(batch)
        assert bench.delivery.in_flight == 0
    backend.responses.clear()
    assert bench.deliver_due() == 1


def test_outcome_that_cannot_be_recorded_releases_the_lease_at_once(
    bench: DeliveryBench, backend: ScriptedBackend, monkeypatch
):
    bench.put(make_report("run-1"))
    claim = bench.claim()

    def fail(batches: object) -> None:
        raise OutboxError("of a disk")

    with monkeypatch.context() as limited:
        limited.setattr(bench.store, "delivered_together", fail)
        with pytest.raises(OutboxError):
            bench.delivery.deliver(claim)
    assert bench.delivery.work_ahead(60).is_sending is False
    assert bench.deliver_due() == 1
    assert bench.counts() == (1, 0, 0)


def test_lease_of_a_very_long_call_does_not_count_as_expired(bench: DeliveryBench):
    bench.put(make_report("run-1"), timeouts=Timeouts(total=1e6))
    assert bench.delivery.claim() is not None
    assert bench.delivery_of("owner-2").claim() is None


def test_deadline_shortens_the_timeouts_of_a_call(tmp_path: Path):
    seen: list[Timeouts] = []

    def send(configuration: Configuration, operation: Any) -> Any:
        seen.append(configuration.timeouts)
        return operation.parse({"id": operation.report_id}, {})

    bench = DeliveryBench(tmp_path / "outbox.db", send)
    bench.put(make_report("run-1"))
    bench.delivery.deliver(bench.claim(), deadline=time.monotonic() + 0.5)
    assert max(seen[0].connect, seen[0].read, seen[0].total) <= 0.5
    bench.close()


# Replaced files


def test_destination_ids_of_a_replaced_file_are_not_used(bench: DeliveryBench, backend: ScriptedBackend, monkeypatch):
    bench.put(make_report("old-1"), base_url=ONE, api_key="key-1")
    bench.deliver_due()
    remove_files(bench.path)
    # Another process creates a new file, in which the first destination is another one.
    other = DeliveryBench(bench.path, backend, clock=bench.clock)
    other.put(make_report("new-1"), base_url=TWO, api_key="key-2")
    backend.seen.clear()
    bench.deliver_due()
    assert backend.seen == []
    other.deliver_due()
    assert [(url, key) for url, key, _ in backend.seen] == [(TWO, "key-2")]
    other.close()


def test_search_for_work_does_not_create_a_file(bench: DeliveryBench):
    bench.put(make_report("run-1"))
    bench.deliver_due()
    bench.close()
    remove_files(bench.path)
    assert bench.delivery.claim() is None
    bench.delivery.refresh()
    assert bench.delivery.work_ahead(5) == WorkAhead(is_sending=False, seconds_to_next=None)
    assert not bench.path.exists()


def test_claim_finds_the_oldest_report_without_sorting(bench: DeliveryBench):
    bench.put(make_report("run-1"))
    plan = bench.store.database.fetch(f"EXPLAIN QUERY PLAN {sql.OLDEST_DUE_RUN}", {"destination_id": 1, "now": 1})
    assert any("reports_of_target" in row[3] for row in plan)
    assert not any("TEMP B-TREE" in row[3] for row in plan)


def test_batches_are_limited_in_number_and_size(bench: DeliveryBench, backend: ScriptedBackend):
    for number in range(250):
        bench.put(make_report("run-1", number, result=str(number)))
    assert bench.deliver_due() == 2
    assert backend.results == ["199", "249"]
    big = make_report("run-2", 1, result="x" * 3_000_000)
    for number in range(3):
        bench.put(evolve(big, reported_at=number))
    assert bench.deliver_due() == 3
