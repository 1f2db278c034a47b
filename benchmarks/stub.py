"""Stub backend: does as little as HTTP allows, so that a benchmark measures the client.

Prints its port, and runs until it is terminated. Responds with 200 to the exact bytes of the workload, with any task id
of the same length, and with 400 to any other body.
"""

import select
import socket

from benchmarks import workload


def response(status: str, body: bytes) -> bytes:
    """Return the bytes of a response."""
    head = f"HTTP/1.1 {status}\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    return head.encode() + body


RECORDED = response("200 OK", workload.RESPONSE)
REJECTED = response("400 Bad Request", b'{"detail":"not the bytes of the workload"}')
EXPECTED = {len(body): body for body in map(workload.body, workload.SIZES)}
ID = workload.arguments("1kB")["id"].encode()
AT = slice(len(b'{"id":"'), len(b'{"id":"') + len(ID))


def reply(request: bytes) -> bytes | None:
    """Return the response to a request; None while the request is incomplete."""
    end = request.find(b"\r\n\r\n")
    if end < 0:
        return None
    head = request[: end + 2].lower()
    at = head.find(b"\r\ncontent-length:")
    if at < 0:
        return REJECTED
    length = int(head[at + 17 : head.index(b"\r\n", at + 17)])
    if len(request) - end - 4 < length:
        return None
    body = request[end + 4 :]
    if EXPECTED.get(length) == body:
        return RECORDED
    has_other_id = EXPECTED.get(length) == body[: AT.start] + ID + body[AT.stop :]
    return RECORDED.replace(ID, body[AT], 1) if has_other_id else REJECTED


def main() -> None:
    listener = socket.create_server(("127.0.0.1", 0), backlog=256)
    print(listener.getsockname()[1], flush=True)
    poll = select.epoll()
    poll.register(listener, select.EPOLLIN)
    connections: dict[int, socket.socket] = {}
    unfinished: dict[int, bytes] = {}
    while True:
        for number, _ in poll.poll():
            connection = connections.get(number)
            if connection is None:
                connection, _ = listener.accept()
                connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                connections[connection.fileno()] = connection
                poll.register(connection, select.EPOLLIN)
                continue
            try:
                received = connection.recv(262_144)
                request = unfinished.pop(number, b"") + received
                reply_bytes = reply(request) if received else None
                if reply_bytes is not None:
                    connection.sendall(reply_bytes)
            except ConnectionError:
                received, reply_bytes = b"", None
            if not received:
                poll.unregister(number)
                connections.pop(number).close()
            elif reply_bytes is None:
                unfinished[number] = request


if __name__ == "__main__":
    main()
