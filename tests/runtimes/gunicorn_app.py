"""A web application that reports: once at its import, which `--preload` moves into the master, and once a request;
through an outbox, where XPANDER_OUTBOX names one."""

import json
import os
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from xpander_sdk import Backend, Task

AGENT_ID = os.environ["XPANDER_AGENT_ID"]
WORKERS = 2


def report(name: str) -> str:
    told = {"id": f"{AGENT_ID}-{name}", "result": str(os.getpid())}
    if "XPANDER_OUTBOX" in os.environ:
        return Backend().submit_external_task(**told).id
    return Task.report_external_task(**told).id


report("import")


def meet() -> None:
    """Return when each worker has had a request: the one that is busy here leaves the next to the other."""
    Path(f"met-{os.getpid()}").touch()
    deadline = time.monotonic() + 60
    while len(list(Path().glob("met-*"))) < WORKERS:
        assert time.monotonic() < deadline, "the other worker had no request"
        time.sleep(0.01)


def app(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    name = environ["PATH_INFO"].strip("/")
    recorded = report(name)
    meet()
    body = json.dumps({"id": recorded, "worker": str(os.getpid())}).encode()
    start_response("200 OK", [("Content-Type", "application/json"), ("Content-Length", str(len(body)))])
    return [body]
