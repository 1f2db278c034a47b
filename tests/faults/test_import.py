"""Imports in other processes that are killed, interrupted, or have an overloaded backend."""

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
    """Write a file of runs. Each third run has no id."""
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


def saved_position(runs: Path) -> int:
    """Return the number of the last entry before the saved position."""
    try:
        position = json.loads(Path(f"{runs}.progress").read_text("utf-8"))["place"]
    except FileNotFoundError:
        return 0
    return 0 if position is None else position["number"]


def wait_for_position_after(runs: Path, number: int, process: subprocess.Popen[str]) -> None:
    end = time.monotonic() + DEADLINE
    while saved_position(runs) <= number:
        assert time.monotonic() < end
        assert process.poll() is None
        time.sleep(0.005)


def assert_each_run_is_recorded_once(server: Server, agent_id: str) -> None:
    tasks = Tasks(server.configuration).list(agent_id)
    assert sorted(int(item.result or -1) for item in tasks) == list(range(RUNS))
    metrics = Backend(server.configuration).metrics(agent_id)
    assert (metrics.runs.total, metrics.tokens.prompt_tokens) == (RUNS, sum(range(RUNS)))


def test_killed_import_resumes_and_records_each_run_once(server, runs, agent_id):
    position = 0
    for _ in range(2):
        with start(server, "import", str(runs), "--in-flight", "4") as process:
            wait_for_position_after(runs, position, process)
            process.kill()
        assert process.returncode == -signal.SIGKILL
        position = saved_position(runs)
        assert 0 < position < RUNS
    with start(server, "import", str(runs), "--json") as process:
        summary = json.loads(process.communicate(timeout=DEADLINE)[0])
    assert process.returncode == 0
    assert (summary["recorded"], summary["already"]) == (RUNS, position)
    assert not Path(f"{runs}.progress").exists()
    assert_each_run_is_recorded_once(server, agent_id)


def test_interrupted_import_prints_its_progress_and_resumes(server, runs, agent_id):
    with start(server, "import", str(runs), "--in-flight", "4") as process:
        wait_for_position_after(runs, 0, process)
        process.send_signal(signal.SIGINT)
        output, errors = process.communicate(timeout=DEADLINE)
    assert (process.returncode, output) == (130, "")
    assert f"import of {runs} is incomplete: {saved_position(runs):,} recorded, 0 rejected" in errors
    assert "Traceback" not in errors
    with start(server, "import", str(runs)) as process:
        process.communicate(timeout=DEADLINE)
    assert_each_run_is_recorded_once(server, agent_id)


def test_silent_pipe_blocks_neither_reports_nor_the_exit(server, agent_id):
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
def test_import_waits_as_long_as_retry_after_says(status, runs):
    runs.write_text(json.dumps({"agent_id": "agent-1", "id": "run-1"}) + "\n")
    overloaded = respond(status, {"detail": "later"}, {"retry-after": "0.1"})
    with FaultServer(*[overloaded] * 8, ACCEPT) as backend, start(backend, "import", str(runs)) as process:
        process.communicate(timeout=DEADLINE)
        assert (process.returncode, backend.attempts) == (0, 9)


@pytest.mark.parametrize(("status", "code"), [(401, 1), (403, 1), (500, 75), (429, 75)])
def test_failure_that_concerns_all_reports_stops_the_import_and_rejects_no_line(status, code, runs):
    with FaultServer(respond(status, {"detail": "no"})) as backend, start(backend, "import", str(runs)) as process:
        _, errors = process.communicate(timeout=DEADLINE)
    assert process.returncode == code
    assert "is incomplete: 0 recorded, 0 rejected; run the same command again to resume" in errors
    assert not Path(f"{runs}.rejected.jsonl").exists()
