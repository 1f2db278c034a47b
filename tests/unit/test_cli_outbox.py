import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from xpander_sdk import Backend, Configuration, OutboxSettings, Task
from xpander_sdk.cli import main


@pytest.fixture
def file(tmp_path) -> Path:
    return tmp_path / "outbox.db"


@pytest.fixture
def backend(embedded: Configuration, file) -> Backend:
    return Backend(embedded.with_options(outbox=OutboxSettings(file=file, worker="none")))


@pytest.fixture
def cli(file):
    def run(*arguments: str) -> Result:
        return CliRunner(env={"COLUMNS": "150"}).invoke(main, ["outbox", "--file", str(file), *arguments])

    return run


def refuse(backend: Backend) -> None:
    """Make a dead letter: the id belongs to another agent."""
    backend.report_external_task(agent_id="a", id="taken")
    backend.submit_external_task(agent_id="b", id="taken", result="of b")
    backend.outbox.drain()


def test_status_of_a_new_outbox_is_all_zero(cli):
    shown = cli("status")
    assert shown.exit_code == 0
    assert "pending    0 (0.0 MB)" in shown.output


def test_status_shows_the_books(cli, backend):
    backend.submit_external_task(agent_id="a")
    books = json.loads(cli("status", "--json").output)
    assert (books["accepted"], books["pending"], books["delivered"]) == (1, 1, 0)
    assert "accepted   1" in cli("status").output


def test_drain_delivers_what_waits(cli, backend, embedded):
    for number in range(3):
        backend.submit_external_task(agent_id="a", id=str(number))
    done = cli("drain")
    assert (done.exit_code, done.stdout) == (0, "3 delivered, 0 wait, 0 dead letters.\n")
    assert Task.load("2", embedded).status == "completed"


def test_drain_says_why_something_still_waits(cli, file, monkeypatch):
    there = Configuration(
        base_url="http://127.0.0.1:1", api_key="a-key-of-1", outbox=OutboxSettings(file=file, worker="none")
    )
    Backend(there).submit_external_task(agent_id="a")
    monkeypatch.setattr("xpander_sdk.outbox.registry._queues", {})  # as in a process of its own
    done = cli("drain")
    assert done.exit_code == 75
    assert "1 wait" in done.stdout
    assert "its key is not known here; set XPANDER_API_KEY" in done.stderr
    monkeypatch.setenv("XPANDER_API_KEY", "a-key-of-1")
    assert "Connection refused" in cli("drain", "--deadline", "3").stderr


def test_drain_takes_another_key_only_when_told(cli, file, monkeypatch):
    there = Configuration(
        base_url="http://127.0.0.1:1", api_key="the-old-key", outbox=OutboxSettings(file=file, worker="none")
    )
    Backend(there).submit_external_task(agent_id="a")
    monkeypatch.setattr("xpander_sdk.outbox.registry._queues", {})
    monkeypatch.setenv("XPANDER_API_KEY", "the-new-key")
    assert "its key is not known here" in cli("drain", "--deadline", "3").stderr
    assert "Connection refused" in cli("drain", "--any-key", "--deadline", "3").stderr


def test_dead_letters_are_shown_with_the_answer_and_whole_as_json(cli, backend):
    refuse(backend)
    assert "belongs to another agent" in cli("dead").output
    letter = json.loads(cli("dead", "--json").output)
    assert (letter["status"], letter["task_id"], letter["body"]["result"]) == (409, "taken", "of b")


def test_retry_lets_a_dead_letter_be_delivered_again(cli, backend):
    refuse(backend)
    assert cli("retry").output == "1 dead letters wait for delivery again.\n"
    assert backend.outbox.stats().pending == 1


def test_discard_gives_up_what_is_named(cli, backend):
    refuse(backend)
    assert cli("discard").exit_code == 2
    assert cli("discard", "999").output == "0 dead letters were discarded.\n"
    assert cli("discard", "--all").output == "1 dead letters were discarded.\n"
    assert backend.outbox.stats().dropped == {"discarded": 1}


def test_a_file_that_is_no_outbox_is_told(cli, file):
    import sqlite3

    connection = sqlite3.connect(file)
    connection.execute("CREATE TABLE mine (a)")
    connection.close()
    done = cli("status")
    assert done.exit_code == 2
    assert "is another program's file" in done.output
