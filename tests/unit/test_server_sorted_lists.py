"""Lists of the API in the order of a figure, in-process."""

import json
from typing import Any

import pytest

from xpander_server.embedded import Embedded
from xpander_server.store import view_summary

HISTORY = "/agent-execution/executions/history"
RUNS = {"a": (2.0, 10, 0.5), "b": (1.0, 30, 0.25), "c": (3.0, 20, 0.125), "none": (None, None, None)}


@pytest.fixture
def app(tmp_path):
    embedded = Embedded(f"sqlite:///{tmp_path}/store.db", "org")
    for second, (run_id, (duration, tokens, cost)) in enumerate(RUNS.items()):
        report = {
            "id": run_id,
            "duration": duration,
            "tokens": tokens and {"prompt_tokens": tokens, "completion_tokens": 0},
            "calls": cost and [{"model": "own", "cost": cost}],
            "created_at": f"2025-01-01T00:00:0{second}Z",
            "user_id": "u",
        }
        body = json.dumps({name: value for name, value in report.items() if value is not None}).encode()
        status, _, _ = embedded.call(
            "POST", b"/agent-execution/agent/report_task", [(b"content-type", b"application/json")], body
        )
        assert status == 200
    yield embedded
    embedded.close()


def get(app: Embedded, target: str) -> tuple[int, dict[str, str], Any]:
    status, headers, body = app.call("GET", target.encode(), [], b"")
    return status, {name.decode(): value.decode() for name, value in headers}, json.loads(body)


@pytest.mark.parametrize("owner", ["", "/agent", "/user/u"])
@pytest.mark.parametrize(
    ("parameters", "expected"),
    [
        ("order=asc", ["a", "b", "c", "none"]),
        ("order=desc", ["none", "c", "b", "a"]),
        ("sort=duration", ["c", "a", "b", "none"]),
        ("sort=tokens", ["b", "c", "a", "none"]),
        ("sort=cost", ["a", "b", "c", "none"]),
        ("sort=cost&order=asc", ["c", "b", "a", "none"]),
        ("sort=cost&since=2025-01-01T00:00:01Z", ["b", "c", "none"]),
    ],
)
def test_list_has_the_order_of_a_figure(app, owner, parameters, expected):
    status, headers, tasks = get(app, f"{HISTORY}{owner}?{parameters}")
    assert (status, [task["id"] for task in tasks]) == (200, expected)
    assert not {"x-sorted-since", "x-next-cursor"} & headers.keys()


def test_entries_have_the_figures_and_the_model(app):
    _, _, tasks = get(app, HISTORY)
    figures = {
        task["id"]: (task["duration"], task["tokens"] and task["tokens"]["total_tokens"], task["cost"])
        for task in tasks
    }
    assert figures == RUNS
    assert {task["id"]: task["model"] for task in tasks} == {"a": "own", "b": "own", "c": "own", "none": None}


def test_task_has_its_model_and_cost(app):
    _, _, task = get(app, "/agent-execution/b/status")
    assert (task["model"], task["cost"]) == ("own", 0.25)


def test_pages_of_a_sorted_list_continue_each_other(app):
    _, headers, first = get(app, f"{HISTORY}?sort=cost&limit=3")
    _, last_headers, second = get(app, f"{HISTORY}?sort=cost&limit=3&cursor={headers['x-next-cursor']}")
    assert [task["id"] for task in (*first, *second)] == ["a", "b", "c", "none"]
    assert "x-next-cursor" not in last_headers


def test_header_states_how_far_the_order_reaches(app, monkeypatch):
    monkeypatch.setattr(view_summary, "VIEW_TASKS", 2)
    _, headers, tasks = get(app, f"{HISTORY}?sort=cost")
    assert [task["id"] for task in tasks] == ["c", "none"]
    assert headers["x-sorted-since"] == "2025-01-01T00:00:02.000000Z"


@pytest.mark.parametrize(
    ("parameters", "problem"),
    [
        ("sort=name", "sort"),
        ("order=up", "order"),
        ("sort=cost&cursor=c29ydGVk", "cursor"),
        ("sort=cost&cursor=sorted-", "cursor"),
        ("sort=cost&cursor=sorted-12345678", "cursor"),
        ("cursor=sorted-2", "cursor"),
    ],
)
def test_invalid_order_and_cursor_are_rejected(app, parameters, problem):
    status, _, body = get(app, f"{HISTORY}?{parameters}")
    assert (status, body["detail"][0]["loc"]) == (422, ["query", problem])
