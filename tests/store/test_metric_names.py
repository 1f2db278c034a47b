"""Limits of the names in metrics: totals stay exact, documents stay small, and a rebuild changes nothing."""

import sqlite3
from collections import Counter
from contextlib import closing
from unittest.mock import patch

import pytest
from hypothesis import given
from hypothesis import strategies as st

from store.reports import EXAMPLES, NOON, submission
from store.revisions import downgrade
from store.test_metrics import HISTORIES, all_tasks, compacted_rollups
from xpander_server.clock import DAY
from xpander_server.domain import metric_names
from xpander_server.domain.distinct_names import DistinctNames
from xpander_server.domain.metric_names import MAX_CHARACTERS, MAX_NAMES, NameRegistry, count_rejected_names
from xpander_server.domain.metrics import (
    KIND_OF_MEASURE,
    MAX_TASK_TOOLS,
    OTHER,
    merge_amounts,
    parse_key,
    summarize,
    summarize_agents,
    task_amounts,
    with_agent_runs,
)
from xpander_server.store import Store

REGISTRY_HOURS = 0


def totals(amounts):
    """Return the sums of `amounts` without regard to names."""
    sums = Counter()
    for key, amount in amounts.items():
        outcome, measure, label, _ = parse_key(key)
        measure = measure.removeprefix(OTHER)
        sums[outcome, measure, None if measure in KIND_OF_MEASURE else label] += amount
    return {key: amount for key, amount in sums.items() if amount}


def names(amounts, kind):
    """Return the names of a kind in `amounts`."""
    parsed = map(parse_key, amounts)
    return {key.label for key in parsed if KIND_OF_MEASURE.get(key.measure) == kind and key.label is not None}


def rollups_of(store):
    """Compact all deltas, and return the amounts of all rollups, without the registries."""
    return {key: amounts for key, amounts in compacted_rollups(store).items() if key[2] != REGISTRY_HOURS}


@pytest.mark.slow
@given(HISTORIES)
@EXAMPLES
def test_totals_are_exact_and_equal_a_rebuild_when_names_exceed_the_limit(store_of_example, history):
    with patch.object(metric_names, "MAX_NAMES", 1), store_of_example() as store:
        for step in history:
            if step == "compact":
                compacted_rollups(store)
            elif step != "delete":
                store.commit(step)
        expected = merge_amounts(with_agent_runs(task.agent_id, task_amounts(task)) for task in all_tasks(store))
        before_compaction = store.metrics("org").amounts
        assert totals(before_compaction) == totals(expected)
        rollups = rollups_of(store)
        assert all(len(names(rollup, kind)) <= 1 for rollup in rollups.values() for kind in ("tool", "model", "agent"))
        assert all(amount > 0 for rollup in rollups.values() for amount in rollup.values())
        after_compaction = store.metrics("org").amounts
        assert after_compaction == before_compaction
        store.rebuild_metrics()
        assert rollups_of(store) == rollups
        assert store.metrics("org").amounts == after_compaction


def test_a_document_has_at_most_the_limit_of_names_of_each_kind(store):
    count = MAX_NAMES + 200
    for first in range(0, count, 100):
        store.commit(
            [
                submission(
                    str(number),
                    agent_id=f"agent {number}",
                    used_tools=[f"tool {number}"],
                    llm_response=f'{{"model": "model {number}"}}',
                    is_success=True,
                )
                for number in range(first, first + 100)
            ]
        )
    for rollup in rollups_of(store).values():
        assert all(len(names(rollup, kind)) <= MAX_NAMES for kind in ("tool", "model", "agent"))
    amounts = store.metrics("org").amounts
    summary, agents = summarize(amounts), summarize_agents(amounts)
    assert summary["runs"]["total"] == count
    *tools, other_tools = summary["tools"]
    assert (len(tools), other_tools) == (
        MAX_NAMES, {"name": "(other tools)", "is_overflow": True, "calls": 200, "runs": 200}
    )  # fmt: skip
    *models, other_models = summary["models"]
    assert (len(models), other_models["name"], other_models["runs"]) == (MAX_NAMES, "(other models)", 200)
    assert (other_models["unpriced_runs"], other_models["cost"]) == (200, None)
    *known_agents, other_agents = agents
    assert (len(known_agents), other_agents["agent_id"]) == (MAX_NAMES, "(other agents)")
    assert other_agents["runs"] == {"total": 200, "completed": 200, "failed": 0, "executing": 0}


def test_a_name_is_counted_in_one_place_until_the_period_ends(store, monkeypatch):
    monkeypatch.setattr(metric_names, "MAX_NAMES", 1)
    store.report(submission("first", used_tools=["search"]))
    compacted_rollups(store)
    store.report(submission("second", used_tools=["fetch"]))
    compacted_rollups(store)
    store.report(submission("first", used_tools=["fetch"], now=NOON + 1))  # "search" has no calls any more
    for _ in range(2):
        amounts = store.metrics("org").amounts
        assert amounts["executing other_tool_calls"] == 2
        assert names(amounts, "tool") == set()
        compacted_rollups(store)
    store.report(submission("later", used_tools=["fetch"], now=NOON + 40 * DAY))
    assert store.metrics("org").amounts["executing tool_calls fetch"] == 1


def test_a_registry_limits_the_characters_and_stays_full():
    registry = NameRegistry()
    assert registry.admit("tool", "a" * (MAX_CHARACTERS - 5))
    assert not registry.admit("tool", "longer")
    assert registry.is_full
    stored = NameRegistry.from_document(registry.to_document())
    for same in (registry, stored):
        assert not same.admit("tool", "short")  # it may have been rejected before
        assert same.admit("tool", "a" * (MAX_CHARACTERS - 5))
        assert same.admit("model", "short")


def test_a_task_counts_for_a_limited_number_of_tools(store):
    tools = [f"tool {number}" for number in range(MAX_TASK_TOOLS + 2)]
    store.report(submission(used_tools=[*tools, *tools]))
    amounts = store.metrics("org").amounts
    assert len(names(amounts, "tool")) == MAX_TASK_TOOLS
    assert amounts["executing tool_calls tool 0"] == 2
    assert (amounts["executing other_tool_calls"], amounts["executing other_tool_runs"]) == (4, 2)


def test_an_upgrade_limits_the_names_of_an_earlier_store(tmp_path, monkeypatch):
    path = tmp_path / "store.db"
    monkeypatch.setattr(metric_names, "MAX_NAMES", 10**6)
    monkeypatch.setattr(metric_names, "MAX_CHARACTERS", 10**9)
    monkeypatch.setattr("xpander_server.domain.metrics.MAX_TASK_TOOLS", 10**6)
    store = Store(f"sqlite:///{path}")
    tools = [f"tool {number}" for number in range(300)]
    store.commit([submission("one", used_tools=tools), submission("two", used_tools=["tool 299"])])
    compacted_rollups(store)
    store.close()
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("DELETE FROM metric_rollups WHERE hours = 0")
        connection.commit()
    downgrade(f"sqlite:///{path}", "0005")
    monkeypatch.undo()
    monkeypatch.setattr(metric_names, "MAX_NAMES", 200)
    store = Store(f"sqlite:///{path}")
    before = store.metrics("org").amounts
    assert totals(before)["executing", "tool_calls", None] == 301
    assert before["executing tool_calls tool 299"] == 1  # the most used names are kept
    assert all(len(names(rollup, "tool")) <= 200 for rollup in rollups_of(store).values())
    store.report(submission("one", used_tools=["tool 0"], now=NOON + 1))
    assert totals(store.metrics("org").amounts)["executing", "tool_calls", None] == 2
    assert all(amount > 0 for rollup in rollups_of(store).values() for amount in rollup.values())
    store.close()


@given(st.sets(st.text(), max_size=3_000), st.sets(st.text(), max_size=300))
def test_number_of_distinct_names_is_estimated(names, more):
    sketch, other = DistinctNames(), DistinctNames()
    for name in [*names, *names]:
        sketch.add(name)
    for name in more:
        other.add(name)
    assert abs(sketch.estimate() - len(names)) <= 2 + 0.15 * len(names)
    stored = DistinctNames(sketch.to_text())
    assert stored.estimate() == sketch.estimate()
    stored.join(other)
    assert abs(stored.estimate() - len(names | more)) <= 2 + 0.15 * len(names | more)
    assert not any(stored.add(name) for name in names | more)


@pytest.mark.parametrize("count", [10_000, 300_000])
def test_number_of_many_names_has_a_small_error(count):
    sketch = DistinctNames()
    for number in range(count):
        sketch.add(f"tool {number}")
    assert abs(sketch.estimate() - count) <= 0.1 * count
    assert len(sketch.to_text()) == 1_024


def test_overflow_entry_states_how_many_names_it_sums_up(store, monkeypatch):
    monkeypatch.setattr(metric_names, "MAX_NAMES", 2)
    for number in range(12):
        tools = [f"tool {number}", f"tool {(number + 1) % 12}"]
        store.report(submission(str(number), agent_id=f"agent {number % 5}", used_tools=tools))
        if number == 6:
            compacted_rollups(store)
    for _ in range(2):
        result = store.metrics("org")
        assert result.other_names == {"tool": 10, "agent": 3}
        assert summarize(result.amounts, result.other_names)["tools"][-1]["names"] == 10
        assert summarize_agents(result.amounts, result.other_names)[-1]["names"] == 3
        assert store.metrics("org", since=NOON + 100 * DAY).other_names == {}
        compacted_rollups(store)


def test_names_beyond_the_limit_of_a_sum_of_several_periods_are_counted(store, monkeypatch):
    monkeypatch.setattr(metric_names, "MAX_NAMES", 2)
    for number in range(6):
        store.report(submission(str(number), used_tools=[f"tool {number}"], now=NOON + number * 40 * DAY))
    result = store.metrics("org")
    assert len(names(result.amounts, "tool")) == 2
    assert result.other_names == {"tool": 4}


def test_full_registry_of_an_earlier_version_counts_later_names():
    registry = NameRegistry.from_document({"tool": ["search"], "full": ["tool"]})
    assert count_rejected_names([registry]) == {}
    assert not registry.admit("tool", "fetch")
    assert registry.is_changed
    assert count_rejected_names([NameRegistry.from_document(registry.to_document())]) == {"tool": 1}
