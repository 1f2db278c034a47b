"""Soak test: load at a steady rate for a long time, to see that memory, file descriptors and latency do not grow.

    python -m benchmarks.soak --rate 1500 --minutes 30

Prints one line for each minute. One report in ten updates an earlier run; history and metrics are read every second.
"""

import argparse
import asyncio
import json
import random
import tempfile
import time
import uuid
from collections import deque
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import uvloop

from benchmarks import load
from benchmarks.server import KEY, running_server

CONNECTIONS = 32
TICK = 0.005  # seconds
_ID = b"00000000-0000-4000-8000-000000000000"


class Client(asyncio.Protocol):
    """Persistent connection with one request at a time."""

    def __init__(self, latencies: list[float]) -> None:
        self._latencies = latencies
        self._received = b""
        self.is_free = True
        self.failed = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport: Any = transport

    def send(self, request: bytes) -> None:
        self.is_free = False
        self._sent = time.perf_counter()
        self._transport.write(request)

    def data_received(self, data: bytes) -> None:
        self._received += data
        head, separator, body = self._received.partition(b"\r\n\r\n")
        if separator and len(body) >= int(head.lower().partition(b"content-length:")[2].split(b"\r\n", 1)[0]):
            self._latencies.append(time.perf_counter() - self._sent)
            self.failed += not head.startswith(b"HTTP/1.1 200")
            self._received, self.is_free = b"", True


def templates() -> list[bytes]:
    """Return requests whose task id is to be replaced."""
    requests = []
    for number in range(1_000):
        body = json.dumps({**load.report(number), "id": _ID.decode()}).encode()
        requests.append(load.HEAD.format(agent=number % 10, key=KEY, length=len(body)).encode() + body)
    return requests


def get_request(path: str) -> bytes:
    """Return a GET request."""
    return f"GET {path} HTTP/1.1\r\nhost: soak\r\nx-api-key: {KEY}\r\n\r\n".encode()


def vitals(pid: int, store: Path) -> list[str]:
    """Return the server's memory in MB, file descriptors and threads, and the size of the write-ahead log in MB."""
    process = Path(f"/proc/{pid}")
    status = dict(line.split(":\t", 1) for line in (process / "status").read_text().splitlines() if ":\t" in line)
    log = Path(f"{store}-wal")
    return [
        f"{int(status['VmRSS'].split()[0]) / 1_024:.0f}",
        f"{len(list((process / 'fd').iterdir()))}",
        status["Threads"].strip(),
        f"{log.stat().st_size / 1e6:.0f}" if log.exists() else "",
    ]


async def soak(url: str, pid: int, store: Path, rate: float, minutes: int) -> None:
    """Send load, and print the measurements of each minute."""
    parts = urlsplit(url)
    loop = asyncio.get_running_loop()
    latencies: list[float] = []
    read_latencies: list[float] = []
    clients, readers = [
        [
            (await loop.create_connection(lambda: Client(times), parts.hostname, parts.port))[1]  # noqa: B023
            for _ in range(count)
        ]
        for count, times in ((CONNECTIONS, latencies), (2, read_latencies))
    ]
    requests, known = templates(), deque[tuple[bytes, bytes]](maxlen=10_000)
    reads = [
        get_request("/agent-execution/executions/history/agent-3?limit=50"),
        get_request("/agents-metrics/agent-3?by=day"),
    ]
    print(
        "minute | reports/s | p50 ms | p99 ms | reads p99 ms | RSS MB | descriptors | threads | WAL MB | failed",
        flush=True,
    )
    for minute in range(1, minutes + 1):
        latencies.clear()
        read_latencies.clear()
        started, sent, last_read = time.perf_counter(), 0, 0.0
        while (now := time.perf_counter()) < started + 60:
            due = int((now - started) * rate) - sent
            for client in clients:
                if due > 0 and client.is_free:
                    if known and random.random() < 0.1:
                        request = random.choice(known)
                        client.send(request[0] + request[1])
                    else:
                        head, _, tail = random.choice(requests).partition(_ID)
                        run_id = str(uuid.UUID(int=random.getrandbits(128), version=4)).encode()
                        client.send(head + run_id + tail)
                        if random.random() < 0.01:
                            known.append((head + run_id, tail))
                    due, sent = due - 1, sent + 1
            if now > last_read + 1:
                last_read = now
                for reader, request in zip(readers, reads, strict=True):
                    if reader.is_free:
                        reader.send(request)
            await asyncio.sleep(TICK)
        ordered, read = sorted(latencies), sorted(read_latencies)
        figures = [
            f"{minute}", f"{len(ordered) / 60:,.0f}",
            f"{ordered[len(ordered) // 2] * 1_000:.1f}", f"{ordered[len(ordered) * 99 // 100] * 1_000:.1f}",
            f"{read[len(read) * 99 // 100] * 1_000:.1f}",
            *vitals(pid, store),
            f"{sum(client.failed for client in [*clients, *readers])}",
        ]  # fmt: skip
        print(" | ".join(figures), flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rate", type=float, default=1_500, help="reports a second (default: %(default)s)")
    parser.add_argument("--minutes", type=int, default=30)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        store = Path(folder) / "soak.db"
        with running_server(store) as server:
            uvloop.run(soak(server.url, server.process.pid, store, arguments.rate, arguments.minutes))


if __name__ == "__main__":
    main()
