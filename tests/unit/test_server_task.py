"""Rules by which reports update a task."""

from itertools import permutations

import pytest
from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st

from xpander_server.api import serializers
from xpander_server.clock import DAY, EARLIEST, LATEST, SECOND, format_timestamp, parse_timestamp
from xpander_server.contract import Report
from xpander_server.domain.pricing import OwnPrice, OwnPrices
from xpander_server.domain.task import MAX_CLOCK_AHEAD, STALE_AFTER, Conflict, Erased, Task, merge, reprice

NOW = 1_800_000_000 * SECOND


def after(
    stored: Task | None, report: Report, *, at: int | None = None, now: int = NOW, agent_id: str = "agent"
) -> Task:
    return merge(stored, report, organization_id="org", agent_id=agent_id, task_id="t", reported_at=at, now=now)


def test_first_report_creates_task_at_time_of_arrival():
    task = after(None, {"result": "r", "is_success": True}, at=5)
    assert (task.organization_id, task.id, task.agent_id) == ("org", "t", "agent")
    assert task.created_at == task.updated_at == task.finished_at == NOW


@pytest.mark.parametrize(("is_success", "status"), [(True, "completed"), (False, "failed"), (None, "executing")])
def test_is_success_determines_the_status(is_success, status):
    assert after(None, {"is_success": is_success}).status == status


def test_null_and_absent_fields_change_nothing():
    first = after(None, {"result": "r", "is_success": True, "tokens": {"prompt_tokens": 1}})
    second = after(first, {"result": None, "is_success": None}, now=NOW + 1)
    assert (second.result, second.status, second.tokens) == (first.result, "completed", first.tokens)
    assert second is first


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("duration", -1.0),
        ("used_tools", [""]),
        ("result", ""),
        ("is_success", False),
        ("error", ""),
        ("metadata", {}),
        ("calls", [{}]),
        ("conversation_id", "other"),
    ],
)
def test_other_values_replace_the_stored_value(name, value):
    first = after(
        None,
        {
            "duration": 4.7,
            "used_tools": ["x"],
            "result": "r",
            "is_success": True,
            "error": "timeout",
            "metadata": {"a": "1"},
            "calls": [PRICED_CALL],
            "conversation_id": "first",
        },
    )
    assert getattr(after(first, {name: value}), name) == value


@pytest.mark.parametrize("default", [{"duration": 0}, {"duration": -0.0}, {"used_tools": []}, {"calls": []}])
def test_defaults_of_the_clients_count_as_not_given(default):
    first = after(None, {"duration": 4.7, "used_tools": ["x"], "calls": [PRICED_CALL]})
    assert after(first, default) is first
    new = after(None, default)
    assert (new.duration, new.used_tools, new.calls) == (None, None, None)


def test_tokens_that_no_report_contains_are_the_sum_of_the_calls():
    first = after(None, {"calls": [PRICED_CALL, {"tokens": {"completion_tokens": 7, "reasoning_tokens": 3}}]})
    assert first.tokens == {
        "completion_tokens": 7,
        "prompt_tokens": 1_000_000,
        "cache_read_tokens": 0,
        "cache_write_tokens": 0,
    }
    second = after(first, {"calls": [{"tokens": {"prompt_tokens": 5}}]})
    assert second.tokens is not None
    assert second.tokens["prompt_tokens"] == 5
    assert after(second, {"calls": [{"model": "gpt-4o"}]}).tokens is None


def test_reported_tokens_replace_the_sum_of_the_calls_and_stay_when_the_calls_change():
    first = after(None, {"calls": [PRICED_CALL]})
    second = after(first, {"tokens": {"prompt_tokens": 3}})
    third = after(second, {"calls": [{"model": "gpt-4o", "tokens": {"prompt_tokens": 9}}]})
    assert second.tokens == third.tokens
    assert third.tokens is not None
    assert third.tokens["prompt_tokens"] == 3


def test_cost_of_a_task_with_calls_is_the_sum_of_their_costs():
    task = after(None, {"calls": [PRICED_CALL, {"model": "own", "cost": 0.25}], "llm_response": '{"model": "gpt-4"}'})
    assert task.call_costs == [2_500_000_000, 250_000_000]
    assert (task.cost, task.model) == (2_750_000_000, "gpt-4o")


def test_task_with_a_call_of_unknown_cost_has_no_cost():
    task = after(None, {"calls": [PRICED_CALL, {"model": "unknown", "tokens": {"prompt_tokens": 1}}]})
    assert task.call_costs == [2_500_000_000, None]
    assert task.cost is None


def test_change_of_calls_computes_the_cost_again():
    first = after(None, {"calls": [PRICED_CALL]})
    second = after(first, {"calls": [{**PRICED_CALL, "model": "gpt-4o-mini"}]})
    assert (first.cost, second.cost) == (2_500_000_000, 150_000_000)
    assert second.changes is not None
    assert second.changes[-1]["before"] == {"calls": [PRICED_CALL]}


def test_response_determines_model_and_cost_of_a_task_without_calls():
    task = after(None, {"tokens": {"prompt_tokens": 1_000_000}, "llm_response": '{"model": "gpt-4o"}'})
    assert (task.model, task.cost, task.call_costs) == ("gpt-4o", 2_500_000_000, None)


def test_default_of_a_newer_report_does_not_erase_the_value_of_an_older_one():
    started = after(None, {"is_success": None, "duration": 0.0, "used_tools": []}, at=NOW)
    ended = after(started, {"is_success": True, "duration": 1.2, "used_tools": ["search"]}, at=NOW - 3 * SECOND)
    assert (ended.status, ended.duration, ended.used_tools) == ("completed", 1.2, ["search"])


def test_tokens_are_replaced_as_a_whole():
    first = after(None, {"tokens": {"prompt_tokens": 5, "cache_read_tokens": 1}})
    second = after(first, {"tokens": {"prompt_tokens": 6, "completion_tokens": None}})
    assert second.tokens == {
        "prompt_tokens": 6,
        "completion_tokens": 0,
        "cache_read_tokens": 0,
        "cache_write_tokens": 0,
    }


def test_integers_may_be_written_as_floats():
    task = after(None, {"tokens": {"prompt_tokens": 17046.0}, "duration": 3})  # type: ignore[typeddict-item]
    assert task.tokens is not None
    assert repr(task.tokens["prompt_tokens"]) == "17046"
    assert repr(task.duration) == "3.0"


def test_update_keeps_created_at_and_finished_at():
    first = after(None, {"is_success": True})
    second = after(first, {"is_success": False, "result": "no"}, now=NOW + 9)
    assert (second.created_at, second.finished_at, second.updated_at) == (NOW, NOW, NOW + 9)


def test_started_at_is_finished_at_minus_duration():
    assert after(None, {"is_success": True, "duration": 4.7}).started_at == NOW - 4_700_000
    assert after(None, {"duration": 4.7}).started_at is None


def test_report_may_state_created_at_and_finished_at():
    report: Report = {
        "is_success": True,
        "created_at": "1970-01-01T01:00:02.5+01:00",
        "finished_at": "1970-01-01T00:00:09Z",
    }
    task = after(None, {**report, "duration": 4}, at=NOW)
    assert (task.created_at, task.finished_at, task.started_at) == (2_500_000, 9 * SECOND, 5 * SECOND)
    assert task.updated_at == NOW
    assert after(task, report, at=NOW, now=NOW + 1) is task


def test_latest_report_determines_created_at():
    first = after(None, {"is_success": True}, at=NOW)
    second = after(first, {"created_at": "2020-01-01T00:00:00Z"}, at=NOW + 1)
    third = after(second, {"created_at": "2021-01-01T00:00:00Z"}, at=NOW + 2)
    assert second.created_at < third.created_at < first.created_at
    assert after(third, {"created_at": "2019-01-01T00:00:00Z"}, at=NOW + 1).created_at == third.created_at
    assert third.finished_at == NOW


@pytest.mark.parametrize("name", ["created_at", "finished_at"])
def test_stated_time_far_in_the_future_is_ignored(name):
    task = after(None, {"is_success": True, name: "2999-01-01T00:00:00Z"})  # type: ignore[misc]
    assert (task.created_at, task.finished_at, name in task.reported_at) == (NOW, NOW, False)


def test_finished_at_is_null_without_an_outcome():
    task = after(None, {"finished_at": "2020-01-01T00:00:00Z"})
    assert (task.status, task.started_at, serializers.task(task, stale_before=0)["finished_at"]) == (
        "executing",
        None,
        None,
    )
    ended = after(task, {"is_success": True})
    assert serializers.task(ended, stale_before=0)["finished_at"] == "2020-01-01T00:00:00.000000Z"


def test_report_of_another_agent_conflicts():
    with pytest.raises(Conflict):
        after(after(None, {}), {"result": "r"}, agent_id="another")


def test_older_report_replaces_nothing_and_fills_gaps():
    first = after(None, {"result": "new"}, at=NOW)
    second = after(first, {"result": "old", "input": "question"}, at=NOW - 1)
    assert (second.result, second.input) == ("new", "question")


def test_repeated_report_changes_nothing():
    first = after(None, {"result": "r", "is_success": True}, at=NOW)
    assert after(first, {"result": "r", "is_success": True}, at=NOW, now=NOW + SECOND) is first


def test_time_of_report_far_in_the_future_is_replaced():
    first = after(None, {"result": "future"}, at=NOW + MAX_CLOCK_AHEAD + 1)
    assert after(first, {"result": "now"}, at=NOW + 1, now=NOW + 1).result == "now"


PRICED_CALL = {"model": "gpt-4o", "response_id": "r1", "tokens": {"prompt_tokens": 1_000_000}}

reports = st.fixed_dictionaries(
    {},
    optional={
        "input": st.sampled_from(["a", "b"]),
        "result": st.sampled_from([None, "a", "b"]),
        "is_success": st.sampled_from([None, True, False]),
        "duration": st.sampled_from([None, 0.0, 1.0]),
        "used_tools": st.sampled_from([None, [], ["x"]]),
        "created_at": st.sampled_from([None, "2020-01-01T00:00:00Z", "2021-01-01T00:00:00Z"]),
        "finished_at": st.sampled_from([None, "2020-01-01T00:00:00Z", "2021-01-01T00:00:00Z"]),
        "tokens": st.sampled_from([None, {"prompt_tokens": 1}, {"completion_tokens": 2}]),
        "error": st.sampled_from([None, "", "timeout"]),
        "calls": st.sampled_from([None, [], [PRICED_CALL], [PRICED_CALL, {"model": "local", "response_id": "r1"}]]),
        "conversation_id": st.sampled_from([None, "a", "b"]),
        "metadata": st.sampled_from([None, {}, {"a": "1"}, {"b": "2"}]),
    },
)


def is_stated(name: str, value: object) -> bool:
    return value is not None and not (name in ("duration", "used_tools", "calls") and not value)


@given(st.lists(reports, min_size=1, max_size=4))
def test_order_and_repetition_of_reports_do_not_matter(generated_reports):
    timed = list(enumerate(generated_reports))
    outcomes = set()
    for order in permutations(timed):
        task = None
        for at, report in [*order, *order[:2]]:
            task = after(task, report, at=at)
        assert task is not None
        outcomes.add(repr(evolve(task, reported_at={}, updated_at=0)))
        assert all(
            task.reported_at[name] == max(at for at, report in timed if is_stated(name, report.get(name)))
            for name in task.reported_at
        )
    assert len(outcomes) == 1


@pytest.mark.parametrize(
    ("timestamp", "microseconds"),
    [
        ("1970-01-01T00:00:00Z", 0),
        ("1970-01-01t01:00:00.25+01:00", SECOND // 4),
        ("1970-01-01T00:00:00.123456789Z", 123_456),
        ("2016-12-31T23:59:60Z", 1_483_228_800 * SECOND),
        ("2017-01-01T00:59:60.5+01:00", 1_483_228_800 * SECOND + SECOND // 2),
        ("0001-01-01T00:21:53+01:37", EARLIEST),
        ("0000-06-01T00:00:00Z", EARLIEST),
        ("9999-12-31T23:59:59-23:59", LATEST),
    ],
)
def test_every_rfc_3339_timestamp_is_parsed(timestamp, microseconds):
    assert parse_timestamp(timestamp) == microseconds
    assert format_timestamp(microseconds).endswith("Z")


def test_reason_follows_the_outcome_and_the_texts():
    started = after(None, {"is_success": None, "llm_response": '{"error": {"message": "overloaded"}}'}, at=NOW)
    assert started.reason is None
    failed = after(started, {"is_success": False})
    assert failed.reason == "overloaded"
    explained = after(failed, {"error": "No capacity."})
    assert explained.reason == "No capacity."
    assert after(explained, {"is_success": True}).reason is None


def test_executing_task_is_stale_if_it_last_changed_before_the_time():
    executing = after(None, {})
    assert [executing.is_stale(stale_before) for stale_before in (NOW - 1, NOW, NOW + 1)] == [False, False, True]
    assert not after(None, {"is_success": False}).is_stale(NOW + 1)


def test_task_is_stale_after_a_day_by_default():
    assert STALE_AFTER == DAY


def test_clock_of_a_caller_may_be_five_minutes_ahead():
    times = [after(None, {"result": "r"}, at=NOW + seconds * SECOND).reported_at for seconds in (299, 300, 301)]
    assert times == [{"result": NOW + 299 * SECOND}, {"result": NOW + 300 * SECOND}, {"result": NOW}]


@pytest.mark.parametrize("name", ["created_at", "finished_at"])
def test_stated_time_may_be_as_far_ahead_as_a_clock(name):
    latest = NOW + 300 * SECOND
    stated = [format_timestamp(latest), format_timestamp(latest + 1)]
    tasks = [after(None, {"is_success": True, name: time}) for time in stated]  # type: ignore[misc]
    assert [getattr(task, name) for task in tasks] == [latest, NOW]


def test_report_without_a_time_has_the_time_of_its_arrival():
    assert after(None, {"result": "r"}, at=None).reported_at == {"result": NOW}


def test_later_arrival_wins_if_the_times_of_report_are_equal():
    assert after(after(None, {"result": "a"}, at=NOW), {"result": "b"}, at=NOW).result == "b"


def test_newer_report_of_the_same_value_only_advances_its_time_of_report():
    first = after(None, {"result": "same"}, at=NOW)
    second = after(first, {"result": "same"}, at=NOW + 5, now=NOW + 9)
    assert second.reported_at == {"result": NOW + 5}
    assert (second.updated_at, second.changes) == (NOW, None)
    assert after(second, {"result": "between"}, at=NOW + 3).result == "same"


def test_outcome_that_arrives_later_determines_the_end():
    started = after(None, {"input": "q"})
    assert started.finished_at is None
    ended = after(started, {"is_success": True}, now=NOW + 7)
    assert (ended.created_at, ended.finished_at, ended.started_at) == (NOW, NOW + 7, NOW + 7)


def test_change_keeps_the_values_before_it():
    first = after(None, {"result": "draft", "is_success": False})
    second = after(first, {"result": "final", "is_success": True, "error": "e"}, at=NOW + 1, now=NOW + 2)
    third = after(second, {"result": "last"}, at=NOW + 3, now=NOW + 4)
    assert (first.changes, third.changes) == (
        None,
        [
            {
                "reported_at": NOW + 1,
                "at": NOW + 2,
                "before": {"result": "draft", "is_success": False, "error": None},
                "lengths": {},
            },
            {"reported_at": NOW + 3, "at": NOW + 4, "before": {"result": "final"}, "lengths": {}},
        ],
    )


def test_task_keeps_its_latest_twenty_changes():
    task = after(None, {"result": "0"})
    for number in range(1, 24):
        task = after(task, {"result": str(number)}, now=NOW + number)
    assert task.changes is not None
    assert [change["before"]["result"] for change in task.changes] == [str(number) for number in range(3, 23)]


@pytest.mark.parametrize(
    ("name", "longest", "too_long", "length"),
    [
        ("result", "x" * 200, "x" * 201, 201),
        ("used_tools", ["x" * 196], ["x" * 197], 201),  # with ["" around it
        ("llm_response", None, "{}", 2),
    ],
)
def test_change_keeps_the_length_of_a_long_value(name, longest, too_long, length):
    kept, left_out = (
        after(after(None, {name: before}), {name: ["new"] if name == "used_tools" else '"new"'})  # type: ignore[misc]
        for before in (longest, too_long)
    )
    assert kept.changes is not None
    assert left_out.changes is not None
    assert (kept.changes[0]["before"], kept.changes[0]["lengths"]) == ({name: longest}, {})
    assert (left_out.changes[0]["before"], left_out.changes[0]["lengths"]) == ({}, {name: length})


def test_changes_of_a_task_are_no_part_of_its_value():
    task = after(after(None, {"result": "a"}), {"result": "b"})
    assert task == evolve(task, changes=None)
    assert "changes" not in repr(task)


OWN_PRICES = OwnPrices([OwnPrice(model="own", prompt=3_000_000_000, completion=0)])


def test_new_prices_apply_only_to_a_task_that_is_priced_again():
    task = after(None, {"tokens": {"prompt_tokens": 1_000_000}, "llm_response": '{"model": "own"}'})
    assert task.cost is None
    repriced = reprice(task, OWN_PRICES)
    assert repriced == evolve(task, cost=3_000_000_000)
    assert reprice(repriced, OWN_PRICES) is repriced


def test_calls_are_priced_again_with_the_tokens_that_were_reported():
    task = after(None, {"calls": [{"model": "own"}], "tokens": {"prompt_tokens": 2_000_000}})
    repriced = reprice(task, OWN_PRICES)
    assert (repriced.call_costs, repriced.cost, repriced.tokens) == ([6_000_000_000], 6_000_000_000, task.tokens)


def test_report_is_priced_with_the_prices_of_the_organization():
    task = merge(
        None,
        {"calls": [{"model": "own", "tokens": {"prompt_tokens": 1_000_000}}]},
        organization_id="org",
        agent_id="agent",
        task_id="t",
        reported_at=None,
        now=NOW,
        own_prices=OWN_PRICES,
    )
    assert task.cost == 3_000_000_000


def test_later_tokens_are_priced_with_the_stored_response():
    first = after(None, {"llm_response": '{"model": "gpt-4o"}'})
    second = after(first, {"tokens": {"prompt_tokens": 1_000_000}})
    assert (first.cost, second.cost, second.model) == (None, 2_500_000_000, "gpt-4o")


def test_price_of_the_start_of_the_task_applies():
    fields: Report = {"llm_response": '{"model": "claude-opus-4-6"}', "tokens": {"prompt_tokens": 1_000_000}}
    costs = [after(None, {**fields, "created_at": f"{year}-11-01T00:00:00Z"}).cost for year in (2025, 2026)]
    assert None not in costs
    assert costs[0] != costs[1]


def test_errors_of_a_refused_report_name_the_task():
    assert str(Conflict("t 1")) == "The id 't 1' belongs to another agent of this organization. Nothing was changed."
    assert str(Erased("t 1")) == "The task 't 1' was erased. Nothing was stored."
