"""What it costs to hand a run over, and what is kept when the backend is away, ours beside langsmith, langfuse and
opik: `make bench-outbox`. It prints the tables, and writes its part of docs/benchmarks.md.

Every figure comes from a fresh process with a home folder of its own, on one CPU with the backend. No product reaches
for another host than this one: a hook in each process makes sure.
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
from benchmarks.client import OURS, rotated, stub
from benchmarks.subjects.recording import LATER
from support.server import KEY, running_server

SUBJECTS = report.ROOT / "benchmarks" / "subjects"
TIMEOUT = 200  # seconds for one process
EXIT_SECONDS = 60  # then a program that does not end is killed
# No telemetry; no wait for what is not there.
SWITCHES = {
    "DO_NOT_TRACK": "1",
    "OPIK_SENTRY_ENABLE": "false",
    "OPIK_ANALYTICS_ENABLE": "false",
    "OPIK_CONSOLE_LOGGING_LEVEL": "ERROR",
    "LITELLM_LOCAL_MODEL_COST_MAP": "True",
}


@dataclass(frozen=True)
class Subject:
    name: str
    script: str
    python: str
    variant: str = "default"
    distributions: tuple[str, ...] = ()


def _peer(name: str) -> Subject:
    python = str(report.ROOT / ".recorders" / name / "bin" / "python")
    return Subject(name, f"outbox_{name}.py", python, distributions=(name,))


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
    calls: int  # in one process
    drained: int
    left: Sequence[int]  # how many runs a program leaves behind


THOROUGH = Effort(rounds=5, calls=2_000, drained=2_000, left=(1, 10_000))
QUICK = Effort(rounds=1, calls=500, drained=500, left=(1, 300))


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.outbox", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="one short round, printed only: to try it out")
    effort = QUICK if parser.parse_args().quick else THOROUGH
    begun = time.monotonic()
    os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})  # all processes inherit it
    samples = report.Samples()
    versions: dict[str, dict[str, str]] = {}
    for number in range(effort.rounds):
        print(f"round {number + 1} of {effort.rounds}", file=sys.stderr, flush=True)
        _measure_calls(number, effort, samples, versions)
        _measure_draining(effort, samples)
    kept = [_kept(subject, count, is_killed) for count in effort.left for is_killed in (False, True)
            for subject in (CRASH, *PEERS)]  # fmt: skip
    names = [CRASH.name, POWER.name, *(peer.name for peer in PEERS)]
    tables = outbox_report.Tables(samples, names, kept)
    print(tables.as_text())
    print(f"{effort.rounds} round(s) in {time.monotonic() - begun:.0f} s")
    if effort is THOROUGH:
        machine = report.Machine.this(effort.rounds, 0, versions)
        report.write("make bench-outbox", tables.section(machine, calls=effort.calls, drained=effort.drained))


def _measure_calls(turn: int, effort: Effort, samples: report.Samples, versions: dict[str, dict[str, str]]) -> None:
    for subject in rotated((CRASH, POWER, *PEERS), turn):
        with tempfile.TemporaryDirectory() as home, collector() as port:
            found = _output(subject, home, "deliver", effort.calls, port)
            arrived = len(_arrived(port))
        versions[subject.name] = found["versions"]
        _add(samples, "deliver", subject, {**found["measured"], "arrived": arrived / (effort.calls + 50) * 100})
    for subject in rotated((CRASH, POWER, *PEERS), turn + 1):
        _measure_away("away", subject, effort, samples)
    for subject in WITHOUT_WORKER:
        _measure_away("none", subject, effort, samples)


def _measure_away(kind: str, subject: Subject, effort: Effort, samples: report.Samples) -> None:
    with tempfile.TemporaryDirectory() as home:
        begun = time.monotonic()
        measured = _output(subject, home, "submit", effort.calls, _free_port())["measured"]
        measured["first"] = (measured.pop("first_at") - begun) * 1_000
        _add(samples, kind, subject, measured)


def _add(samples: report.Samples, kind: str, subject: Subject, measured: dict[str, float]) -> None:
    for what, value in measured.items():
        samples.add(f"{kind} {what}", subject.name, value)


def _measure_draining(effort: Effort, samples: report.Samples) -> None:
    with tempfile.TemporaryDirectory() as home, stub() as port:
        _drain("a stub", f"http://127.0.0.1:{port}", workload.KEY, home, effort, samples)
    with tempfile.TemporaryDirectory() as home, running_server(Path(home) / "store.db") as server:
        _drain("our server", server.url, KEY, home, effort, samples)


def _drain(name: str, url: str, key: str, home: str, effort: Effort, samples: report.Samples) -> None:
    command = [OURS, str(SUBJECTS / "outbox_drain.py"), str(effort.drained), url, key]
    for what, value in _result(command, home)["measured"].items():
        samples.add(f"drain {what}", name, value)


def _kept(subject: Subject, count: int, is_killed: bool) -> outbox_report.Kept:
    """A program leaves runs behind while the backend is away; the backend comes back, and the next program begins."""
    port = _free_port()
    with tempfile.TemporaryDirectory() as home:
        seconds = _leave(subject, home, count, port, is_killed=is_killed)
        with collector(port):
            command = _command(subject, "return", 1, port)
            is_returned = _ends(_started(command, home), TIMEOUT)
            arrived = _arrived(port) - {workload.MARK.format(LATER)}
    if not is_returned:
        print(f"{subject.name}: the next program did not end", file=sys.stderr)
    return outbox_report.Kept(subject.name, count, is_killed, len(arrived), seconds)


def _leave(subject: Subject, home: str, count: int, port: int, *, is_killed: bool) -> float | None:
    """How long the program took to end, in seconds; None where it did not."""
    process = _started(_command(subject, "leave", count, port), home)
    assert process.stdin
    assert process.stdout
    while process.stdout.readline().strip() != "recorded":
        assert process.poll() is None, f"{subject.name} ended with {process.returncode}"
    begun = time.monotonic()
    if is_killed:
        process.kill()
    else:
        process.stdin.close()
    is_ended = _ends(process, EXIT_SECONDS)
    return time.monotonic() - begun if is_ended else None


def _started(command: Sequence[str], home: str) -> "subprocess.Popen[str]":
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
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def _environment(home: str) -> dict[str, str]:
    """Only what a program needs; what a product keeps on the disk, it keeps in `home`."""
    path = f"{report.ROOT}{os.pathsep}{report.ROOT / 'tests'}"
    return {"PATH": os.environ["PATH"], "HOME": home, "TMPDIR": home, "PYTHONPATH": path, **SWITCHES}


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


@contextmanager
def collector(port: int = 0) -> Iterator[int]:
    command = [sys.executable, "-m", "benchmarks.collector", str(port)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=report.ROOT) as process:
        try:
            assert process.stdout
            yield int(process.stdout.readline())
        finally:
            process.terminate()


def _arrived(port: int) -> set[str]:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/arrived", timeout=10) as answer:
        return set(json.load(answer))


if __name__ == "__main__":
    main()
