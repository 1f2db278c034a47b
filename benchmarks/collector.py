"""A backend for every product that is compared: it takes what comes, and counts the runs in it.

`python -m benchmarks.collector PORT` prints its port, and runs until it is ended. A run is known by its mark, whatever
the wire: JSON, multipart or protobuf all carry text as it is. `GET /arrived` lists the marks seen.
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
    status, answer = _answer(scope["path"], marks)
    head = [(b"content-type", b"application/json"), (b"content-length", str(len(answer)).encode())]
    await send({"type": "http.response.start", "status": status, "headers": [] if status == 204 else head})
    await send({"type": "http.response.body", "body": answer})


def _answer(path: str, marks: list[str]) -> tuple[int, bytes]:
    if path == "/arrived":
        return 200, json.dumps(sorted(arrived)).encode()
    if path.endswith("/report_task"):
        return 200, json.dumps({"id": marks[0], "agent_id": "agent-123", "status": "completed"}).encode()
    if "/otel/" in path:  # langfuse: an empty message of protobuf
        return 200, b""
    if "/private/" in path and marks:  # opik
        return 204, b""
    return 200, b"{}"


def main() -> None:
    config = uvicorn.Config(application, port=int(sys.argv[1]), lifespan="off", log_level="critical", access_log=False)
    listener = config.bind_socket()
    print(listener.getsockname()[1], flush=True)
    uvicorn.Server(config).run([listener])


if __name__ == "__main__":
    main()
