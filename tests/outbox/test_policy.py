"""Rules of delivery: merging, waiting times, classes of failures."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from outbox.helpers import HOUR, SECOND, error_of_status, make_report
from xpander_sdk import errors
from xpander_sdk.outbox import policy
from xpander_sdk.outbox.policy import FailureKind
from xpander_server.contract import Report
from xpander_server.domain import task as tasks
from xpander_server.domain.model_calls import TOKEN_KINDS

tokens = st.fixed_dictionaries({kind: st.integers(0, 9) for kind in TOKEN_KINDS})
calls = st.lists(
    st.fixed_dictionaries(
        {"response_id": st.sampled_from("ab"), "model": st.just("gpt-4o")}, optional={"tokens": tokens}
    ),
    max_size=2,
)
report_fields = st.fixed_dictionaries(
    {},
    optional={
        "input": st.none() | st.text("ab", max_size=3),
        "result": st.none() | st.text("ab", max_size=3),
        "llm_response": st.none() | st.just('{"a": 1}'),
        "tokens": st.none() | tokens,
        "is_success": st.none() | st.booleans(),
        "duration": st.none() | st.floats(0, 9),
        "used_tools": st.none() | st.lists(st.sampled_from("ab"), max_size=2),
        "error": st.none() | st.text("ab", max_size=3),
        "calls": st.none() | calls,
        "metadata": st.none() | st.dictionaries(st.sampled_from("ab"), st.just("1")),
        "conversation_id": st.none() | st.sampled_from("ab"),
    },
)
NOW = 1_800_000_000 * SECOND
REPORTED_FIELDS = set(Report.__annotations__) - {"id"}


def result_on_server(reports: list[policy.Report]) -> dict[str, Any]:
    """Return the fields of the task after the server has merged the reports in this order."""
    task = None
    for report in reports:
        task = tasks.merge(
            task,
            json.loads(report.content),
            organization_id="org-1",
            agent_id=report.agent_id,
            task_id=report.id,
            reported_at=report.reported_at,
            now=NOW,
        )
    assert task is not None
    return {name: getattr(task, name) for name in (*REPORTED_FIELDS, "status", "finished_at")}


@given(st.lists(st.tuples(st.integers(1, 5), report_fields), min_size=1, max_size=5))
def test_merged_report_has_the_same_result_as_separate_reports(given_reports):
    # In the order of submission; the times may differ from it, because the clocks of processes differ.
    reports = [make_report("run-1", NOW - 10 * SECOND + at, **body) for at, body in given_reports]
    merged = policy.merge_reports(reports)
    assert result_on_server([merged]) == result_on_server(reports)
    assert merged.reported_at == max(each.reported_at for each in reports)
    assert (merged.id, merged.agent_id) == ("run-1", "agent-1")


@given(st.lists(report_fields, min_size=2, max_size=5), st.integers(1, 4))
def test_repeating_earlier_reports_in_a_merged_one_changes_nothing(bodies, split):
    # The response was lost: the same reports are sent again, merged with later ones.
    reports = [make_report("run-1", NOW - 10 * SECOND + at, **body) for at, body in enumerate(bodies)]
    before = reports[:split]
    assert result_on_server([policy.merge_reports(before), policy.merge_reports(reports)]) == result_on_server(reports)


def test_merging_keeps_values_that_a_later_report_has_only_by_default():
    first = make_report("run-1", 1, duration=4.7, used_tools=["search"], calls=[{"model": "m"}])
    second = make_report("run-1", 2, result="done", duration=0.0, used_tools=[], calls=[])
    merged = json.loads(policy.merge_reports([first, second]).content)
    assert (merged["result"], merged["duration"], merged["used_tools"]) == ("done", 4.7, ["search"])
    assert merged["calls"] == [{"model": "m"}]


def test_single_report_is_not_changed():
    alone = make_report("run-1", 5, result="ü", duration=1.50)
    assert policy.merge_reports([alone]) is alone


@given(st.integers(1, 10_000), st.booleans(), st.floats(0, 1))
def test_run_backoff_doubles_up_to_an_hour_or_a_minute_if_unavailable(failed_attempts, is_unavailable, draw):
    wait = policy.run_backoff(failed_attempts, is_unavailable, lambda: draw)
    longest = min(60 * SECOND if is_unavailable else HOUR, SECOND * 2 ** min(failed_attempts - 1, 40))
    assert longest / 2 - 1 <= wait <= longest


@given(st.integers(1, 10_000), st.floats(0, 1))
def test_destination_backoff_doubles_up_to_a_minute(failures, draw):
    wait = policy.destination_backoff(failures, None, lambda: draw)
    longest = min(60 * SECOND, SECOND / 2 * 2 ** min(failures - 1, 40))
    assert longest / 2 - 1 <= wait <= longest


@pytest.mark.parametrize(
    ("failed_attempts", "is_unavailable", "draw", "seconds"),
    [
        (1, False, 0.0, 0.5),
        (1, False, 0.5, 0.75),
        (1, False, 1.0, 1.0),
        (4, False, 1.0, 8.0),
        (4, True, 0.5, 6.0),
        (7, True, 1.0, 60.0),
        (12, False, 1.0, 2048.0),
        (13, False, 1.0, 3600.0),
        (100_000, False, 0.0, 1800.0),
    ],
)
def test_run_backoff_is_half_fixed_and_half_random(failed_attempts, is_unavailable, draw, seconds):
    assert policy.run_backoff(failed_attempts, is_unavailable, lambda: draw) == seconds * SECOND


@pytest.mark.parametrize(
    ("failures", "draw", "seconds"),
    [(1, 0.0, 0.25), (1, 1.0, 0.5), (2, 0.5, 0.75), (4, 1.0, 4.0), (8, 1.0, 60.0), (100_000, 0.0, 30.0)],
)
def test_destination_backoff_is_half_fixed_and_half_random(failures, draw, seconds):
    assert policy.destination_backoff(failures, None, lambda: draw) == seconds * SECOND


def test_wait_is_in_force_until_its_end_unless_it_is_too_far_ahead():
    now = NOW
    assert policy.MAX_WAIT == 3_660 * SECOND
    assert [policy.is_in_force(until, now) for until in (now - 1, now, now + 1)] == [False, False, True]
    latest = now + policy.MAX_WAIT
    assert [policy.is_in_force(until, now) for until in (latest - 1, latest, latest + 1)] == [True, True, False]


def test_limits_of_delivery():
    assert policy.UNAUTHORIZED_WAIT == 300 * SECOND
    assert policy.MAX_UNKNOWN_AGENT_ATTEMPTS == 5


@given(st.integers(1, 100), st.floats(0, allow_nan=False), st.floats(0, 1))
def test_retry_after_is_granted_up_to_an_hour(failures, retry_after, draw):
    wait = policy.destination_backoff(failures, retry_after, lambda: draw)
    without = policy.destination_backoff(failures, None, lambda: draw)
    assert wait == without + round(min(retry_after, 3_600) * SECOND)
    assert wait <= policy.MAX_WAIT, "a longer wait would be ignored, as if the clock had been set back"


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        *[(status, FailureKind.REJECTED) for status in (400, 409, 413, 415, 422)],
        *[(status, FailureKind.UNAUTHORIZED) for status in (401, 403)],
        (404, FailureKind.NOT_FOUND),
        *[(status, FailureKind.UNAVAILABLE) for status in (408, 429, 502, 503, 504)],
        *[(status, FailureKind.SERVER_ERROR) for status in (500, 501, 505, 302, 405, 418)],
    ],
)
def test_failure_kind_of_status(status, expected):
    assert policy.classify_failure(error_of_status(status)) is expected


@pytest.mark.parametrize("kind", [errors.ConnectionFailedError, errors.TimedOutError])
def test_missing_response_means_unavailable(kind):
    assert policy.classify_failure(kind(None, "away")) is FailureKind.UNAVAILABLE


def test_invalid_response_is_a_server_error():
    assert policy.classify_failure(errors.ContractError(200, "it is HTML")) is FailureKind.SERVER_ERROR
