"""Commands `erase` and `audit`, on a store without a server."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from xpander_sdk import Backend, Configuration
from xpander_sdk.cli import main


@pytest.fixture
def run(tmp_path: Path) -> Callable[..., Result]:
    """Return a function that runs a command on a store with the tasks "1" of "ana" and "2" of "bob"."""
    url = f"sqlite:///{tmp_path}/store.db"
    backend = Backend(Configuration(base_url=url))
    for task_id, user_id in (("1", "ana"), ("2", "bob")):
        backend.report_external_task(agent_id="a", id=task_id, user_id=user_id, result="done")

    def run(command: str, *arguments: str, answer: str = "") -> Result:
        option = "--base-url" if command in ("show", "history", "metrics") else "--store"
        return CliRunner().invoke(main, [command, option, url, *arguments], input=answer)

    return run


def ids(result: Result) -> list[str]:
    return [json.loads(line)["id"] for line in result.output.splitlines()]


def test_tasks_of_a_user_are_erased_and_counted_further(run):
    assert run("erase", "--user", "ana", "--yes").output == "Erased 1 task. Their metrics are still there.\n"
    assert ids(run("history", "a", "--json")) == ["2"]
    assert json.loads(run("metrics", "a", "--json").output)["runs"]["total"] == 2


def test_the_command_asks_first(run):
    refused = run("erase", "--user", "ana", "--agent", "a", answer="n\n")
    assert refused.exit_code == 1
    assert "Erase the tasks with user ana and agent a for good?" in refused.output
    assert ids(run("history", "a", "--json")) == ["2", "1"]
    assert run("erase", "--task", "2", answer="y\n").exit_code == 0


def test_a_command_without_a_condition_is_refused(run):
    result = run("erase", "--yes")
    assert result.exit_code == 2
    assert "an erasure must name a task, a user, an agent or a time" in result.output


def test_a_period_selects_by_age(run):
    assert run("erase", "--before", "1h", "--yes").output.startswith("Erased 0 tasks.")
    assert run("erase", "--before", "2999-01-01", "--yes").output.startswith("Erased 2 tasks.")


def test_audit_shows_who_erased_what(run):
    assert run("audit").output == "No entries.\n"
    run("erase", "--task", "1", "--yes")
    entry = json.loads(run("audit", "--json").output)
    assert entry["actor"].startswith("command line")
    assert entry["details"] == {"task_id": "1", "tasks": 1}
    assert "task_id: 1, tasks: 1" in run("audit").output
