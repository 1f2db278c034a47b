"""Backend for all products in the outbox benchmark: accepts every request, and collects the marks of the runs in it.

`python -m benchmarks.collector PORT` prints its port, and runs until it is terminated. Each run has a mark in its
input, which JSON, multipart and protobuf all contain as plain text. `GET /arrived` lists the marks.
"""

import gzip
import json
import re
import sys
from collections.abc import Awaitable, Callable
from typing import Any

import uvicorn

_MARKS = re.compile(rb"run-\d{8}")
Send = Callable[[dict[str, Any]], Awaitable[None]]

arrived: set[str] = set()


async def application(scope: dict[str, Any], receive: Callable[[], Awaitable[dict[str, Any]]], send: Send) -> None:
    body = b""
    is_more = True
    while is_more:
        message = await receive()
        body += message.get("body", b"")
        is_more = message.get("more_body", False)
    if (b"content-encoding", b"gzip") in scope["headers"]:
        body = gzip.decompress(body)
    marks = [mark.decode() for mark in _MARKS.findall(body)]
    arrived.update(marks)
    status, response = _respond(scope["path"], marks, body)
    head = [(b"content-type", b"application/json"), (b"content-length", str(len(response)).encode())]
    if scope["path"].endswith("/report_task"):
        head.append((b"x-report-batch", b"256"))
    await send({"type": "http.response.start", "status": status, "headers": [] if status == 204 else head})
    await send({"type": "http.response.body", "body": response})


def _respond(path: str, marks: list[str], body: bytes) -> tuple[int, bytes]:
    if path == "/arrived":
        return 200, json.dumps(sorted(arrived)).encode()
    if path.endswith("/report_task"):
        return 200, json.dumps({"id": marks[0], "agent_id": "agent-123", "status": "completed"}).encode()
    if path.endswith("/agent-execution/reports"):
        tasks = [{"id": report["id"], "agent_id": report["agent_id"], "status": "completed"}
            for report in json.loads(body)["reports"]]  # fmt: skip
        return 200, json.dumps({"outcomes": [{"status": 200, "task": task} for task in tasks]}).encode()
    if "/otel/" in path:  # langfuse expects an empty protobuf message
        return 200, b""
    if "/private/" in path and marks:  # opik expects no body
        return 204, b""
    return 200, b"{}"


def main() -> None:
    config = uvicorn.Config(application, port=int(sys.argv[1]), lifespan="off", log_level="critical", access_log=False)
    listener = config.bind_socket()
    print(listener.getsockname()[1], flush=True)
    uvicorn.Server(config).run([listener])


if __name__ == "__main__":
    main()
