"""A web application that reports: once at its import, which `--preload` moves into the master, and once a request."""

import json
import os
import time
from collections.abc import Callable, Iterable
from typing import Any

from xpander_sdk import Task

AGENT_ID = os.environ["XPANDER_AGENT_ID"]

Task.report_external_task(id=f"{AGENT_ID}-import", result=str(os.getpid()))


def app(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    name = environ["PATH_INFO"].strip("/")
    task = Task.report_external_task(id=f"{AGENT_ID}-{name}", result=str(os.getpid()))
    time.sleep(0.05)  # so that the other worker gets the next request
    body = json.dumps({"id": task.id, "worker": task.result}).encode()
    start_response("200 OK", [("Content-Type", "application/json"), ("Content-Length", str(len(body)))])
    return [body]
