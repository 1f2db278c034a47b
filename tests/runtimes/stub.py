"""The least backend there is, in a process of its own: for what is too much for the real one, or too bad for it.

It prints its port, and runs until its standard input ends, so that it outlives nobody. An agent's name says how its
reports are answered: `hanging…` never, `halting…` with half an answer, `refusing…` with 503, any other at once.
`GET /seen` tells what came.
"""

import json
import select
import socket
import sys
from collections import Counter
from typing import Any

TIME = "2026-01-01T00:00:00Z"
MAX_HEAD = 65_536


def answer(body: Any, status: str = "200 OK", *headers: str) -> bytes:
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
        "created_at": TIME,
    }


class Stub:
    def __init__(self) -> None:
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=1_024)
        self.poll = select.epoll()
        self.connections: dict[int, socket.socket] = {}
        self.unfinished: dict[int, bytes] = {}
        self.reports: Counter[str] = Counter()
        self.pages = 0

    def serve(self) -> None:
        print(self.listener.getsockname()[1], flush=True)
        self.poll.register(self.listener, select.EPOLLIN)
        self.poll.register(sys.stdin, select.EPOLLIN)
        while True:
            for number, _ in self.poll.poll():
                if number == sys.stdin.fileno():
                    return
                if number == self.listener.fileno():
                    connection, _ = self.listener.accept()
                    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                    self.connections[connection.fileno()] = connection
                    self.poll.register(connection, select.EPOLLIN)
                else:
                    self.read(number)

    def read(self, number: int) -> None:
        try:
            received = self.connections[number].recv(MAX_HEAD)
            if received:
                request = self.unfinished.pop(number, b"") + received
                head, end, body = request.partition(b"\r\n\r\n")
                if end and len(body) >= content_length(head):
                    self.connections[number].sendall(self.reply(head, body))
                else:
                    self.unfinished[number] = request
                return
        except ConnectionError:
            pass
        self.poll.unregister(number)
        self.unfinished.pop(number, None)
        self.connections.pop(number).close()

    def reply(self, head: bytes, body: bytes) -> bytes:
        method, target, _ = head.split(b"\r\n", 1)[0].decode().split(" ")
        path = target.partition("?")[0].split("/")
        if path == ["", "seen"]:
            # Not the connection that asks.
            return answer({"open": len(self.connections) - 1, "reports": self.reports})
        if method == "GET":
            # A history without an end.
            items = [task(f"task-{number}", path[-1]) for number in range(2)]
            self.pages += 1
            return answer(items, "200 OK", f"x-next-cursor: page-{self.pages}")
        agent_id = path[-2]
        self.reports[agent_id] += 1
        if agent_id.startswith("hanging"):
            return b""
        if agent_id.startswith("refusing"):
            return answer({"detail": "later"}, "503 Service Unavailable", "retry-after: 15")
        whole = answer(task(json.loads(body)["id"], agent_id))
        return whole[:-20] if agent_id.startswith("halting") else whole


def content_length(head: bytes) -> int:
    for line in head.lower().split(b"\r\n"):
        if line.startswith(b"content-length:"):
            return int(line.partition(b":")[2])
    return 0


if __name__ == "__main__":
    Stub().serve()
