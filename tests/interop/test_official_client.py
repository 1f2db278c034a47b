"""The official SDK as a client of our server, and our SDK with the same tasks."""

import asyncio
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from interop.official_client import AGENT, DOCUMENTED, MEASURED, PRICED, PRICED_RESPONSES
from interop.running import TIMEOUT, run
from support.server import KEY, ORGANIZATION, Server, running_server
from xpander_sdk import Backend, Task, Tasks

pytestmark = [pytest.mark.official, pytest.mark.timeout(TIMEOUT)]

TOKENS = {
    "completion_tokens": 380,
    "prompt_tokens": 2140,
    "cache_read_tokens": 0,
    "cache_write_tokens": 0,
    "total_tokens": 2520,
}


@pytest.fixture(scope="module")
def backend(official_python: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Server for this module only: on a shared server, the documented ID may belong to another agent."""
    with running_server(tmp_path_factory.mktemp("official") / "store.db") as running:
        yield running


@pytest.fixture(scope="module")
def results(official_python: Path, backend: Server) -> Any:
    """Objects that the official SDK returned, as JSON."""
    return run(
        official_python,
        "official_client.py",
        XPANDER_BASE_URL=backend.url,
        XPANDER_API_KEY=KEY,
        XPANDER_ORGANIZATION_ID=ORGANIZATION,
    )


def _parse_time(text: str) -> datetime:
    return datetime.fromisoformat(text)


def test_documented_report(results: Any) -> None:
    task = results["reports"]["documented"]
    assert task["id"] == DOCUMENTED
    assert task["agent_id"] == AGENT
    assert task["organization_id"] == ORGANIZATION
    assert task["status"] == "completed"
    assert task["input"]["text"] == "Summarize the quarter"
    assert task["result"] == "Up 22% YoY"
    assert task["tokens"] == TOKENS
    assert task["used_tools"] == ["web_search", "fetch_pdf"]
    assert task["duration"] == 4.7
    assert _parse_time(task["finished_at"]) - _parse_time(task["started_at"]) == timedelta(seconds=4.7)


def test_second_report_with_same_id_updates_task(results: Any) -> None:
    before, after = results["reports"]["documented"], results["reports"]["same id, failed"]
    assert (after["id"], after["status"], after["result"]) == (DOCUMENTED, "failed", "The source was wrong")
    # The official SDK sends null for these fields, which keeps their values.
    assert after["tokens"] == TOKENS
    assert after["input"] == before["input"]
    assert after["created_at"] == before["created_at"]
    assert [item["id"] for item in results["lists"]["list"]].count(DOCUMENTED) == 1


def test_every_form_reports(results: Any) -> None:
    reports = results["reports"]
    assert reports["Task, async"]["id"] == "task-async"
    assert reports["Task, async"]["tokens"]["total_tokens"] == 5
    assert (reports["Backend"]["id"], reports["Backend"]["result"]) == ("backend", "é😀")
    assert (reports["Backend, async"]["id"], reports["Backend, async"]["status"]) == ("backend-async", "executing")
    assert reports["Backend, async"]["finished_at"] is None
    assert reports["no id"]["id"]
    assert {report["agent_id"] for report in reports.values()} == {AGENT}


def test_metrics_reported_by_task_are_recorded(results: Any, backend: Server) -> None:
    before, during, after = (results["metrics"][time] for time in ("before", "during", "after"))
    assert (before["status"], before["tokens"], before["result"]) == ("executing", None, None)
    assert (during["status"], during["result"]) == ("executing", "Measured")
    assert after["status"] == "completed"
    assert (after["tokens"]["prompt_tokens"], after["tokens"]["total_tokens"]) == (5, 7)
    assert (after["used_tools"], after["input"]["text"]) == (["web_search", "web_search"], "Measure it")
    metrics = Backend(backend.configuration).metrics(MEASURED)
    # The SDK reported the metrics twice, and the server counts them once.
    assert (metrics.runs.total, metrics.runs.completed, metrics.tokens.prompt_tokens) == (1, 1, 5)
    assert metrics.tools["web_search"].calls == 2
    assert [item.id for item in Tasks(backend.configuration).list(MEASURED)] == ["measured"]


@pytest.mark.parametrize("name", PRICED_RESPONSES)
def test_response_of_official_sdk_has_the_same_price_as_of_ours(results: Any, backend: Server, name: str) -> None:
    recorder = Backend(backend.configuration)
    recorder.report_external_task(agent_id=f"ours {name}", llm_response=PRICED_RESPONSES[name], result="Up")
    official, ours = (recorder.metrics(f"{user} {name}").cost for user in (PRICED, "ours"))
    assert official.total is not None
    assert official.total > 0
    assert (official.total, official.unpriced_runs) == (ours.total, ours.unpriced_runs) == (ours.total, 0)


def test_every_way_to_load_returns_same_task(results: Any) -> None:
    for way, task in results["loads"].items():
        assert task == results["reports"]["same id, failed"], way


def test_history_is_newest_first_and_filtered(results: Any) -> None:
    lists = results["lists"]
    newest_first = [results["reports"]["no id"]["id"], "backend-async", "backend", "task-async", DOCUMENTED]
    assert [item["id"] for item in lists["list"]] == newest_first
    assert lists["alist"] == lists["list"]
    assert [(item["id"], item["status"]) for item in lists["failed"]] == [(DOCUMENTED, "failed")]
    assert lists["failed, async"] == lists["failed"]
    assert lists["another agent"] == lists["a user"] == lists["a user, async"] == []


@pytest.mark.parametrize(
    ("case", "status_code"),
    [
        ("unknown id", 404),
        ("unknown id, async", 404),
        ("wrong key, report", 401),
        ("wrong key, load", 401),
        ("wrong key, list", 401),
        ("another agent's id", 409),
        ("id too long", 422),
    ],
)
def test_error_is_official_exception(results: Any, case: str, status_code: int) -> None:
    error = results["errors"][case]
    assert error["status_code"] == status_code
    assert "detail" in error["description"]


def test_our_sdk_loads_same_tasks(results: Any, backend: Server) -> None:
    listed = Tasks(backend.configuration).list(AGENT)
    assert [_common_fields(item) for item in listed] == [_common_fields(item) for item in results["lists"]["list"]]
    for item in listed:
        task = item.load()
        official = next(report for report in reversed(results["reports"].values()) if report["id"] == task.id)
        assert _common_fields(task) == _common_fields(official)
        assert (task.tokens and task.tokens.to_dict()) == official["tokens"]
        assert (task.input.text or "") == (official["input"]["text"] or "")
        assert [task.used_tools, task.duration] == [official["used_tools"], official["duration"]]
    assert asyncio.run(Task.aload(DOCUMENTED, backend.configuration)).llm_response == {
        "id": "resp-1",
        "choices": [{"text": "Up 22% YoY"}],
    }


def _common_fields(task: Any) -> list[Any]:
    """Return the fields that tasks and history items of both SDKs have in common."""
    values = task if isinstance(task, dict) else {name: getattr(task, name) for name in COMMON}
    created_at = values["created_at"]
    return [
        *(values[name] for name in COMMON[:-1]),
        _parse_time(created_at) if isinstance(created_at, str) else created_at,
    ]


COMMON = ["id", "agent_id", "organization_id", "status", "result", "title", "created_at"]
