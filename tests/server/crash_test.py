"""The server is killed (-9) under load, again and again. Then: every report that was answered is there, once, and the
metrics are those that a rebuild makes of the tasks.

    python tests/server/crash_test.py --store URL --kills 200

Each client owns its runs: it reports one, and then what becomes of it, again and again, like a client that retries:
what was not answered is sent again, as it was. What a run ends as follows from how far its client got.
"""

import argparse
import asyncio
import json
import random
import subprocess
import sys
import time
from tempfile import TemporaryDirectory
from typing import Any

from attrs import define, field

from support.server import KEY, ORGANIZATION, serve_command, server_url
from xpander_server.store import Store

AGENTS = 4
UPDATES = 3  # of each run, after its first report
START_SECONDS = 30.0


def said(run: int, update: int) -> dict[str, Any]:
    """What the reports of a run say; each of them another field."""
    parts: list[dict[str, Any]] = [
        {"input": f"run {run}", "used_tools": ["search"]},
        {"tokens": {"prompt_tokens": run % 1_000, "completion_tokens": run % 77}},
        {"duration": run % 64 / 8},
        {"is_success": run % 5 != 0, "result": f"result {run}"},
    ]
    return parts[update]


@define
class Client:
    """One connection at a time, and what was answered on it."""

    number: int
    port: int
    until: float
    answered: dict[str, int] = field(factory=dict)
    """Of each run, how many of its reports were."""
    unanswered: int = 0
    slowest: float = 0.0

    async def run(self) -> None:
        run = 0
        while time.monotonic() < self.until:
            run += 1
            for update in range(UPDATES + 1):
                await self._report(f"{self.number}-{run}", run, update)

    async def _report(self, run_id: str, run: int, update: int) -> None:
        agent = f"agent-{run % AGENTS}"
        body = json.dumps({"id": run_id, **said(run, update)}).encode()
        head = (
            f"POST /agent-execution/{agent}/report_task HTTP/1.1\r\nhost: localhost\r\nx-api-key: {KEY}\r\n"
            f"content-type: application/json\r\ncontent-length: {len(body)}\r\nconnection: close\r\n\r\n"
        )
        began = time.monotonic()
        while True:
            try:
                answer = await asyncio.wait_for(self._sent(head.encode() + body), START_SECONDS)
            except (OSError, TimeoutError):
                answer = b""
            if answer.startswith(b"HTTP/1.1 200 ") and answer.endswith(b"}"):
                self.answered[run_id] = update + 1
                self.slowest = max(self.slowest, time.monotonic() - began)
                return
            assert not answer or answer.startswith(b"HTTP/1.1 503 "), answer[:500]
            assert time.monotonic() < began + 2 * START_SECONDS, "the server does not come back"
            self.unanswered += 1
            await asyncio.sleep(0.02)

    async def _sent(self, request: bytes) -> bytes:
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        try:
            writer.write(request)
            head = await reader.readuntil(b"\r\n\r\n")
            length = int(head.lower().partition(b"content-length:")[2].split(b"\r\n", 1)[0])
            return head + await reader.readexactly(length)
        except asyncio.IncompleteReadError as error:
            raise ConnectionResetError from error
        finally:
            writer.close()


class Killed:
    """A server on one port, which is killed and started again."""

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

    def kill(self) -> None:
        self._process.kill()
        self._process.communicate()

    def start(self) -> None:
        self._process = self._start(self._command)

    def stop(self) -> None:
        self._process.terminate()
        self._process.communicate(timeout=30)


async def under_load(store_url: str, kills: int, clients: int, seed: int) -> list[Client]:
    draw = random.Random(seed)
    server = Killed(store_url)
    all_clients = [Client(number, server.port, float("inf")) for number in range(clients)]
    tasks = [asyncio.ensure_future(client.run()) for client in all_clients]
    try:
        for _ in range(kills):
            # Each life of the server gets something done, however short it is.
            before = answered(all_clients)
            while answered(all_clients) == before:
                assert not any(task.done() for task in tasks), "a client gave up"
                await asyncio.sleep(0.005)
            await asyncio.sleep(draw.uniform(0.0, 0.5))
            server.kill()
            await asyncio.to_thread(server.start)
        for client in all_clients:
            client.until = 0.0
        await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()
        server.stop()
    return all_clients


def answered(clients: list[Client]) -> int:
    return sum(sum(client.answered.values()) for client in clients)


def missing(store: Store, clients: list[Client]) -> list[str]:
    """What was answered, and is not there as it was said."""
    found = []
    for client in clients:
        for run_id, count in client.answered.items():
            task = store.task(ORGANIZATION, run_id)
            run = int(run_id.partition("-")[2])
            expected = {name: value for update in range(count) for name, value in said(run, update).items()}
            stored = {name: getattr(task, name, None) for name in expected}
            if "tokens" in expected:
                stored["tokens"] = {kind: (stored["tokens"] or {}).get(kind) for kind in expected["tokens"]}
            if stored != expected:
                found.append(f"{run_id}: {stored} is not {expected}")
    return found


def check(store_url: str, clients: list[Client]) -> dict[str, Any]:
    store = Store(store_url)
    try:
        kept = store.metrics(ORGANIZATION, hours=1)
        store.rebuild_metrics()
        rebuilt = store.metrics(ORGANIZATION, hours=1)
        runs = sum(amount for key, amount in kept.amounts.items() if key.endswith(" runs"))
        return {
            "reports answered": answered(clients),
            "runs": sum(len(client.answered) for client in clients),
            "not answered, sent again": sum(client.unanswered for client in clients),
            "slowest, s": round(max(client.slowest for client in clients), 2),
            "lost": len(missing(store, clients)),
            "doubled": runs - sum(len(client.answered) for client in clients),
            "metrics equal a rebuild": (kept.amounts, kept.series) == (rebuilt.amounts, rebuilt.series),
        }
    finally:
        store.close()


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--store", help="its URL (default: a SQLite file of its own)")
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--clients", type=int, default=16)
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    with TemporaryDirectory() as folder:
        store_url = arguments.store or f"sqlite:///{folder}/kills.db"
        clients = asyncio.run(under_load(store_url, arguments.kills, arguments.clients, arguments.seed))
        told = check(store_url, clients)
    print(json.dumps({"kills": arguments.kills, **told}))
    sys.exit(0 if told["lost"] == told["doubled"] == 0 and told["metrics equal a rebuild"] else 1)


if __name__ == "__main__":
    main()
