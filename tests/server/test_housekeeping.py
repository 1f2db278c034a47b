"""Old tasks go, and what they add up to stays."""

import time
from datetime import timedelta

import httpx
from click.testing import CliRunner

from server.conftest import Shop
from support.server import KEY, ORGANIZATION, running_server
from xpander_sdk.cli import main
from xpander_server.auth import api_keys
from xpander_server.store import Store, Submission

DAY = timedelta(days=1) // timedelta(microseconds=1)


def with_tasks(shop: Shop, **ages_in_days: float) -> None:
    store = Store(shop.url)
    try:
        for task_id, age in ages_in_days.items():
            now = api_keys.now() - round(age * DAY)
            report = {"is_success": True, "duration": 1.0}
            store.report(Submission(ORGANIZATION, "a", task_id, report, reported_at=None, now=now))
    finally:
        store.close()


def shown(url: str) -> tuple[list[str], int]:
    """The tasks of the history, and the runs of the metrics."""
    with httpx.Client(base_url=url, headers={"x-api-key": KEY}, trust_env=False) as client:
        history = client.get("/agent-execution/executions/history/a").json()
        return [item["id"] for item in history], client.get("/agents-metrics/a").json()["runs"]["total"]


def test_prune_deletes_what_is_old_and_keeps_the_metrics(any_shop: Shop):
    with_tasks(any_shop, old=100, older=200, young=80)
    with running_server(any_shop.url) as server:
        done = CliRunner().invoke(main, ["prune", "--keep", "90d", "--store", any_shop.url])
        assert (done.exit_code, done.output) == (0, "Deleted 2 tasks. Their metrics are still there.\n")
        assert shown(server.url) == (["young"], 3)
    again = CliRunner().invoke(main, ["prune", "--keep", "90d", "--store", any_shop.url])
    assert "Deleted 0 tasks" in again.output


def test_a_server_deletes_what_is_old_by_itself(any_shop: Shop):
    with_tasks(any_shop, old=100, young=80)
    with running_server(any_shop.url, "--keep", "90d") as server:
        deadline = time.monotonic() + 60
        while (found := shown(server.url)) != (["young"], 2):
            assert time.monotonic() < deadline, found


def test_without_keep_nothing_is_deleted(shop: Shop):
    with_tasks(shop, old=10_000)
    with running_server(shop.url) as server:
        assert shown(server.url) == (["old"], 1)
