"""Measures all subjects side by side, prints the table, and writes its part of docs/benchmarks.md: `make bench`.

Every figure comes from a fresh process. Client and stub share one CPU: a round trip between two CPUs costs several
times as much as one within a CPU, so a scheduler that is free to choose decides the comparison.
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
    """One of those that are compared.

    Attributes:
        module: what to import for the time of the import, where that is to be told.
        distributions: whose versions to tell.
        extra: the extra of xpander-report without which there is nothing to measure.
    """

    name: str
    script: str
    python: str
    distributions: tuple[str, ...] = ()
    module: str | None = None
    is_async_only: bool = False
    extra: str | None = None


SUBJECTS = (
    Subject(report.OURS, "sdk.py", OURS, ("xpander-report", "httpx", "httpcore"), "xpander_sdk"),
    # Its script is the place for what turns the faster transport on.
    Subject("ours, [fast]", "sdk_fast.py", OURS, ("httpx-aiohttp", "aiohttp"), is_async_only=True, extra="fast"),
    Subject("httpx", "kept_httpx.py", OURS, ("httpx", "httpcore"), "httpx"),
    Subject("aiohttp", "kept_aiohttp.py", OURS, ("aiohttp",), "aiohttp", is_async_only=True),
    Subject("raw socket", "raw_socket.py", OURS),
    Subject("official SDK", "sdk.py", OFFICIAL, ("xpander-sdk", "httpx", "httpcore"), "xpander_sdk"),
)

# (mode, size of the body), as the subjects take them
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
    seconds: float  # of reporting in one process
    imports: int  # processes for each module in one round


THOROUGH = Effort(rounds=5, seconds=0.6, imports=5)
QUICK = Effort(rounds=1, seconds=0.15, imports=3)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.client", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="one short round, printed only: to try it out")
    effort = QUICK if parser.parse_args().quick else THOROUGH
    begun = time.monotonic()
    # All processes inherit it.
    os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    present = [subject for subject in SUBJECTS if _is_present(subject)]
    samples = report.Samples()
    versions: dict[str, dict[str, str]] = {}
    with stub() as port:
        for number in range(effort.rounds):
            print(f"round {number + 1} of {effort.rounds}", file=sys.stderr, flush=True)
            _measure_imports(rotated(present, number), effort, samples)
            for turn, (mode, size) in enumerate(RUNS, start=number + 1):
                for subject in rotated(present, turn):
                    if mode in ("sync", "threads-16") and subject.is_async_only:
                        continue
                    measured, versions[subject.name] = _run(subject, mode, size, effort.seconds, port)
                    for what, value in measured.items():
                        samples.add(f"{mode} {size} {what}", subject.name, value)
    names = [subject.name for subject in present]
    print(report.as_text(report.rows(samples, names)))
    print("In brackets: how many times better ours is; below 1, ours is worse.")
    print(f"{effort.rounds} round(s) in {time.monotonic() - begun:.0f} s")
    if effort is THOROUGH:
        machine = report.Machine.this(effort.rounds, effort.seconds, versions)
        report.write("make bench", report.section(samples, names, machine))


def _is_present(subject: Subject) -> bool:
    extras = metadata.metadata("xpander-report").get_all("Provides-Extra") or []
    if subject.extra is None or (subject.extra in extras and _script(subject).exists()):
        return True
    print(f"{subject.name}: skipped, there is no xpander-report[{subject.extra}] here")
    return False


def rotated(subjects: Sequence[T], by: int) -> list[T]:
    first = by % len(subjects)
    return [*subjects[first:], *subjects[:first]]


def _measure_imports(subjects: Sequence[Subject], effort: Effort, samples: report.Samples) -> None:
    """Milliseconds from the start of a process to the end of the import, beyond a bare Python of the same environment:
    the environments' own start differs with what is installed there."""
    jobs: list[tuple[str, str | None]] = [(OURS, None), (OFFICIAL, None)]
    jobs += [(subject.python, subject.module) for subject in subjects if subject.module]
    taken: dict[tuple[str, str | None], list[float]] = {job: [] for job in jobs}
    for _ in range(effort.imports):
        for python, module in jobs:
            if python == OFFICIAL and module and taken[python, module]:
                continue  # it takes seconds: once a round
            code = f"import time{f', {module}' if module else ''}; print(time.monotonic())"
            begun = time.monotonic()
            taken[python, module].append((float(_output([python, "-c", code])) - begun) * 1_000)
    for subject in subjects:
        if subject.module:
            beyond = median(taken[subject.python, subject.module]) - median(taken[subject.python, None])
            samples.add("import", subject.name, beyond)
    samples.add("bare Python", report.OURS, median(taken[OURS, None]))


def _run(subject: Subject, mode: str, size: str, seconds: float, port: int) -> tuple[dict[str, float], dict[str, str]]:
    command = [subject.python, str(_script(subject)), mode, size, str(seconds), str(port), *subject.distributions]
    begun = time.monotonic()
    found: dict[str, Any] = json.loads(_output(command))
    measured: dict[str, float] = found["measured"]
    if "answered_at" in measured:
        measured = {"ms": (measured["answered_at"] - begun) * 1_000}
    return measured, found["versions"]


def _script(subject: Subject) -> Path:
    return ROOT / "benchmarks" / "subjects" / subject.script


def _output(command: Sequence[str]) -> str:
    done = subprocess.run(command, env=_environment(), capture_output=True, text=True, timeout=TIMEOUT, check=False)
    if done.returncode != 0:
        raise SystemExit(f"{' '.join(command[1:])} ended with {done.returncode}:\n{done.stderr[-3_000:]}")
    # The last line: a package may greet.
    return done.stdout.splitlines()[-1]


@cache
def _environment() -> dict[str, str]:
    """Only what a program needs: no proxy, no settings of either SDK; and the official SDK's telemetry is off."""
    # From the tests, which make sure that with these it reaches for no other host.
    sys.path.append(str(ROOT / "tests"))
    from interop.loopback import SWITCHES

    kept = {name: os.environ[name] for name in ("HOME", "LANG", "PATH", "TMPDIR") if name in os.environ}
    return {**kept, **SWITCHES, "PYTHONPATH": str(ROOT)}


@contextmanager
def stub() -> Iterator[int]:
    """The port of a running stub."""
    command = [sys.executable, "-m", "benchmarks.stub"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT) as process:
        try:
            assert process.stdout
            yield int(process.stdout.readline())
        finally:
            process.terminate()


if __name__ == "__main__":
    main()
