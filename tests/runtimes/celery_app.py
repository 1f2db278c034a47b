"""A queue's worker that reports: once at its import, before it forks, and once a job, which ends in one of its
processes; through an outbox, where XPANDER_OUTBOX names one."""

import os
from pathlib import Path

from celery import Celery

from xpander_sdk import Backend, Task

AGENT_ID = os.environ["XPANDER_AGENT_ID"]

app = Celery("runtimes.celery_app", broker="filesystem://")
app.conf.update(
    broker_transport_options={"data_folder_in": "queue", "data_folder_out": "queue", "control_folder": "control"},
    broker_connection_retry_on_startup=True,
    task_ignore_result=True,
    worker_prefetch_multiplier=1,
    worker_max_tasks_per_child=4,  # so that processes come and go
)


def report(name: str) -> None:
    told = {"id": f"{AGENT_ID}-{name}", "result": str(os.getpid())}
    if "XPANDER_OUTBOX" in os.environ:
        Backend().submit_external_task(**told)
    else:
        Task.report_external_task(**told)


report("import")


@app.task
def job(number: int) -> None:
    report(f"job-{number}")
    Path(f"done-{number}").touch()
