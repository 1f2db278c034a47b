"""`import` and `export`."""

import gzip
import json
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from click.testing import CliRunner, Result

from xpander_sdk import Backend, Configuration, Task, Tasks
from xpander_sdk.cli import main

DATA = Path(__file__).parents[1] / "data"
OLD = "2025-01-02T03:04:05Z"


@pytest.fixture
def cli(embedded: Configuration, monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    monkeypatch.setenv("XPANDER_BASE_URL", embedded.base_url)
    monkeypatch.setenv("COLUMNS", "120")
    monkeypatch.chdir(tmp_path)

    def run(*arguments: str, input: str | bytes | None = None) -> Result:
        return CliRunner().invoke(main, arguments, input=input)

    return run


def write(path: str, *lines: Any) -> None:
    Path(path).write_text(
        "".join(line if isinstance(line, str) else json.dumps(line) + "\n" for line in lines), "utf-8"
    )


def refused(path: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in Path(f"{path}.rejected.jsonl").read_text("utf-8").splitlines()]


def test_runs_are_recorded_with_their_old_times(cli, embedded):
    write("runs.jsonl", {"agent_id": "a", "id": "1", "duration": 2, "created_at": OLD}, {"agent_id": "a", "id": "2"})
    done = cli("import", "runs.jsonl")
    assert done.exit_code == 0, done.output
    task = Task.load("1", embedded)
    assert f"{task.created_at:%FT%TZ}" == f"{task.finished_at:%FT%TZ}" == OLD
    assert Backend(embedded).metrics("a", until="2025-02-01").runs.total == 1
    assert Backend(embedded).metrics("a").runs.total == 2


def test_the_summary_counts_what_became_of_the_lines(cli):
    write("runs.jsonl", {"agent_id": "a"}, "bad\n", {"agent_id": "a"})
    told = cli("import", "runs.jsonl").output.splitlines()
    assert told[0].split("  ")[0] == "file"
    assert told[1].split()[:4] == ["runs.jsonl", "2", "1", "0"]
    shown = json.loads(cli("import", "runs.jsonl", "--json").stdout)
    assert (shown["format"], shown["recorded"], shown["rejected"]) == ("jsonl", 2, 1)


def test_what_is_imported_twice_is_recorded_once(cli, embedded):
    write("runs.jsonl", *[{"agent_id": "a", "result": "the same"}] * 3)
    for _ in range(2):
        assert cli("import", "runs.jsonl").exit_code == 0
    assert len(Tasks(embedded).list("a")) == 3


def test_a_copy_under_another_name_and_gzipped_is_the_same_runs(cli, embedded):
    write("runs.jsonl", {"agent_id": "a", "result": "no id"})
    Path("copy.jsonl.gz").write_bytes(gzip.compress(Path("runs.jsonl").read_bytes()))
    assert cli("import", "runs.jsonl", "copy.jsonl.gz").exit_code == 0
    assert len(Tasks(embedded).list("a")) == 1


def test_what_was_reported_later_is_not_overwritten(cli, embedded):
    Backend(embedded).report_external_task(agent_id="a", id="1", result="new")
    write("runs.jsonl", {"agent_id": "a", "id": "1", "result": "old", "input": "asked", "created_at": OLD})
    cli("import", "runs.jsonl")
    task = Task.load("1", embedded)
    assert (task.result, task.input.text) == ("new", "asked")


def test_reports_of_one_run_count_in_the_order_of_the_file(cli, embedded):
    write("runs.jsonl", *[{"agent_id": "a", "id": "1", "result": str(number)} for number in range(100)])
    cli("import", "runs.jsonl")
    assert Task.load("1", embedded).result == "99"


def test_what_is_refused_goes_aside_with_line_and_reason(cli, embedded):
    Backend(embedded).report_external_task(agent_id="other", id="taken")
    lines = ['{"agent_id": "a", "id": "taken"}', "nonsense", '{"id": "no agent"}', '{"agent_id": "a", "duration": "x"}']
    write("runs.jsonl", "\n".join(lines), "\n", {"agent_id": "a", "id": "good"})
    done = cli("import", "runs.jsonl")
    assert done.exit_code == 1
    assert "runs.jsonl.rejected.jsonl" in done.output
    found = sorted(refused("runs.jsonl"), key=lambda line: line["line"])
    assert [line["line"] for line in found] == [1, 2, 3, 4]
    assert [line["text"] for line in found] == lines
    for line, reason in zip(found, ["another agent", "not JSON", "names no agent", "duration must be"], strict=True):
        assert reason in line["reason"]
    assert Task.load("good", embedded).agent_id == "a"


def test_what_was_refused_is_forgotten_when_the_file_is_right(cli):
    write("runs.jsonl", "bad\n")
    assert cli("import", "runs.jsonl").exit_code == 1
    write("runs.jsonl", {"agent_id": "a"})
    assert cli("import", "runs.jsonl").exit_code == 0
    assert sorted(path.name for path in Path().glob("runs.jsonl*")) == ["runs.jsonl"]


def test_an_agent_may_be_named_for_all_that_name_none(cli, embedded):
    write("runs.jsonl", {"id": "1"}, {"id": "2", "agent_id": "own"})
    cli("import", "runs.jsonl", "--agent-id", "given")
    assert (Task.load("1", embedded).agent_id, Task.load("2", embedded).agent_id) == ("given", "own")


def test_what_has_no_id_is_another_run_of_another_agent(cli, embedded):
    write("runs.jsonl", {"result": "no id"})
    for agent in ("wrong", "right"):
        assert cli("import", "runs.jsonl", "--agent-id", agent).exit_code == 0
        assert len(Tasks(embedded).list(agent)) == 1


def test_standard_input_is_a_file_too(cli, embedded):
    done = cli("import", "-", input='{"agent_id": "a", "id": "1"}\nbad\n')
    assert done.exit_code == 1
    assert Task.load("1", embedded).agent_id == "a"
    assert refused("stdin")[0]["line"] == 2
    assert not Path("stdin.progress").exists()


def test_traces_are_known_by_their_look(cli, embedded):
    done = cli("import", f"{DATA}/otlp-events.jsonl", "-", input=(DATA / "otlp-messages.jsonl").read_bytes())
    assert done.exit_code == 0, done.output
    assert {item.result for item in Tasks(embedded).list("weather")} == {
        "The weather in Paris is rainy, 14 °C.", "It is rainy in Paris, 14 °C.\n",
    }  # fmt: skip
    assert Backend(embedded).metrics("weather").tools["get_weather"].calls == 2
    assert Tasks(embedded).list("broken", {"status": "failed"})


def test_an_import_that_was_broken_off_goes_on_behind_what_is_done(cli, embedded, monkeypatch):
    write("runs.jsonl", "bad\n", *[{"agent_id": "a", "id": f"{number:03}"} for number in range(200)])
    monkeypatch.setenv("XPANDER_API_KEY", "k")
    away = cli("import", "runs.jsonl", "--base-url", "http://127.0.0.1:9")
    assert away.exit_code == 75
    assert "runs.jsonl is not done: so far, 0 recorded, 1 refused; the same command goes on there" in away.output
    assert json.loads(Path("runs.jsonl.progress").read_text())["place"]["number"] == 1
    assert len(refused("runs.jsonl")) == 1
    # To another target, it is another import.
    done = json.loads(cli("import", "runs.jsonl", "--json").stdout)
    assert (done["recorded"], done["rejected"], done["already"]) == (200, 1, 0)
    assert len(refused("runs.jsonl")) == 1
    assert not Path("runs.jsonl.progress").exists()


@pytest.fixture
def broken_off(cli):
    """An import of which some of 500 lines are done: a file that was cut, and is whole now."""
    write("runs.jsonl", *[{"agent_id": "a", "id": f"{number:03}", "input": f"{uuid4()}"} for number in range(500)])
    whole = gzip.compress(Path("runs.jsonl").read_bytes())
    Path("runs.jsonl.gz").write_bytes(whole[:-2_000])
    done = cli("import", "runs.jsonl.gz")
    assert done.exit_code == 2
    assert "runs.jsonl.gz is not done" in done.output
    Path("runs.jsonl.gz").write_bytes(whole)


def imported(cli, *arguments: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(cli("import", "runs.jsonl.gz", "--json", *arguments).stdout)
    return found


@pytest.mark.usefixtures("broken_off")
def test_what_is_done_is_not_sent_a_second_time(cli, embedded):
    done = imported(cli)
    assert done["recorded"] == 500
    assert 0 < done["already"] < 500
    assert len(Tasks(embedded).list("a")) == 500


@pytest.mark.usefixtures("broken_off")
def test_restart_begins_anew(cli):
    assert imported(cli, "--restart")["already"] == 0


@pytest.mark.usefixtures("broken_off")
def test_another_agent_is_another_import(cli):
    assert imported(cli, "--agent-id", "b")["already"] == 0


@pytest.mark.usefixtures("broken_off")
def test_another_file_of_the_same_name_begins_anew(cli, embedded):
    write("runs.jsonl", *[{"agent_id": "a", "id": f"{number:03}", "result": "x"} for number in range(500)])
    Path("runs.jsonl.gz").write_bytes(gzip.compress(Path("runs.jsonl").read_bytes()))
    assert imported(cli)["already"] == 0
    assert {item.result for item in Tasks(embedded).list("a")} == {"x"}


def test_a_progress_file_that_is_none_of_ours_is_not_believed(cli):
    write("runs.jsonl", {"agent_id": "a"})
    for content in ("", "{", "[]", '{"version": 99}', '{"version": 1, "purpose": 5}'):
        Path("runs.jsonl.progress").write_text(content)
        assert cli("import", "runs.jsonl").exit_code == 0


@pytest.mark.parametrize(
    ("arguments", "code", "told"),
    [
        (("missing.jsonl",), 2, "'missing.jsonl' does not exist"),
        ((), 2, "Missing argument"),
        (("cut.jsonl.gz",), 2, "error: cut.jsonl.gz cannot be read to its end"),
        (("runs.jsonl", "--base-url", "http://127.0.0.1:9"), 2, "set XPANDER_API_KEY"),
    ],
)
def test_what_goes_wrong_is_told_with_a_code_for_scripts(cli, arguments, code, told):
    write("runs.jsonl", {"agent_id": "a"})
    Path("cut.jsonl.gz").write_bytes(gzip.compress(b'{"agent_id": "a"}\n' * 9)[:-6])
    done = cli("import", *arguments)
    assert (done.exit_code, told in done.output) == (code, True), done.output


REPORTS: list[dict[str, Any]] = [
    {"id": "whole", "input": "ä\u0000\u2028", "result": "", "llm_response": {"b": [1.5, 10**30], "a": None},
     "duration": 0.1, "tokens": {"prompt_tokens": 5, "cache_read_tokens": -1}, "used_tools": ["x", "x"],
     "is_success": False},
    {"id": "bare"}, {"id": "goes on", "is_success": None, "input": "asked"},
    {"id": "a/b ü?", "llm_response": [[], {}, ""]},
]  # fmt: skip


def test_what_is_exported_and_imported_elsewhere_is_equal_times_included(cli, embedded, tmp_path):
    for report in REPORTS:
        Backend(embedded).report_external_task(agent_id="a", **report)
    Backend(embedded).report_external_task(agent_id="a", id="whole", result="later")
    write(
        "more.jsonl", {"id": "of u", "agent_id": "a", "user_id": "u", "parent_task_id": "p", "triggering_agent_id": "g"}
    )
    cli("import", "more.jsonl")
    assert cli("export", "a", "-o", "all.jsonl.gz").exit_code == 0
    elsewhere = Configuration(base_url=f"sqlite:///{tmp_path}/elsewhere.db")
    assert cli("import", "all.jsonl.gz", "--base-url", elsewhere.base_url).exit_code == 0

    def tasks(configuration: Configuration) -> list[dict[str, Any]]:
        found = [item.load().to_dict() for item in Tasks(configuration).list("a")]
        # When a store was last changed is its own affair.
        return [{name: value for name, value in task.items() if name != "updated_at"} for task in found]

    assert len(tasks(embedded)) == 5
    assert json.dumps(tasks(elsewhere)) == json.dumps(tasks(embedded))
    assert Backend(elsewhere).metrics("a") == Backend(embedded).metrics("a")
    assert cli("import", "all.jsonl.gz").exit_code == 0  # nor does it change where it came from


def test_export_keeps_to_what_is_wanted(cli):
    times = ["2025-01-01", "2025-02-01", "2025-03-01"]
    lines = [{"id": time, "agent_id": "a", "created_at": time, "user_id": f"u{time[6]}"} for time in times]
    write("runs.jsonl", *lines, {"id": "bad", "agent_id": "a", "is_success": False})
    cli("import", "runs.jsonl")

    def exported(*arguments: str) -> list[str]:
        return [json.loads(line)["id"] for line in cli("export", *arguments).stdout.splitlines()]

    assert exported("a") == ["bad", *reversed(times)]
    assert exported("a", "--since", "2025-02-01", "--until", "2025-03-01") == ["2025-02-01"]
    assert exported("a", "--status", "failed") == ["bad"]
    assert exported("--user", "u2") == exported("a", "--user", "u2") == ["2025-02-01"]
    assert exported("nobody") == []


def test_an_export_that_fails_leaves_no_file(cli, monkeypatch):
    monkeypatch.setenv("XPANDER_API_KEY", "k")
    assert cli("export", "a", "-o", "out.jsonl", "--base-url", "http://127.0.0.1:9").exit_code == 75
    assert cli("export", "a", "-o", "no/such/folder.jsonl").exit_code == 2
    assert list(Path().glob("out*")) == []
