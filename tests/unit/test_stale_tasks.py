"""Tasks that are executing although no report has changed them for a long time."""

import json
import sqlite3
from contextlib import closing

import pytest

from xpander_sdk import Backend, Configuration, Task, Tasks
from xpander_server.clock import SECOND
from xpander_server.domain.task import STALE_AFTER
from xpander_server.domain.task import Task as StoredTask

NOW = 1_800_000_000 * SECOND


def make_older(configuration: Configuration, microseconds: int) -> None:
    """Move the latest changes of all tasks into the past."""
    with closing(sqlite3.connect(configuration.base_url.removeprefix("sqlite:///"))) as connection:
        connection.execute("UPDATE tasks SET updated_at = updated_at - ?", (microseconds,))
        connection.commit()


@pytest.mark.parametrize(
    ("is_success", "updated_at", "expected"),
    [(None, NOW - 1, True), (None, NOW, False), (True, NOW - 1, False), (False, NOW - 1, False)],
)
def test_only_an_executing_task_without_changes_is_stale(is_success, updated_at, expected):
    fields = {"organization_id": "o", "id": "t", "agent_id": "a", "created_at": 1, "is_success": is_success}
    assert StoredTask(**fields, updated_at=updated_at).is_stale(NOW) is expected


def test_stale_task_stays_executing_and_a_report_revives_it(embedded):
    backend = Backend(embedded)
    backend.report_external_task("a", id="killed", is_success=None)
    backend.report_external_task("a", id="done")
    assert Task.load("killed", embedded).is_stale is False
    make_older(embedded, STALE_AFTER + SECOND)
    task = Task.load("killed", embedded)
    assert (task.status, task.is_stale) == ("executing", True)
    assert Task.load("done", embedded).is_stale is False
    runs = backend.metrics("a").runs
    assert (runs.completed, runs.failed, runs.executing) == (1, 0, 1)
    assert backend.report_external_task("a", id="killed", is_success=None, result="half").is_stale is False


def test_filter_selects_stale_tasks_or_all_others(embedded):
    backend, tasks = Backend(embedded), Tasks(embedded)
    backend.report_external_task("a", id="killed", is_success=None)
    backend.report_external_task("a", id="done")
    assert [item.id for item in tasks.list("a", {"is_stale": True})] == []
    make_older(embedded, STALE_AFTER + SECOND)
    backend.report_external_task("a", id="new", is_success=None)
    assert [(item.id, item.is_stale) for item in tasks.list("a", {"is_stale": True})] == [("killed", True)]
    assert [item.id for item in tasks.list("a", {"is_stale": False})] == ["new", "done"]
    with pytest.raises(ValueError, match=r"filters\['is_stale'\] must be True, False or None, got str"):
        tasks.list("a", {"is_stale": "yes"})


def test_commands_show_and_select_stale_tasks(embedded, cli):
    Backend(embedded).report_external_task("a", id="killed", is_success=None)
    Backend(embedded).report_external_task("a", id="done")
    make_older(embedded, STALE_AFTER + SECOND)
    assert "executing (stale)" in cli("show", "killed").output
    lines = cli("history", "a", "--stale", "--json").stdout.splitlines()
    assert [json.loads(line)["id"] for line in lines] == ["killed"]
    assert "stale" in cli("history", "a").output
