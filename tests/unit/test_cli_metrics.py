"""Command `metrics`, its time buckets and its bars."""

import json
from datetime import UTC, datetime
from typing import Any

import pytest
from rich.console import Console

from xpander_sdk.cli.metric_series import MAX_BUCKETS, bucket_starts
from xpander_sdk.cli.render.charts import stacked_bar


def import_runs(cli, *runs: dict[str, Any]) -> None:
    lines = [json.dumps({"agent_id": "a", **run}) for run in runs]
    result = cli("import", "-", input="\n".join(lines))
    assert result.exit_code == 0, result.output


def test_metrics_are_printed_as_a_table(cli):
    cli("send", "--agent-id", "a", "--tool", "search", "--duration", "2", "--prompt-tokens", "1500")
    cli("send", "--agent-id", "a", "--failed")
    output = cli("metrics", "a").output
    for cell in ("1 (50.0% of ended runs)", "1,500", "search: 1 call in 1 run", "2.01 s, 2.01 s, 2.01 s"):
        assert cell in output


def test_cost_and_models_are_printed(cli, tmp_path):
    (tmp_path / "response.json").write_text(json.dumps({"model": "gpt-4o-mini"}))
    cli("send", "--agent-id", "a", "--llm-response", f"{tmp_path}/response.json", "--prompt-tokens", "1000000")
    cli("send", "--agent-id", "a")
    output = cli("metrics", "a").output
    assert "$0.1500, 1 run not priced" in output
    assert "gpt-4o-mini: 1 run, 1,000,000 tokens, $0.1500" in output


@pytest.mark.parametrize("arguments", [(), ("--by", "day")])
def test_narrow_terminals_keep_the_numbers(cli, monkeypatch, arguments):
    cli("send", "--agent-id", "a", "--prompt-tokens", "123456789")
    monkeypatch.setenv("COLUMNS", "48")
    output = cli("metrics", "a", *arguments).output
    assert "123,456,789" in output
    assert "█" not in output


def test_agents_are_listed_with_their_runs(cli):
    cli("send", "--agent-id", "a")
    cli("send", "--agent-id", "b", "--failed")
    cli("send", "--agent-id", "b")
    assert [line.split() for line in cli("agents").output.splitlines()] == [
        ["agent", "runs", "completed", "failed", "executing"],
        ["b", "2", "1", "1", "0"],
        ["a", "1", "1", "0", "0"],
    ]
    assert cli("agents", "--sort", "name", "--json").output.startswith('{"agent_id": "a", "runs": {"total": 1,')
    assert cli("agents", "--until", "2020-01-01").output == "No agents with runs.\n"


def test_times_may_be_periods_before_now(cli):
    cli("send", "--agent-id", "a")
    assert json.loads(cli("metrics", "a", "--since", "1h", "--json").output)["runs"]["total"] == 1
    assert json.loads(cli("metrics", "a", "--until", "1h", "--json").output)["runs"]["total"] == 0


def test_time_range(cli):
    cli("send", "--agent-id", "a")
    assert json.loads(cli("metrics", "a", "--until", "2020-01-01", "--json").output)["runs"]["total"] == 0
    assert cli("metrics", "a", "--since", "yesterday").exit_code == 2


def test_statuses_and_tools_have_bars(cli):
    for number in range(4):
        import_runs(cli, {"id": f"{number}", "is_success": number > 0, "used_tools": ["x"] * 2 if number else ["y"]})
    lines = cli("metrics", "a").output.splitlines()
    bar_lengths = {line.split()[0]: line.count("█") for line in lines}
    names = ("completed", "failed", "executing", "tools")
    assert [bar_lengths[name] for name in names] == [12, 4, 0, 16]


def test_metrics_by_day_have_a_line_for_each_day(cli):
    import_runs(
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


def test_buckets_start_at_full_hours_or_days_and_end_before_until():
    now = datetime(2025, 3, 5, 14, 30, tzinfo=UTC)
    assert bucket_starts("hour", None, None, now)[-1] == datetime(2025, 3, 5, 14, tzinfo=UTC)
    assert (len(bucket_starts("hour", None, None, now)), len(bucket_starts("day", None, None, now))) == (24, 14)
    day = datetime(2025, 3, 4, tzinfo=UTC)
    assert bucket_starts("day", day, datetime(2025, 3, 5, tzinfo=UTC), now) == [day]
    with pytest.raises(ValueError, match=f"at most {MAX_BUCKETS}"):
        bucket_starts("hour", datetime(2024, 1, 1, tzinfo=UTC), None, now)
    assert bucket_starts("day", now, day, now) == []


def test_bar_shows_small_parts_and_uses_ascii_without_unicode(tmp_path):
    console = Console()
    assert stacked_bar([(1, "green"), (0, "red"), (10_000, "blue")], 10_001, 10, console).plain == "█" * 10
    assert stacked_bar([(1, "green")], 0, 10, console).plain == ""
    with open(tmp_path / "ascii", "w", encoding="ascii") as file:
        assert stacked_bar([(1, "green")], 2, 10, Console(file=file)).plain == "#####"


def test_metrics_without_an_agent_are_those_of_all_agents(cli):
    for agent_id in ("a", "b"):
        cli("send", "--agent-id", agent_id)
    assert json.loads(cli("metrics", "--json").output)["runs"]["total"] == 2
    assert json.loads(cli("metrics", "--by", "day", "--json").output.splitlines()[-1])["runs"]["total"] == 2
    assert json.loads(cli("metrics", "a", "--json").output)["runs"]["total"] == 1
