"""The command line as a whole: help, exit codes, JSON, hostile text."""

import json
from collections.abc import Iterator
from typing import Any

import click
import pytest
from click.testing import CliRunner

from xpander_sdk import Backend
from xpander_sdk.cli import main

HOSTILE_TEXT = "\x1b[31m[bold]red[/bold]\x07\u202e"
MAX_SUMMARY = 45  # characters


def all_commands(command: click.Command = main, name: str = "") -> Iterator[tuple[str, click.Command]]:
    """Yield name and command of each command and subcommand."""
    yield name, command
    if isinstance(command, click.Group):
        for child_name, child in command.commands.items():
            yield from all_commands(child, f"{name} {child_name}".strip())


COMMANDS = dict(all_commands())


@pytest.mark.parametrize("name", COMMANDS)
def test_each_command_has_a_short_summary_and_each_option_has_help(name):
    command = COMMANDS[name]
    assert command.help
    summary = command.help.splitlines()[0]
    assert summary.endswith(".")
    assert len(summary) <= MAX_SUMMARY
    # click prints the same summary in the list of commands, unabridged.
    assert command.get_short_help_str(MAX_SUMMARY) == summary
    assert all(parameter.help for parameter in command.params if isinstance(parameter, click.Option))
    assert CliRunner().invoke(main, [*name.split(), "--help"]).exit_code == 0


@pytest.mark.parametrize("name", [name for name, command in COMMANDS.items() if not isinstance(command, click.Group)])
def test_each_command_has_an_example_with_valid_options(name):
    command = COMMANDS[name]
    assert command.epilog is not None
    lines = [line for line in command.epilog.splitlines() if "xpander-report" in line]
    options = {
        name for parameter in [*main.params, *COMMANDS["outbox"].params, *command.params] for name in parameter.opts
    }
    assert lines
    for line in lines:
        _, _, arguments = line.partition("xpander-report ")
        words = arguments.partition("|")[0].split()
        assert {word for word in words if word.startswith("-") and word != "-"} <= options
        assert name in (words[0], " ".join(words[:2]), f"{words[0]} {words[3]}" if len(words) > 3 else "")


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (("show", "nothing"), 1, "error: [404] There is no task 'nothing'"),
        (("send",), 2, "the agent is missing; pass --agent-id, or set XPANDER_AGENT_ID"),
        (("history", "a", "--since", "7days"), 2, "a period before now is written 7d, 24h, 30m or 45s"),
        (("send", "--agent-id", "a", "--duration", "5s"), 2, "must be a number of seconds, got '5s'; write 4.7"),
        (("history", "a", "--follow", "--interval", "0"), 2, "0.5<=x<=3600"),
        (
            ("metrics", "a", "--by", "hour", "--since", "2020-01-01"),
            2,
            "the time range must have at most 100 hours, got",
        ),
        (("history", "a", "--status", "happy"), 2, "'happy' is not one of"),
        (
            ("history", "a", "--base-url", "ftp://x"),
            2,
            "base_url must not begin with ftp://",
        ),
        (("history", "a", "--base-url", "sqlite:////no/such/x.db"), 2, "The folder '/no/such' of the store"),
        (("history", "a", "--base-url", "runs.db"), 2, "write sqlite:///runs.db"),
        (("send", "--agent-id", "a", "--failed", "--in-progress"), 2, "must be either failed or in progress, got both"),
        (("send", "--from", "-", "--failed"), 2, "only --agent-id and --format are allowed"),
        (("history", "a", "--base-url", "http://127.0.0.1:9"), 2, "set XPANDER_API_KEY"),
        (("send", "--agent-id", ".."), 2, "agent_id must not be '..'"),
        (("send", "--no-such-option"), 2, "No such option"),
        (("serve", "--store", "mysql://x"), 2, "write sqlite:///FILE"),
        (("prune", "--keep", "long"), 2, "a period must be a number and a unit, got 'long'; write 90d"),
    ],
)
def test_errors_have_an_exit_code_and_a_message(cli, arguments, code, message):
    result = cli(*arguments)
    assert (result.exit_code, message in result.output) == (code, True), result.output


def test_an_unreachable_backend_has_its_own_exit_code(cli, monkeypatch):
    monkeypatch.setenv("XPANDER_API_KEY", "hunter2")
    result = cli("history", "a", "--base-url", "http://127.0.0.1:9")
    assert result.exit_code == 75
    assert "Connection refused" in result.output
    assert "hunter2" not in result.output


def test_all_commands_print_the_same_task_as_json(cli):
    task: dict[str, Any] = json.loads(cli("send", "--agent-id", "a", "--id", "ü", "--json").output)
    assert (task["id"], task["status"], "configuration" in task) == ("ü", "completed", False)
    assert json.loads(cli("history", "a", "--json").output)["id"] == "ü"
    assert json.loads(cli("show", "ü", "--json").output) == task
    assert json.loads(cli("metrics", "a", "--json").output)["runs"]["total"] == 1


def test_hostile_text_is_printed_without_control_characters_and_without_markup(cli):
    run = {
        "id": "r",
        "result": HOSTILE_TEXT,
        "input": HOSTILE_TEXT,
        "used_tools": [HOSTILE_TEXT],
        "llm_response": {HOSTILE_TEXT: [HOSTILE_TEXT]},
    }
    result = cli("import", "-", "--agent-id", "a", input=json.dumps(run))
    assert result.exit_code == 0, result.output
    for command in (("history", "a"), ("show", "r"), ("metrics", "a"), ("metrics", "a", "--by", "day")):
        output = cli(*command).output
        assert all(character.isprintable() or character == "\n" for character in output), command
        assert command[-1] == "day" or "[bold]red[/bold]" in output


def test_control_characters_of_file_names_are_not_printed(cli, embedded, tmp_path):
    name = str(tmp_path / "\x1b]0;owned\x07copy.db")
    Backend(embedded).report_external_task("agent-1", result="r")
    for command in (["backup", name], ["restore", name, "--yes"]):
        result = cli(*command, "--store", embedded.base_url)
        assert result.exit_code == 0, result.output
        assert result.output.rstrip("\n").isprintable()
