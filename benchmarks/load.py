"""Load generator for the server: sends reports of new runs over persistent connections, one at a time on each.

`python -m benchmarks.load URL KEY CONNECTIONS SECONDS [BATCH]` prints the results as a JSON object. With a BATCH, each
request has this number of reports; 0 stands for single reports. It sends prepared bytes, because it shares the CPU with
the server.
"""

import asyncio
import json
import random
import sys
import time
import uuid
from typing import Any
from urllib.parse import urlsplit

import uvloop

BATCH_HEAD = (
    "POST /agent-execution/reports HTTP/1.1\r\nHost: bench\r\nContent-Type: application/json\r\n"
    "x-api-key: {key}\r\nContent-Length: {length}\r\n\r\n"
)
HEAD = (
    "POST /agent-execution/agent-{agent}/report_task HTTP/1.1\r\nHost: bench\r\nContent-Type: application/json\r\n"
    "x-api-key: {key}\r\nContent-Length: {length}\r\n\r\n"
)
RESULT = (
    "Q4 revenue grew 22% YoY, driven by cloud subscriptions and price increases; margins widened by two points. Risks: "
    "churn among small accounts, and a stronger dollar."
)


def report(number: int) -> dict[str, object]:
    """Return the report of one run, about 1 kB of JSON."""
    completion = 100 + number % 900
    usage = {"prompt_tokens": 2_140, "completion_tokens": completion}
    message = {"role": "assistant", "content": RESULT}
    return {
        "id": str(uuid.UUID(int=random.getrandbits(128), version=4)),
        "input": "Summarize Q4 earnings of the company, with the drivers of growth and the risks that management names",
        "llm_response": {
            "id": f"chatcmpl-{number}",
            "object": "chat.completion",
            "model": "gpt-4o-2024-08-06",
            "choices": [{"index": 0, "message": message, "finish_reason": "stop"}],
            "usage": usage,
        },
        "tokens": {**usage, "cache_read_tokens": 0, "cache_write_tokens": 0, "total_tokens": 2_140 + completion},
        "is_success": number % 20 != 0,
        "result": RESULT,
        "duration": round(random.lognormvariate(1, 1), 3),
        "used_tools": ["web_search", "fetch_pdf"],
    }


def requests(key: str, count: int) -> list[bytes]:
    """Return prepared requests, so that the measured time does not include their creation."""
    prepared = []
    for number in range(count):
        body = json.dumps(report(number)).encode()
        prepared.append(HEAD.format(agent=number % 10, key=key, length=len(body)).encode() + body)
    return prepared


def batch_requests(key: str, count: int, size: int) -> list[bytes]:
    """Return prepared requests with `size` reports in each."""
    prepared = []
    for first in range(0, count * size, size):
        reports = [
            {"agent_id": f"agent-{number % 10}", "reported_at": time.time_ns() // 1_000, **report(number)}
            for number in range(first, first + size)
        ]
        body = json.dumps({"reports": reports}).encode()
        prepared.append(BATCH_HEAD.format(key=key, length=len(body)).encode() + body)
    return prepared


class Connection(asyncio.Protocol):
    """Connection that sends the next request as soon as it has received the complete response to the one before."""

    def __init__(self, load: "Load") -> None:
        self._load = load
        self._received = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport: Any = transport
        self._send()

    def _send(self) -> None:
        request = self._load.next_request()
        if request is None:
            self._transport.close()
            return
        self._sent = time.perf_counter()
        self._transport.write(request)

    def data_received(self, data: bytes) -> None:
        self._received += data
        head, separator, body = self._received.partition(b"\r\n\r\n")
        if not separator:
            return
        length = int(head.lower().partition(b"content-length:")[2].split(b"\r\n", 1)[0])
        if len(body) >= length:
            is_success = head.startswith(b"HTTP/1.1 200")
            if is_success and self._load.batch:
                is_success = body.count(b'"status":200') == self._load.batch
            self._load.add_response(is_success, self._sent)
            self._received = b""
            self._send()

    def connection_lost(self, error: Exception | None) -> None:
        self._load.remove_connection()


class Load:
    """Requests that the connections share, and the measured latencies."""

    def __init__(self, prepared: list[bytes], connections: int, seconds: float, batch: int) -> None:
        self._prepared = prepared
        self.batch = batch
        self._open_connections = connections
        self._until = time.perf_counter() + seconds
        self.latencies: list[float] = []
        self.failed = 0
        self.done = asyncio.get_running_loop().create_future()

    def next_request(self) -> bytes | None:
        """Return the next request; None when the time is over."""
        if time.perf_counter() > self._until:
            return None
        return self._prepared.pop() if self._prepared else None

    def add_response(self, is_success: bool, sent: float) -> None:
        """Add a response to the request that was sent at this time."""
        self.latencies.append(time.perf_counter() - sent)
        self.failed += not is_success

    def remove_connection(self) -> None:
        """Count a connection as closed."""
        self._open_connections -= 1
        if self._open_connections == 0:
            self.done.set_result(None)


async def measure(load: Load, url: str, connections: int, noun: str, per_request: int) -> dict[str, float]:
    """Send the requests of a load, and return the number and the rate of what they contain, and the latencies."""
    parts = urlsplit(url)
    started = time.perf_counter()
    loop = asyncio.get_running_loop()
    for _ in range(connections):
        await loop.create_connection(lambda: Connection(load), parts.hostname, parts.port)
    await load.done
    elapsed = time.perf_counter() - started
    ordered = sorted(load.latencies)
    return {
        noun: len(ordered) * per_request,
        "rate": len(ordered) * per_request / elapsed,
        "p50": ordered[len(ordered) // 2] * 1_000,
        "p99": ordered[len(ordered) * 99 // 100] * 1_000,
        "failed": load.failed,
    }


async def run(url: str, key: str, connections: int, seconds: float, batch: int = 0) -> dict[str, float]:
    prepared = (
        batch_requests(key, int(seconds * 30_000 / batch), batch) if batch else requests(key, int(seconds * 20_000))
    )
    return await measure(Load(prepared, connections, seconds, batch), url, connections, "reports", batch or 1)


if __name__ == "__main__":
    url, key, connections, seconds, *batch = sys.argv[1:]
    print(json.dumps(uvloop.run(run(url, key, int(connections), float(seconds), *map(int, batch)))))
