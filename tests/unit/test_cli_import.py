"""Command `import`."""

import gzip
import json
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from xpander_sdk import Backend, Configuration, Task, Tasks
from xpander_sdk.client import client
from xpander_sdk.client.operations import Operation

DATA = Path(__file__).parents[1] / "data"
OLD_TIME = "2025-01-02T03:04:05Z"


@pytest.fixture(autouse=True)
def _working_directory(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)


def write_lines(path: str, *lines: Any) -> None:
    """Write texts unchanged, and other values as JSON lines."""
    texts = (line if isinstance(line, str) else json.dumps(line) + "\n" for line in lines)
    Path(path).write_text("".join(texts), "utf-8")


def rejected_entries(path: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in Path(f"{path}.rejected.jsonl").read_text("utf-8").splitlines()]


def test_runs_keep_their_original_times(cli, embedded):
    old_run = {"agent_id": "a", "id": "1", "duration": 2, "created_at": OLD_TIME}
    write_lines("runs.jsonl", old_run, {"agent_id": "a", "id": "2"})
    result = cli("import", "runs.jsonl")
    assert result.exit_code == 0, result.output
    task = Task.load("1", embedded)
    assert f"{task.created_at:%FT%TZ}" == f"{task.finished_at:%FT%TZ}" == OLD_TIME
    assert Backend(embedded).metrics("a", until="2025-02-01").runs.total == 1
    assert Backend(embedded).metrics("a").runs.total == 2


def test_summary_counts_recorded_and_rejected_lines(cli):
    write_lines("runs.jsonl", {"agent_id": "a"}, "bad\n", {"agent_id": "a"})
    output = cli("import", "runs.jsonl").output.splitlines()
    assert output[0].split("  ")[0] == "file"
    assert output[1].split()[:4] == ["runs.jsonl", "2", "1", "0"]
    summary = json.loads(cli("import", "runs.jsonl", "--json").stdout)
    assert (summary["format"], summary["recorded"], summary["rejected"]) == ("jsonl", 2, 1)


def test_a_second_import_of_the_same_file_creates_no_duplicates(cli, embedded):
    write_lines("runs.jsonl", *[{"agent_id": "a", "result": "the same"}] * 3)
    for _ in range(2):
        assert cli("import", "runs.jsonl").exit_code == 0
    assert len(Tasks(embedded).list("a")) == 3


def test_a_renamed_and_compressed_copy_creates_no_duplicates(cli, embedded):
    write_lines("runs.jsonl", {"agent_id": "a", "result": "no id"})
    Path("copy.jsonl.gz").write_bytes(gzip.compress(Path("runs.jsonl").read_bytes()))
    assert cli("import", "runs.jsonl", "copy.jsonl.gz").exit_code == 0
    assert len(Tasks(embedded).list("a")) == 1


def test_an_old_report_does_not_overwrite_a_later_one(cli, embedded):
    Backend(embedded).report_external_task(agent_id="a", id="1", result="new")
    write_lines(
        "runs.jsonl", {"agent_id": "a", "id": "1", "result": "old", "input": "question", "created_at": OLD_TIME}
    )
    cli("import", "runs.jsonl")
    task = Task.load("1", embedded)
    assert (task.result, task.input.text) == ("new", "question")


def test_reports_of_one_run_are_sent_in_the_order_of_the_file(cli, embedded):
    write_lines("runs.jsonl", *[{"agent_id": "a", "id": "1", "result": str(number)} for number in range(100)])
    cli("import", "runs.jsonl")
    assert Task.load("1", embedded).result == "99"


def test_many_runs_need_few_requests(cli, embedded, monkeypatch):
    names: list[str] = []
    asend = client.asend

    async def count(configuration: Configuration, operation: Operation[Any]) -> Any:
        names.append(operation.name)
        return await asend(configuration, operation)

    monkeypatch.setattr(client, "asend", count)
    write_lines("runs.jsonl", *({"agent_id": "a", "id": str(number)} for number in range(1_000)))
    result = cli("import", "runs.jsonl")
    assert result.exit_code == 0, result.output
    assert Backend(embedded).metrics("a").runs.total == 1_000
    assert "report_tasks" in names
    assert len(names) < 500


def test_rejected_lines_are_listed_with_line_number_and_reason(cli, embedded):
    Backend(embedded).report_external_task(agent_id="other", id="taken")
    lines = ['{"agent_id": "a", "id": "taken"}', "nonsense", '{"id": "no agent"}', '{"agent_id": "a", "duration": "x"}']
    write_lines("runs.jsonl", "\n".join(lines), "\n", {"agent_id": "a", "id": "good"})
    result = cli("import", "runs.jsonl")
    assert result.exit_code == 1
    assert "Rejected lines of runs.jsonl, with reasons: runs.jsonl.rejected.jsonl" in result.output
    entries = sorted(rejected_entries("runs.jsonl"), key=lambda entry: entry["line"])
    assert [entry["line"] for entry in entries] == [1, 2, 3, 4]
    assert [entry["text"] for entry in entries] == lines
    reasons = ["another agent", "must be JSON", "must have an agent_id", "duration must be"]
    for entry, reason in zip(entries, reasons, strict=True):
        assert reason in entry["reason"]
    assert Task.load("good", embedded).agent_id == "a"


def test_the_list_of_rejected_lines_is_deleted_after_the_file_is_corrected(cli):
    write_lines("runs.jsonl", "bad\n")
    assert cli("import", "runs.jsonl").exit_code == 1
    write_lines("runs.jsonl", {"agent_id": "a"})
    assert cli("import", "runs.jsonl").exit_code == 0
    assert sorted(path.name for path in Path().glob("runs.jsonl*")) == ["runs.jsonl"]


def test_agent_id_option_applies_to_runs_without_an_agent(cli, embedded):
    write_lines("runs.jsonl", {"id": "1"}, {"id": "2", "agent_id": "of the line"})
    cli("import", "runs.jsonl", "--agent-id", "of the option")
    agents = (Task.load("1", embedded).agent_id, Task.load("2", embedded).agent_id)
    assert agents == ("of the option", "of the line")


def test_a_run_without_id_is_another_run_for_another_agent(cli, embedded):
    write_lines("runs.jsonl", {"result": "no id"})
    for agent_id in ("wrong", "right"):
        assert cli("import", "runs.jsonl", "--agent-id", agent_id).exit_code == 0
        assert len(Tasks(embedded).list(agent_id)) == 1


def test_standard_input(cli, embedded):
    result = cli("import", "-", input='{"agent_id": "a", "id": "1"}\nbad\n')
    assert result.exit_code == 1
    assert Task.load("1", embedded).agent_id == "a"
    assert rejected_entries("stdin")[0]["line"] == 2
    assert not Path("stdin.progress").exists()


def test_traces_are_detected(cli, embedded):
    result = cli("import", f"{DATA}/otlp-events.jsonl", "-", input=(DATA / "otlp-messages.jsonl").read_bytes())
    assert result.exit_code == 0, result.output
    assert {item.result for item in Tasks(embedded).list("weather")} == {
        "The weather in Paris is rainy, 14 °C.", "It is rainy in Paris, 14 °C.\n",
    }  # fmt: skip
    assert Backend(embedded).metrics("weather").tools["get_weather"].calls == 2
    assert Tasks(embedded).list("broken", {"status": "failed"})


def test_an_unreachable_backend_interrupts_the_import(cli, monkeypatch):
    write_lines("runs.jsonl", "bad\n", *[{"agent_id": "a", "id": f"{number:03}"} for number in range(200)])
    monkeypatch.setenv("XPANDER_API_KEY", "k")
    unreachable = cli("import", "runs.jsonl", "--base-url", "http://127.0.0.1:9")
    assert unreachable.exit_code == 75
    message = "import of runs.jsonl is incomplete: 0 recorded, 1 rejected; run the same command again to resume"
    assert message in unreachable.output
    assert json.loads(Path("runs.jsonl.progress").read_text())["place"]["number"] == 1
    assert len(rejected_entries("runs.jsonl")) == 1
    # An import into another backend starts from the first line.
    summary = json.loads(cli("import", "runs.jsonl", "--json").stdout)
    assert (summary["recorded"], summary["rejected"], summary["already"]) == (200, 1, 0)
    assert len(rejected_entries("runs.jsonl")) == 1
    assert not Path("runs.jsonl.progress").exists()


@pytest.fixture
def interrupted_import(cli) -> None:
    """Import a part of 500 lines: the file is truncated at first, and complete afterwards."""
    write_lines(
        "runs.jsonl", *[{"agent_id": "a", "id": f"{number:03}", "input": f"{uuid4()}"} for number in range(500)]
    )
    content = gzip.compress(Path("runs.jsonl").read_bytes())
    Path("runs.jsonl.gz").write_bytes(content[:-2_000])
    result = cli("import", "runs.jsonl.gz")
    assert result.exit_code == 2
    assert "import of runs.jsonl.gz is incomplete" in result.output
    Path("runs.jsonl.gz").write_bytes(content)


def import_again(cli, *arguments: str) -> dict[str, Any]:
    summary: dict[str, Any] = json.loads(cli("import", "runs.jsonl.gz", "--json", *arguments).stdout)
    return summary


@pytest.mark.usefixtures("interrupted_import")
def test_a_resumed_import_does_not_repeat_finished_lines(cli, embedded):
    summary = import_again(cli)
    assert summary["recorded"] == 500
    assert 0 < summary["already"] < 500
    assert len(Tasks(embedded).list("a")) == 500


@pytest.mark.usefixtures("interrupted_import")
def test_restart_starts_from_the_first_line(cli):
    assert import_again(cli, "--restart")["already"] == 0


@pytest.mark.usefixtures("interrupted_import")
def test_another_agent_id_starts_from_the_first_line(cli):
    assert import_again(cli, "--agent-id", "b")["already"] == 0


@pytest.mark.usefixtures("interrupted_import")
def test_another_file_of_the_same_name_starts_from_the_first_line(cli, embedded):
    write_lines("runs.jsonl", *[{"agent_id": "a", "id": f"{number:03}", "result": "x"} for number in range(500)])
    Path("runs.jsonl.gz").write_bytes(gzip.compress(Path("runs.jsonl").read_bytes()))
    assert import_again(cli)["already"] == 0
    assert {item.result for item in Tasks(embedded).list("a")} == {"x"}


@pytest.mark.parametrize("content", ["", "{", "[]", '{"version": 99}', '{"version": 1, "purpose": 5}'])
def test_an_invalid_progress_file_is_ignored(cli, content):
    write_lines("runs.jsonl", {"agent_id": "a"})
    Path("runs.jsonl.progress").write_text(content)
    assert cli("import", "runs.jsonl").exit_code == 0


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (("missing.jsonl",), 2, "'missing.jsonl' does not exist"),
        ((), 2, "Missing argument"),
        (("cut.jsonl.gz",), 2, "error: cut.jsonl.gz cannot be read to its end"),
        (("runs.jsonl", "--base-url", "http://127.0.0.1:9"), 2, "set XPANDER_API_KEY"),
    ],
)
def test_errors_have_an_exit_code_and_a_message(cli, arguments, code, message):
    write_lines("runs.jsonl", {"agent_id": "a"})
    Path("cut.jsonl.gz").write_bytes(gzip.compress(b'{"agent_id": "a"}\n' * 9)[:-6])
    result = cli("import", *arguments)
    assert (result.exit_code, message in result.output) == (code, True), result.output
