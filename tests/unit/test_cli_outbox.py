"""Commands `outbox …`."""

import json
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from xpander_sdk import Backend, Configuration, Outbox, OutboxSettings, Task
from xpander_sdk.cli import main


@pytest.fixture
def file(tmp_path) -> Path:
    return tmp_path / "outbox.db"


@pytest.fixture
def backend(embedded: Configuration, file) -> Backend:
    return Backend(embedded.with_options(outbox=OutboxSettings(file=file, worker="none")))


@pytest.fixture
def cli(file) -> Callable[..., Result]:
    """Return a function that runs `xpander-report outbox` on a file."""

    def run(*arguments: str) -> Result:
        return CliRunner(env={"COLUMNS": "150"}).invoke(main, ["outbox", "--file", str(file), *arguments])

    return run


@pytest.fixture
def as_another_process(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[], None]]:
    """Return a function after which the test has the outboxes of another process, which knows no keys."""
    outboxes: dict[str, Outbox] = {}
    yield lambda: monkeypatch.setattr("xpander_sdk.outbox.registry._outboxes", outboxes)
    for outbox in outboxes.values():
        outbox._state.finish()


def make_dead_letter(backend: Backend) -> None:
    """Submit a report that the backend rejects: its id belongs to another agent."""
    backend.report_external_task(agent_id="a", id="taken")
    backend.submit_external_task(agent_id="b", id="taken", result="of b")
    backend.outbox.drain()


def test_counters_of_a_new_outbox_are_zero(cli, file):
    file.touch(0o600)
    result = cli("status")
    assert result.exit_code == 0
    assert "pending    0 (0.0 MB)" in result.output


def test_a_file_of_the_command_line_that_does_not_exist_is_not_created(cli, file):
    result = cli("status")
    assert (result.exit_code, result.output) == (
        2,
        f"error: there is no outbox at {file}; programs that report create it\n",
    )
    assert not file.exists()


def test_status_shows_counters(cli, backend):
    backend.submit_external_task(agent_id="a")
    counters = json.loads(cli("status", "--json").output)
    assert (counters["accepted"], counters["pending"], counters["delivered"]) == (1, 1, 0)
    assert "accepted   1" in cli("status").output


def test_drain_delivers_pending_reports(cli, backend, embedded):
    for number in range(3):
        backend.submit_external_task(agent_id="a", id=str(number))
    result = cli("drain")
    assert (result.exit_code, result.stdout) == (0, "3 delivered, 0 pending, 0 dead letters.\n")
    assert Task.load("2", embedded).status == "completed"


def test_drain_prints_why_reports_are_still_pending(cli, file, monkeypatch, as_another_process):
    unreachable = Configuration(
        base_url="http://127.0.0.1:1", api_key="a-key-of-1", outbox=OutboxSettings(file=file, worker="none")
    )
    Backend(unreachable).submit_external_task(agent_id="a")
    as_another_process()
    result = cli("drain")
    assert result.exit_code == 75
    assert "1 pending" in result.stdout
    assert "the API key of these reports is unknown; set XPANDER_API_KEY" in result.stderr
    monkeypatch.setenv("XPANDER_API_KEY", "a-key-of-1")
    assert "Connection refused" in cli("drain", "--deadline", "3").stderr


def test_drain_uses_another_key_only_with_any_key(cli, file, monkeypatch, as_another_process):
    unreachable = Configuration(
        base_url="http://127.0.0.1:1", api_key="the-old-key", outbox=OutboxSettings(file=file, worker="none")
    )
    Backend(unreachable).submit_external_task(agent_id="a")
    as_another_process()
    monkeypatch.setenv("XPANDER_API_KEY", "the-new-key")
    monkeypatch.setenv("XPANDER_BASE_URL", "http://127.0.0.1:1")
    assert "the API key of these reports is unknown" in cli("drain", "--deadline", "3").stderr
    monkeypatch.setenv("XPANDER_BASE_URL", "http://127.0.0.1:2")
    assert "the API key of these reports is unknown" in cli("drain", "--any-key", "--deadline", "3").stderr
    monkeypatch.setenv("XPANDER_BASE_URL", "http://127.0.0.1:1")
    assert "Connection refused" in cli("drain", "--any-key", "--deadline", "3").stderr


def test_dead_letters_have_the_response_and_in_json_the_report(cli, backend):
    make_dead_letter(backend)
    assert "belongs to another agent" in cli("dead").output
    letter = json.loads(cli("dead", "--json").output)
    assert (letter["status"], letter["task_id"], letter["body"]["result"]) == (409, "taken", "of b")


def test_retry_returns_dead_letters_to_the_queue(cli, backend):
    make_dead_letter(backend)
    assert cli("retry").output == "Returned 1 dead letter to the queue.\n"
    assert backend.outbox.stats().pending == 1


def test_discard_deletes_the_given_dead_letters(cli, backend):
    make_dead_letter(backend)
    assert cli("discard").exit_code == 2
    assert cli("discard", "999").output == "Discarded 0 dead letters.\n"
    assert cli("discard", "--all", "--yes").output == "Discarded 1 dead letter.\n"
    assert backend.outbox.stats().dropped == {"discarded": 1}


def test_another_database_file_is_rejected(cli, file):
    connection = sqlite3.connect(file)
    connection.execute("CREATE TABLE mine (a)")
    connection.close()
    result = cli("status")
    assert result.exit_code == 2
    assert "is another program's file" in result.output


def test_move_addresses_reports_to_another_url_and_key(cli, file, as_another_process, monkeypatch):
    wrong = Configuration(base_url="https://wrong.test", api_key="k", outbox=OutboxSettings(file=file, worker="none"))
    Backend(wrong).submit_external_task(agent_id="a")
    as_another_process()
    monkeypatch.setenv("XPANDER_API_KEY", "another-key")
    result = cli("move", "--destination", "https://wrong.test", "--to", "http://127.0.0.1:1")
    assert result.output == "Moved 1 report to http://127.0.0.1:1.\n"
    assert "Connection refused" in cli("drain", "--deadline", "3").stderr


def test_move_names_the_known_urls(cli, backend):
    backend.submit_external_task(agent_id="a")
    result = cli("move", "--destination", "https://other.test", "--to", "http://127.0.0.1:1")
    assert result.exit_code == 2
    assert "destination must be one of the outbox, got 'https://other.test'; the outbox has " in result.stderr


def test_discard_of_all_asks_first(cli, backend):
    make_dead_letter(backend)
    refused = cli("discard", "--all")
    assert refused.exit_code == 1
    assert "nothing was done; answer y, or pass --yes" in refused.output
    assert backend.outbox.stats().dead == 1


def test_discard_of_a_destination_deletes_its_pending_reports(cli, backend):
    backend.submit_external_task(agent_id="a")
    url = backend.configuration.target
    assert cli("discard", "--destination", url).output == "Discarded 1 report.\n"
    assert backend.outbox.stats().pending == 0
    assert cli("discard", "--destination", url, "--all").exit_code == 2
