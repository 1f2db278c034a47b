"""The rules by themselves."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from outbox.parts import HOUR, SECOND, refusal, report
from xpander_sdk import errors
from xpander_sdk.outbox import policy
from xpander_sdk.outbox.policy import FailureKind
from xpander_server.contract import Report
from xpander_server.domain import task as tasks

tokens = st.fixed_dictionaries({kind: st.integers(0, 9) for kind in tasks.TOKEN_KINDS})
said = st.fixed_dictionaries(
    {},
    optional={
        "input": st.none() | st.text("ab", max_size=3),
        "result": st.none() | st.text("ab", max_size=3),
        "llm_response": st.none() | st.just('{"a": 1}'),
        "tokens": st.none() | tokens,
        "is_success": st.none() | st.booleans(),
        "duration": st.none() | st.floats(0, 9),
        "used_tools": st.none() | st.lists(st.sampled_from("ab"), max_size=2),
    },
)
NOW = 1_800_000_000 * SECOND
REPORTED = set(Report.__annotations__) - {"id"}


def recorded(reports: list[policy.Report]) -> dict[str, Any]:
    """What the server makes of these, in this order."""
    task = None
    for each in reports:
        task = tasks.merge(
            task,
            json.loads(each.content),
            organization_id="org-1",
            agent_id=each.agent_id,
            task_id=each.id,
            reported_at=each.reported_at,
            now=NOW,
        )
    assert task is not None
    return {name: getattr(task, name) for name in (*REPORTED, "status", "finished_at")}


@given(st.lists(st.tuples(st.integers(1, 5), said), min_size=1, max_size=5))
def test_reports_that_merge_end_up_as_the_server_merges_them(given_reports):
    # In the order in which they were put, which clocks that differ need not agree with.
    reports = [report("run-1", NOW - 10 * SECOND + at, **body) for at, body in given_reports]
    merged = policy.merge_reports(reports)
    assert recorded([merged]) == recorded(reports)
    assert merged.reported_at == max(each.reported_at for each in reports)
    assert (merged.id, merged.agent_id) == ("run-1", "agent-1")


@given(st.lists(said, min_size=2, max_size=5), st.integers(1, 4))
def test_a_part_that_went_out_before_changes_nothing(bodies, split):
    # Its answer was lost: it is sent again, merged with what came since.
    reports = [report("run-1", NOW - 10 * SECOND + at, **body) for at, body in enumerate(bodies)]
    before = reports[:split]
    assert recorded([policy.merge_reports(before), policy.merge_reports(reports)]) == recorded(reports)


def test_one_report_is_sent_as_it_was_written():
    alone = report("run-1", 5, result="ü", duration=1.50)
    assert policy.merge_reports([alone]) is alone


@given(st.integers(1, 10_000), st.booleans(), st.floats(0, 1))
def test_a_run_waits_ever_longer_up_to_an_hour_or_a_minute_where_its_target_is_away(attempts, is_away, draw):
    wait = policy.run_backoff(attempts, is_away, lambda: draw)
    longest = min(60 * SECOND if is_away else HOUR, SECOND * 2 ** min(attempts - 1, 40))
    assert longest / 2 - 1 <= wait <= longest


@given(st.integers(1, 10_000), st.floats(0, 1))
def test_a_target_is_left_alone_ever_longer_up_to_a_minute(failures, draw):
    wait = policy.destination_backoff(failures, None, lambda: draw)
    longest = min(60 * SECOND, SECOND / 2 * 2 ** min(failures - 1, 40))
    assert longest / 2 - 1 <= wait <= longest


@given(st.integers(1, 100), st.floats(0, allow_nan=False), st.floats(0, 1))
def test_what_a_target_asks_for_is_granted_up_to_an_hour(failures, asked, draw):
    wait = policy.destination_backoff(failures, asked, lambda: draw)
    own = policy.destination_backoff(failures, None, lambda: draw)
    assert wait == own + round(min(asked, 3_600) * SECOND)
    assert wait <= policy.MAX_WAIT, "a longer one would be taken for the mark of a clock that was put back"


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        *[(status, FailureKind.REJECTED) for status in (400, 409, 413, 415, 422)],
        *[(status, FailureKind.UNAUTHORIZED) for status in (401, 403)],
        (404, FailureKind.NOT_FOUND),
        *[(status, FailureKind.UNAVAILABLE) for status in (408, 429, 502, 503)],
        *[(status, FailureKind.SERVER_ERROR) for status in (500, 302, 405, 418)],
    ],
)
def test_what_an_answer_means(status, expected):
    assert policy.classify_failure(refusal(status)) is expected


@pytest.mark.parametrize("kind", [errors.ConnectionFailedError, errors.TimedOutError])
def test_no_answer_means_not_now(kind):
    assert policy.classify_failure(kind(None, "away")) is FailureKind.UNAVAILABLE


def test_an_answer_that_is_none_is_a_failure_of_the_target():
    assert policy.classify_failure(errors.ContractError(200, "it is HTML")) is FailureKind.SERVER_ERROR
