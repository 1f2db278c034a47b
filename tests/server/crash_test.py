"""Crash test: kill a server repeatedly under load (SIGKILL), and check that no answered report is lost.

    PYTHONPATH=tests python tests/server/crash_test.py --store URL --kills 200

Each client sends the reports of its own runs one after another, each on a new connection. A report without a response
is sent again unchanged, as a retrying client does. At the end, the number of answered reports of a run determines the
expected fields of its task. The test also checks that no run is stored twice, and that the metrics equal those that a
rebuild computes from the tasks.
"""

import argparse
import asyncio
import json
import random
import subprocess
import sys
import time
from collections.abc import Sequence
from tempfile import TemporaryDirectory
from typing import Any

from attrs import define, field

from support.server import KEY, ORGANIZATION, serve_command, server_url
from xpander_server.store import Store

AGENTS = 4
UPDATES = 3  # of each run, after its first report
START_SECONDS = 30.0


def report_fields(run: int, update: int) -> dict[str, Any]:
    """Return the fields of one report of a run. Each of its reports has other fields."""
    parts: list[dict[str, Any]] = [
        {"input": f"run {run}", "used_tools": ["search"]},
        {"tokens": {"prompt_tokens": run % 1_000, "completion_tokens": run % 77}},
        {"duration": (run % 64 + 1) / 8},  # the server counts 0 as absent
        {"is_success": run % 5 != 0, "result": f"result {run}"},
    ]
    return parts[update]


@define
class Client:
    """Client that sends reports, and records the answered ones.

    Each report without a response is sent to the next port.
    """

    number: int
    ports: Sequence[int]
    until: float
    timeout: float = START_SECONDS
    patience: float = 2 * START_SECONDS
    """Seconds in which a report must be answered."""
    answered: dict[str, int] = field(factory=dict)
    """Number of answered reports by run."""
    unanswered: int = 0
    slowest: float = 0.0
    last_answer: float = 0.0
    attempts: int = 0

    async def run(self) -> None:
        run = 0
        while time.monotonic() < self.until:
            run += 1
            for update in range(UPDATES + 1):
                await self._report(f"{self.number}-{run}", run, update)

    async def _report(self, run_id: str, run: int, update: int) -> None:
        agent = f"agent-{run % AGENTS}"
        body = json.dumps({"id": run_id, **report_fields(run, update)}).encode()
        head = (
            f"POST /agent-execution/{agent}/report_task HTTP/1.1\r\nhost: localhost\r\nx-api-key: {KEY}\r\n"
            f"content-type: application/json\r\ncontent-length: {len(body)}\r\nconnection: close\r\n\r\n"
        )
        started_at = time.monotonic()
        while True:
            try:
                response = await asyncio.wait_for(self._send(head.encode() + body), self.timeout)
            except (OSError, TimeoutError):
                response = b""
            if response.startswith(b"HTTP/1.1 200 ") and response.endswith(b"}"):
                self.answered[run_id] = update + 1
                self.last_answer = time.monotonic()
                self.slowest = max(self.slowest, self.last_answer - started_at)
                return
            assert not response or response.startswith(b"HTTP/1.1 503 "), response[:500]
            assert time.monotonic() < started_at + self.patience, "the server did not start again"
            self.unanswered += 1
            self.attempts += 1
            await asyncio.sleep(0.02)

    async def _send(self, request: bytes) -> bytes:
        reader, writer = await asyncio.open_connection("127.0.0.1", self.ports[self.attempts % len(self.ports)])
        try:
            writer.write(request)
            head = await reader.readuntil(b"\r\n\r\n")
            length = int(head.lower().partition(b"content-length:")[2].split(b"\r\n", 1)[0])
            return head + await reader.readexactly(length)
        except asyncio.IncompleteReadError as error:
            raise ConnectionResetError from error
        finally:
            writer.close()


class RestartableServer:
    """Server that can be killed and started again on the same port."""

    def __init__(self, store_url: str) -> None:
        command = serve_command(store_url)
        self._process = self._start(command)
        self.port = int(self._url.rpartition(":")[2])
        self._command = [
            *command[: command.index("--port") + 1],
            str(self.port),
            *command[command.index("--port") + 2 :],
        ]

    def _start(self, command: list[str]) -> "subprocess.Popen[str]":
        process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        assert process.stdout is not None
        self._url = server_url(process.stdout.readline())
        return process

    def signal(self, number: int) -> None:
        self._process.send_signal(number)

    def kill(self) -> None:
        self._process.kill()
        self._process.communicate()

    def start(self) -> None:
        self._process = self._start(self._command)

    def stop(self) -> None:
        self._process.terminate()
        self._process.communicate(timeout=30)


async def kill_under_load(store_url: str, kills: int, clients: int, seed: int) -> list[Client]:
    delays = random.Random(seed)
    server = RestartableServer(store_url)
    # A report may meet one kill after another, if the machine is busy and the server starts slowly.
    load_clients = [
        Client(number, [server.port], float("inf"), patience=20 * START_SECONDS) for number in range(clients)
    ]
    tasks = [asyncio.ensure_future(client.run()) for client in load_clients]
    try:
        for _ in range(kills):
            # Wait for at least one answered report, so that each process of the server does some work.
            before = count_answered(load_clients)
            while count_answered(load_clients) == before:
                assert not any(task.done() for task in tasks), "a client gave up"
                await asyncio.sleep(0.005)
            await asyncio.sleep(delays.uniform(0.0, 0.5))
            server.kill()
            await asyncio.to_thread(server.start)
        await finish(load_clients, tasks)
    finally:
        for task in tasks:
            task.cancel()
        server.stop()
    return load_clients


async def finish(clients: list[Client], tasks: "list[asyncio.Future[None]]") -> None:
    """Let the clients end with their current runs."""
    for client in clients:
        client.until = 0.0
    await asyncio.gather(*tasks)


def count_answered(clients: list[Client]) -> int:
    return sum(sum(client.answered.values()) for client in clients)


def lost_runs(store: Store, clients: list[Client]) -> list[str]:
    """Return descriptions of the runs whose task is not what their answered reports state."""
    lost = []
    for client in clients:
        for run_id, count in client.answered.items():
            task = store.task(ORGANIZATION, run_id)
            run = int(run_id.partition("-")[2])
            expected = {name: value for update in range(count) for name, value in report_fields(run, update).items()}
            stored = {name: getattr(task, name, None) for name in expected}
            if "tokens" in expected:
                stored["tokens"] = {kind: (stored["tokens"] or {}).get(kind) for kind in expected["tokens"]}
            if stored != expected:
                lost.append(f"{run_id}: expected {expected}, got {stored}")
    return lost


def check(store_url: str, clients: list[Client]) -> dict[str, Any]:
    store = Store(store_url)
    try:
        stored_metrics = store.metrics(ORGANIZATION, hours=1)
        store.rebuild_metrics()
        rebuilt_metrics = store.metrics(ORGANIZATION, hours=1)
        runs = sum(amount for key, amount in stored_metrics.amounts.items() if key.endswith(" runs"))
        return {
            "reports answered": count_answered(clients),
            "runs": sum(len(client.answered) for client in clients),
            "not answered, sent again": sum(client.unanswered for client in clients),
            "slowest, s": round(max(client.slowest for client in clients), 2),
            "lost": len(lost_runs(store, clients)),
            "doubled": runs - sum(len(client.answered) for client in clients),
            "metrics equal a rebuild": (stored_metrics.amounts, stored_metrics.series)
            == (rebuilt_metrics.amounts, rebuilt_metrics.series),
        }
    finally:
        store.close()


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--store", help="URL of the store (default: a temporary SQLite file)")
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--clients", type=int, default=16)
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    with TemporaryDirectory() as folder:
        store_url = arguments.store or f"sqlite:///{folder}/crash.db"
        clients = asyncio.run(kill_under_load(store_url, arguments.kills, arguments.clients, arguments.seed))
        result = check(store_url, clients)
    print(json.dumps({"kills": arguments.kills, **result}))
    sys.exit(0 if result["lost"] == result["doubled"] == 0 and result["metrics equal a rebuild"] else 1)


if __name__ == "__main__":
    main()
