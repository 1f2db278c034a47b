"""Command `send`."""

import gzip
import json
import sqlite3
from contextlib import closing

import pytest

from xpander_sdk import Configuration, Task

SPAN = {
    "traceId": f"{1:032x}",
    "spanId": f"{1:016x}",
    "name": "invoke_agent planner",
    "startTimeUnixNano": "1760000000000000000",
    "endTimeUnixNano": "1760000002000000000",
    "attributes": [{"key": "gen_ai.operation.name", "value": {"stringValue": "invoke_agent"}}],
}


def test_one_run_is_reported(cli, embedded):
    result = cli(
        "send", "--agent-id", "a", "--id", "r", "--input", "in", "--result", "out", "--prompt-tokens", "5",
        "--completion-tokens", "2", "--duration", "1.5", "--tool", "x", "--tool", "y",
    )  # fmt: skip
    assert (result.exit_code, result.output) == (0, "r: completed\n")
    task = Task.load("r", embedded)
    assert (task.input.text, task.result, task.duration, task.used_tools) == ("in", "out", 1.5, ["x", "y"])
    assert task.tokens is not None
    assert task.tokens.total_tokens == 7


@pytest.mark.parametrize(("option", "status"), [("--failed", "failed"), ("--in-progress", "executing")])
def test_options_set_the_status(cli, option, status):
    assert cli("send", "--agent-id", "a", "--id", "r", option).output == f"r: {status}\n"


def test_provider_response_is_read_from_a_file(cli, embedded, tmp_path):
    (tmp_path / "response.json").write_text('{"ü": [1.5]}', "utf-8")
    cli("send", "--agent-id", "a", "--id", "r", "--llm-response", f"{tmp_path}/response.json")
    assert Task.load("r", embedded).llm_response == {"ü": [1.5]}


def test_many_runs_are_read_from_standard_input(cli):
    lines = '{"id": "1", "is_success": false}\n\n{"agent_id": "b", "id": "2"}\n'
    assert cli("send", "--agent-id", "a", "--from", "-", input=lines).output == "1: failed\n2: completed\n"
    assert "1" in cli("history", "a").output


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("{", "the text must be JSON: "),
        ("5", "the line must be a JSON object, got int"),
        ('{"resutl": 1}', "unknown argument 'resutl'"),
        ('{"duration": "soon"}', "duration must be a number of seconds or a timedelta, got 'soon'"),
    ],
)
def test_an_invalid_line_stops_the_command_with_its_number(cli, line, message):
    result = cli("send", "--agent-id", "a", "--from", "-", input='{"id": "1"}\n' + line + '\n{"id": "3"}\n')
    assert result.exit_code == 2
    assert "1: completed" in result.output
    assert message in result.output
    assert "stopped at line 2; 1 run before it recorded" in result.output
    assert "3: completed" not in result.output


def test_lines_that_export_writes_are_reported(cli, embedded, tmp_path):
    cli("send", "--agent-id", "a", "--id", "run-1", "--result", "done", "--duration", "4.7", "--failed")
    cli("export", "a", "--output", f"{tmp_path}/runs.jsonl")
    copy = Configuration(base_url=f"sqlite:///{tmp_path}/copy.db")
    assert cli("send", "--from", f"{tmp_path}/runs.jsonl", "--base-url", copy.base_url).output == "run-1: failed\n"
    task, original = Task.load("run-1", copy), Task.load("run-1", embedded)
    assert (task.result, task.duration, task.created_at) == ("done", 4.7, original.created_at)


def test_files_that_import_accepts_are_reported(cli, embedded, tmp_path):
    (tmp_path / "runs.gz").write_bytes(gzip.compress(b'{"id": "zipped"}\n'))
    (tmp_path / "traces.json").write_text(json.dumps({"resourceSpans": [{"scopeSpans": [{"spans": [SPAN]}]}]}))
    assert cli("send", "--agent-id", "a", "--from", f"{tmp_path}/runs.gz").output == "zipped: completed\n"
    assert Task.load("zipped", embedded).agent_id == "a"
    sent = cli("send", "--agent-id", "a", "--from", f"{tmp_path}/traces.json").output
    assert Task.load(sent.removesuffix(": completed\n"), embedded).duration == 2.0


def test_wrong_format_stops_at_the_first_line(cli):
    result = cli("send", "--agent-id", "a", "--from", "-", "--format", "otlp", input='{"id": "1"}\n')
    assert (result.exit_code, "stopped at line 1" in result.output) == (2, True)


def test_format_without_a_file_is_rejected(cli):
    result = cli("send", "--agent-id", "a", "--format", "otlp")
    assert (result.exit_code, "pass --from FILE" in result.output) == (2, True)


def test_lines_without_an_agent_get_that_of_the_environment(cli, embedded, monkeypatch):
    monkeypatch.setenv("XPANDER_AGENT_ID", "a")
    assert cli("send", "--from", "-", input='{"id": "1"}\n').output == "1: completed\n"
    assert Task.load("1", embedded).agent_id == "a"


def test_a_line_that_cannot_be_delivered_is_kept_in_the_outbox(cli, monkeypatch, tmp_path):
    monkeypatch.setenv("XPANDER_OUTBOX", str(tmp_path / "outbox.db"))
    monkeypatch.setenv("XPANDER_API_KEY", "key")
    result = cli("send", "--agent-id", "a", "--from", "-", "--base-url", "http://127.0.0.1:9", input='{"id": "1"}\n')
    assert "stopped at line 1" in result.output
    with closing(sqlite3.connect(tmp_path / "outbox.db")) as file:
        assert file.execute("SELECT task_id FROM reports").fetchall() == [("1",)]


def test_an_update_keeps_fields_that_it_does_not_contain(cli, embedded):
    cli("send", "--agent-id", "a", "--id", "r", "--duration", "4.7", "--tool", "web", "--cache-read-tokens", "3")
    cli("send", "--agent-id", "a", "--id", "r", "--result", "two")
    task = Task.load("r", embedded)
    assert (task.duration, task.used_tools, task.result) == (4.7, ["web"], "two")


def test_a_binary_file_is_rejected(cli, tmp_path):
    (tmp_path / "binary").write_bytes(b'{"id": "1"}\n\xd2\xff')
    result = cli("send", "--agent-id", "a", "--from", f"{tmp_path}/binary")
    assert result.exit_code == 2
    assert "the text must be UTF-8" in result.output
