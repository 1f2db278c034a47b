"""What was measured, as a table for the terminal and as a section of the page."""

import os
import platform
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median

OURS = "ours"
ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "benchmarks.md"


class Samples:
    """One figure of each measure and subject for each round."""

    def __init__(self) -> None:
        self._of: dict[tuple[str, str], list[float]] = defaultdict(list)

    def add(self, measure: str, subject: str, value: float) -> None:
        self._of[measure, subject].append(value)

    def median(self, measure: str, subject: str) -> float | None:
        return median(taken) if (taken := self._of.get((measure, subject))) else None

    def times_better(self, measure: "Measure", subject: str) -> float | None:
        """How many times better ours is: of each round, and of these the median."""
        pairs = list(zip(self._of.get((measure.key, OURS), []), self._of.get((measure.key, subject), []), strict=False))
        if not pairs:
            return None
        return median(ours / theirs if measure.is_more_better else theirs / ours for ours, theirs in pairs)


@dataclass(frozen=True)
class Measure:
    key: str
    title: str
    is_more_better: bool = False


MEASURES = (
    Measure("import", "import, ms beyond bare Python"),
    Measure("first 1kB ms", "first report of a new process, ms"),
    Measure("sync 1kB rate", "reports/s, one after another", is_more_better=True),
    Measure("threads-16 1kB rate", "reports/s, 16 threads", is_more_better=True),
    Measure("async-1 1kB rate", "reports/s, async, 1 in flight", is_more_better=True),
    Measure("async-32 1kB rate", "reports/s, async, 32 in flight", is_more_better=True),
    Measure("sync 100kB rate", "100 kB: reports/s, one after another", is_more_better=True),
    Measure("async-32 100kB rate", "100 kB: reports/s, async, 32 in flight", is_more_better=True),
    Measure("sync 1kB cpu", "CPU seconds per 1,000, one after another"),
    Measure("async-32 1kB cpu", "CPU seconds per 1,000, async, 32 in flight"),
    Measure("sync 1kB peak", "peak memory, MB, one after another"),
    Measure("async-32 1kB peak", "peak memory, MB, async, 32 in flight"),
)


@dataclass(frozen=True)
class Machine:
    """Where and how it was measured."""

    cores: int
    processor: str
    python: str
    system: str
    rounds: int
    seconds: float
    versions: Mapping[str, Mapping[str, str]]

    @classmethod
    def this(cls, rounds: int, seconds: float, versions: Mapping[str, Mapping[str, str]]) -> "Machine":
        system = f"{platform.system()} {platform.release().partition('-')[0]}"
        return cls(os.cpu_count() or 1, _processor(), platform.python_version(), system, rounds, seconds, versions)

    def told(self, subjects: Sequence[str]) -> str:
        versions = (
            f"{name}: {', '.join(f'{distribution} {number}' for distribution, number in self.versions[name].items())}"
            for name in subjects
            if self.versions.get(name)
        )
        here = f"{self.processor}, {self.cores} cores, {self.system}, Python {self.python}"
        return ";\n".join([here, *versions])


def _processor() -> str:
    with open("/proc/cpuinfo") as info:
        names = (line.partition(":")[2].strip() for line in info if line.startswith("model name"))
        return next(names, platform.machine())


Rows = list[list[str]]


def as_text(rows: Rows) -> str:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = ("  ".join([row[0].ljust(widths[0]), *map(str.rjust, row[1:], widths[1:])]).rstrip() for row in rows)
    return "\n".join(lines)


def as_markdown(rows: Rows) -> str:
    head, *others = rows
    return "\n".join("| " + " | ".join(row) + " |" for row in (head, ["---", *["---:"] * (len(head) - 1)], *others))


def write(command: str, section: str) -> None:
    """Put what a command wrote into the page, in place of what it wrote before."""
    begin, end = f"<!-- {command} wrote this: -->\n", f"<!-- end of {command} -->\n"
    text = PAGE.read_text("utf-8")
    before, _, after = text.partition(begin)
    after = after.partition(end)[2]
    PAGE.write_text(f"{before}{begin}{section}{end}{after}", "utf-8")
    print(f"written: {PAGE.relative_to(ROOT)}")


def section(samples: Samples, subjects: Sequence[str], machine: Machine) -> str:
    return SECTION.format(
        table=as_markdown(rows(samples, subjects)),
        machine=machine.told(subjects),
        bare=shown(samples.median("bare Python", OURS) or 0),
        rounds=machine.rounds,
        seconds=machine.seconds,
    )


def rows(samples: Samples, subjects: Sequence[str], measures: Sequence[Measure] = MEASURES) -> Rows:
    cells = ([measure.title, *(_cell(samples, measure, subject) for subject in subjects)] for measure in measures)
    return [["", *subjects], *cells]


def _cell(samples: Samples, measure: Measure, subject: str) -> str:
    value = samples.median(measure.key, subject)
    if value is None:
        return ""
    ratio = None if subject == OURS else samples.times_better(measure, subject)
    return shown(value) if ratio is None else f"{shown(value)} ({shown(ratio)}×)"


def shown(value: float) -> str:
    """Two or three digits that count, and all of those before the point."""
    digits = next((digits for digits, least in enumerate((100, 10, 0.1)) if abs(value) >= least), 3)
    return f"{value:,.{digits}f}"


SECTION = """\
Our client beside what one would pick instead, in one run on one machine. `make bench` wrote this.

{table}

In brackets: how many times better ours is (faster, or with less); below 1, ours is worse.

## What was measured

- **ours**: `Task.report_external_task` and `Task.areport_external_task`. **Official SDK**: the same calls of
  `xpander-sdk`, in an environment of its own. Both make the body from its arguments, and an object from the answer.
- **ours, [fast]**: `Task.areport_external_task` over the transport of the extra `fast`, which has no synchronous form.
- **httpx**, **aiohttp**: one kept client with its defaults posts the ready-made bytes, and decodes the answer's JSON.
- **raw socket**: the ready-made request on a kept connection (with asyncio's streams where async), and the decoded
  answer: the floor under any client in Python.

All send the same body; the stub that they send it to compares it byte for byte, and answers with a task of 1 kB.
Bodies are of 1 kB where the table does not say 100 kB. Client and stub share one CPU. Every figure comes from a fresh
process, which warms up and then reports for {seconds} s. Subjects take turns, in another order each time. A figure is
the median of {rounds} rounds; a ratio is taken within each round, and of these the median.

Imports are counted beyond the {bare} ms that a bare Python takes to start. A first report is counted from the start of
its process to the answer; the files are in the disk cache. The environment is that of the development: httpx loads
rich, click and trio, since they are installed there, and so does what uses it.

{machine}.

## Again

```sh
make bench            # about five minutes, and writes this part of the page
make bench QUICK=1    # a minute at the most, prints only
```

It needs Linux. Close what else is running: the figures of a busy machine swing widely, and the ratios with them.

## What the numbers do not say

- How fast a backend is: a network and a database cost more than any of these clients. What is saved here is the CPU of
  the program that reports.
- What TLS costs: the stub speaks plain HTTP. A kept connection pays for its handshake once; the official SDK connects
  anew for every call, which costs it more over TLS than here.
- What comes with it: ours and the official SDK check the arguments and encode the body, ours retries and keeps times
  in order; the others do nothing of this. Their bytes are made before the clock starts.
- That client and server on CPUs of their own would give the same figures: they would not, nor the same ratios.
"""
