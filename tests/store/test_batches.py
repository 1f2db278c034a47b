"""Commits of many reports: new tasks, known tasks and conflicts together give what the reports give one by one."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from store.reports import EXAMPLES, NOON, submission
from xpander_server.domain.metrics import merge_amounts, task_amounts, with_agent_runs
from xpander_server.domain.task import Conflict, Task
from xpander_server.store import Store, Submission

SUBMISSIONS = st.builds(
    submission,
    st.sampled_from(["t1", "t2", "t3", "t4"]),
    organization_id=st.sampled_from(["org", "org", "other"]),
    agent_id=st.sampled_from(["agent", "agent", "agent", "b"]),
    now=st.integers(NOON, NOON + 10),
    reported_at=st.none() | st.integers(NOON - 5, NOON + 5),
    input=st.none() | st.sampled_from(["in", "a\0b"]),
    result=st.none() | st.sampled_from(["draft", "final"]),
    is_success=st.none() | st.booleans(),
    duration=st.none() | st.sampled_from([0, 1, 2.5]),
    used_tools=st.none() | st.lists(st.sampled_from(["a", "b"]), max_size=2),
    llm_response=st.none() | st.sampled_from(['{"model":"gpt-4o-2024-08-06"}', "[1.10]"]),
    tokens=st.none() | st.fixed_dictionaries({"prompt_tokens": st.integers(0, 9), "completion_tokens": st.just(3)}),
)


@pytest.mark.slow
@given(st.lists(st.lists(SUBMISSIONS, min_size=1, max_size=8), max_size=5))
@EXAMPLES
def test_batches_give_what_their_reports_give_one_by_one(store_of_example, batches):
    expected: dict[Any, Task] = {}
    with store_of_example() as store:
        for batch in batches:
            outcomes = store.commit(batch)
            assert len(outcomes) == len(batch)
            for report, outcome in zip(batch, outcomes, strict=True):
                try:
                    task = report.merge_into(expected.get(report.key))
                except Conflict:
                    assert isinstance(outcome, Conflict)
                else:
                    expected[report.key] = task
                    assert outcome == task
        for key, task in expected.items():
            assert store.task(*key) == task
        for organization_id in ("org", "other"):
            tasks = [task for key, task in expected.items() if key.organization_id == organization_id]
            amounts = merge_amounts(with_agent_runs(task.agent_id, task_amounts(task)) for task in tasks)
            assert store.metrics(organization_id).amounts == amounts


def batch_of(first: int, count: int = 100) -> list[Submission]:
    """Return reports of new runs, and of one that an earlier batch has created."""
    return [submission(f"{number:06}", result="x" * 100, is_success=True) for number in range(first, first + count)]


def test_known_and_new_tasks_of_one_batch_are_all_stored(store: Store):
    store.commit(batch_of(0, 5))
    outcomes = store.commit([submission("000003", result="changed"), *batch_of(4, 3), submission("000003", duration=2)])
    assert [task.id for task in outcomes if isinstance(task, Task)] == [
        "000003",
        "000004",
        "000005",
        "000006",
        "000003",
    ]
    changed = store.task("org", "000003")
    assert changed is not None
    assert (changed.result, changed.duration, changed.is_success) == ("changed", 2.0, True)
    assert store.metrics("org").amounts["completed runs"] == 7
