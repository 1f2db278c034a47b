import json

import pytest
from click.testing import CliRunner, Result

from xpander_sdk import Configuration, Task
from xpander_sdk.cli import main


@pytest.fixture
def cli(embedded: Configuration, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("XPANDER_BASE_URL", embedded.base_url)
    monkeypatch.setenv("COLUMNS", "120")

    def run(*arguments: str, input: str | None = None) -> Result:
        return CliRunner().invoke(main, arguments, input=input)

    return run


def test_send_records_a_run(cli, embedded):
    sent = cli(
        "send", "--agent-id", "a", "--id", "r", "--input", "in", "--result", "out", "--prompt-tokens", "5",
        "--completion-tokens", "2", "--duration", "1.5", "--tool", "x", "--tool", "y",
    )  # fmt: skip
    assert (sent.exit_code, sent.output) == (0, "r: completed\n")
    task = Task.load("r", embedded)
    assert (task.input.text, task.result, task.duration, task.used_tools) == ("in", "out", 1.5, ["x", "y"])
    assert task.tokens is not None
    assert task.tokens.total_tokens == 7


@pytest.mark.parametrize(("option", "status"), [("--failed", "failed"), ("--in-progress", "executing")])
def test_send_tells_what_became_of_a_run(cli, option, status):
    assert cli("send", "--agent-id", "a", "--id", "r", option).output == f"r: {status}\n"


def test_send_takes_the_providers_response_from_a_file(cli, embedded, tmp_path):
    (tmp_path / "response.json").write_text('{"ü": [1.5]}', "utf-8")
    cli("send", "--agent-id", "a", "--id", "r", "--llm-response", f"{tmp_path}/response.json")
    assert Task.load("r", embedded).llm_response == {"ü": [1.5]}


def test_send_takes_many_runs_from_standard_input(cli):
    lines = '{"id": "1", "is_success": false}\n\n{"agent_id": "b", "id": "2"}\n'
    assert cli("send", "--agent-id", "a", "--from", "-", input=lines).output == "1: failed\n2: completed\n"
    assert "1" in cli("history", "a").output


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("{", "it is not JSON"),
        ("5", "it is no JSON object"),
        ('{"resutl": 1}', "got an unexpected keyword argument 'resutl'"),
        ('{"duration": "soon"}', "duration must be a number of seconds, not 'soon'"),
    ],
)
def test_send_stops_at_a_bad_line_and_names_it(cli, line, told):
    done = cli("send", "--agent-id", "a", "--from", "-", input='{"id": "1"}\n' + line + '\n{"id": "3"}\n')
    assert done.exit_code == 2
    assert "1: completed" in done.output
    assert told in done.output
    assert "stopped at line 2 (the 1 before it are recorded)" in done.output
    assert "3: completed" not in done.output


def test_send_leaves_what_is_not_given_as_it_is(cli, embedded):
    cli("send", "--agent-id", "a", "--id", "r", "--duration", "4.7", "--tool", "web", "--cache-read-tokens", "3")
    cli("send", "--agent-id", "a", "--id", "r", "--result", "two")
    task = Task.load("r", embedded)
    assert (task.duration, task.used_tools, task.result) == (4.7, ["web"], "two")


def test_send_says_where_a_file_is_no_text(cli, tmp_path):
    (tmp_path / "binary").write_bytes(b'{"id": "1"}\n\xd2\xff')
    done = cli("send", "--agent-id", "a", "--from", f"{tmp_path}/binary")
    assert done.exit_code == 2
    assert "it is not UTF-8 text" in done.output


def test_history_says_when_it_is_cut(cli):
    for _ in range(2):
        cli("send", "--agent-id", "a")
    assert "The newest 2; --limit shows more." in cli("history", "a", "--limit", "2").output
    assert "--limit" not in cli("history", "a", "--limit", "3").output


def test_history_lists_the_newest_first(cli):
    for run_id in ("first", "second"):
        cli("send", "--agent-id", "a", "--id", run_id, "--result", f"result of {run_id}")
    lines = cli("history", "a").output.splitlines()
    assert lines[0].split() == ["created", "(UTC)", "task", "status", "result"]
    assert "second" in lines[1]
    assert "result of first" in lines[2]


def test_history_can_be_filtered_and_cut(cli):
    for number in range(3):
        cli("send", "--agent-id", "a", "--id", f"ok-{number}")
        cli("send", "--agent-id", "a", "--id", f"bad-{number}", "--failed")
    output = cli("history", "a", "--status", "failed", "--limit", "2").stdout
    assert [word for word in output.split() if "-" in word and not word.startswith("20")] == ["bad-2", "bad-1"]


def test_history_of_nobody_says_so(cli):
    assert cli("history", "a").output == "No tasks.\n"
    assert cli("history", "--user", "u").output == "No tasks.\n"
    assert cli("history", "a", "--json").output == ""


def test_json_is_for_programs(cli):
    sent = json.loads(cli("send", "--agent-id", "a", "--id", "ü", "--json").output)
    assert (sent["id"], sent["status"], "configuration" in sent) == ("ü", "completed", False)
    assert json.loads(cli("history", "a", "--json").output)["id"] == "ü"
    assert json.loads(cli("show", "ü", "--json").output) == sent
    assert json.loads(cli("metrics", "a", "--json").output)["runs"]["total"] == 1


def test_show_tells_all_of_a_task(cli):
    cli("send", "--agent-id", "a", "--from", "-", input='{"id": "r", "llm_response": {"model": "m"}}')
    output = cli("show", "r").output
    assert "completed" in output
    assert 'model: "m"' in output


def test_metrics_are_a_table(cli):
    cli("send", "--agent-id", "a", "--tool", "search", "--duration", "2", "--prompt-tokens", "1500")
    cli("send", "--agent-id", "a", "--failed")
    words = cli("metrics", "a").output
    for told in ("1 (50.0% of those ended)", "1,500", "search: 1 calls in 1 runs", "2.01 s, 2.01 s, 2.01 s"):
        assert told in words


def test_metrics_take_a_range(cli):
    cli("send", "--agent-id", "a")
    assert json.loads(cli("metrics", "a", "--until", "2020-01-01", "--json").output)["runs"]["total"] == 0
    assert cli("metrics", "a", "--since", "yesterday").exit_code == 2


def test_text_from_outside_cannot_steer_the_terminal_or_the_table(cli):
    cli("send", "--agent-id", "a", "--id", "r", "--result", "\x1b[31m[bold]red[/bold]\x07")
    for command in (("history", "a"), ("show", "r")):
        output = cli(*command).output
        assert "[bold]red[/bold]" in output
        assert "\x1b" not in output
        assert "\x07" not in output


@pytest.mark.parametrize(
    ("arguments", "code", "told"),
    [
        (("show", "nothing"), 1, "error: [404] There is no task 'nothing'"),
        (("history",), 2, "XPANDER_AGENT_ID"),
        (("history", "a", "--since", "yesterday"), 2, "since must be a time such as"),
        (("history", "a", "--follow", "--interval", "0"), 2, "0.5<=x<=3600"),
        (("metrics", "a", "--by", "hour", "--since", "2020-01-01"), 2, "at most 100 are shown"),
        (("history", "a", "--status", "happy"), 2, "'happy' is not one of"),
        (("history", "a", "--base-url", "ftp://x"), 2, "base_url cannot be a ftp:// URL"),
        (("history", "a", "--base-url", "sqlite:////no/such/x.db"), 2, "There is no folder '/no/such'"),
        (("history", "a", "--base-url", "runs.db"), 2, "write sqlite:///runs.db"),
        (("send", "--agent-id", "a", "--failed", "--in-progress"), 2, "--failed or --in-progress?"),
        (("send", "--from", "-", "--failed"), 2, "only --agent-id"),
        (("history", "a", "--base-url", "http://127.0.0.1:9"), 2, "set XPANDER_API_KEY"),
        (("send", "--agent-id", ".."), 2, "agent_id must not be '..'"),
        (("send", "--no-such-option"), 2, "No such option"),
        (("serve", "--store", "mysql://x"), 2, "write sqlite:///FILE"),
    ],
)
def test_what_goes_wrong_is_told_with_a_code_for_scripts(cli, arguments, code, told):
    done = cli(*arguments)
    assert (done.exit_code, told in done.output) == (code, True), done.output


def test_no_answer_is_a_code_of_its_own(cli, monkeypatch):
    monkeypatch.setenv("XPANDER_API_KEY", "hunter2")
    done = cli("history", "a", "--base-url", "http://127.0.0.1:9")
    assert done.exit_code == 75
    assert "Connection refused" in done.output
    assert "hunter2" not in done.output


def test_every_command_explains_itself(cli):
    for command in main.commands.values():
        assert command.help
        assert all(parameter.help for parameter in command.params if parameter.param_type_name == "option")
        assert cli(command.name, "--help").exit_code == 0
