"""Stored metrics equal the metrics of the tasks, exactly, after any history of reports, compactions and deletions."""

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import select

from store.reports import EXAMPLES, NOON, submission
from xpander_server.clock import DAY, HOUR
from xpander_server.domain.metrics import add_amounts, merge_amounts, task_amounts, with_agent_runs
from xpander_server.domain.task import Task
from xpander_server.store import Store, TaskQuery
from xpander_server.store.metrics import rollups
from xpander_server.store.metrics.deltas import AgentHour, DeltaSize, MetricDelta, append_deltas, read_delta, take_delta
from xpander_server.store.metrics.queries import END_OF_TIME, cover_with_rollups
from xpander_server.store.metrics.rollups import ROLLUP_HOURS
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
    lambda task_id, now, reported_at, report: submission(
        task_id, agent_id=f"agent {task_id[0]}", now=now, reported_at=reported_at, **report
    ),
    st.sampled_from(["a1", "a2", "b1", "b2"]),
    TIMES,
    st.none() | TIMES,
    REPORTS,
)
HISTORIES = st.lists(
    st.lists(SUBMISSIONS, min_size=1, max_size=4) | st.sampled_from(["compact", "delete"]), max_size=12
)


def compacted_rollups(store: Store) -> dict:
    """Compact all deltas, and return the amounts of all rollups by primary key."""

    def compact_and_read(connection):
        for organization_id in connection.scalars(select(metric_deltas.c.organization_id).distinct()).all():
            rollups.compact(connection, organization_id)
        rows = connection.execute(select(rollup_table)).all()
        return {tuple(row[:-1]): row.amounts for row in rows}

    return store._database.write(compact_and_read)


def delta_count(store: Store) -> int:
    """Return the number of rows in `metric_deltas`."""
    return store._database.read(lambda connection: len(connection.execute(select(metric_deltas)).all()))


def all_tasks(store: Store) -> list[Task]:
    """Return all tasks of the organization "org", with their documents."""
    page = store.history(TaskQuery(organization_id="org"), limit=1_000)
    return [store.task("org", task.id) for task in page.tasks]


@pytest.fixture(autouse=True)
def _no_random_compaction(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rollups, "COMPACT_ONE_IN", float("inf"))
    monkeypatch.setattr(rollups, "COMPACT_CHARACTERS", float("inf"))
    monkeypatch.setattr(rollups, "COMPACT_BUCKETS", float("inf"))


@pytest.mark.slow
@given(HISTORIES, st.lists(TIMES, min_size=2, max_size=2))
@EXAMPLES
def test_metrics_equal_those_of_the_tasks_after_any_history(store_of_example, history, bounds):
    with store_of_example() as store:
        deleted = []
        for step in history:
            if step == "compact":
                compacted_rollups(store)
            elif step == "delete":
                before = NOON - 20 * DAY
                deleted += [task for task in all_tasks(store) if task.created_at < before // HOUR * HOUR]
                store.delete_before(before)
            else:
                store.commit(step)
        stored = all_tasks(store)
        expected = merge_amounts(with_agent_runs(task.agent_id, task_amounts(task)) for task in [*stored, *deleted])
        assert store.metrics("org").amounts == expected
        since, until = sorted(bounds)
        if not deleted:
            for agent_id in ("agent a", "agent b"):
                in_range = [t for t in stored if t.agent_id == agent_id and since <= t.created_at < until]
                for hours in (1, 24):
                    metrics = store.metrics("org", agent_id, since=since, until=until, hours=hours)
                    assert metrics.amounts == merge_amounts(map(task_amounts, in_range))
                    points = {}
                    for task in in_range:
                        start = task.created_at // (hours * HOUR) * hours * HOUR
                        add_amounts(points.setdefault(start, {}), task_amounts(task))
                    assert metrics.series == sorted(points.items())
            expected_agents = {
                agent_id: merge_amounts(
                    task_amounts(task)
                    for task in stored
                    if task.agent_id == agent_id and since <= task.created_at < until
                )
                for agent_id in ("agent a", "agent b")
            }
            assert store.agent_metrics("org", [*expected_agents], since=since, until=until) == expected_agents
        before_rebuild = compacted_rollups(store)
        store.rebuild_metrics()
        assert compacted_rollups(store) == before_rebuild


def covered_hours(ranges):
    return [
        hour
        for hours, start, end in ranges
        for rollup_start in range(start // HOUR, end // HOUR, hours)
        for hour in range(rollup_start, rollup_start + hours)
    ]


@given(st.integers(0, 5_000), st.integers(0, 5_000), st.integers(0, 5_000))
def test_rollups_cover_a_range_without_gap_or_overlap(first, last, now):
    cover = cover_with_rollups(first * HOUR, last * HOUR, now * HOUR)
    counts = Counter(covered_hours(cover.added))
    counts.subtract(covered_hours(cover.subtracted))
    assert {hour: count for hour, count in counts.items() if count} == dict.fromkeys(range(first, last), 1)


@given(st.integers(0, 5_000), st.integers(0, 5_000))
def test_a_range_in_the_past_needs_at_most_24_hours_and_33_days(first, last):
    cover = cover_with_rollups(first * HOUR, last * HOUR, 10_000 * HOUR)
    counts = Counter[int]()
    for hours, start, end in (*cover.added, *cover.subtracted):
        counts[hours] += (end - start) // (hours * HOUR)
    assert counts[1] <= 24
    assert counts[24] <= 33


def test_only_the_longest_rollups_cover_all_time():
    assert cover_with_rollups(0, END_OF_TIME, NOON) == ([(ROLLUP_HOURS[-1], 0, END_OF_TIME)], [])


def test_the_days_of_a_current_period_are_not_subtracted_from_its_later_days():
    period, day = ROLLUP_HOURS[-1] * HOUR, 24 * HOUR
    cover = cover_with_rollups(10 * day, period, now=15 * day)
    assert cover == ([(24, 10 * day, period)], [])


def test_a_series_has_the_newest_points(store, monkeypatch):
    monkeypatch.setattr("xpander_server.store.metrics.queries.MAX_POINTS", 3)
    for hour in range(6):
        store.report(submission(str(hour), now=NOON + hour * HOUR))
    for is_compacted in (False, True):
        if is_compacted:
            compacted_rollups(store)
        series = store.metrics("org", hours=1).series
        assert [start for start, _ in series] == [NOON + hour * HOUR for hour in (3, 4, 5)]


def test_the_sums_of_some_agents_are_those_of_each_agent(store):
    store.commit([submission("a", agent_id="agent a"), submission("b", agent_id="agent b"), submission("c")])
    compacted_rollups(store)
    store.commit([submission("d", agent_id="agent a")])
    since, until = NOON - DAY, NOON + DAY + 1
    sums = store.agent_metrics("org", ["agent a", "agent b", "absent"], since=since, until=until)
    assert sums == {
        agent_id: store.metrics("org", agent_id, since=since, until=until).amounts
        for agent_id in ("agent a", "agent b", "absent")
    }
    assert {agent_id: amounts.get("executing runs") for agent_id, amounts in sums.items()} == {
        "agent a": 2,
        "agent b": 1,
        "absent": None,
    }


def test_metrics_contain_the_sum_of_the_previous_range(store):
    for hour in range(4):
        store.report(submission(str(hour), now=NOON + hour * HOUR))
    earlier = (NOON + HOUR // 2, NOON + 2 * HOUR)
    result = store.metrics("org", since=NOON + 2 * HOUR, previous=earlier)
    assert result.previous == store.metrics("org", since=earlier[0], until=earlier[1]).amounts
    assert (result.amounts["executing runs"], result.previous["executing runs"]) == (2, 1)


def test_a_delta_is_read_as_it_was_appended_until_it_is_taken(store):
    delta = MetricDelta()
    delta.add("support", NOON, {"executing runs": -1, "completed runs": 1})
    delta.add("support", NOON, {"completed runs": 1})
    delta.add("search", NOON + HOUR, {"executing runs": 1})
    expected = {
        AgentHour("support", NOON): {"executing runs": -1, "completed runs": 2},
        AgentHour("search", NOON + HOUR): {"executing runs": 1},
    }
    lengths = store._database.write(lambda connection: append_deltas(connection, {"org": delta, "idle": MetricDelta()}))
    assert [(name, size.buckets) for name, size in lengths.items()] == [("org", 2)]
    assert store._database.read(lambda connection: read_delta(connection, "org")).buckets == expected
    assert store._database.write(lambda connection: take_delta(connection, "org")).buckets == expected
    assert delta_count(store) == 0


def test_a_commit_sometimes_compacts_the_deltas(store, monkeypatch):
    monkeypatch.setattr(rollups, "COMPACT_ONE_IN", 1)
    for number in range(3):
        store.report(submission(str(number)))
    assert delta_count(store) == 0
    assert store.metrics("org").amounts["executing runs"] == 3


def test_long_deltas_are_compacted_sooner(store, monkeypatch):
    monkeypatch.setattr(rollups, "COMPACT_ONE_IN", float("inf"))
    monkeypatch.setattr(rollups, "COMPACT_CHARACTERS", 100)
    monkeypatch.setattr(rollups, "SMALL_DELTA", DeltaSize(100, 100))
    store.report(submission(used_tools=[f"tool-{number}" for number in range(50)]))
    assert delta_count(store) == 0
    assert store.metrics("org").amounts["executing runs"] == 1


def test_deltas_of_many_hours_are_compacted_sooner(store, monkeypatch):
    monkeypatch.setattr(rollups, "COMPACT_BUCKETS", 10)
    monkeypatch.setattr(rollups, "SMALL_DELTA", DeltaSize(10**6, 0))
    store.commit([submission(str(number), now=NOON + number * HOUR) for number in range(10)])
    assert delta_count(store) == 0
    assert store.metrics("org").amounts["executing runs"] == 10
