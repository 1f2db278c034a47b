"""Queries for failed, executing and stale tasks: they find rare ones at once, and agree with tests of all tasks."""

from itertools import product

import pytest

from store.reports import NOON, submission
from xpander_server.store import TaskQuery
from xpander_server.store import task_query as task_query_module

STATUSES = {True: "completed", False: "failed", None: "executing"}


@pytest.fixture
def one_row_at_a_time(monkeypatch):
    """Let a search end after the first task that it tests."""
    monkeypatch.setattr(task_query_module, "SEEK_SECONDS", -1.0)
    monkeypatch.setattr(task_query_module, "MIN_SEEK_ROWS", 1)
    monkeypatch.setattr(task_query_module, "SEEK_ROWS", {"sqlite": 1, "postgresql": 1})


@pytest.mark.usefixtures("one_row_at_a_time")
@pytest.mark.parametrize(
    ("is_success", "filters"),
    [
        (False, {"status": "failed"}),
        (False, {"status": "failed", "agent_id": "agent"}),
        (None, {"status": "executing"}),
        (None, {"status": "executing", "agent_id": "agent"}),
        (None, {"is_stale": True}),
    ],
)
def test_rare_status_is_found_behind_many_other_tasks(store, is_success, filters):
    report = {} if is_success is None else {"is_success": is_success}
    store.commit([submission("rare", now=NOON, **report)])
    store.commit([submission(f"run-{number}", now=NOON + 1 + number, is_success=True) for number in range(20)])
    query = TaskQuery(organization_id="org", filters=filters, stale_before=NOON + 100)
    assert [task.id for task in store.history(query, limit=1).tasks] == ["rare"]
    assert [task.id for task in store.view(query).tasks] == ["rare"]


def test_filters_by_status_agree_with_the_tasks(store, monkeypatch):
    monkeypatch.setattr(task_query_module, "SEEK_SECONDS", 60.0)
    kinds = list(product(STATUSES, ("a", "b"), ("u", "v")))
    for number, (is_success, agent_id, user_id) in enumerate(kinds * 2):
        report = {} if is_success is None else {"is_success": is_success}
        store.commit([submission(f"{number:02}", agent_id=agent_id, user_id=user_id, now=NOON + number, **report)])
    tasks = store.history(TaskQuery(organization_id="org"), limit=99).tasks
    for status, agent_id, user_id, is_stale in product(
        (None, *STATUSES.values()), (None, "a"), (None, "u"), (None, True, False)
    ):
        filters = {"status": status, "agent_id": agent_id, "user_id": user_id, "is_stale": is_stale}
        query = TaskQuery(
            organization_id="org",
            filters={name: value for name, value in filters.items() if value is not None},
            stale_before=NOON + 12,
        )
        expected = [
            task.id
            for task in tasks
            if status in (None, STATUSES[task.is_success])
            and agent_id in (None, task.agent_id)
            and user_id in (None, task.user_id)
            and is_stale in (None, task.is_stale(NOON + 12))
        ]
        assert [task.id for task in store.history(query, limit=99).tasks] == expected, filters


def test_update_moves_a_task_between_the_statuses(store):
    failed, executing = (TaskQuery(organization_id="org", filters={"status": name}) for name in ("failed", "executing"))
    found = []
    for second, report in enumerate(({}, {"is_success": False}, {"is_success": True})):
        store.commit([submission("run", now=NOON + second, **report)])
        found.append([[task.id for task in store.history(query, limit=9).tasks] for query in (failed, executing)])
    assert found == [[[], ["run"]], [["run"], []], [[], []]]
