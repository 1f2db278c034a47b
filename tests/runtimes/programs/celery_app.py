"""Celery application that reports on import, before its worker forks, and in each job, in a child of the worker.

Reports go through an outbox if XPANDER_OUTBOX is set.
"""

import os
from pathlib import Path

from celery import Celery

from xpander_sdk import Backend, Task

AGENT_ID = os.environ["XPANDER_AGENT_ID"]

app = Celery("runtimes.programs.celery_app", broker="filesystem://")
app.conf.update(
    broker_transport_options={
        "data_folder_in": "queue",
        "data_folder_out": "queue",
        "control_folder": "control",
        "polling_interval": 0.02,
    },
    broker_connection_retry_on_startup=True,
    task_ignore_result=True,
    worker_prefetch_multiplier=1,
    worker_max_tasks_per_child=4,  # the worker replaces each child after four jobs
)


def report_process(name: str) -> None:
    """Send a report with the process ID as its result."""
    arguments = {"id": f"{AGENT_ID}-{name}", "result": str(os.getpid())}
    if "XPANDER_OUTBOX" in os.environ:
        Backend().submit_external_task(**arguments)
    else:
        Task.report_external_task(**arguments)


report_process("import")


@app.task
def job(number: int) -> None:
    report_process(f"job-{number}")
    Path(f"done-{number}").touch()
