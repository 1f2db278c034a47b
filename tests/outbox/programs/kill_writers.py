"""Kill writers of one outbox (-9) at random times, and check that no report with a receipt is lost or recorded twice.

    PYTHONPATH=tests python tests/outbox/programs/kill_writers.py --kills 1000 --seed 1 --durability crash

During the kills, the server is killed and restarted, paused, and its responses are dropped after it has
committed. The fields of a report follow from its id, so that a run whose receipt was lost in a kill can be checked too.
"""

import argparse
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
from xpander_sdk import Backend, Configuration, OutboxSettings, OutboxStats, Tasks, Timeouts

AGENT = "agent-of-durability"
WRITERS = 4
CALL_SECONDS = 1.0  # The lease of a killed writer expires 5 seconds after this time.
DRAIN_SECONDS = 180
SERVER_START_SECONDS = 60
KILLS_PER_ROUND = 25
USUAL_DROPPED_SHARE = 0.02
FAULTS = ("server kills", "stops", "drops")
PROXY = Path(__file__).with_name("dropping_proxy.py")


def tokens_of(run: str) -> dict[str, int]:
    number = zlib.crc32(run.encode())
    return {"prompt_tokens": number % 1_000, "completion_tokens": number % 77}


def duration_of(run: str) -> float:
    return zlib.crc32(run.encode()) % 64 / 8  # Sums of eighths are exact.


def write_until_killed(configuration: Configuration, name: str, pipe: int) -> None:
    """Submit reports, and write the run and its stage (1 started, 2 finished) to the pipe after each receipt."""
    backend = Backend(configuration)
    draw = random.Random(name)
    for number in range(1_000_000):
        run = f"{name}-{number}"
        if number % 3:  # Two thirds of the runs are reported at their start as well.
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
    receipts: bytes = b""

    def read(self) -> bool:
        """Read receipts from the pipe; return False at its end."""
        data = os.read(self.pipe, 65_536)
        self.receipts += data
        return bool(data)


@define
class Experiment:
    """Server, proxy and writers. This process has no threads, so that it can fork writers quickly."""

    folder: Path
    kills: int
    draw: random.Random
    durability: str
    configuration: Configuration = field(init=False)
    server: "subprocess.Popen[str]" = field(init=False)
    server_url: str = ""
    proxy: "subprocess.Popen[str]" = field(init=False)
    writers: list[Writer] = field(factory=list)
    killed_writers: list[Writer] = field(factory=list)
    selector: selectors.DefaultSelector = field(factory=selectors.DefaultSelector)
    stopped_until: float = 0.0
    dropping_until: float = 0.0
    fault_counts: dict[str, int] = field(factory=lambda: dict.fromkeys(FAULTS, 0))

    def run(self) -> dict[str, Any]:
        """Return the counts after all checks have passed."""
        # Imported before the forks: otherwise, a writer would be killed before it has submitted a report.
        import_module("xpander_sdk._runtime")
        import_module("xpander_sdk.outbox.registry")
        with self._running_server_and_proxy():
            for _ in range(WRITERS):
                self._start_writer()
            for first in range(0, self.kills, KILLS_PER_ROUND):
                self._kill_round(min(KILLS_PER_ROUND, self.kills - first))
            self._watch(0.2)
            for writer in list(self.writers):
                self._kill(writer)
            return self._drain_and_check()

    def _kill_round(self, kills: int) -> None:
        """Kill writers, and cause each fault once at a random kill."""
        fault_at = dict(zip(self.draw.sample(range(kills), len(FAULTS)), FAULTS, strict=True))
        for kill in range(kills):
            if kill in fault_at:
                self._cause_fault(fault_at[kill])
            self._watch(self.draw.uniform(0.02, 0.4))
            self._kill(self.draw.choice(self.writers))
            self._start_writer()

    @contextmanager
    def _running_server_and_proxy(self) -> Iterator[None]:
        command = [sys.executable, str(PROXY)]
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as self.proxy:
            assert self.proxy.stdout is not None
            assert self.proxy.stdin is not None
            port = int(self.proxy.stdout.readline())
            self.configuration = Configuration(
                base_url=f"http://127.0.0.1:{port}", api_key=KEY, organization_id=ORGANIZATION,
                timeouts=Timeouts(connect=CALL_SECONDS, read=CALL_SECONDS, total=CALL_SECONDS),
                outbox=OutboxSettings(file=str(self.folder / "outbox.db"), durability=self.durability, parallel=2),  # type: ignore[arg-type]
            )  # fmt: skip
            self._start_server()
            try:
                self._wait_for_server()
                yield
            finally:
                for writer in self.writers:
                    os.kill(writer.pid, signal.SIGKILL)
                    os.waitpid(writer.pid, 0)
                self._kill_server()
                self.proxy.stdin.close()
                self.proxy.wait(10)

    # Server and proxy

    def _start_server(self) -> None:
        """Start the server without waiting: until it accepts connections, the reports of the writers fail."""
        self.server = subprocess.Popen(
            serve_command(self.folder / "store.db"), stdout=subprocess.PIPE, text=True, process_group=0
        )
        assert self.server.stdout is not None
        self.selector.register(self.server.stdout, selectors.EVENT_READ, self)

    def read(self) -> None:
        """Read the URL that the server prints when it is ready."""
        assert self.server.stdout is not None
        self.server_url = server_url(self.server.stdout.readline())
        self.selector.unregister(self.server.stdout)
        with Backend(self._direct_configuration()) as backend:
            backend.metrics(AGENT)  # The first check of a key takes the server longer than a writer lives.
        self._end_fault()

    def _direct_configuration(self) -> Configuration:
        return self.configuration.with_options(base_url=self.server_url, timeouts=Timeouts())

    def _wait_for_server(self) -> None:
        deadline = time.monotonic() + SERVER_START_SECONDS
        while not self.server_url:
            assert time.monotonic() < deadline, "the server did not start"
            self._watch(0.05)

    def _kill_server(self) -> None:
        if not self.server_url:
            self._wait_for_server()
        os.kill(self.server.pid, signal.SIGCONT)
        self.server.kill()
        self.server.wait()
        assert self.server.stdout is not None
        self.server.stdout.close()
        self.server_url = ""

    def _set_dropped_share(self, share: float) -> None:
        assert self.proxy.stdin is not None
        if self.server_url:
            self.proxy.stdin.write(f"{self.server_url.rpartition(':')[2]} {share}\n")
            self.proxy.stdin.flush()

    # Faults

    def _cause_fault(self, fault: str) -> None:
        self.fault_counts[fault] += 1
        if fault == "server kills":
            self._kill_server()
            self._start_server()
        elif fault == "drops":
            self._set_dropped_share(1.0)
            self.dropping_until = time.monotonic() + 0.4
        elif self.server_url:
            os.kill(self.server.pid, signal.SIGSTOP)
            self.stopped_until = time.monotonic() + self.draw.uniform(0.2, 1.5 * CALL_SECONDS)

    def _end_fault(self) -> None:
        """Let responses pass again, and end all waits of the outbox."""
        self._set_dropped_share(USUAL_DROPPED_SHARE)
        Backend(self.configuration).outbox.retry()

    def _watch(self, seconds: float) -> None:
        """Read the pipes for some time, and end faults whose time is over."""
        ends_at = time.monotonic() + seconds
        while (remaining := ends_at - time.monotonic()) > 0:
            for key, _ in self.selector.select(min(remaining, 0.05)):
                key.data.read()
            if self.stopped_until and time.monotonic() > self.stopped_until:
                self.stopped_until = 0.0
                os.kill(self.server.pid, signal.SIGCONT)
                self._end_fault()
            if self.dropping_until and time.monotonic() > self.dropping_until:
                self.dropping_until = 0.0
                self._end_fault()

    # Writers

    def _start_writer(self) -> None:
        name = f"w{len(self.killed_writers) + len(self.writers)}"
        read_end, write_end = os.pipe()
        pid = os.fork()
        if not pid:
            try:
                write_until_killed(self.configuration, name, write_end)
            finally:
                os._exit(70)
        os.close(write_end)
        writer = Writer(name, pid, read_end)
        self.writers.append(writer)
        self.selector.register(read_end, selectors.EVENT_READ, writer)

    def _kill(self, writer: Writer) -> None:
        os.kill(writer.pid, signal.SIGKILL)
        _, status = os.waitpid(writer.pid, 0)
        assert os.waitstatus_to_exitcode(status) == -signal.SIGKILL, "a writer ended before it was killed"
        while writer.read():
            pass
        self.selector.unregister(writer.pipe)
        os.close(writer.pipe)
        self.writers.remove(writer)
        self.killed_writers.append(writer)

    # Checks

    def _drain_and_check(self) -> dict[str, Any]:
        self._wait_for_server()
        os.kill(self.server.pid, signal.SIGCONT)
        self._set_dropped_share(0.0)
        outbox = Backend(self.configuration).outbox
        pending = outbox.stats().pending
        started_at = time.monotonic()
        assert outbox.drain(DRAIN_SECONDS), f"reports are pending after {DRAIN_SECONDS} s: {outbox.stats()}"
        seconds = time.monotonic() - started_at
        counts = self._check(outbox.stats())
        outbox.close(0)
        return {**counts, **self.fault_counts, "pending before drain": pending, "drain seconds": round(seconds, 1)}

    def _check(self, stats: OutboxStats) -> dict[str, Any]:
        receipts = [line.split() for writer in self.killed_writers for line in writer.receipts.decode().splitlines()]
        started = {run for run, stage in receipts if stage == "1"}
        finished = {run for run, stage in receipts if stage == "2"}
        configuration = self._direct_configuration()
        history = [(task.id, str(task.status)) for task in Tasks(configuration).list(AGENT)]
        runs = dict(history)
        assert len(history) == len(runs), "a run was recorded twice"
        assert (started | finished) <= set(runs), f"lost: {sorted((started | finished) - set(runs))[:10]}"
        completed = {run for run, status in history if status == "completed"}
        assert finished <= completed, f"lost updates: {sorted(finished - completed)[:10]}"
        # A kill between the commit and the pipe loses at most one receipt of each writer: that of its last report.
        without_receipt = (set(runs) - started - finished) | (completed - finished)
        writers = [run.rpartition("-")[0] for run in without_receipt]
        assert len(writers) == len(set(writers)) <= len(self.killed_writers)
        metrics = Backend(configuration).metrics(AGENT)
        assert (metrics.runs.total, metrics.runs.completed) == (len(runs), len(completed))
        assert metrics.runs.executing == len(runs) - len(completed)
        assert metrics.tokens.prompt_tokens == sum(tokens_of(run)["prompt_tokens"] for run in completed)
        assert metrics.tokens.completion_tokens == sum(tokens_of(run)["completion_tokens"] for run in completed)
        assert metrics.duration.total == sum(duration_of(run) for run in completed)
        assert {name: tool.calls for name, tool in metrics.tools.items()} == {"search": len(completed)}
        assert (stats.pending, stats.dead, stats.dropped) == (0, 0, {})
        assert stats.accepted == stats.delivered
        assert len(receipts) <= stats.accepted <= len(receipts) + len(self.killed_writers)
        return {
            "kills": self.kills, "receipts": len(receipts), "runs": len(runs), "merged": stats.merged,
            "without receipt": len(without_receipt), "lost": 0, "recorded twice": 0,
        }  # fmt: skip


def main(kills: int, seed: int, durability: str) -> dict[str, Any]:
    with TemporaryDirectory() as folder:
        started_at = time.monotonic()
        counts = Experiment(Path(folder), kills, random.Random(seed), durability).run()
        seconds = round(time.monotonic() - started_at, 1)
        return {"durability": durability, "seed": seed, **counts, "seconds": seconds}


if __name__ == "__main__":
    logging.getLogger("xpander_sdk").setLevel(logging.CRITICAL)  # The faults cause many expected errors.
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=1_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--durability", choices=["crash", "power"], default="crash")
    arguments = parser.parse_args()
    results = main(arguments.kills, arguments.seed, arguments.durability)
    print(", ".join(f"{name}: {value}" for name, value in results.items()))
