"""Many reports in one process: its resources do not grow."""

from typing import Any

import pytest

from runtimes.processes import run

LONG_TIMEOUT = 240  # seconds, for 10,000 reports on a busy machine; they take seven


def assert_no_growth(before: dict[str, Any], after: dict[str, Any]) -> None:
    """Assert that 8,000 reports left no resources behind, apart from entries of caches."""
    assert after["counts"] == before["counts"]
    assert after["objects"] - before["objects"] < 800
    assert after["resident_kib"] - before["resident_kib"] < 8_192


@pytest.mark.timeout(2 * LONG_TIMEOUT)
def test_10_000_reports_leave_no_resources_behind(stub):
    program = run(stub.target(), "endurance.report_10_000_times", development_mode=False, timeout=LONG_TIMEOUT)
    before, after = program.result
    assert_no_growth(before, after)
    connections = after["counts"][0]
    assert connections == 1


@pytest.mark.timeout(2 * LONG_TIMEOUT)
def test_10_000_concurrent_asynchronous_reports_leave_no_resources_behind(stub):
    program = run(
        stub.target(), "endurance.report_10_000_times_in_event_loop", development_mode=False, timeout=LONG_TIMEOUT
    )
    before, after, connections_after_loop = program.result
    assert_no_growth(before, after)
    connections = after["counts"][0]
    assert connections == 32
    assert connections_after_loop == 0


def test_each_of_many_reports_is_sent_once(stub):
    target = stub.target()
    assert run(target, "endurance.report_400_times_in_both_forms", development_mode=False).result == "done"
    assert stub.report_count(target) == 400


def test_600_reports_to_file_leave_no_resources_behind(in_process):
    measurements = run(in_process, "endurance.report_600_times_to_file", development_mode=False).result
    assert measurements[-1]["counts"] == measurements[0]["counts"]
    # Statements of rare work, such as the compaction of metrics at random times, are cached at their first use. So some
    # rounds of 100 reports add objects; a leak would add them in every round.
    objects = [measurement["objects"] for measurement in measurements]
    growth_of_200_reports = [after - before for before, after in zip(objects, objects[2:], strict=False)]
    assert min(growth_of_200_reports) < 150, objects
