"""Amounts of tasks, their sums and the contract's summary of them."""

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from xpander_server.domain.metrics import (
    MAX_TASK_MODELS,
    add_amounts,
    has_other_names,
    merge_amounts,
    parse_key,
    summarize,
    summarize_agents,
    task_amounts,
    task_delta,
    with_agent_runs,
)
from xpander_server.domain.model_calls import TOKEN_KINDS
from xpander_server.domain.task import Task


def task(status: str = "completed", **fields: Any) -> Task:
    """Return a task of this status; `fields` override its defaults."""
    is_success = {"completed": True, "failed": False, "executing": None}[status]
    defaults = {"organization_id": "o", "id": "t", "agent_id": "a", "created_at": 1, "updated_at": 1}
    return Task(is_success=is_success, **{**defaults, **fields})


def tokens(**counts: int) -> dict[str, int]:
    """Return token counts of all kinds; those that are not given are zero."""
    return {**dict.fromkeys(TOKEN_KINDS, 0), **counts}


def summary(*tasks: Task) -> dict[str, Any]:
    """Return the contract's summary of some tasks."""
    return summarize(merge_amounts(task_amounts(task) for task in tasks))


DURATIONS = st.floats(0, 1e9)
TASKS = st.builds(
    task,
    st.sampled_from(["completed", "failed", "executing"]),
    duration=st.none() | st.floats(-1e9, 1e9),
    tokens=st.none() | st.fixed_dictionaries(dict.fromkeys(TOKEN_KINDS, st.integers(-(10**12), 10**12))),
    used_tools=st.none() | st.lists(st.sampled_from(["a", "b c", " ", "ü"]), max_size=3),
    model=st.none() | st.sampled_from(["m", "m 2"]),
    cost=st.none() | st.integers(0, 2**63 - 1),
    calls=st.none() | st.just([{"model": "m", "tokens": {"prompt_tokens": 3}}, {"model": "m 2"}]),
    call_costs=st.lists(st.none() | st.integers(0, 9), min_size=2, max_size=2),
)


def test_a_task_counts_for_the_documented_amounts():
    run = task(
        duration=1.5,
        tokens=tokens(prompt_tokens=2_140, completion_tokens=380),
        used_tools=["search"],
        model="gpt-4o",
        cost=9_150_000,
    )
    assert task_amounts(run) == {
        "completed runs": 1,
        "completed duration": 1_500_000,
        "completed bucket 719": 1,
        "completed prompt_tokens": 2_140,
        "completed completion_tokens": 380,
        "completed cost": 9_150_000,
        "completed tool_calls search": 1,
        "completed tool_runs search": 1,
        "completed model_runs gpt-4o": 1,
        "completed model_tokens gpt-4o": 2_520,
        "completed model_cost gpt-4o": 9_150_000,
    }


def test_a_key_is_parsed_with_a_label_that_may_contain_spaces_or_be_empty():
    assert parse_key("failed tool_calls fetch a page") == ("failed", "tool_calls", "fetch a page", None)
    assert parse_key("failed tool_calls ") == ("failed", "tool_calls", "", None)
    assert parse_key("failed runs") == ("failed", "runs", None, None)
    assert parse_key("failed bucket 7") == ("failed", "bucket", "7", 7)


@given(st.lists(DURATIONS, min_size=1), st.sampled_from([50, 95, 99]))
def test_a_percentile_is_the_nearest_rank_within_one_percent(durations, percent):
    ascending = sorted(durations)
    exact = ascending[-(-len(ascending) * percent // 100) - 1]
    percentile = summary(*(task(duration=duration) for duration in durations))["duration"][f"p{percent}"]
    assert percentile == pytest.approx(exact, rel=0.01, abs=1e-6)


def test_the_summary_of_no_runs_has_zeros_and_nulls():
    empty = summary()
    assert empty["runs"] == {"total": 0, "completed": 0, "failed": 0, "executing": 0}
    assert empty["success_rate"] is None
    assert empty["duration"] == {"total": 0.0, "p50": None, "p95": None, "p99": None}
    assert (empty["tools"], empty["models"]) == ([], [])
    assert empty["cost"] == {"total": None, "unpriced_runs": 0}


def test_an_executing_run_does_not_count_in_durations_and_success_rate():
    result = summary(task(duration=1.0), task("failed", duration=3.0), task("executing", duration=100.0))
    assert result["success_rate"] == 0.5
    assert result["duration"]["total"] == 4.0
    assert result["duration"]["p99"] == pytest.approx(3.0, rel=0.01)


def test_a_run_without_a_duration_does_not_count_in_durations():
    assert summary(task(), task(duration=2.0))["duration"]["p50"] == pytest.approx(2.0, rel=0.01)


def test_durations_add_up_without_rounding_errors():
    assert summary(*(task(duration=0.1) for _ in range(10)))["duration"]["total"] == math.fsum([0.1] * 10)


def test_a_negative_number_counts_as_zero():
    result = summary(task(duration=-1.0, tokens=tokens(prompt_tokens=-5, completion_tokens=2)))
    assert (result["duration"]["p50"], result["tokens"]["prompt_tokens"]) == (0.0, 0)
    assert result["tokens"]["total_tokens"] == 2


def test_the_largest_amounts_of_the_contract_add_up_exactly():
    largest = task(duration=1e9, tokens=tokens(prompt_tokens=10**12), model="m", cost=2**63 - 1)
    amounts = task_amounts(largest)
    total = merge_amounts([{key: amount * 10**9 for key, amount in amounts.items()}])
    assert summarize(total)["tokens"]["prompt_tokens"] == 10**21
    assert total["completed cost"] == (2**63 - 1) * 10**9


def test_tools_are_counted_by_call_and_by_run_most_called_first():
    tool_lists = (["b", "b", "a"], ["a"], ["c d", "c d", "c d"])
    assert summary(*(task(used_tools=tools) for tools in tool_lists))["tools"] == [
        {"name": "c d", "calls": 3, "runs": 1},
        {"name": "a", "calls": 2, "runs": 2},
        {"name": "b", "calls": 2, "runs": 1},
    ]


def test_an_unknown_cost_is_null_and_not_zero():
    priced = task(model="m", cost=1_500_000_000, tokens=tokens(prompt_tokens=3, completion_tokens=4))
    result = summary(priced, task(model="n"), task())
    assert result["cost"] == {"total": 1.5, "unpriced_runs": 2}
    assert result["models"] == [
        {"name": "m", "runs": 1, "total_tokens": 7, "cost": 1.5, "unpriced_runs": 0},
        {"name": "n", "runs": 1, "total_tokens": 0, "cost": None, "unpriced_runs": 1},
    ]
    assert summary(task())["cost"] == {"total": None, "unpriced_runs": 1}


def test_a_run_counts_for_each_model_that_it_called():
    calls = [
        {"model": "a", "tokens": {"prompt_tokens": 3}},
        {"model": "b", "tokens": {"completion_tokens": 4}},
        {"model": "a", "tokens": {"prompt_tokens": 5}},
    ]
    run = task(calls=calls, call_costs=[100_000_000, None, 200_000_000], model="a", tokens=tokens(prompt_tokens=99))
    result = summary(run, task(model="b", tokens=tokens(prompt_tokens=1), cost=7_000_000_000))
    assert result["models"] == [
        {"name": "b", "runs": 2, "total_tokens": 5, "cost": 7.0, "unpriced_runs": 1},
        {"name": "a", "runs": 1, "total_tokens": 8, "cost": 0.3, "unpriced_runs": 0},
    ]
    assert result["tokens"]["total_tokens"] == 100
    assert result["cost"] == {"total": 7.0, "unpriced_runs": 1}


def test_the_models_beyond_the_limit_of_a_run_are_summed_up():
    calls = [{"model": f"m{number}", "tokens": {"prompt_tokens": 1}} for number in range(MAX_TASK_MODELS + 3)]
    costs = [1_000_000_000] * (len(calls) - 1) + [None]
    models = summary(task(calls=calls, call_costs=costs))["models"]
    assert len(models) == MAX_TASK_MODELS + 1
    assert models[-1] == {
        "name": "(other models)",
        "is_overflow": True,
        "runs": 3,
        "total_tokens": 3,
        "cost": 2.0,
        "unpriced_runs": 1,
    }


def test_an_organizations_amounts_contain_the_runs_of_each_agent():
    tasks_by_agent = {"a": [task(), task("failed")], "b c": [task("executing")]}
    total = merge_amounts(
        with_agent_runs(agent_id, task_amounts(run)) for agent_id, runs in tasks_by_agent.items() for run in runs
    )
    assert summarize_agents(total) == [
        {"agent_id": "a", "runs": {"total": 2, "completed": 1, "failed": 1, "executing": 0}},
        {"agent_id": "b c", "runs": {"total": 1, "completed": 0, "failed": 0, "executing": 1}},
    ]


@given(st.lists(TASKS, min_size=1))
def test_the_deltas_of_a_task_add_up_to_the_amounts_of_its_last_state(states):
    total: dict[str, int] = {}
    before = None
    for state in states:
        add_amounts(total, task_delta(before, state))
        before = state
    assert total == task_amounts(states[-1])


def test_the_tools_beyond_the_128th_of_a_run_are_summed_up():
    names = [f"t{number}" for number in range(130)]
    tools = summary(task(used_tools=[*names, "t129", "t0"]))["tools"]
    assert tools[0] == {"name": "t0", "calls": 2, "runs": 1}
    assert tools[-1] == {"name": "(other tools)", "is_overflow": True, "calls": 3, "runs": 2}
    assert {tool["name"] for tool in tools[:-1]} == set(names[:128])


def test_a_run_may_call_128_tools_any_number_of_times():
    names = [f"t{number}" for number in range(128)]
    tools = summary(task(used_tools=names * 2))["tools"]
    assert [(tool["calls"], tool["runs"]) for tool in tools] == [(2, 1)] * 128


def test_a_run_counts_for_32_models_by_name():
    calls = [{"model": f"m{number}"} for number in range(33)]
    assert [len(summary(task(calls=calls[:count]))["models"]) for count in (31, 32, 33)] == [31, 32, 33]
    assert [model["name"] for model in summary(task(calls=calls))["models"]][-1] == "(other models)"
    assert "is_overflow" not in summary(task(calls=calls[:32]))["models"][-1]


def test_the_overflow_entries_state_their_number_of_names():
    amounts = {"failed other_tool_calls": 9, "failed other_tool_runs": 4, "failed other_model_runs": 2}
    result = summarize(amounts, {"tool": 7, "model": 3})
    assert result["tools"] == [{"name": "(other tools)", "is_overflow": True, "names": 7, "calls": 9, "runs": 4}]
    assert (result["models"][0]["name"], result["models"][0]["names"]) == ("(other models)", 3)
    (agents,) = summarize_agents({"completed other_agent_runs": 3, "failed other_agent_runs": 1}, {"agent": 5})
    assert agents == {
        "agent_id": "(other agents)",
        "is_overflow": True,
        "names": 5,
        "runs": {"total": 4, "completed": 3, "failed": 1, "executing": 0},
    }


def test_amounts_of_names_without_keys_are_recognized():
    assert has_other_names({"completed runs": 1, "failed other_tool_calls": 1})
    assert not has_other_names({"completed tool_calls other_tool": 1, "completed tool_runs an other_tool": 1})


def test_the_shortest_durations_have_the_first_buckets():
    amounts = [task_amounts(task(duration=microseconds / 1e6)) for microseconds in (0, 1, 2)]
    assert [[key for key in each if "bucket" in key] for each in amounts] == [
        ["completed bucket 0"],
        ["completed bucket 1"],
        ["completed bucket 36"],
    ]
    assert summary(task(duration=0.0), task(duration=0.0))["duration"] == {"total": 0, "p50": 0, "p95": 0, "p99": 0}


def test_a_negative_count_of_a_model_counts_as_zero():
    run = task(model="m", tokens=tokens(prompt_tokens=-5, completion_tokens=7), cost=0)
    (model,) = summary(run)["models"]
    assert model == {"name": "m", "runs": 1, "total_tokens": 7, "cost": 0.0, "unpriced_runs": 0}


def test_calls_without_costs_are_unpriced():
    (model,) = summary(task(calls=[{"model": "m"}, {"model": "m"}]))["models"]
    assert (model["runs"], model["cost"], model["unpriced_runs"]) == (1, None, 1)


def test_a_sum_of_zero_has_no_key():
    total = {"completed runs": 2, "failed runs": 1}
    add_amounts(total, {"completed runs": -2, "failed runs": 1, "executing runs": 0})
    assert total == {"failed runs": 2}
