"""WSGI application that reports on import, which `--preload` moves into the master process, and in each request.

Reports go through an outbox if XPANDER_OUTBOX is set.
"""

import json
import os
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from xpander_sdk import Backend, Task

AGENT_ID = os.environ["XPANDER_AGENT_ID"]
WORKERS = 2


def report_process(name: str) -> str:
    """Send a report with the process ID as its result, and return its ID."""
    arguments = {"id": f"{AGENT_ID}-{name}", "result": str(os.getpid())}
    if "XPANDER_OUTBOX" in os.environ:
        return Backend().submit_external_task(**arguments).id
    return Task.report_external_task(**arguments).id


report_process("import")


def wait_for_all_workers() -> None:
    """Wait until each worker has received a request: a worker that waits here leaves the next request to the other."""
    Path(f"worker-{os.getpid()}").touch()
    deadline = time.monotonic() + 60
    while len(list(Path().glob("worker-*"))) < WORKERS:
        assert time.monotonic() < deadline, "the other worker received no request"
        time.sleep(0.01)


def app(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    report_id = report_process(environ["PATH_INFO"].strip("/"))
    wait_for_all_workers()
    body = json.dumps({"id": report_id, "worker": str(os.getpid())}).encode()
    start_response("200 OK", [("Content-Type", "application/json"), ("Content-Length", str(len(body)))])
    return [body]
