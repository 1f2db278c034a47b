"""Metrics that are kept are those of the tasks, exactly, after whatever happened."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import select

from store.reports import DAY, EXAMPLES, HOUR, NOON, submission
from xpander_server.domain.metrics import add_amounts, merge_amounts, task_amounts, with_agent_runs
from xpander_server.store import Store, TaskQuery
from xpander_server.store.metrics import rollups
from xpander_server.store.metrics.queries import END, cover
from xpander_server.store.metrics.rollups import SPANS
from xpander_server.store.schema.tables import metric_deltas
from xpander_server.store.schema.tables import rollups as rollup_table

TIMES = st.integers(NOON - 40 * DAY, NOON) | st.sampled_from([NOON, NOON - 1, NOON - HOUR, NOON - 12 * HOUR])
REPORTS = st.fixed_dictionaries(
    {},
    optional={
        "is_success": st.booleans(),
        "duration": st.floats(-1, 1e9),
        "tokens": st.fixed_dictionaries({}, optional={"prompt_tokens": st.integers(-5, 10**12)}),
        "used_tools": st.lists(st.sampled_from(["search", "fetch it", "ü"]), max_size=3),
        "llm_response": st.sampled_from(['{"model":"gpt-4o"}', '[{"model":"unheard of"}]', "null"]),
    },
)
SUBMISSIONS = st.builds(
    lambda task_id, now, at, report: submission(
        task_id, agent_id=f"agent {task_id[0]}", now=now, reported_at=at, **report
    ),
    st.sampled_from(["a1", "a2", "b1", "b2"]),
    TIMES,
    st.none() | TIMES,
    REPORTS,
)
HISTORIES = st.lists(st.lists(SUBMISSIONS, min_size=1, max_size=4) | st.sampled_from(["fold", "forget"]), max_size=12)


def kept(store: Store) -> dict:
    """All rollups, after everything is folded into them."""

    def read(connection):
        for organization_id in connection.scalars(select(metric_deltas.c.organization_id).distinct()).all():
            rollups.compact(connection, organization_id)
        found = connection.execute(select(rollup_table)).all()
        return {tuple(row[:-1]): row.amounts for row in found}

    return store._database.write(read)


@pytest.fixture(autouse=True)
def _fold_only_when_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rollups, "FOLD_ONE_IN", float("inf"))
    monkeypatch.setattr(rollups, "FOLD_BYTES", float("inf"))


@pytest.mark.slow
@given(HISTORIES, st.lists(TIMES, min_size=2, max_size=2))
@EXAMPLES
def test_metrics_are_those_of_the_tasks_after_any_history(store_of_example, history, bounds):
    with store_of_example() as store:
        forgotten = []
        for step in history:
            if step == "fold":
                kept(store)
            elif step == "forget":
                gone = [t for t in tasks(store) if t.created_at < (NOON - 20 * DAY) // HOUR * HOUR]
                forgotten += gone
                store.delete_before(NOON - 20 * DAY)
            else:
                store.commit(step)
        there = tasks(store)
        both = [*there, *forgotten]
        assert store.metrics("org").amounts == merge_amounts(with_agent_runs(t.agent_id, task_amounts(t)) for t in both)
        since, until = sorted(bounds)
        if not forgotten:
            for agent_id in ("agent a", "agent b"):
                expected = [t for t in there if t.agent_id == agent_id and since <= t.created_at < until]
                for hours in (1, 24):
                    found = store.metrics("org", agent_id, since=since, until=until, hours=hours)
                    assert found.amounts == merge_amounts(map(task_amounts, expected))
                    points = {}
                    for task in expected:
                        start = task.created_at // (hours * HOUR) * hours * HOUR
                        add_amounts(points.setdefault(start, {}), task_amounts(task))
                    assert found.series == sorted(points.items())
        before = kept(store)
        store.rebuild_metrics()
        assert kept(store) == before


def tasks(store: Store) -> list:
    found = store.history(TaskQuery(organization_id="org"), limit=1_000).tasks
    return [store.task("org", task.id) for task in found]


@given(st.integers(0, 5_000), st.integers(0, 5_000))
def test_a_range_is_covered_by_rollups_without_gap_or_overlap(first, last):
    covered = [
        hour
        for hours, start, end in cover(first * HOUR, last * HOUR)
        for begin in range(start // HOUR, end // HOUR, hours)
        for hour in range(begin, begin + hours)
    ]
    assert covered == list(range(first, last))


def test_the_whole_of_time_is_covered_by_the_longest_rollups_alone():
    assert list(cover(0, END)) == [(SPANS[-1], 0, END)]


def test_a_series_gives_the_newest_points(store, monkeypatch):
    monkeypatch.setattr("xpander_server.store.metrics.queries.POINTS", 3)
    for hour in range(6):
        store.report(submission(str(hour), now=NOON + hour * HOUR))
    for fold in (False, True):
        if fold:
            kept(store)
        series = store.metrics("org", hours=1).series
        assert [start for start, _ in series] == [NOON + hour * HOUR for hour in (3, 4, 5)]


def test_folding_happens_by_itself(store, monkeypatch):
    monkeypatch.setattr(rollups, "FOLD_ONE_IN", 1)
    for number in range(3):
        store.report(submission(str(number)))
    count = store._database.read(lambda connection: len(connection.execute(select(metric_deltas)).all()))
    assert count == 0
    assert store.metrics("org").amounts["executing runs"] == 3


def test_much_that_has_come_together_is_folded_sooner(store, monkeypatch):
    monkeypatch.setattr(rollups, "FOLD_ONE_IN", float("inf"))
    monkeypatch.setattr(rollups, "FOLD_BYTES", 100)
    store.report(submission(used_tools=[f"tool-{number}" for number in range(50)]))
    assert store._database.read(lambda connection: connection.execute(select(metric_deltas)).all()) == []
    assert store.metrics("org").amounts["executing runs"] == 1
