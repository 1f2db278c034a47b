"""A web server that loads the application once and forks its workers from that."""

import json
import os
import re
import signal
import subprocess
import sys
import time
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from runtimes.programs import TESTS, kill
from xpander_sdk import Backend, Tasks

REQUESTS = 24


@pytest.mark.parametrize("way", ["directly", "through an outbox"])
def test_reports_of_the_master_and_of_each_worker_arrive(way, target, tmp_path):
    log = tmp_path / "log"
    command = [
        sys.executable, "-m", "gunicorn", "--preload", "--workers", "2", "--bind", "127.0.0.1:0",
        "--no-control-socket", "--timeout", "90", "runtimes.gunicorn_app:app",
    ]  # fmt: skip
    path = os.pathsep.join(filter(None, [str(TESTS), os.environ.get("PYTHONPATH")]))
    environment = {**os.environ, **target.environment, "PYTHONPATH": path}
    if way == "through an outbox":
        environment["XPANDER_OUTBOX"] = f"{tmp_path}/outbox.db"
    with (
        log.open("w") as output,
        subprocess.Popen(command, env=environment, stderr=output, cwd=tmp_path, process_group=0) as gunicorn,
    ):
        try:
            url = _listening(gunicorn, log)
            with ThreadPoolExecutor(4) as clients:
                answers = list(clients.map(lambda number: _get(f"{url}/request-{number}"), range(REQUESTS)))
            gunicorn.send_signal(signal.SIGTERM)
            code = gunicorn.wait(timeout=60)
        finally:
            kill(gunicorn)
    assert code == 0, log.read_text()
    assert "Traceback" not in log.read_text()
    requested = {f"{target.agent_id}-request-{number}" for number in range(REQUESTS)}
    assert {answer["id"] for answer in answers} == requested
    assert len({answer["worker"] for answer in answers}) == 2
    if way == "through an outbox":  # its workers end without waiting for what they have sent; another process does
        left = Backend(target.configuration.with_options(outbox=f"{tmp_path}/outbox.db")).outbox
        assert left.drain(60)
        left.close(0)
    tasks = {task.id: task.result for task in Tasks(target.configuration).list(target.agent_id)}
    assert tasks == {
        f"{target.agent_id}-import": str(gunicorn.pid),
        **{answer["id"]: answer["worker"] for answer in answers},
    }


def _listening(gunicorn: subprocess.Popen[bytes], log: Path) -> str:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and gunicorn.poll() is None:
        found = re.search(r"Listening at: (http://\S+)", log.read_text())
        if found and log.read_text().count("Booting worker") == 2:
            return found[1]
        time.sleep(0.05)
    raise AssertionError(f"gunicorn did not start: {log.read_text()}")


def _get(url: str) -> dict[str, str]:
    with urllib.request.urlopen(url, timeout=80) as answer:
        return json.load(answer)
