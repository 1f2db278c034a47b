"""Commands that only read, on a SQLite file that does not exist."""

import pytest
from click.testing import CliRunner

from xpander_sdk.cli import main


@pytest.mark.parametrize(
    "command", [("history", "a"), ("show", "run-1"), ("metrics", "a"), ("agents",), ("export", "a")], ids=" ".join
)
@pytest.mark.parametrize("is_environment", [True, False])
def test_reading_commands_refuse_a_missing_store(tmp_path, monkeypatch, command, is_environment):
    path = tmp_path / "wrong.db"
    monkeypatch.chdir(tmp_path)
    if is_environment:
        monkeypatch.setenv("XPANDER_BASE_URL", "sqlite:///wrong.db")
    result = CliRunner().invoke(main, [*command, *([] if is_environment else ["--base-url", "sqlite:///wrong.db"])])
    assert result.exit_code == 2
    assert f"there is no store at {path}; name the store with --base-url or XPANDER_BASE_URL" in result.output
    assert list(tmp_path.iterdir()) == []


def test_a_report_creates_the_store_that_reading_commands_need(tmp_path, monkeypatch):
    monkeypatch.setenv("XPANDER_BASE_URL", f"sqlite:///{tmp_path}/new.db")
    assert CliRunner().invoke(main, ["send", "--agent-id", "a", "--id", "1"]).exit_code == 0
    assert CliRunner().invoke(main, ["show", "1"]).exit_code == 0


@pytest.mark.parametrize(
    ("variables", "file"),
    [
        ({"XPANDER_BASE_URL": "sqlite:///runs.db"}, "runs.db"),
        ({"XPANDER_BASE_URL": "sqlite:///runs.db", "XPANDER_STORE": "sqlite:///store.db"}, "store.db"),
        ({"XPANDER_BASE_URL": "http://127.0.0.1:8100"}, "xpander.db"),
    ],
    ids=["database", "store", "server"],
)
def test_commands_on_a_store_use_the_database_that_the_environment_names(tmp_path, monkeypatch, variables, file):
    monkeypatch.chdir(tmp_path)
    result = CliRunner(env=variables).invoke(main, ["keys", "list"])
    assert f"there is no store at {tmp_path / file}; name" in result.output
