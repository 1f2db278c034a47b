"""A web application that reports: once at its import, which `--preload` moves into the master, and once a request."""

import json
import os
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from xpander_sdk import Task

AGENT_ID = os.environ["XPANDER_AGENT_ID"]
WORKERS = 2

Task.report_external_task(id=f"{AGENT_ID}-import", result=str(os.getpid()))


def meet() -> None:
    """Return when each worker has had a request: the one that is busy here leaves the next to the other."""
    Path(f"met-{os.getpid()}").touch()
    deadline = time.monotonic() + 60
    while len(list(Path().glob("met-*"))) < WORKERS:
        assert time.monotonic() < deadline, "the other worker had no request"
        time.sleep(0.01)


def app(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    name = environ["PATH_INFO"].strip("/")
    task = Task.report_external_task(id=f"{AGENT_ID}-{name}", result=str(os.getpid()))
    meet()
    body = json.dumps({"id": task.id, "worker": task.result}).encode()
    start_response("200 OK", [("Content-Type", "application/json"), ("Content-Length", str(len(body)))])
    return [body]
