"""Summaries of views: counts, sums, orders, and how far they reach; neighbors of a task in a view."""

import pytest

from store.reports import NOON, submission
from xpander_server.domain.pricing import NANODOLLARS
from xpander_server.store import TaskQuery
from xpander_server.store import task_query as task_query_module
from xpander_server.store import view_summary as view_summary_module


def query(**filters):
    return TaskQuery(organization_id="org", filters=filters)


@pytest.fixture
def filled_store(store):
    """Return a store with ten tasks; the task n takes n seconds, n tokens and n dollars."""
    store.commit(
        [
            submission(
                f"run-{number}",
                agent_id=f"agent-{number % 2}",
                now=NOON + number,
                input='say "hello"' if number == 3 else "line\nbreak",
                error="Out of Memory" if number == 4 else None,
                is_success=number != 4,
                duration=float(number),
                tokens={"prompt_tokens": number, "completion_tokens": 0},
                used_tools=["a", "b"] if number < 3 else ["b"],
                calls=[{"model": "own", "cost": float(number)}],
                metadata={"env": "prod" if number > 6 else "test", "n": str(number)},
            )
            for number in range(10)
        ]
    )
    return store


@pytest.fixture(autouse=True)
def long_search(monkeypatch):
    """Let searches take as long as they need, also on a busy machine."""
    monkeypatch.setattr(task_query_module, "SEEK_SECONDS", 60.0)


def summarize(store, query, **options):
    return store._database.read(
        lambda connection: view_summary_module.summarize_view(connection, query, **{"seconds": 60.0, **options})
    )


def numbers(ids):
    return [int(task_id.removeprefix("run-")) for task_id in ids]


def test_summary_counts_and_adds_up_all_tasks(filled_store):
    summary = summarize(filled_store, query())
    assert summary.is_complete
    assert summary.count_by_status() == {"completed": 9, "failed": 1}
    assert summary.count_by_agent() == {"agent-0": 5, "agent-1": 5}
    assert summary.sum_tokens() == 45
    assert summary.sum_cost() == 45 * NANODOLLARS


@pytest.mark.parametrize("figure", ["duration", "tokens", "cost"])
def test_tasks_are_sorted_by_a_figure_and_those_without_it_are_last(filled_store, figure):
    filled_store.report(submission("run-99", now=NOON + 99))
    summary = summarize(filled_store, query())
    largest_first = numbers(summary.sorted_ids(figure))
    # A duration of 0 counts as not reported.
    known = range(1 if figure == "duration" else 0, 10)
    assert largest_first[: len(known)] == [*reversed(known)]
    assert numbers(summary.sorted_ids(figure, smallest_first=True))[: len(known)] == [*known]
    assert 99 in largest_first[len(known) :]


FILTERS = [
    ({"status": "failed"}, [4]),
    ({"agent_id": "agent-1"}, [9, 7, 5, 3, 1]),
    ({"tool": "a"}, [2, 1, 0]),
    ({"model": "own", "tool": "a"}, [2, 1, 0]),
    ({"metadata": ["env=prod", "n=8"]}, [8]),
    ({"q": "MEMORY"}, [4]),
    ({"q": '"hello"'}, [3]),
    ({"q": "RUN-7"}, [7]),
    ({"q": "nbreak"}, []),
    ({"min_duration": "8"}, [9, 8]),
    ({"max_tokens": "2", "min_tokens": "1"}, [2, 1]),
    ({"min_cost": "7.5"}, [9, 8]),
    ({"max_cost": "0.5", "status": "completed"}, [0]),
]


@pytest.mark.parametrize(("filters", "expected"), FILTERS)
def test_view_has_the_tasks_of_the_history_with_the_same_filters(filled_store, filters, expected):
    summary = summarize(filled_store, query(**filters))
    assert numbers(task.id for task in summary.tasks) == expected
    assert numbers(task.id for task in filled_store.history(query(**filters), limit=50).tasks) == expected
    assert summary.is_complete


def test_summary_of_many_tasks_has_the_newest_ones_and_states_that(filled_store, monkeypatch):
    monkeypatch.setattr(task_query_module, "SCAN_ROWS", {"sqlite": 2, "postgresql": 2})
    summary = summarize(filled_store, query(), max_tasks=5)
    assert numbers(task.id for task in summary.tasks) == [9, 8, 7, 6, 5]
    assert not summary.is_complete
    assert summary.tested_until == NOON + 5
    assert summarize(filled_store, query(), max_tasks=10).is_complete


def test_summary_ends_after_its_time(filled_store):
    summary = summarize(filled_store, query(tool="a"), seconds=-1.0, min_tested=3)
    assert (list(summary.tasks), summary.is_complete, summary.tested_until) == ([], False, NOON + 7)


@pytest.mark.parametrize(
    ("filters", "number", "expected"),
    [
        ({}, 4, ("run-5", "run-3")),
        ({}, 9, (None, "run-8")),
        ({}, 0, ("run-1", None)),
        ({"agent_id": "agent-0"}, 4, ("run-6", "run-2")),
        ({"metadata": ["env=prod"]}, 8, ("run-9", "run-7")),
        ({"tool": "a"}, 1, ("run-2", "run-0")),
        ({"q": "hello"}, 8, (None, "run-3")),
    ],
)
def test_neighbors_of_a_task_are_the_next_ones_that_match(filled_store, filters, number, expected):
    task = filled_store.task("org", f"run-{number}")
    assert filled_store.neighbors(query(**filters), task) == expected


def test_history_can_start_with_the_oldest_task(filled_store):
    oldest_first = TaskQuery(organization_id="org", filters={"status": "completed"}, oldest_first=True)
    first = filled_store.previews(oldest_first, limit=5)
    second = filled_store.previews(oldest_first, limit=5, cursor=first.next_cursor)
    assert numbers(task.id for task in (*first.tasks, *second.tasks)) == [0, 1, 2, 3, 5, 6, 7, 8, 9]
