"""What `history`, `show` and `metrics` show."""

import json
from datetime import UTC, datetime
from functools import partial
from typing import Any

import pytest
from click.testing import CliRunner, Result
from rich.console import Console

from xpander_sdk import Backend, Configuration
from xpander_sdk.cli import main
from xpander_sdk.cli.charts import bar
from xpander_sdk.cli.following import LOOKS, News
from xpander_sdk.cli.series import MOST, steps
from xpander_sdk.cli.tree import tree
from xpander_sdk.cli.wanted import Wanted

HOSTILE = "\x1b[31m[bold]red[/bold]\x07\u202e"


@pytest.fixture
def cli(embedded: Configuration, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("XPANDER_BASE_URL", embedded.base_url)
    monkeypatch.setenv("COLUMNS", "120")

    def run(*arguments: str, input: str | None = None) -> Result:
        return CliRunner().invoke(main, arguments, input=input)

    return run


def imported(cli, *lines: dict[str, Any]) -> None:
    done = cli("import", "-", "--agent-id", "a", input="".join(json.dumps(line) + "\n" for line in lines))
    assert done.exit_code == 0, done.output


def ids(done: Result) -> list[str]:
    return [json.loads(line)["id"] for line in done.stdout.splitlines()]


def test_history_takes_every_filter_of_the_contract_and_a_range(cli):
    imported(
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


@pytest.fixture
def news(embedded) -> News:
    return News(partial(Wanted("a", None, {}).items, embedded))


def report(embedded, id: str, **arguments: Any) -> None:
    Backend(embedded).report_external_task(agent_id="a", id=id, **arguments)


def test_following_begins_with_the_newest_and_goes_on_with_what_is_new(news, embedded):
    for number in range(5):
        report(embedded, f"{number}")
    assert [item.id for item in news.first(2)] == ["3", "4"]
    assert news.look() == []
    report(embedded, "5")
    report(embedded, "6")
    assert [item.id for item in news.look()] == ["5", "6"]
    assert news.look() == []


def test_following_tells_what_has_become_of_a_run(news, embedded):
    report(embedded, "1", is_success=None)
    news.first(1)
    report(embedded, "1", result="done")
    assert [(item.id, item.status) for item in news.look()] == [("1", "completed")]
    report(embedded, "1", result="more")
    assert news.look() == []


def test_following_misses_nothing_of_a_burst(news, embedded):
    report(embedded, "first")
    news.first(1)
    burst = [f"{number}" for number in range(LOOKS[0] + 20)]
    for name in burst:
        report(embedded, name)
    assert [item.id for item in news.look()] == burst


def test_following_does_not_take_what_is_old_for_new(news, embedded, cli):
    for number in range(LOOKS[0] + 5):
        report(embedded, f"{number}")
    news.first(1)
    imported(cli, {"id": "old", "created_at": "2020-01-01"})
    assert news.look() == []


def test_a_filter_lets_a_run_in_when_it_comes_to_meet_it(embedded):
    failures = News(partial(Wanted("a", None, {"status": "failed"}).items, embedded))
    report(embedded, "1", is_success=None)
    report(embedded, "2", is_success=False)
    assert [item.id for item in failures.first(5)] == ["2"]
    report(embedded, "1", is_success=False)
    assert [item.id for item in failures.look()] == ["1"]


def shown(value: Any, depth: int) -> list[str]:
    console = Console(width=100, record=True, file=None, force_terminal=False)
    with console.capture() as captured:
        console.print(tree("response", value, depth))
    return captured.get().splitlines()


def test_a_tree_is_folded_below_its_depth():
    value = {"a": {"b": [1, {"c": None}]}, "d": []}
    assert shown(value, 0) == ["response (… 2 keys)"]
    assert shown(value, 2) == [
        "response (2 keys)", "├── a (1 key)", "│   └── b (… 2 items)", "└── d (0 items)",
    ]  # fmt: skip
    assert "            └── c: null" in "\n".join(shown(value, 9)).replace("│", " ")


def test_a_tree_counts_what_it_leaves_out():
    assert shown(list(range(250)), 1)[-1] == "└── … 150 more"
    assert "… 500 more characters" in " ".join(" ".join(shown({"text": "x" * 2_500}, 1)).split())
    assert len(shown([[]] * 3, 100)) == 4


def test_show_unfolds_as_deep_as_it_is_told(cli):
    imported(cli, {"id": "r", "llm_response": {"a": {"b": {"c": {"d": {"e": 1}}}}}})
    assert "(… 1 key)" in cli("show", "r").output
    assert "e: 1" in cli("show", "r", "--depth", "5").output


def test_hostile_text_stays_text_everywhere(cli):
    run = {
        "id": "r",
        "result": HOSTILE,
        "llm_response": {HOSTILE: [HOSTILE]},
        "used_tools": [HOSTILE],
        "input": HOSTILE,
    }
    imported(cli, run)
    for command in (("history", "a"), ("show", "r"), ("metrics", "a"), ("metrics", "a", "--by", "day")):
        output = cli(*command).output
        assert all(character.isprintable() or character == "\n" for character in output), command
        assert command[-1] == "day" or "[bold]red[/bold]" in output


def test_metrics_have_bars(cli):
    for number in range(4):
        imported(cli, {"id": f"{number}", "is_success": number > 0, "used_tools": ["x"] * 2 if number else ["y"]})
    lines = cli("metrics", "a").output.splitlines()
    drawn = {line.split()[0]: line.count("█") for line in lines}
    assert (drawn["completed"], drawn["failed"], drawn["executing"], drawn["tools"]) == (12, 4, 0, 16)


def test_metrics_by_the_day_have_a_line_for_each(cli):
    imported(
        cli,
        {"id": "1", "created_at": "2025-01-01T23:59:59Z", "duration": 2, "tokens": {"prompt_tokens": 5}},
        {"id": "2", "created_at": "2025-01-03T00:00:00Z", "is_success": False},
        {"id": "3", "created_at": "2025-01-03T12:00:00Z"},
    )
    arguments = ("metrics", "a", "--by", "day", "--since", "2025-01-01", "--until", "2025-01-04")
    rows = [line.split() for line in cli(*arguments).output.splitlines()[1:]]
    assert [row[:3] for row in rows] == [["2025-01-01", "1", "0"], ["2025-01-02", "0", "0"], ["2025-01-03", "2", "1"]]
    assert (float(rows[0][3]), rows[0][4:6]) == (pytest.approx(2, rel=0.01), ["s", "5"])
    assert len(rows[2][-1]) == 2 * len(rows[0][-1])
    points = [json.loads(line) for line in cli(*arguments, "--json").output.splitlines()]
    assert [point["runs"]["total"] for point in points] == [1, 0, 2]


def test_steps_begin_at_the_full_hour_or_day_and_end_before_until():
    now = datetime(2025, 3, 5, 14, 30, tzinfo=UTC)
    assert steps("hour", None, None, now)[-1] == datetime(2025, 3, 5, 14, tzinfo=UTC)
    assert (len(steps("hour", None, None, now)), len(steps("day", None, None, now))) == (24, 14)
    day = datetime(2025, 3, 4, tzinfo=UTC)
    assert steps("day", day, datetime(2025, 3, 5, tzinfo=UTC), now) == [day]
    with pytest.raises(ValueError, match=f"at most {MOST}"):
        steps("hour", datetime(2024, 1, 1, tzinfo=UTC), None, now)
    assert steps("day", now, day, now) == []


def test_a_bar_shows_the_least_part_and_plain_characters_where_there_are_no_others(tmp_path):
    console = Console()
    assert bar([(1, "green"), (0, "red"), (10_000, "blue")], 10_001, 10, console).plain == "█" * 10
    assert bar([(1, "green")], 0, 10, console).plain == ""
    with open(tmp_path / "ascii", "w", encoding="ascii") as file:
        assert bar([(1, "green")], 2, 10, Console(file=file)).plain == "#####"
