"""The official SDK as a client of our server, and our own SDK at the same tasks."""

import asyncio
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from interop.official_client import AGENT, DOCUMENTED, MEASURED
from interop.running import SECONDS, run
from support.server import KEY, ORGANIZATION, Server, running_server
from xpander_sdk import Backend, Task, Tasks

pytestmark = [pytest.mark.official, pytest.mark.timeout(SECONDS)]

TOKENS = {
    "completion_tokens": 380,
    "prompt_tokens": 2140,
    "cache_read_tokens": 0,
    "cache_write_tokens": 0,
    "total_tokens": 2520,
}


@pytest.fixture(scope="module")
def backend(official_python: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server for this module alone: the documented id may be another agent's on a shared one."""
    with running_server(tmp_path_factory.mktemp("official") / "store.db") as running:
        yield running


@pytest.fixture(scope="module")
def seen(official_python: Path, backend: Server) -> Any:
    """What the official SDK's objects hold."""
    return run(
        official_python,
        "official_client.py",
        XPANDER_BASE_URL=backend.url,
        XPANDER_API_KEY=KEY,
        XPANDER_ORGANIZATION_ID=ORGANIZATION,
    )


def _moment(text: str) -> datetime:
    return datetime.fromisoformat(text)


def test_the_documented_report(seen: Any) -> None:
    task = seen["reports"]["documented"]
    assert task["id"] == DOCUMENTED
    assert task["agent_id"] == AGENT
    assert task["organization_id"] == ORGANIZATION
    assert task["status"] == "completed"
    assert task["input"]["text"] == "Summarise the quarter"
    assert task["result"] == "Up 22% YoY"
    assert task["tokens"] == TOKENS
    assert task["used_tools"] == ["web_search", "fetch_pdf"]
    assert task["duration"] == 4.7
    assert _moment(task["finished_at"]) - _moment(task["started_at"]) == timedelta(seconds=4.7)


def test_the_same_id_updates_the_one_task(seen: Any) -> None:
    before, after = seen["reports"]["documented"], seen["reports"]["the same id as a failure"]
    assert (after["id"], after["status"], after["result"]) == (DOCUMENTED, "failed", "The source was wrong")
    # It says null of these, and so leaves them as they are.
    assert after["tokens"] == TOKENS
    assert after["input"] == before["input"]
    assert after["created_at"] == before["created_at"]
    assert [item["id"] for item in seen["lists"]["list"]].count(DOCUMENTED) == 1


def test_every_form_of_a_report(seen: Any) -> None:
    reports = seen["reports"]
    assert reports["Task, async"]["id"] == "task-async"
    assert reports["Task, async"]["tokens"]["total_tokens"] == 5
    assert (reports["Backend"]["id"], reports["Backend"]["result"]) == ("backend", "é😀")
    assert (reports["Backend, async"]["id"], reports["Backend, async"]["status"]) == ("backend-async", "executing")
    assert reports["Backend, async"]["finished_at"] is None
    assert reports["no id"]["id"]
    assert {report["agent_id"] for report in reports.values()} == {AGENT}


def test_metrics_that_a_task_reports_are_the_tasks(seen: Any, backend: Server) -> None:
    before, while_it_ran, after = (seen["measured"][moment] for moment in ("before", "while it ran", "after"))
    assert (before["status"], before["tokens"], before["result"]) == ("executing", None, None)
    assert (while_it_ran["status"], while_it_ran["result"]) == ("executing", "Measured")
    assert after["status"] == "completed"
    assert (after["tokens"]["prompt_tokens"], after["tokens"]["total_tokens"]) == (5, 7)
    assert (after["used_tools"], after["input"]["text"]) == (["web_search", "web_search"], "Measure it")
    metrics = Backend(backend.configuration).metrics(MEASURED)
    # Told twice, counted once.
    assert (metrics.runs.total, metrics.runs.completed, metrics.tokens.prompt_tokens) == (1, 1, 5)
    assert metrics.tools["web_search"].calls == 2
    assert [item.id for item in Tasks(backend.configuration).list(MEASURED)] == ["measured"]


def test_every_way_to_load_gives_the_same(seen: Any) -> None:
    for way, task in seen["loads"].items():
        assert task == seen["reports"]["the same id as a failure"], way


def test_history(seen: Any) -> None:
    lists = seen["lists"]
    newest_first = [seen["reports"]["no id"]["id"], "backend-async", "backend", "task-async", DOCUMENTED]
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
def test_refusals_are_the_official_exception(seen: Any, case: str, status_code: int) -> None:
    refusal = seen["refusals"][case]
    assert refusal["status_code"] == status_code
    assert "detail" in refusal["description"]


def test_our_sdk_sees_the_very_same_tasks(seen: Any, backend: Server) -> None:
    listed = Tasks(backend.configuration).list(AGENT)
    assert [_common(item) for item in listed] == [_common(item) for item in seen["lists"]["list"]]
    for item in listed:
        task = item.load()
        theirs = next(report for report in reversed(seen["reports"].values()) if report["id"] == task.id)
        assert _common(task) == _common(theirs)
        assert (task.tokens and task.tokens.to_dict()) == theirs["tokens"]
        assert (task.input.text or "") == (theirs["input"]["text"] or "")
        assert [task.used_tools, task.duration] == [theirs["used_tools"], theirs["duration"]]
    assert asyncio.run(Task.aload(DOCUMENTED, backend.configuration)).llm_response == {
        "id": "resp-1",
        "choices": [{"text": "Up 22% YoY"}],
    }


def _common(task: Any) -> list[Any]:
    """What an item of the history and a task have in common, of either SDK."""
    shown = task if isinstance(task, dict) else {name: getattr(task, name) for name in COMMON}
    created_at = shown["created_at"]
    return [
        *(shown[name] for name in COMMON[:-1]),
        _moment(created_at) if isinstance(created_at, str) else created_at,
    ]


COMMON = ["id", "agent_id", "organization_id", "status", "result", "title", "created_at"]
