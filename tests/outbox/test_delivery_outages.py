"""Attempts and waits while a backend is unavailable or limits its calls."""

import tracemalloc

import pytest

from outbox.helpers import SECOND, DeliveryBench, ScriptedBackend, make_report
from xpander_sdk.outbox import policy


@pytest.fixture
def backend() -> ScriptedBackend:
    return ScriptedBackend()


def simulate_outage(bench: DeliveryBench, seconds: float, parallel: int = 8) -> int:
    """Return the number of attempts that `parallel` threads make in that time."""
    attempts, ends_at = 0, bench.clock.now + round(seconds * SECOND)
    while bench.clock.now < ends_at:
        batches = [batch for _ in range(parallel) if (batch := bench.delivery.claim())]
        for batch in batches:
            bench.delivery.deliver(batch)
        attempts += len(batches)
        wait = bench.delivery.work_ahead(5.0).seconds_to_next
        bench.clock.advance(5.0 if wait is None else max(0.005, wait))
    return attempts


def max_attempts(seconds: float, parallel: int) -> int:
    """Return the maximum: the calls in flight at first, then one probe after each wait, each as short as possible."""
    probes, failures = 0, 1
    while (seconds := seconds - policy.destination_backoff(failures, None, lambda: 0.0) / SECOND) > 0:
        probes, failures = probes + 1, failures + 1
    return parallel + probes


@pytest.mark.parametrize("rows", [1, 10_000])
def test_attempts_during_an_outage_do_not_depend_on_the_number_of_pending_reports(
    rows, bench: DeliveryBench, backend: ScriptedBackend
):
    bench.store.database.fetch("PRAGMA synchronous = OFF")
    bench.put(make_report("run-0"))
    with bench.store.database.transaction() as connection:
        connection.executemany(
            "INSERT INTO reports SELECT next_seq, 1, ?, 'agent-1', 1, 1, ? FROM counters",
            [(f"run-{number}", make_report(f"run-{number}").content) for number in range(1, rows)],
        )
    backend.responses[bench.store.destinations()[0].base_url] = 503
    bench.deliver_due()
    bench.clock.advance(1)
    backend.seen.clear()
    bench.delivery = bench.delivery_of("owner-2")
    bench.store.reset_backoff([1])
    tracemalloc.start()
    try:
        attempts = simulate_outage(bench, 3_600)
        memory, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert 60 <= attempts == len(backend.seen) <= max_attempts(3_600, 8)
    assert memory < 300_000
    assert bench.counts() == (0, rows, 0)
    # The backend works again: the first attempt after the wait succeeds, and all others follow at once.
    backend.responses.clear()
    bench.clock.advance(60)
    for _ in range(min(rows, 100)):
        bench.deliver_one()
    assert bench.counts()[0] == min(rows, 100)


def test_only_one_process_probes_a_failed_destination(bench: DeliveryBench, backend: ScriptedBackend):
    for number in range(20):
        bench.put(make_report(f"run-{number}"))
    backend.responses["http://backend.test"] = 503
    bench.deliver_one()
    bench.clock.advance(1)
    others = [bench.delivery_of(f"owner-{number}") for number in range(2, 10)]
    assert len([batch for other in others if (batch := other.claim())]) == 1


def test_probe_of_a_dead_process_is_repeated_after_its_lease(bench: DeliveryBench, backend: ScriptedBackend):
    bench.put(make_report("run-1"))
    bench.put(make_report("run-2"))
    backend.responses["run-1"] = 503
    bench.deliver_one()
    bench.clock.advance(1)
    assert bench.delivery_of("dead").claim() is not None
    assert bench.delivery.claim() is None
    bench.clock.advance(60)
    backend.responses.clear()
    assert bench.deliver_due() == 2


@pytest.mark.parametrize(("retry_after", "granted"), [(90.0, 90.0), (1e9, 3_600.0), (float("inf"), 3_600.0)])
def test_retry_after_delays_all_reports_of_a_destination(
    retry_after, granted, bench: DeliveryBench, backend: ScriptedBackend
):
    for number in range(10):
        bench.put(make_report(f"run-{number}"))
    backend.responses["http://backend.test"] = 429
    backend.retry_after = retry_after
    assert bench.deliver_due() == 1
    bench.clock.advance(granted - 0.001)
    assert bench.deliver_due() == 0
    backend.responses.clear()
    bench.clock.advance(60)
    bench.deliver_due()
    assert bench.counts() == (10, 0, 0)


def test_longest_wait_of_simultaneous_failures_applies(bench: DeliveryBench, backend: ScriptedBackend):
    for number in range(3):
        bench.put(make_report(f"run-{number}"))
    backend.responses["http://backend.test"] = 429
    batches = [bench.claim() for _ in range(3)]
    for batch, retry_after in zip(batches, (None, 100.0, 10.0), strict=True):
        backend.retry_after = retry_after
        bench.delivery.deliver(batch)
    assert bench.store.destinations()[0].failures == 1
    bench.clock.advance(99)
    assert bench.deliver_due() == 0


def test_reset_backoff_ends_the_probe_of_a_dead_process(bench: DeliveryBench, backend: ScriptedBackend):
    bench.put(make_report("run-1"))
    bench.put(make_report("run-2"))
    backend.responses["run-1"] = 503
    bench.deliver_one()
    bench.clock.advance(1)
    assert bench.delivery_of("dead").claim() is not None
    backend.responses.clear()
    bench.store.reset_backoff([1])
    assert bench.deliver_due() == 1


def test_waits_end_when_the_clock_is_set_back(bench: DeliveryBench, backend: ScriptedBackend):
    bench.put(make_report("run-1"))
    backend.responses["run-1"] = 503
    bench.deliver_due()
    dead = bench.delivery_of("dead")
    bench.put(make_report("run-2"))
    bench.store.reset_backoff([1])
    assert dead.claim() is not None
    backend.responses.clear()
    bench.clock.advance(-86_400)
    assert bench.deliver_due() == 2
