"""Stub backend in a separate process, for faults that the real server does not have and for large numbers of calls.

The stub prints its port, and runs until its standard input ends, so it never outlives the process that started it.
The name of an agent selects the response to its reports:

- `hanging…`: no response
- `halting…`: half a response
- `refusing…`: status 503 with a retry-after of 15 s
- any other name: a task

`GET /counts` returns the number of reports of each agent.
"""

import json
import select
import socket
import sys
from collections import Counter
from typing import Any

CREATED_AT = "2026-01-01T00:00:00Z"
MAX_READ = 65_536


def response(body: Any, status: str = "200 OK", *headers: str) -> bytes:
    content = json.dumps(body).encode()
    lines = [f"HTTP/1.1 {status}", "content-type: application/json", f"content-length: {len(content)}", *headers]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + content


def task(task_id: str, agent_id: str) -> dict[str, Any]:
    return {
        "id": task_id,
        "agent_id": agent_id,
        "organization_id": "org-stub",
        "input": {},
        "status": "completed",
        "created_at": CREATED_AT,
    }


class StubBackend:
    """Single-threaded HTTP server on a free loopback port."""

    def __init__(self) -> None:
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=1_024)
        self.poll = select.epoll()
        self.connections: dict[int, socket.socket] = {}
        self.incomplete_requests: dict[int, bytes] = {}
        self.reports: Counter[str] = Counter()
        self.pages = 0

    def serve(self) -> None:
        print(self.listener.getsockname()[1], flush=True)
        self.poll.register(self.listener, select.EPOLLIN)
        self.poll.register(sys.stdin, select.EPOLLIN)
        while True:
            for descriptor, _ in self.poll.poll():
                if descriptor == sys.stdin.fileno():
                    return
                if descriptor == self.listener.fileno():
                    connection, _ = self.listener.accept()
                    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                    self.connections[connection.fileno()] = connection
                    self.poll.register(connection, select.EPOLLIN)
                else:
                    self.read(descriptor)

    def read(self, descriptor: int) -> None:
        """Read available data, and respond if the request is complete."""
        try:
            data = self.connections[descriptor].recv(MAX_READ)
            if data:
                request = self.incomplete_requests.pop(descriptor, b"") + data
                head, end, body = request.partition(b"\r\n\r\n")
                if end and len(body) >= content_length(head):
                    self.connections[descriptor].sendall(self.response_to(head, body))
                else:
                    self.incomplete_requests[descriptor] = request
                return
        except ConnectionError:
            pass
        self.poll.unregister(descriptor)
        self.incomplete_requests.pop(descriptor, None)
        self.connections.pop(descriptor).close()

    def response_to(self, head: bytes, body: bytes) -> bytes:
        method, target, _ = head.split(b"\r\n", 1)[0].decode().split(" ")
        path = target.partition("?")[0].split("/")
        if path == ["", "counts"]:
            return response({"reports": self.reports})
        if method == "GET":
            # A history without a last page.
            items = [task(f"task-{number}", path[-1]) for number in range(2)]
            self.pages += 1
            return response(items, "200 OK", f"x-next-cursor: page-{self.pages}")
        agent_id = path[-2]
        self.reports[agent_id] += 1
        if agent_id.startswith("hanging"):
            return b""
        if agent_id.startswith("refusing"):
            return response({"detail": "later"}, "503 Service Unavailable", "retry-after: 15")
        complete = response(task(json.loads(body)["id"], agent_id))
        return complete[:-20] if agent_id.startswith("halting") else complete


def content_length(head: bytes) -> int:
    for line in head.lower().split(b"\r\n"):
        if line.startswith(b"content-length:"):
            return int(line.partition(b":")[2])
    return 0


if __name__ == "__main__":
    StubBackend().serve()
