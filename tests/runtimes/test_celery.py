"""Celery: a worker whose forked children report and are replaced after a few jobs."""

import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from runtimes.outbox_state import pending_count
from runtimes.processes import background_process
from xpander_sdk import Tasks

JOBS = 16


@pytest.mark.parametrize(("way", "target_fixture"), [("directly", "over_http"), ("through an outbox", "in_process")])
def test_reports_of_worker_and_its_children_arrive(way, target_fixture, request, tmp_path):
    target = request.getfixturevalue(target_fixture)
    outbox_file = tmp_path / "outbox.db" if way == "through an outbox" else None
    environment = target.environment(outbox_file)
    for folder in ("queue", "control"):
        (tmp_path / folder).mkdir()
    add_jobs = [sys.executable, "-m", "runtimes.programs.celery_client", str(JOBS)]
    subprocess.run(add_jobs, env=environment, cwd=tmp_path, check=True, timeout=60)
    log = tmp_path / "log"
    command = [
        sys.executable, "-m", "celery", "--app", "runtimes.programs.celery_app", "worker", "--pool", "prefork",
        "--concurrency", "2", "--loglevel", "WARNING", "--without-gossip", "--without-mingle", "--without-heartbeat",
    ]  # fmt: skip
    with background_process(command, environment, tmp_path, log) as worker:
        wait_for_jobs(worker, tmp_path, log)
        worker.send_signal(signal.SIGTERM)
        code = worker.wait(timeout=60)
    assert code == 0, log.read_text()
    assert "Traceback" not in log.read_text()
    if outbox_file:
        assert pending_count(target, outbox_file) == 0
    process_ids = {task.id: task.result for task in Tasks(target.configuration).list(target.agent_id)}
    jobs = {f"{target.agent_id}-job-{number}" for number in range(JOBS)}
    assert set(process_ids) == {f"{target.agent_id}-import", *jobs}
    assert str(worker.pid) not in {process_ids[job] for job in jobs}
    assert len({process_ids[job] for job in jobs}) >= JOBS // 4


def wait_for_jobs(worker: "subprocess.Popen[bytes]", folder: Path, log: Path) -> None:
    deadline = time.monotonic() + 90
    while len(list(folder.glob("done-*"))) < JOBS:
        assert time.monotonic() < deadline, log.read_text()
        assert worker.poll() is None, log.read_text()
        time.sleep(0.05)
