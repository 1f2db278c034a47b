"""Gunicorn with `--preload`: the master process loads the application, and forks the workers afterwards."""

import json
import re
import signal
import subprocess
import sys
import time
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from runtimes.outbox_state import pending_count
from runtimes.processes import background_process
from xpander_sdk import Tasks

REQUESTS = 24


@pytest.mark.parametrize("way", ["directly", "through an outbox"])
def test_reports_of_master_and_each_worker_arrive(way, target, tmp_path):
    outbox_file = tmp_path / "outbox.db" if way == "through an outbox" else None
    log = tmp_path / "log"
    command = [
        sys.executable, "-m", "gunicorn", "--preload", "--workers", "2", "--bind", "127.0.0.1:0",
        "--no-control-socket", "--timeout", "90", "runtimes.programs.gunicorn_app:app",
    ]  # fmt: skip
    with background_process(command, target.environment(outbox_file), tmp_path, log) as gunicorn:
        url = wait_for_url(gunicorn, log)
        with ThreadPoolExecutor(4) as clients:
            responses = list(clients.map(lambda number: get_json(f"{url}/request-{number}"), range(REQUESTS)))
        gunicorn.send_signal(signal.SIGTERM)
        code = gunicorn.wait(timeout=60)
    assert code == 0, log.read_text()
    assert "Traceback" not in log.read_text()
    report_ids = {f"{target.agent_id}-request-{number}" for number in range(REQUESTS)}
    assert {response["id"] for response in responses} == report_ids
    assert len({response["worker"] for response in responses}) == 2
    if outbox_file:
        assert pending_count(target, outbox_file) == 0
    process_ids = {task.id: task.result for task in Tasks(target.configuration).list(target.agent_id)}
    assert process_ids == {
        f"{target.agent_id}-import": str(gunicorn.pid),
        **{response["id"]: response["worker"] for response in responses},
    }


def wait_for_url(gunicorn: subprocess.Popen[bytes], log: Path) -> str:
    """Wait until both workers have started, and return the URL that the log contains."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and gunicorn.poll() is None:
        match = re.search(r"Listening at: (http://\S+)", log.read_text())
        if match and log.read_text().count("Booting worker") == 2:
            return match[1]
        time.sleep(0.05)
    raise AssertionError(f"gunicorn did not start: {log.read_text()}")


def get_json(url: str) -> dict[str, str]:
    with urllib.request.urlopen(url, timeout=80) as response:
        return json.load(response)
