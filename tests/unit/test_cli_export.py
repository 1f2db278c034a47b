"""Command `export`, and the way back through `import`."""

import json
from pathlib import Path
from typing import Any

import pytest

from xpander_sdk import Backend, Configuration, Tasks

REPORTS: list[dict[str, Any]] = [
    {"id": "all fields", "input": "ä\u0000\u2028", "result": "", "llm_response": {"b": [1.5, 10**30], "a": None},
     "duration": 0.1, "tokens": {"prompt_tokens": 5, "cache_read_tokens": -1}, "used_tools": ["x", "x"],
     "is_success": False},
    {"id": "no fields"}, {"id": "in progress", "is_success": None, "input": "question"},
    {"id": "a/b ü?", "llm_response": [[], {}, ""]},
]  # fmt: skip


@pytest.fixture(autouse=True)
def _working_directory(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)


def write_lines(path: str, *runs: dict[str, Any]) -> None:
    Path(path).write_text("".join(json.dumps(run) + "\n" for run in runs), "utf-8")


def all_tasks(configuration: Configuration) -> list[dict[str, Any]]:
    tasks = [item.load().to_dict() for item in Tasks(configuration).list("a")]
    # The time of the last change of the row differs between stores.
    return [{name: value for name, value in task.items() if name != "updated_at"} for task in tasks]


def test_exported_tasks_are_equal_after_an_import_elsewhere(cli, embedded, tmp_path):
    for report in REPORTS:
        Backend(embedded).report_external_task(agent_id="a", **report)
    Backend(embedded).report_external_task(agent_id="a", id="all fields", result="later")
    write_lines(
        "more.jsonl", {"id": "of u", "agent_id": "a", "user_id": "u", "parent_task_id": "p", "triggering_agent_id": "g"}
    )
    cli("import", "more.jsonl")
    assert cli("export", "a", "-o", "all.jsonl.gz").exit_code == 0
    elsewhere = Configuration(base_url=f"sqlite:///{tmp_path}/elsewhere.db")
    assert cli("import", "all.jsonl.gz", "--base-url", elsewhere.base_url).exit_code == 0
    assert len(all_tasks(embedded)) == 5
    assert json.dumps(all_tasks(elsewhere)) == json.dumps(all_tasks(embedded))
    assert Backend(elsewhere).metrics("a") == Backend(embedded).metrics("a")
    # An import into the same store changes nothing.
    assert cli("import", "all.jsonl.gz").exit_code == 0
    assert json.dumps(all_tasks(elsewhere)) == json.dumps(all_tasks(embedded))


def test_filters_select_the_exported_tasks(cli):
    times = ["2025-01-01", "2025-02-01", "2025-03-01"]
    runs = [{"id": time, "agent_id": "a", "created_at": time, "user_id": f"u{time[6]}"} for time in times]
    write_lines("runs.jsonl", *runs, {"id": "bad", "agent_id": "a", "is_success": False})
    cli("import", "runs.jsonl")

    def exported_ids(*arguments: str) -> list[str]:
        return [json.loads(line)["id"] for line in cli("export", *arguments).stdout.splitlines()]

    assert exported_ids("a") == ["bad", *reversed(times)]
    assert exported_ids("a", "--since", "2025-02-01", "--until", "2025-03-01") == ["2025-02-01"]
    assert exported_ids("a", "--status", "failed") == ["bad"]
    assert exported_ids("--user", "u2") == exported_ids("a", "--user", "u2") == ["2025-02-01"]
    assert exported_ids("nobody") == []


def test_a_failed_export_leaves_no_file(cli, monkeypatch):
    monkeypatch.setenv("XPANDER_API_KEY", "k")
    assert cli("export", "a", "-o", "out.jsonl", "--base-url", "http://127.0.0.1:9").exit_code == 75
    result = cli("export", "a", "-o", "no/such/folder.jsonl")
    assert (result.exit_code, "cannot write no/such/folder.jsonl" in result.output) == (2, True)
    assert list(Path().glob("out*")) == []


def test_extended_fields_survive_an_export_and_an_import(cli, tmp_path):
    run = {
        "id": "r", "agent_id": "a", "is_success": False, "error": "timeout", "user_id": "u", "conversation_id": "c",
        "parent_task_id": "p", "metadata": {"environment": "test"}, "created_at": "2026-01-05T09:30:00Z",
        "calls": [{"provider": "openai", "model": "gpt-4o", "response_id": "1", "tokens": {"prompt_tokens": 5}}],
    }  # fmt: skip
    write_lines("runs.jsonl", run)
    assert cli("import", "runs.jsonl").exit_code == 0
    exported = cli("export", "a").stdout
    Path("tasks.jsonl").write_text(exported)
    other = f"sqlite:///{tmp_path}/other.db"
    assert cli("import", "tasks.jsonl", "--base-url", other).exit_code == 0
    task, copy = json.loads(exported), json.loads(cli("export", "a", "--base-url", other).stdout)
    for name in ("error", "user_id", "conversation_id", "parent_task_id", "metadata", "calls", "tokens", "created_at"):
        assert copy[name] == task[name], name
    assert task["error"] == "timeout"
    assert task["calls"][0]["model"] == "gpt-4o"
