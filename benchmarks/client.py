"""Benchmark of clients (`make bench`): prints a table, and updates its part of docs/benchmarks.md.

Every figure comes from a new process. All processes run on one CPU: a round trip between two CPUs takes several times
as long as one on the same CPU, so the choices of the scheduler would decide the comparison.
"""

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from importlib import metadata
from pathlib import Path
from statistics import median
from typing import Any, TypeVar

from benchmarks import report

T = TypeVar("T")

ROOT = report.ROOT
OURS = str(ROOT / ".venv" / "bin" / "python")
OFFICIAL = str(ROOT / ".official-venv" / "bin" / "python")
TIMEOUT = 120  # seconds for one process


@dataclass(frozen=True)
class Subject:
    """One of the compared clients.

    Attributes:
        name: The name in the table.
        script: The file in benchmarks/subjects.
        python: The interpreter of its environment.
        distributions: The distributions whose versions are printed.
        module: The module whose import is measured; None to measure no import.
        is_async_only: Whether the client has no synchronous form.
        extra: The extra of xpander-report that the client needs; it is skipped without this extra.
    """

    name: str
    script: str
    python: str
    distributions: tuple[str, ...] = ()
    module: str | None = None
    is_async_only: bool = False
    extra: str | None = None


SUBJECTS = (
    Subject(report.OURS, "sdk_without_fast.py", OURS, ("xpander-report", "httpx", "httpcore"), "xpander_sdk"),
    Subject("ours, [fast]", "sdk.py", OURS, ("orjson",), extra="fast"),
    Subject("httpx", "httpx_client.py", OURS, ("httpx", "httpcore"), "httpx"),
    Subject("aiohttp", "aiohttp_client.py", OURS, ("aiohttp",), "aiohttp", is_async_only=True),
    Subject("raw socket", "raw_socket.py", OURS),
    Subject("official SDK", "sdk.py", OFFICIAL, ("xpander-sdk", "httpx", "httpcore"), "xpander_sdk"),
)

# Mode and size of the body: the arguments of the scripts.
RUNS = (
    ("first", "1kB"),
    ("sync", "1kB"),
    ("threads-16", "1kB"),
    ("async-1", "1kB"),
    ("async-32", "1kB"),
    ("sync", "100kB"),
    ("async-32", "100kB"),
)


@dataclass(frozen=True)
class Effort:
    rounds: int
    seconds: float  # time of reporting in one process
    imports: int  # processes that import one module, in one round


THOROUGH = Effort(rounds=5, seconds=0.6, imports=5)
QUICK = Effort(rounds=1, seconds=0.15, imports=3)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.client", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="run one short round and only print the results")
    effort = QUICK if parser.parse_args().quick else THOROUGH
    started = time.monotonic()
    # All child processes inherit the CPU.
    os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    available = [subject for subject in SUBJECTS if _is_available(subject)]
    samples = report.Samples()
    versions: dict[str, dict[str, str]] = {}
    with stub() as port:
        for number in range(effort.rounds):
            print(f"round {number + 1} of {effort.rounds}", file=sys.stderr, flush=True)
            _measure_imports(rotated(available, number), effort, samples)
            for position, (mode, size) in enumerate(RUNS, start=number + 1):
                for subject in rotated(available, position):
                    if mode in ("sync", "threads-16") and subject.is_async_only:
                        continue
                    measured, versions[subject.name] = _run(subject, mode, size, effort.seconds, port)
                    for quantity, value in measured.items():
                        samples.add(f"{mode} {size} {quantity}", subject.name, value)
    names = [subject.name for subject in available]
    print(report.as_text(report.rows(samples, names)))
    print("In brackets: by what factor ours is better; below 1, ours is worse.")
    print(f"{effort.rounds} round(s) in {time.monotonic() - started:.0f} s")
    if effort is THOROUGH:
        machine = report.Machine.this(effort.rounds, effort.seconds, versions)
        report.write("make bench", report.section(samples, names, machine))


def _is_available(subject: Subject) -> bool:
    extras = metadata.metadata("xpander-report").get_all("Provides-Extra") or []
    if subject.extra is None or (subject.extra in extras and _script(subject).exists()):
        return True
    print(f"{subject.name}: skipped, because xpander-report[{subject.extra}] is not installed")
    return False


def rotated(subjects: Sequence[T], by: int) -> list[T]:
    """Return the subjects in an order that starts `by` places later."""
    first = by % len(subjects)
    return [*subjects[first:], *subjects[:first]]


def _measure_imports(subjects: Sequence[Subject], effort: Effort, samples: report.Samples) -> None:
    """Measure the milliseconds from the start of a process to the end of the import.

    The start of the interpreter alone is measured for each environment and subtracted, because it depends on what is
    installed there.
    """
    jobs: list[tuple[str, str | None]] = [(OURS, None), (OFFICIAL, None)]
    jobs += [(subject.python, subject.module) for subject in subjects if subject.module]
    times: dict[tuple[str, str | None], list[float]] = {job: [] for job in jobs}
    for _ in range(effort.imports):
        for python, module in jobs:
            if python == OFFICIAL and module and times[python, module]:
                continue  # this import takes seconds, so it is measured once in each round
            code = f"import time{f', {module}' if module else ''}; print(time.monotonic())"
            started = time.monotonic()
            times[python, module].append((float(_output([python, "-c", code])) - started) * 1_000)
    for subject in subjects:
        if subject.module:
            beyond = median(times[subject.python, subject.module]) - median(times[subject.python, None])
            samples.add("import", subject.name, beyond)
    samples.add("bare Python", report.OURS, median(times[OURS, None]))


def _run(subject: Subject, mode: str, size: str, seconds: float, port: int) -> tuple[dict[str, float], dict[str, str]]:
    command = [subject.python, str(_script(subject)), mode, size, str(seconds), str(port), *subject.distributions]
    started = time.monotonic()
    result: dict[str, Any] = json.loads(_output(command))
    measured: dict[str, float] = result["measured"]
    if "answered_at" in measured:
        measured = {"ms": (measured["answered_at"] - started) * 1_000}
    return measured, result["versions"]


def _script(subject: Subject) -> Path:
    return ROOT / "benchmarks" / "subjects" / subject.script


def _output(command: Sequence[str]) -> str:
    done = subprocess.run(command, env=_environment(), capture_output=True, text=True, timeout=TIMEOUT, check=False)
    if done.returncode != 0:
        raise SystemExit(f"{' '.join(command[1:])} ended with {done.returncode}:\n{done.stderr[-3_000:]}")
    # The last line only, because a package may print a message at its import.
    return done.stdout.splitlines()[-1]


@cache
def _environment() -> dict[str, str]:
    """Return the environment of a subject: no proxy, no settings of an SDK, and no telemetry of the official SDK."""
    # These variables come from the tests, which check that the official SDK connects to no other host with them.
    sys.path.append(str(ROOT / "tests"))
    from interop.loopback import SWITCHES

    inherited = {name: os.environ[name] for name in ("HOME", "LANG", "PATH", "TMPDIR") if name in os.environ}
    return {**inherited, **SWITCHES, "PYTHONPATH": str(ROOT)}


@contextmanager
def stub() -> Iterator[int]:
    """Run the stub backend, and return its port."""
    command = [sys.executable, "-m", "benchmarks.stub"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT) as process:
        try:
            assert process.stdout
            yield int(process.stdout.readline())
        finally:
            process.terminate()


if __name__ == "__main__":
    main()
