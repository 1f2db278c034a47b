"""Command `history`, and the follower of its option `--follow`."""

import json
from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial
from typing import Any

import pytest
from click.testing import Result

from xpander_sdk import Backend, ModuleException, Tasks
from xpander_sdk.cli.follow import POLL_LIMITS, HistoryFollower
from xpander_sdk.cli.task_selection import TaskSelection
from xpander_server.store import view_summary


def import_lines(cli, *lines: dict[str, Any]) -> None:
    result = cli("import", "-", "--agent-id", "a", input="".join(json.dumps(line) + "\n" for line in lines))
    assert result.exit_code == 0, result.output


def ids(result: Result) -> list[str]:
    return [json.loads(line)["id"] for line in result.stdout.splitlines()]


def test_a_full_page_is_followed_by_a_hint(cli):
    for _ in range(2):
        cli("send", "--agent-id", "a")
    assert "These are the newest 2. Use --limit to list more." in cli("history", "a", "--limit", "2").output
    assert "--limit" not in cli("history", "a", "--limit", "3").output


def test_the_newest_task_is_first(cli):
    for run_id in ("first", "second"):
        cli("send", "--agent-id", "a", "--id", run_id, "--result", f"result of {run_id}")
    lines = cli("history", "a").output.splitlines()
    assert lines[0].split() == ["created", "(UTC)", "task", "status", "result"]
    assert "second" in lines[1]
    assert "result of first" in lines[2]


def test_filter_and_limit_are_combined(cli):
    for number in range(3):
        cli("send", "--agent-id", "a", "--id", f"ok-{number}")
        cli("send", "--agent-id", "a", "--id", f"bad-{number}", "--failed")
    output = cli("history", "a", "--status", "failed", "--limit", "2").stdout
    assert [word for word in output.split() if "-" in word and not word.startswith("20")] == ["bad-2", "bad-1"]


def test_an_empty_history_has_a_message(cli):
    assert cli("history", "a").output == "No tasks.\n"
    assert cli("history", "--user", "u").output == "No tasks.\n"
    assert cli("history", "a", "--json").output == ""


def test_all_filters_of_the_contract_and_time_ranges(cli):
    import_lines(
        cli,
        {"id": "1", "created_at": "2025-01-01", "user_id": "u", "parent_task_id": "p"},
        {"id": "2", "created_at": "2025-02-01", "user_id": "u", "triggering_agent_id": "g", "is_success": False},
        {"id": "3", "created_at": "2025-03-01", "user_id": "v", "agent_id": "b"},
    )
    for arguments, expected in [
        (("a",), ["2", "1"]),
        (("--user", "u"), ["2", "1"]),
        (("b", "--user", "u"), []),
        (("a", "--user", "u", "--parent-task", "p"), ["1"]),
        (("a", "--triggering-agent", "g"), ["2"]),
        (("a", "--status", "failed"), ["2"]),
        (("a", "--since", "2025-01-15"), ["2"]),
        (("a", "--until", "2025-02-01"), ["1"]),
        (("--user", "v", "--since", "2025-03-01", "--limit", "1"), ["3"]),
    ]:
        assert ids(cli("history", *arguments, "--json")) == expected, arguments


def follower_of(configuration, filters: dict[str, str | None] | None = None) -> HistoryFollower:
    return HistoryFollower(partial(TaskSelection("a", None, filters or {}).list, configuration))


def report(configuration, id: str, **arguments: Any) -> None:
    Backend(configuration).report_external_task(agent_id="a", id=id, **arguments)


def test_follower_returns_the_newest_tasks_then_new_ones(embedded):
    follower = follower_of(embedded)
    for number in range(5):
        report(embedded, f"{number}")
    assert [item.id for item in follower.read_initial(2)] == ["3", "4"]
    assert follower.poll() == []
    report(embedded, "5")
    report(embedded, "6")
    assert [item.id for item in follower.poll()] == ["5", "6"]
    assert follower.poll() == []


def test_follower_returns_a_task_again_when_its_status_changes(embedded):
    follower = follower_of(embedded)
    report(embedded, "1", is_success=None)
    follower.read_initial(1)
    report(embedded, "1", result="done")
    assert [(item.id, item.status) for item in follower.poll()] == [("1", "completed")]
    report(embedded, "1", result="more")
    assert follower.poll() == []


def test_follower_returns_all_tasks_of_a_burst(embedded):
    follower = follower_of(embedded)
    report(embedded, "first")
    follower.read_initial(1)
    burst = [f"{number}" for number in range(POLL_LIMITS[0] + 20)]
    for run_id in burst:
        report(embedded, run_id)
    assert [item.id for item in follower.poll()] == burst


def test_follower_skips_an_imported_old_task(embedded, cli):
    follower = follower_of(embedded)
    for number in range(POLL_LIMITS[0] + 5):
        report(embedded, f"{number}")
    follower.read_initial(1)
    import_lines(cli, {"id": "old", "created_at": "2020-01-01"})
    assert follower.poll() == []


def test_follower_returns_an_older_task_when_it_starts_to_match_the_filter(embedded):
    follower = follower_of(embedded, {"status": "failed"})
    report(embedded, "1", is_success=None)
    report(embedded, "2", is_success=False)
    assert [item.id for item in follower.read_initial(5)] == ["2"]
    report(embedded, "1", is_success=False)
    assert [item.id for item in follower.poll()] == ["1"]


def test_history_is_filtered_by_conversation_and_metadata(cli):
    pairs = ("--metadata", "environment=test", "--metadata", "note=a=b")
    cli("send", "--agent-id", "a", "--id", "one", "--conversation", "c1", "--user", "u1", *pairs)
    cli("send", "--agent-id", "a", "--id", "two", "--parent-task", "one", "--metadata", "environment=test")

    def ids(*filters: str) -> list[str]:
        return [json.loads(line)["id"] for line in cli("history", "a", "--json", *filters).stdout.splitlines()]

    assert ids("--conversation", "c1") == ["one"]
    assert ids("--parent-task", "one") == ["two"]
    assert ids("--metadata", "environment=test") == ["two", "one"]
    assert ids(*pairs) == ids("--user", "u1", *pairs) == ["one"]
    assert ids("--metadata", "environment=production") == []


def test_metadata_without_a_value_is_rejected_with_the_form(cli):
    result = cli("history", "a", "--metadata", "environment")
    assert (result.exit_code, "--metadata must have the form NAME=VALUE" in result.output) == (2, True)


def test_history_shows_the_error_of_a_failed_run(cli):
    cli("send", "--agent-id", "a", "--failed", "--error", "no answer\nat all", "--result", "half")
    output = cli("history", "a").output
    assert "no answer" in output
    assert "half" not in output


RUNS = [
    {
        "id": f"{number}",
        "duration": duration,
        "tokens": {"prompt_tokens": tokens, "completion_tokens": 0},
        "calls": [{"model": "own", "cost": cost}],
        "created_at": f"2025-01-0{number}",
        "user_id": "u",
        "error": "no [capacity]",
        "is_success": False,
    }
    for number, duration, tokens, cost in ((1, 2.0, 10, 0.5), (2, 1.0, 30, 0.25), (3, 3.0, 20, 0.125))
]


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (("--sort", "time"), ["3", "2", "1", "none"]),
        (("--order", "asc", "--limit", "2"), ["none", "1"]),
        (("--sort", "duration"), ["3", "1", "2", "none"]),
        (("--sort", "tokens"), ["2", "3", "1", "none"]),
        (("--sort", "cost", "--limit", "2"), ["1", "2"]),
        (("--sort", "cost", "--order", "asc"), ["3", "2", "1", "none"]),
        (("--sort", "cost", "--since", "2025-01-02", "--until", "2025-01-04"), ["2", "3"]),
        (("--sort", "cost", "--user", "u"), ["1", "2", "3"]),
    ],
)
def test_tasks_are_sorted(cli, options, expected):
    import_lines(cli, {"id": "none", "created_at": "2024-12-31"}, *RUNS)
    assert ids(cli("history", "a", "--json", *options)) == expected


def test_sorted_list_of_all_pages_has_each_task_once(cli, embedded):
    import_lines(cli, *({"id": f"{number}", "duration": number % 7 + 1} for number in range(20)))
    tasks = Tasks(embedded)
    pagination = tasks._of_agent("a", {"sort": "duration"}, None)
    pagination._request = lambda cursor: pagination._query(3, cursor).map(pagination._read)
    pagination.operation = pagination._request(None)
    tasks_of_pages = list(tasks._iterate(pagination))
    assert len({item.id for item in tasks_of_pages}) == 20
    assert [item.duration for item in tasks_of_pages] == sorted((number % 7 + 1 for number in range(20)), reverse=True)


def test_history_shows_figures_model_user_and_error(cli):
    import_lines(cli, RUNS[0])
    task, figures = cli("history", "a").output.splitlines()[1:]
    assert "no [capacity]" in task
    assert figures.split() == ["2.00", "s,", "10", "tokens,", "$0.5000", "own,", "u"]


@pytest.mark.parametrize("columns", ["30", "60"])
def test_narrow_terminal_keeps_the_numbers(cli, monkeypatch, columns):
    monkeypatch.setenv("COLUMNS", columns)
    import_lines(cli, RUNS[0])
    for command in (("history", "a"), ("show", "1"), ("metrics", "a")):
        output = cli(*command).output
        assert max(map(len, output.splitlines())) <= int(columns)
        assert "0.5" in output, command


def test_order_of_the_backend_is_stated_if_no_task_has_the_figure(cli):
    cli("send", "--agent-id", "a")
    assert "none of these tasks has a value for cost" in cli("history", "a", "--sort", "cost").output


def test_follow_rejects_an_order(cli):
    result = cli("history", "a", "--follow", "--sort", "cost")
    assert (result.exit_code, "leave out --sort and --order" in result.output) == (2, True)


def test_a_line_states_how_far_a_sorted_list_reaches(cli, monkeypatch):
    import_lines(
        cli,
        *({"id": f"{number}", "created_at": f"2025-01-0{number}", "duration": float(number)} for number in (1, 2, 3)),
    )
    complete = cli("history", "a", "--sort", "duration", "--json")
    assert (ids(complete), complete.stderr) == (["3", "2", "1"], "")
    monkeypatch.setattr(view_summary, "VIEW_TASKS", 2)
    limited = cli("history", "a", "--sort", "duration", "--json")
    assert ids(limited) == ["3", "2"]
    assert limited.stderr == (
        "Sorted among the newest tasks only: those created at 2025-01-02 00:00:00 (UTC) or later. "
        "Use --since, --until or a filter to sort fewer tasks.\n"
    )


def test_a_sorted_list_has_the_limit_of_its_order(embedded, cli, monkeypatch):
    import_lines(cli, {"id": "old", "created_at": "2025-01-01"}, {"id": "new", "created_at": "2025-01-02"})
    tasks = Tasks(embedded)
    assert tasks.list("a", {"sort": "duration"}).sorted_since is None
    monkeypatch.setattr(view_summary, "VIEW_TASKS", 1)
    assert tasks.list("a", {"sort": "duration"}).sorted_since == datetime(2025, 1, 2, tzinfo=UTC)
    assert tasks.list("a").sorted_since is None


@pytest.fixture
def two_agents(cli) -> Callable[..., Result]:
    """Return the function that runs a command, on a store with one run of each of two agents."""
    for agent_id, run_id in (("a", "run-of-a"), ("b", "run-of-b")):
        cli("send", "--agent-id", agent_id, "--id", run_id, "--user", "u")
    return cli


def task_ids_of(result: Result) -> list[str]:
    assert result.exit_code == 0, result.output
    return [json.loads(line)["id"] for line in result.stdout.splitlines()]


@pytest.mark.parametrize(
    "arguments",
    [
        ("history", "--json"),
        ("history", "--json", "--since", "1h"),
        ("history", "--json", "--order", "desc", "--sort", "duration"),
        ("history", "--json", "--user", "u"),
        ("export",),
        ("export", "--since", "1h"),
    ],
    ids=" ".join,
)
def test_commands_without_an_agent_list_the_tasks_of_all_agents(two_agents, arguments):
    assert sorted(task_ids_of(two_agents(*arguments))) == ["run-of-a", "run-of-b"]


def test_agent_of_the_environment_limits_the_history(two_agents, monkeypatch):
    monkeypatch.setenv("XPANDER_AGENT_ID", "b")
    assert task_ids_of(two_agents("history", "--json")) == ["run-of-b"]


def test_agent_and_user_limit_the_history_together(two_agents):
    assert task_ids_of(two_agents("history", "a", "--user", "u", "--json")) == ["run-of-a"]
    assert task_ids_of(two_agents("history", "a", "--user", "another", "--json")) == []


@pytest.mark.parametrize("status", [404, 405])
def test_error_of_a_backend_that_lists_one_agent_only_asks_for_an_agent(cli, monkeypatch, status):
    def refuse(*_: object, **__: object) -> None:
        raise ModuleException(status, "no such path")

    monkeypatch.setattr("xpander_sdk.Tasks.list", refuse)
    result = cli("history")
    advice = "no such path; for a backend without requests for all agents, pass AGENT_ID"
    assert (result.exit_code, advice in result.output) == (2, True)
    assert "AGENT_ID" not in cli("history", "a").output
