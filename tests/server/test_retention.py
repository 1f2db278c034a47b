"""Retention: old tasks are deleted, and their metrics stay."""

import time

import httpx
import pytest
from click.testing import CliRunner

from server.conftest import StoreWithKeys
from support.server import KEY, ORGANIZATION, running_server
from xpander_sdk.cli import main
from xpander_server.clock import DAY, now
from xpander_server.store import Store, Submission


def store_tasks(store_with_keys: StoreWithKeys, **ages_in_days: float) -> None:
    store = Store(store_with_keys.url)
    try:
        for task_id, age in ages_in_days.items():
            report = {"is_success": True, "duration": 1.0}
            store.report(Submission(ORGANIZATION, "a", task_id, report, reported_at=None, now=now() - round(age * DAY)))
    finally:
        store.close()


def read_history_and_metrics(url: str) -> tuple[list[str], int]:
    """Return the ids of the history and the number of runs in the metrics."""
    with httpx.Client(base_url=url, headers={"x-api-key": KEY}, trust_env=False) as client:
        history = client.get("/agent-execution/executions/history/a").json()
        return [item["id"] for item in history], client.get("/agents-metrics/a").json()["runs"]["total"]


def test_prune_deletes_old_tasks_and_keeps_metrics(any_store_with_keys: StoreWithKeys):
    store_tasks(any_store_with_keys, old=100, older=200, young=80)
    with running_server(any_store_with_keys.url) as server:
        result = CliRunner().invoke(main, ["prune", "--keep", "90d", "--store", any_store_with_keys.url])
        assert (result.exit_code, result.output) == (0, "Deleted 2 tasks. Their metrics are still there.\n")
        assert read_history_and_metrics(server.url) == (["young"], 3)
    second_result = CliRunner().invoke(main, ["prune", "--keep", "90d", "--store", any_store_with_keys.url])
    assert "Deleted 0 tasks" in second_result.output


def test_server_with_keep_deletes_old_tasks(any_store_with_keys: StoreWithKeys):
    store_tasks(any_store_with_keys, old=100, young=80)
    with running_server(any_store_with_keys.url, "--keep", "90d") as server:
        deadline = time.monotonic() + 60
        while (current := read_history_and_metrics(server.url)) != (["young"], 2):
            assert time.monotonic() < deadline, current


def test_server_without_keep_deletes_nothing(store_with_keys: StoreWithKeys):
    store_tasks(store_with_keys, old=10_000)
    with running_server(store_with_keys.url) as server:
        assert read_history_and_metrics(server.url) == (["old"], 1)


@pytest.mark.parametrize("period", ["0d", "59m"])
def test_prune_of_everything_asks_first(store_with_keys: StoreWithKeys, period: str):
    store_with_keys.create_key("ci", "org")
    command = ["prune", "--keep", period, "--store", store_with_keys.url]
    refused = CliRunner().invoke(main, command, input="n\n")
    assert refused.exit_code == 1
    assert "Delete all tasks of the store?" in refused.output
    assert "Deleted 0 tasks" in CliRunner().invoke(main, [*command, "--yes"]).output
