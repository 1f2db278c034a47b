"""Load for a server of the contract: reports of new runs over kept connections, one at a time on each.

python -m benchmarks.load URL KEY CONNECTIONS SECONDS: prints one JSON object. It speaks bytes, so that it takes little
of the CPU that it shares with the server.
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

HEAD = (
    "POST /agent-execution/agent-{agent}/report_task HTTP/1.1\r\nHost: bench\r\nContent-Type: application/json\r\n"
    "x-api-key: {key}\r\nContent-Length: {length}\r\n\r\n"
)
ANSWER = (
    "Q4 revenue grew 22% YoY, driven by cloud subscriptions and price increases; margins widened by two points. Risks: "
    "churn among small accounts, and a stronger dollar."
)


def report(number: int) -> dict[str, object]:
    """A run, about 1 kB of JSON: what an agent's worker would report."""
    completion = 100 + number % 900
    usage = {"prompt_tokens": 2_140, "completion_tokens": completion}
    message = {"role": "assistant", "content": ANSWER}
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
        "result": ANSWER,
        "duration": round(random.lognormvariate(1, 1), 3),
        "used_tools": ["web_search", "fetch_pdf"],
    }


def requests(key: str, count: int) -> list[bytes]:
    """Ready-made requests, so that making them costs nothing while the clock runs."""
    made = []
    for number in range(count):
        body = json.dumps(report(number)).encode()
        made.append(HEAD.format(agent=number % 10, key=key, length=len(body)).encode() + body)
    return made


class Connection(asyncio.Protocol):
    """Sends the next request as soon as the answer to the one before is whole."""

    def __init__(self, load: "Load") -> None:
        self._load = load
        self._received = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport: Any = transport
        self._send()

    def _send(self) -> None:
        request = self._load.next()
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
            self._load.answered(head.startswith(b"HTTP/1.1 200"), self._sent)
            self._received = b""
            self._send()

    def connection_lost(self, error: Exception | None) -> None:
        self._load.ended()


class Load:
    def __init__(self, made: list[bytes], connections: int, seconds: float) -> None:
        self._made = made
        self._left = connections
        self._until = time.perf_counter() + seconds
        self.latencies: list[float] = []
        self.failed = 0
        self.done = asyncio.get_running_loop().create_future()

    def next(self) -> bytes | None:
        if time.perf_counter() > self._until:
            return None
        return self._made.pop() if self._made else None

    def answered(self, well: bool, sent: float) -> None:
        self.latencies.append(time.perf_counter() - sent)
        self.failed += not well

    def ended(self) -> None:
        self._left -= 1
        if self._left == 0:
            self.done.set_result(None)


async def run(url: str, key: str, connections: int, seconds: float) -> dict[str, float]:
    parts = urlsplit(url)
    made = requests(key, int(seconds * 20_000))
    load = Load(made, connections, seconds)
    begun = time.perf_counter()
    loop = asyncio.get_running_loop()
    for _ in range(connections):
        await loop.create_connection(lambda: Connection(load), parts.hostname, parts.port)
    await load.done
    took = time.perf_counter() - begun
    ordered = sorted(load.latencies)
    return {
        "rate": len(ordered) / took,
        "p50": ordered[len(ordered) // 2] * 1_000,
        "p99": ordered[len(ordered) * 99 // 100] * 1_000,
        "failed": load.failed,
    }


if __name__ == "__main__":
    url, key, connections, seconds = sys.argv[1:]
    print(json.dumps(uvloop.run(run(url, key, int(connections), float(seconds)))))
