"""Metrics on every target and in both forms: sums, costs, series and ranges."""

from datetime import UTC, datetime

import pytest

from xpander_sdk import (
    Tokens,
)


def test_agent_without_tasks_has_empty_history_and_zero_metrics(sdk, agent_id):
    assert sdk.history(agent_id) == []
    metrics = sdk.metrics(agent_id)
    assert (metrics.runs.total, metrics.success_rate, metrics.duration.p50) == (0, None, None)
    assert metrics.tokens.total_tokens == 0
    assert metrics.tools == {}


def test_metrics_sum_all_runs(sdk, agent_id):
    for number in range(1, 101):
        if number % 5:
            continue
        sdk.task_report(
            agent_id=agent_id,
            duration=number / 10,
            is_success=number % 10 == 0,
            tokens={"prompt_tokens": number, "completion_tokens": 2, "cache_read_tokens": 3, "cache_write_tokens": 4},
            used_tools=["search", "search", "fetch"] if number % 10 else ["fetch"],
        )
    sdk.task_report(agent_id=agent_id, is_success=None, duration=1_000)
    metrics = sdk.metrics(agent_id)
    assert metrics.runs == type(metrics.runs)(total=21, completed=10, failed=10, executing=1)
    assert metrics.success_rate == 0.5
    percentiles = (metrics.duration.p50, metrics.duration.p95, metrics.duration.p99)
    assert percentiles == pytest.approx((5.0, 9.5, 10.0), rel=0.01)
    assert metrics.duration.total == pytest.approx(105.0)
    assert metrics.tokens == Tokens(
        prompt_tokens=1_050, completion_tokens=40, cache_read_tokens=60, cache_write_tokens=80
    )
    assert list(metrics.tools) == ["fetch", "search"]
    assert (metrics.tools["search"].calls, metrics.tools["search"].runs) == (20, 10)
    assert (metrics.tools["fetch"].calls, metrics.tools["fetch"].runs) == (20, 20)


PRICED = {
    "llm_response": {"model": "gpt-4o-2024-08-06"},
    "tokens": {"prompt_tokens": 1_000_000, "completion_tokens": 1_000_000},
}


def test_metrics_have_cost_by_model_and_number_of_unpriced_runs(sdk, agent_id):
    sdk.task_report(agent_id=agent_id, **PRICED)
    sdk.task_report(agent_id=agent_id, llm_response={"model": "unheard of"}, tokens={"prompt_tokens": 5})
    sdk.task_report(agent_id=agent_id)
    metrics = sdk.metrics(agent_id)
    assert (metrics.cost.total, metrics.cost.unpriced_runs) == (12.5, 2)
    known, unknown = metrics.models["gpt-4o-2024-08-06"], metrics.models["unheard of"]
    assert (known.runs, known.total_tokens, known.cost, known.unpriced_runs) == (1, 2_000_000, 12.5, 0)
    assert (unknown.runs, unknown.total_tokens, unknown.cost, unknown.unpriced_runs) == (1, 5, None, 1)


def test_metrics_have_time_series(sdk, agent_id):
    task = sdk.task_report(agent_id=agent_id, duration=2, is_success=False, **PRICED)
    assert sdk.metrics(agent_id).series is None
    for by, start in (("hour", task.created_at.replace(minute=0)), ("day", task.created_at.replace(minute=0, hour=0))):
        (point,) = sdk.metrics(agent_id, by=by).series
        assert point.start == start.replace(second=0, microsecond=0)
        assert (point.runs.failed, point.success_rate, point.duration.total) == (1, 0.0, 2.0)
        assert (point.tokens.prompt_tokens, point.cost.total) == (1_000_000, 12.5)


def test_organization_metrics_include_each_agent(sdk, new_id):
    before = sdk.organization_metrics()
    agents = [new_id(), new_id()]
    for agent_id in agents:
        sdk.task_report(agent_id=agent_id, is_success=False)
    after = sdk.organization_metrics()
    assert after.agent_id is None
    assert after.runs.failed == before.runs.failed + 2
    assert [after.agents[agent_id].failed for agent_id in agents] == [1, 1]


def test_metrics_of_range_count_tasks_by_first_report(sdk, agent_id):
    first = sdk.task_report(agent_id=agent_id)
    second = sdk.task_report(agent_id=agent_id)
    sdk.task_report(agent_id=agent_id, id=first.id, result="updated later")
    assert sdk.metrics(agent_id, second.created_at).runs.total == 1
    assert sdk.metrics(agent_id, None, second.created_at).runs.total == 1
    assert sdk.metrics(agent_id, first.created_at.isoformat(), "9999-12-31").runs.total == 2
    assert sdk.metrics(agent_id, "2020-01-01", "2020-01-02").runs.total == 0
    assert sdk.metrics(agent_id, "2020-01-01t00:00:00z").since == datetime(2020, 1, 1, tzinfo=UTC)
