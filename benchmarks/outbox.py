"""Benchmark of outboxes (`make bench-outbox`): the cost of submitting a run, and what survives an unreachable backend.

Compares our outbox with langsmith, langfuse and opik, prints tables, and updates its part of docs/benchmarks.md. Every
figure comes from a new process with an empty home folder, on the same CPU as the backend. A hook in each process fails
any connection to another host.
"""

import argparse
import json
import os
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

sys.path.append(str(Path(__file__).parents[1] / "tests"))

from benchmarks import outbox_report, report, workload
from benchmarks.client import rotated, stub
from benchmarks.subjects.outbox_harness import LAST_NUMBER
from support.server import KEY, running_server

SUBJECTS = report.ROOT / "benchmarks" / "subjects"
TIMEOUT = 200  # seconds for one process
EXIT_SECONDS = 60  # a program that has not ended after this time is killed
# Switches off telemetry and downloads.
SWITCHES = {
    "DO_NOT_TRACK": "1",
    "OPIK_SENTRY_ENABLE": "false",
    "OPIK_ANALYTICS_ENABLE": "false",
    "OPIK_CONSOLE_LOGGING_LEVEL": "ERROR",
    "LITELLM_LOCAL_MODEL_COST_MAP": "True",
}


@dataclass(frozen=True)
class Subject:
    """One of the compared products, with the variant of its settings."""

    name: str
    script: str
    python: str
    variant: str = "default"
    distributions: tuple[str, ...] = ()


def _python(name: str) -> str:
    """Return the interpreter of the environment in which only this product and its dependencies are installed."""
    return str(report.ROOT / ".recorders" / name / "bin" / "python")


def _peer(name: str) -> Subject:
    return Subject(name, f"outbox_{name}.py", _python(name), distributions=(name,))


OURS = _python("ours")
PEERS = (_peer("langsmith"), _peer("langfuse"), _peer("opik"))
CRASH = Subject(report.OURS, "outbox_ours.py", OURS, "crash-thread", ("xpander-report",))
POWER = Subject("ours, power", "outbox_ours.py", OURS, "power-thread")
WITHOUT_WORKER = (
    Subject(report.OURS, "outbox_ours.py", OURS, "crash-none"),
    Subject("ours, power", "outbox_ours.py", OURS, "power-none"),
)


@dataclass(frozen=True)
class Effort:
    rounds: int
    calls: int  # calls in one process
    drained: int  # reports in the outbox that is drained
    left: Sequence[int]  # numbers of runs that a program leaves behind


THOROUGH = Effort(rounds=5, calls=2_000, drained=2_000, left=(1, 10_000))
QUICK = Effort(rounds=1, calls=500, drained=500, left=(1, 300))


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.outbox", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="run one short round and only print the results")
    effort = QUICK if parser.parse_args().quick else THOROUGH
    started = time.monotonic()
    os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})  # all child processes inherit it
    samples = report.Samples()
    versions: dict[str, dict[str, str]] = {}
    for number in range(effort.rounds):
        print(f"round {number + 1} of {effort.rounds}", file=sys.stderr, flush=True)
        _measure_calls(number, effort, samples, versions)
        _measure_draining(effort, samples)
    survivals = [_measure_survival(subject, count, is_killed) for count in effort.left for is_killed in (False, True)
            for subject in (CRASH, *PEERS)]  # fmt: skip
    names = [CRASH.name, POWER.name, *(peer.name for peer in PEERS)]
    tables = outbox_report.Tables(samples, names, survivals)
    print(tables.as_text())
    print(f"{effort.rounds} round(s) in {time.monotonic() - started:.0f} s")
    if effort is THOROUGH:
        machine = report.Machine.this(effort.rounds, 0, versions)
        report.write("make bench-outbox", tables.section(machine, calls=effort.calls, drained=effort.drained))


def _measure_calls(first: int, effort: Effort, samples: report.Samples, versions: dict[str, dict[str, str]]) -> None:
    for subject in rotated((CRASH, POWER, *PEERS), first):
        with tempfile.TemporaryDirectory() as home, collector() as port:
            result = _output(subject, home, "deliver", effort.calls, port)
            arrived = len(_arrived(port))
        versions[subject.name] = result["versions"]
        _add(samples, "deliver", subject, {**result["measured"], "arrived": arrived / (effort.calls + 50) * 100})
    for subject in rotated((CRASH, POWER, *PEERS), first + 1):
        _measure_away("away", subject, effort, samples)
    for subject in WITHOUT_WORKER:
        _measure_away("none", subject, effort, samples)


def _measure_away(kind: str, subject: Subject, effort: Effort, samples: report.Samples) -> None:
    with tempfile.TemporaryDirectory() as home:
        started = time.monotonic()
        measured = _output(subject, home, "submit", effort.calls, _free_port())["measured"]
        measured["first"] = (measured.pop("first_at") - started) * 1_000
        _add(samples, kind, subject, measured)


def _add(samples: report.Samples, kind: str, subject: Subject, measured: dict[str, float]) -> None:
    for quantity, value in measured.items():
        samples.add(f"{kind} {quantity}", subject.name, value)


def _measure_draining(effort: Effort, samples: report.Samples) -> None:
    with tempfile.TemporaryDirectory() as home, stub() as port:
        _drain("a stub", f"http://127.0.0.1:{port}", workload.KEY, home, effort, samples)
    with tempfile.TemporaryDirectory() as home, running_server(Path(home) / "store.db") as server:
        _drain("our server", server.url, KEY, home, effort, samples)


def _drain(name: str, url: str, key: str, home: str, effort: Effort, samples: report.Samples) -> None:
    command = [OURS, str(SUBJECTS / "outbox_drain.py"), str(effort.drained), url, key]
    for quantity, value in _result(command, home)["measured"].items():
        samples.add(f"drain {quantity}", name, value)


def _measure_survival(subject: Subject, count: int, is_killed: bool) -> outbox_report.Survival:
    """Measure how many runs arrive that a program leaves behind while the backend is unreachable.

    The backend starts after the program has ended; then the program starts again.
    """
    port = _free_port()
    with tempfile.TemporaryDirectory() as home:
        seconds = _leave(subject, home, count, port, is_killed=is_killed)
        with collector(port):
            command = _command(subject, "return", 1, port)
            is_ended = _ends(_start(command, home), TIMEOUT)
            arrived = _arrived(port) - {workload.MARK.format(LAST_NUMBER)}
    if not is_ended:
        print(f"{subject.name}: the next program did not end", file=sys.stderr)
    return outbox_report.Survival(subject.name, count, is_killed, len(arrived), seconds)


def _leave(subject: Subject, home: str, count: int, port: int, *, is_killed: bool) -> float | None:
    """Run a program that leaves runs behind; return the seconds that its end took, or None if it did not end."""
    process = _start(_command(subject, "leave", count, port), home)
    assert process.stdin
    assert process.stdout
    while process.stdout.readline().strip() != "recorded":
        assert process.poll() is None, f"{subject.name} ended with {process.returncode}"
    started = time.monotonic()
    if is_killed:
        process.kill()
    else:
        process.stdin.close()
    is_ended = _ends(process, EXIT_SECONDS)
    return time.monotonic() - started if is_ended else None


def _start(command: Sequence[str], home: str) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        command, env=_environment(home), cwd=home, text=True,
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
    )  # fmt: skip


def _ends(process: "subprocess.Popen[str]", seconds: float) -> bool:
    try:
        process.wait(seconds)
        return True
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
        return False


def _command(subject: Subject, mode: str, count: int, port: int) -> list[str]:
    script = str(SUBJECTS / subject.script)
    return [subject.python, script, mode, str(count), str(port), subject.variant, *subject.distributions]


def _output(subject: Subject, home: str, mode: str, count: int, port: int) -> dict[str, Any]:
    return _result(_command(subject, mode, count, port), home)


def _result(command: Sequence[str], home: str) -> dict[str, Any]:
    done = subprocess.run(
        command, env=_environment(home), cwd=home, capture_output=True, text=True, timeout=TIMEOUT, check=False
    )
    if done.returncode != 0:
        raise SystemExit(f"{' '.join(command[1:])} ended with {done.returncode}:\n{done.stderr[-3_000:]}")
    result: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return result


def _environment(home: str) -> dict[str, str]:
    """Return the environment of a program: products store their files in `home`."""
    path = f"{report.ROOT}{os.pathsep}{report.ROOT / 'tests'}"
    return {"PATH": os.environ["PATH"], "HOME": home, "TMPDIR": home, "PYTHONPATH": path, **SWITCHES}


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


@contextmanager
def collector(port: int = 0) -> Iterator[int]:
    """Run the collecting backend, and return its port."""
    command = [sys.executable, "-m", "benchmarks.collector", str(port)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=report.ROOT) as process:
        try:
            assert process.stdout
            yield int(process.stdout.readline())
        finally:
            process.terminate()


def _arrived(port: int) -> set[str]:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/arrived", timeout=10) as response:
        return set(json.load(response))


if __name__ == "__main__":
    main()
