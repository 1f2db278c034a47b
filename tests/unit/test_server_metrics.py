"""What metrics are."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from xpander_server.metrics import Run, percentile, summarise


def run(status: str = "completed", duration: float | None = 1.0, tokens=None, used_tools=None) -> Run:
    return Run(status, duration, tokens, used_tools)


@pytest.mark.parametrize(("percent", "value"), [(50, 50), (95, 95), (99, 99), (100, 100), (1, 1)])
def test_a_percentile_is_by_nearest_rank(percent, value):
    assert percentile(range(1, 101), percent) == value


def test_a_percentile_of_one_value_is_that_value_and_of_none_is_unknown():
    assert percentile([7.0], 1) == 7.0
    assert percentile([], 50) is None


@given(st.lists(st.floats(0, 1e6), min_size=1), st.integers(1, 100))
def test_at_least_that_share_does_not_exceed_a_percentile_and_no_smaller_value_does_it(values, percent):
    ascending = sorted(values)
    found = percentile(ascending, percent)
    share = sum(value <= found for value in ascending) / len(ascending)
    assert share * 100 >= percent - 1e-9
    smaller = [value for value in ascending if value < found]
    assert len(smaller) / len(ascending) * 100 < percent


def test_no_runs_are_zeros_and_unknowns():
    summary = summarise([])
    assert summary["runs"] == {"total": 0, "completed": 0, "failed": 0, "executing": 0}
    assert summary["success_rate"] is None
    assert summary["duration"] == {"total": 0.0, "p50": None, "p95": None, "p99": None}
    assert summary["tools"] == []


def test_a_run_that_goes_on_has_no_part_in_durations_and_in_the_success_rate():
    summary = summarise([run(), run("failed", 3.0), run("executing", 100.0)])
    assert summary["success_rate"] == 0.5
    assert summary["duration"] == {"total": 4.0, "p50": 1.0, "p95": 3.0, "p99": 3.0}


def test_a_run_without_a_duration_has_no_part_in_durations():
    assert summarise([run(duration=None), run(duration=2.0)])["duration"]["p50"] == 2.0


def test_durations_add_up_without_rounding_errors():
    assert summarise(run(duration=0.1) for _ in range(10))["duration"]["total"] == math.fsum([0.1] * 10)


def test_what_is_below_zero_counts_as_zero():
    tokens = {"prompt_tokens": -5, "completion_tokens": 2, "cache_read_tokens": 0, "cache_write_tokens": 0}
    summary = summarise([run(duration=-1.0, tokens=tokens)])
    assert (summary["duration"]["p50"], summary["tokens"]["prompt_tokens"]) == (0.0, 0)
    assert summary["tokens"]["total_tokens"] == 2


def test_tools_are_counted_by_call_and_by_run_most_called_first():
    summary = summarise([run(used_tools=["b", "b", "a"]), run(used_tools=["a"]), run(used_tools=["c", "c", "c"])])
    assert summary["tools"] == [
        {"name": "c", "calls": 3, "runs": 1},
        {"name": "a", "calls": 2, "runs": 2},
        {"name": "b", "calls": 2, "runs": 1},
    ]
