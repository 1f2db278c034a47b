"""Imports that are killed, in real processes, into a real server."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from faults.server import FaultServer
from faults.steps import ACCEPT, respond
from support.server import KEY, Server
from xpander_sdk import Backend, Tasks

RUNS = 2_000
DEADLINE = 60  # seconds


@pytest.fixture
def agent_id() -> str:
    return f"imported-{uuid4()}"


@pytest.fixture
def runs(tmp_path: Path, agent_id: str) -> Path:
    """A file of runs; every third has no id."""
    path = tmp_path / "runs.jsonl"
    with path.open("w", encoding="utf-8") as file:
        for number in range(RUNS):
            run = {"agent_id": agent_id, "result": f"{number}", "tokens": {"prompt_tokens": number}}
            file.write(json.dumps(run if number % 3 == 0 else {**run, "id": f"{agent_id}-{number}"}) + "\n")
    return path


def start(server: Server | FaultServer, *arguments: str, **settings: Any) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "xpander_sdk.cli", *arguments],
        env={**os.environ, "XPANDER_BASE_URL": server.url, "XPANDER_API_KEY": KEY},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        **settings,
    )


def place_of(runs: Path) -> int:
    try:
        place = json.loads(Path(f"{runs}.progress").read_text("utf-8"))["place"]
    except FileNotFoundError:
        return 0
    return 0 if place is None else place["number"]


def wait_for_place_after(runs: Path, number: int, process: subprocess.Popen[str]) -> None:
    end = time.monotonic() + DEADLINE
    while place_of(runs) <= number:
        assert time.monotonic() < end
        assert process.poll() is None
        time.sleep(0.005)


def assert_each_is_there_once(server: Server, agent_id: str) -> None:
    listed = Tasks(server.configuration).list(agent_id)
    assert sorted(int(item.result or -1) for item in listed) == list(range(RUNS))
    metrics = Backend(server.configuration).metrics(agent_id)
    assert (metrics.runs.total, metrics.tokens.prompt_tokens) == (RUNS, sum(range(RUNS)))


def test_an_import_that_is_killed_goes_on_and_records_each_run_once(server, runs, agent_id):
    done = 0
    for _ in range(2):
        with start(server, "import", str(runs), "--in-flight", "4") as process:
            wait_for_place_after(runs, done, process)
            process.kill()
        assert process.returncode == -signal.SIGKILL
        done = place_of(runs)
        assert 0 < done < RUNS
    with start(server, "import", str(runs), "--json") as process:
        shown = json.loads(process.communicate(timeout=DEADLINE)[0])
    assert process.returncode == 0
    assert (shown["recorded"], shown["already"]) == (RUNS, done)
    assert not Path(f"{runs}.progress").exists()
    assert_each_is_there_once(server, agent_id)


def test_an_import_that_is_interrupted_says_how_far_it_is(server, runs, agent_id):
    with start(server, "import", str(runs), "--in-flight", "4") as process:
        wait_for_place_after(runs, 0, process)
        process.send_signal(signal.SIGINT)
        out, told = process.communicate(timeout=DEADLINE)
    assert (process.returncode, out) == (130, "")
    assert f"{runs} is not done: so far, {place_of(runs):,} recorded, 0 refused" in told
    assert "Traceback" not in told
    with start(server, "import", str(runs)) as process:
        process.communicate(timeout=DEADLINE)
    assert_each_is_there_once(server, agent_id)


def test_a_pipe_that_says_nothing_does_not_hold_up_what_it_said_nor_the_end(server, agent_id):
    with start(server, "import", "-", stdin=subprocess.PIPE) as process:
        assert process.stdin is not None
        process.stdin.write(json.dumps({"agent_id": agent_id, "id": f"{agent_id}-1"}) + "\n")
        process.stdin.flush()
        end = time.monotonic() + DEADLINE
        while not Tasks(server.configuration).list(agent_id):
            assert time.monotonic() < end
        process.send_signal(signal.SIGINT)
        assert process.wait(timeout=DEADLINE) == 130
        assert process.stderr is not None
        assert "Traceback" not in process.stderr.read()


@pytest.mark.slow
@pytest.mark.parametrize("status", [429, 503])
def test_a_backend_that_says_when_to_come_again_is_waited_for(status, runs):
    runs.write_text(json.dumps({"agent_id": "agent-1", "id": "run-1"}) + "\n")
    later = respond(status, {"detail": "later"}, {"retry-after": "0.1"})
    with FaultServer(*[later] * 8, ACCEPT) as backend, start(backend, "import", str(runs)) as process:
        process.communicate(timeout=DEADLINE)
        assert (process.returncode, backend.attempts) == (0, 9)


@pytest.mark.parametrize(("status", "code"), [(401, 1), (403, 1), (500, 75), (429, 75)])
def test_a_backend_that_lets_nobody_in_stops_it_and_nothing_is_refused(status, code, runs):
    with FaultServer(respond(status, {"detail": "no"})) as backend, start(backend, "import", str(runs)) as process:
        _, told = process.communicate(timeout=DEADLINE)
    assert process.returncode == code
    assert "is not done: so far, 0 recorded, 0 refused; the same command goes on there" in told
    assert not Path(f"{runs}.rejected.jsonl").exists()
