"""Writers of one outbox are killed (-9) at random moments, while the server is killed, restarted, stopped for a while,
and has its replies taken away after it has committed. Then: every report with a receipt is in the server, exactly once.

    python tests/outbox/durability.py --kills 1000 --seed 1 --durability crash

What a report says follows from its id, so that a run whose receipt the kill cut off can be checked as well.
"""

import argparse
import asyncio
import contextlib
import logging
import os
import random
import selectors
import signal
import subprocess
import sys
import time
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from attrs import define, field

from support.server import KEY, ORGANIZATION, serve_command, server_url
from xpander_sdk import Backend, Configuration, OutboxSettings, Tasks, Timeouts

AGENT = "agent-of-durability"
WRITERS = 4
CALL_SECONDS = 1.0  # so that what a killed writer held is free again after 6
DRAIN_SECONDS = 180
FAULTS = ("server kills", "stops", "drops")
TESTS = Path(__file__).parents[1]


def tokens_of(run: str) -> dict[str, int]:
    number = zlib.crc32(run.encode())
    return {"prompt_tokens": number % 1_000, "completion_tokens": number % 77}


def duration_of(run: str) -> float:
    return zlib.crc32(run.encode()) % 64 / 8  # sums of eighths are exact


# A proxy in front of the server, in a process of its own


async def proxy() -> None:
    """Forwards to the port, and swallows the share of replies, that standard input says last."""
    port, share = 0, 0.0
    draw = random.Random(0)

    async def pump(source: asyncio.StreamReader, sink: asyncio.StreamWriter, is_reply: bool) -> None:
        while data := await source.read(65_536):
            if is_reply and draw.random() < share:
                return  # it is committed, and nobody will know
            sink.write(data)
            await sink.drain()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            up_reader, up_writer = await asyncio.open_connection("127.0.0.1", port)
            pumps = [asyncio.ensure_future(pump(reader, up_writer, False)),
                     asyncio.ensure_future(pump(up_reader, writer, True))]  # fmt: skip
            done, left = await asyncio.wait(pumps, return_when=asyncio.FIRST_COMPLETED)
            for each in left:
                each.cancel()
            for each in done:
                each.exception()
            up_writer.close()
        writer.close()

    listener = await asyncio.start_server(serve, "127.0.0.1", 0)
    print(listener.sockets[0].getsockname()[1], flush=True)
    commands = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(commands), sys.stdin)
    while line := await commands.readline():
        told_port, told_share = line.split()
        port, share = int(told_port), float(told_share)


# Writers


def write_for_ever(configuration: Configuration, name: str, pipe: int) -> None:
    backend = Backend(configuration)
    draw = random.Random(name)
    for number in range(1_000_000):
        run = f"{name}-{number}"
        # Once as it begins and once as it ends, or at once.
        if number % 3:
            backend.submit_external_task(AGENT, id=run, input="how much?", is_success=None, duration=None)
            os.write(pipe, f"{run} 1\n".encode())
        backend.submit_external_task(
            AGENT, id=run, result=run, tokens=tokens_of(run), duration=duration_of(run), used_tools=["search"]
        )
        os.write(pipe, f"{run} 2\n".encode())
        time.sleep(draw.uniform(0.0, 0.1))


@define
class Writer:
    name: str
    pid: int
    pipe: int
    told: bytes = b""

    def read(self) -> bool:
        data = os.read(self.pipe, 65_536)
        self.told += data
        return bool(data)


@define
class Chaos:
    """The whole of it, in a process without threads, so that it can fork writers quickly."""

    folder: Path
    kills: int
    draw: random.Random
    durability: str
    configuration: Configuration = field(init=False)
    server: "subprocess.Popen[str]" = field(init=False)
    url: str = ""
    gateway: "subprocess.Popen[str]" = field(init=False)
    writers: list[Writer] = field(factory=list)
    ended: list[Writer] = field(factory=list)
    selector: selectors.DefaultSelector = field(factory=selectors.DefaultSelector)
    stopped_until: float = 0.0
    dropping_until: float = 0.0
    counts: dict[str, int] = field(factory=lambda: dict.fromkeys(FAULTS, 0))

    def run(self) -> dict[str, Any]:
        # What a first call imports: else a writer would be killed before it has done anything.
        import_module("xpander_sdk._runtime")

        import_module("xpander_sdk.outbox.registry")
        with self._proxied():
            for _ in range(WRITERS):
                self._start_writer()
            for first in range(0, self.kills, 25):
                # In each 25 kills each fault once, in any order.
                at = self.draw.sample(range(min(25, self.kills - first)), len(FAULTS))
                for kill in range(min(25, self.kills - first)):
                    if kill in at:
                        self._fault(FAULTS[at.index(kill)])
                    self._watch(self.draw.uniform(0.02, 0.4))
                    self._kill(self.draw.choice(self.writers))
                    self._start_writer()
            self._watch(0.2)
            for writer in list(self.writers):
                self._kill(writer)
            return self._settle()

    @contextmanager
    def _proxied(self) -> Iterator[None]:
        command = [sys.executable, str(Path(__file__)), "--proxy"]
        environment = {**os.environ, "PYTHONPATH": str(TESTS)}
        with subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment
        ) as self.gateway:
            assert self.gateway.stdout is not None
            assert self.gateway.stdin is not None
            port = int(self.gateway.stdout.readline())
            self.configuration = Configuration(
                base_url=f"http://127.0.0.1:{port}", api_key=KEY, organization_id=ORGANIZATION,
                timeouts=Timeouts(connect=CALL_SECONDS, read=CALL_SECONDS, total=CALL_SECONDS),
                outbox=OutboxSettings(file=str(self.folder / "outbox.db"), durability=self.durability, parallel=2),  # type: ignore[arg-type]
            )  # fmt: skip
            self._serve()
            try:
                self._until_it_serves()
                yield
            finally:
                for writer in self.writers:
                    os.kill(writer.pid, signal.SIGKILL)
                    os.waitpid(writer.pid, 0)
                self._end_server()
                self.gateway.stdin.close()
                self.gateway.wait(10)

    def _serve(self) -> None:
        """Start it, and go on: what reports meanwhile finds nobody there."""
        self.server = subprocess.Popen(
            serve_command(self.folder / "store.db"), stdout=subprocess.PIPE, text=True, process_group=0
        )
        assert self.server.stdout is not None
        self.selector.register(self.server.stdout, selectors.EVENT_READ, self)

    def read(self) -> None:
        """The server says where it listens."""
        assert self.server.stdout is not None
        self.url = server_url(self.server.stdout.readline())
        self.selector.unregister(self.server.stdout)
        with Backend(self._direct()) as backend:
            backend.metrics(AGENT)  # to check a key for the first time takes it longer than writers live
        self._over()

    def _direct(self) -> Configuration:
        return self.configuration.with_options(base_url=self.url, timeouts=Timeouts())

    def _over(self) -> None:
        """A fault is over: what waits need not wait longer."""
        self._tell_proxy(0.02)
        Backend(self.configuration).outbox.retry()

    def _end_server(self) -> None:
        if not self.url:
            self._until_it_serves()
        os.kill(self.server.pid, signal.SIGCONT)
        self.server.kill()
        self.server.wait()
        assert self.server.stdout is not None
        self.server.stdout.close()
        self.url = ""

    def _until_it_serves(self) -> None:
        deadline = time.monotonic() + 60
        while not self.url:
            assert time.monotonic() < deadline, "the server does not start"
            self._watch(0.05)

    def _tell_proxy(self, share: float) -> None:
        assert self.gateway.stdin is not None
        if self.url:
            self.gateway.stdin.write(f"{self.url.rpartition(':')[2]} {share}\n")
            self.gateway.stdin.flush()

    def _fault(self, which: str) -> None:
        self.counts[which] += 1
        if which == "server kills":
            self._end_server()
            self._serve()
        elif which == "drops":
            self._tell_proxy(1.0)
            self.dropping_until = time.monotonic() + 0.4
        elif self.url:
            os.kill(self.server.pid, signal.SIGSTOP)
            self.stopped_until = time.monotonic() + self.draw.uniform(0.2, 1.5 * CALL_SECONDS)

    def _watch(self, seconds: float) -> None:
        """Read what writers tell; end what faults are over."""
        ends = time.monotonic() + seconds
        while (left := ends - time.monotonic()) > 0:
            for key, _ in self.selector.select(min(left, 0.05)):
                key.data.read()
            if self.stopped_until and time.monotonic() > self.stopped_until:
                self.stopped_until = 0.0
                os.kill(self.server.pid, signal.SIGCONT)
                self._over()
            if self.dropping_until and time.monotonic() > self.dropping_until:
                self.dropping_until = 0.0
                self._over()

    def _start_writer(self) -> None:
        name = f"w{len(self.ended) + len(self.writers)}"
        mine, its = os.pipe()
        pid = os.fork()
        if not pid:
            try:
                write_for_ever(self.configuration, name, its)
            finally:
                os._exit(70)
        os.close(its)
        writer = Writer(name, pid, mine)
        self.writers.append(writer)
        self.selector.register(mine, selectors.EVENT_READ, writer)

    def _kill(self, writer: Writer) -> None:
        os.kill(writer.pid, signal.SIGKILL)
        _, status = os.waitpid(writer.pid, 0)
        assert os.waitstatus_to_exitcode(status) == -signal.SIGKILL, "a writer ended by itself"
        while writer.read():
            pass
        self.selector.unregister(writer.pipe)
        os.close(writer.pipe)
        self.writers.remove(writer)
        self.ended.append(writer)

    def _settle(self) -> dict[str, Any]:
        self._until_it_serves()
        os.kill(self.server.pid, signal.SIGCONT)
        self._tell_proxy(0.0)
        outbox = Backend(self.configuration).outbox
        left_behind = outbox.stats().pending
        began = time.monotonic()
        assert outbox.drain(DRAIN_SECONDS), f"not all is delivered after {DRAIN_SECONDS} s: {outbox.stats()}"
        drained = time.monotonic() - began
        told = self._check(outbox.stats())
        outbox.close(0)
        return {**told, **self.counts, "left behind": left_behind, "drained in": round(drained, 1)}

    def _check(self, books: Any) -> dict[str, Any]:
        receipts = [line.split() for writer in self.ended for line in writer.told.decode().splitlines()]
        begun = {run for run, stage in receipts if stage == "1"}
        finished = {run for run, stage in receipts if stage == "2"}
        direct = self._direct()
        history = [(task.id, str(task.status)) for task in Tasks(direct).list(AGENT)]
        runs = dict(history)
        assert len(history) == len(runs), "a run is there twice"
        assert (begun | finished) <= set(runs), f"lost: {sorted((begun | finished) - set(runs))[:10]}"
        completed = {run for run, status in history if status == "completed"}
        assert finished <= completed, f"lost updates: {sorted(finished - completed)[:10]}"
        # Whose receipts a kill cut off: one a writer at the most, the next after the last that it told of.
        unannounced = (set(runs) - begun - finished) | (completed - finished)
        by_writer = [run.rpartition("-")[0] for run in unannounced]
        assert len(by_writer) == len(set(by_writer)) <= len(self.ended)
        metrics = Backend(direct).metrics(AGENT)
        assert (metrics.runs.total, metrics.runs.completed) == (len(runs), len(completed))
        assert metrics.runs.executing == len(runs) - len(completed)
        assert metrics.tokens.prompt_tokens == sum(tokens_of(run)["prompt_tokens"] for run in completed)
        assert metrics.tokens.completion_tokens == sum(tokens_of(run)["completion_tokens"] for run in completed)
        assert metrics.duration.total == sum(duration_of(run) for run in completed)
        assert {name: tool.calls for name, tool in metrics.tools.items()} == {"search": len(completed)}
        assert (books.pending, books.dead, books.dropped) == (0, 0, {})
        assert books.accepted == books.delivered
        assert len(receipts) <= books.accepted <= len(receipts) + len(self.ended)
        return {
            "kills": self.kills, "receipts": len(receipts), "runs": len(runs), "merged": books.merged,
            "receipts cut off": len(unannounced), "lost": 0, "doubled": 0,
        }  # fmt: skip


def main(kills: int, seed: int, durability: str) -> dict[str, Any]:
    with TemporaryDirectory() as folder:
        began = time.monotonic()
        told = Chaos(Path(folder), kills, random.Random(seed), durability).run()
        return {"durability": durability, "seed": seed, **told, "seconds": round(time.monotonic() - began, 1)}


if __name__ == "__main__":
    logging.getLogger("xpander_sdk").setLevel(logging.CRITICAL)  # of a target that is made to fail all the time
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=1_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--durability", choices=["crash", "power"], default="crash")
    parser.add_argument("--proxy", action="store_true", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.proxy:
        asyncio.run(proxy())
    else:
        print(", ".join(f"{name}: {value}" for name, value in main(given.kills, given.seed, given.durability).items()))
