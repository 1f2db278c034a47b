"""The backend that all subjects report to: as little of one as HTTP allows, so that the client is what is measured.

It prints its port, and runs until it is ended. It answers 200 to the very bytes of the workload, with any id of that
length, and 400 to any others.
"""

import select
import socket

from benchmarks import workload


def answer(status: str, body: bytes) -> bytes:
    head = f"HTTP/1.1 {status}\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    return head.encode() + body


RECORDED = answer("200 OK", workload.ANSWER)
REFUSED = answer("400 Bad Request", b'{"detail":"not the bytes of the workload"}')
EXPECTED = {len(body): body for body in map(workload.body, workload.SIZES)}
ID = workload.arguments("1kB")["id"].encode()
AT = slice(len(b'{"id":"'), len(b'{"id":"') + len(ID))


def reply(request: bytes) -> bytes | None:
    """None where the request is not complete."""
    end = request.find(b"\r\n\r\n")
    if end < 0:
        return None
    head = request[: end + 2].lower()
    at = head.find(b"\r\ncontent-length:")
    if at < 0:
        return REFUSED
    length = int(head[at + 17 : head.index(b"\r\n", at + 17)])
    if len(request) - end - 4 < length:
        return None
    body = request[end + 4 :]
    if EXPECTED.get(length) == body:
        return RECORDED
    is_of_another_run = EXPECTED.get(length) == body[: AT.start] + ID + body[AT.stop :]
    return RECORDED.replace(ID, body[AT], 1) if is_of_another_run else REFUSED


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
                replied = reply(request) if received else None
                if replied is not None:
                    connection.sendall(replied)
            except ConnectionError:
                received, replied = b"", None
            if not received:
                poll.unregister(number)
                connections.pop(number).close()
            elif replied is None:
                unfinished[number] = request


if __name__ == "__main__":
    main()
