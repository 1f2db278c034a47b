"""A queue's worker that forks its processes, ends them after a few jobs, and forks more."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from runtimes.programs import TESTS, kill
from xpander_sdk import Backend, Tasks

JOBS = 16
SEND = f"from runtimes.celery_app import job\nfor number in range({JOBS}): job.delay(number)"


@pytest.mark.parametrize(("way", "at"), [("directly", "over_http"), ("through an outbox", "in_process")])
def test_reports_of_the_worker_and_of_its_processes_arrive(way, at, request, tmp_path):
    target = request.getfixturevalue(at)
    path = os.pathsep.join(filter(None, [str(TESTS), os.environ.get("PYTHONPATH")]))
    environment = {**os.environ, **target.environment, "PYTHONPATH": path}
    if way == "through an outbox":
        environment["XPANDER_OUTBOX"] = f"{tmp_path}/outbox.db"
    for folder in ("queue", "control"):
        (tmp_path / folder).mkdir()
    subprocess.run([sys.executable, "-c", SEND], env=environment, cwd=tmp_path, check=True, timeout=60)
    log = tmp_path / "log"
    command = [
        sys.executable, "-m", "celery", "--app", "runtimes.celery_app", "worker", "--pool", "prefork",
        "--concurrency", "2", "--loglevel", "WARNING", "--without-gossip", "--without-mingle", "--without-heartbeat",
    ]  # fmt: skip
    with (
        log.open("w") as output,
        subprocess.Popen(
            command, env=environment, stdout=output, stderr=output, cwd=tmp_path, process_group=0
        ) as worker,
    ):
        try:
            _wait_for_jobs(worker, tmp_path, log)
            worker.send_signal(signal.SIGTERM)
            code = worker.wait(timeout=60)
        finally:
            kill(worker)
    assert code == 0, log.read_text()
    assert "Traceback" not in log.read_text()
    if way == "through an outbox":  # its processes end without waiting for what they have sent; another one does
        left = Backend(target.configuration.with_options(outbox=f"{tmp_path}/outbox.db")).outbox
        assert left.drain(60)
        left.close(0)
    tasks = {task.id: task.result for task in Tasks(target.configuration).list(target.agent_id)}
    jobs = {f"{target.agent_id}-job-{number}" for number in range(JOBS)}
    assert set(tasks) == {f"{target.agent_id}-import", *jobs}
    assert str(worker.pid) not in {tasks[job] for job in jobs}
    assert len({tasks[job] for job in jobs}) >= JOBS // 4


def _wait_for_jobs(worker: "subprocess.Popen[bytes]", folder: Path, log: Path) -> None:
    deadline = time.monotonic() + 90
    while len(list(folder.glob("done-*"))) < JOBS:
        assert time.monotonic() < deadline, log.read_text()
        assert worker.poll() is None, log.read_text()
        time.sleep(0.05)
