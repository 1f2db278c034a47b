"""Results of a benchmark, as a table for the terminal and as a section of docs/benchmarks.md."""

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
    """Figures by measure and subject, one for each round."""

    def __init__(self) -> None:
        self._figures: dict[tuple[str, str], list[float]] = defaultdict(list)

    def add(self, measure: str, subject: str, value: float) -> None:
        """Add the figure of one round."""
        self._figures[measure, subject].append(value)

    def median(self, measure: str, subject: str) -> float | None:
        """Return the median of all rounds; None if nothing was measured."""
        figures = self._figures.get((measure, subject))
        return median(figures) if figures else None

    def times_better(self, measure: "Measure", subject: str) -> float | None:
        """Return the factor by which ours is better: the median of the factors in each round."""
        pairs = list(
            zip(self._figures.get((measure.key, OURS), []), self._figures.get((measure.key, subject), []), strict=False)
        )
        if not pairs:
            return None
        return median(ours / theirs if measure.is_higher_better else theirs / ours for ours, theirs in pairs)


@dataclass(frozen=True)
class Measure:
    """One row of a table."""

    key: str
    title: str
    is_higher_better: bool = False


MEASURES = (
    Measure("import", "import, ms beyond bare Python"),
    Measure("first 1kB ms", "first report of a new process, ms"),
    Measure("sync 1kB rate", "reports/s, one after another", is_higher_better=True),
    Measure("threads-16 1kB rate", "reports/s, 16 threads", is_higher_better=True),
    Measure("async-1 1kB rate", "reports/s, async, 1 in flight", is_higher_better=True),
    Measure("async-32 1kB rate", "reports/s, async, 32 in flight", is_higher_better=True),
    Measure("sync 100kB rate", "100 kB: reports/s, one after another", is_higher_better=True),
    Measure("async-32 100kB rate", "100 kB: reports/s, async, 32 in flight", is_higher_better=True),
    Measure("sync 1kB cpu", "CPU seconds per 1,000, one after another"),
    Measure("async-32 1kB cpu", "CPU seconds per 1,000, async, 32 in flight"),
    Measure("sync 1kB peak", "peak memory, MB, one after another"),
    Measure("async-32 1kB peak", "peak memory, MB, async, 32 in flight"),
)


@dataclass(frozen=True)
class Machine:
    """Machine and settings of a run."""

    cores: int
    processor: str
    python: str
    system: str
    rounds: int
    seconds: float
    versions: Mapping[str, Mapping[str, str]]

    @classmethod
    def this(cls, rounds: int, seconds: float, versions: Mapping[str, Mapping[str, str]]) -> "Machine":
        """Return a description of the machine that runs this program."""
        system = f"{platform.system()} {platform.release().partition('-')[0]}"
        return cls(os.cpu_count() or 1, _processor(), platform.python_version(), system, rounds, seconds, versions)

    def describe(self, subjects: Sequence[str]) -> str:
        """Return the machine, and the versions of the subjects, as text."""
        versions = (
            f"{name}: {', '.join(f'{distribution} {number}' for distribution, number in self.versions[name].items())}"
            for name in subjects
            if self.versions.get(name)
        )
        machine = f"{self.processor}, {self.cores} cores, {self.system}, Python {self.python}"
        return ";\n".join([machine, *versions])


def _processor() -> str:
    with open("/proc/cpuinfo") as info:
        names = (line.partition(":")[2].strip() for line in info if line.startswith("model name"))
        return next(names, platform.machine())


Rows = list[list[str]]


def as_text(rows: Rows) -> str:
    """Return a table for the terminal."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = ("  ".join([row[0].ljust(widths[0]), *map(str.rjust, row[1:], widths[1:])]).rstrip() for row in rows)
    return "\n".join(lines)


def as_markdown(rows: Rows) -> str:
    """Return a table in Markdown."""
    head, *others = rows
    return "\n".join("| " + " | ".join(row) + " |" for row in (head, ["---", *["---:"] * (len(head) - 1)], *others))


def write(command: str, section: str) -> None:
    """Replace the section of a command in docs/benchmarks.md."""
    begin, end = f"<!-- {command} wrote this: -->\n", f"<!-- end of {command} -->\n"
    text = PAGE.read_text("utf-8")
    before, _, after = text.partition(begin)
    after = after.partition(end)[2]
    PAGE.write_text(f"{before}{begin}{section}{end}{after}", "utf-8")
    print(f"updated: {PAGE.relative_to(ROOT)}")


def section(samples: Samples, subjects: Sequence[str], machine: Machine) -> str:
    """Return the section of `make bench`."""
    return SECTION.format(
        table=as_markdown(rows(samples, subjects)),
        machine=machine.describe(subjects),
        bare=format_figure(samples.median("bare Python", OURS) or 0),
        rounds=machine.rounds,
        seconds=machine.seconds,
    )


def rows(samples: Samples, subjects: Sequence[str], measures: Sequence[Measure] = MEASURES) -> Rows:
    """Return the rows of a table with one column for each subject."""
    cells = ([measure.title, *(_cell(samples, measure, subject) for subject in subjects)] for measure in measures)
    return [["", *subjects], *cells]


def _cell(samples: Samples, measure: Measure, subject: str) -> str:
    value = samples.median(measure.key, subject)
    if value is None:
        return ""
    ratio = None if subject == OURS else samples.times_better(measure, subject)
    return format_figure(value) if ratio is None else f"{format_figure(value)} ({format_figure(ratio)}×)"


def format_figure(value: float) -> str:
    """Return a figure with two or three significant digits, and with all digits before the decimal point."""
    digits = next((digits for digits, least in enumerate((100, 10, 0.1)) if abs(value) >= least), 3)
    return f"{value:,.{digits}f}"


SECTION = """\
`make bench` wrote this section in one run on one machine. It compares our client with the alternatives.

{table}

In brackets: by what factor ours is better (faster, or using less); below 1, ours is worse.

### Method

- **ours**: `Task.report_external_task` and `Task.areport_external_task`. **Official SDK**: the same calls of
  `xpander-sdk`, in a separate environment. Both create the body from their arguments, and an object from the response.
- **ours, [fast]**: the same with the extra `fast`, which encodes with orjson.
- **httpx**, **aiohttp**: one client with default settings sends prepared bytes, and decodes the JSON of the response.
- **raw socket**: the prepared request on a persistent connection (with asyncio's streams for async), and the decoded
  response. No client in Python can be faster.

All clients send the same body to the same stub. The stub compares the body byte for byte, and responds with a task of
1 kB. Bodies have 1 kB unless the table names 100 kB. Client and stub share one CPU. Every figure comes from a new
process, which warms up and then reports for {seconds} s. The clients run one after another, in a different order in
each round. A figure is the median of {rounds} rounds; a factor is the median of the factors in each round.

The times of imports exclude the {bare} ms that Python takes to start. The time of a first report starts with its
process and ends with the response; all files are in the disk cache. The environment is that of development: httpx
imports rich, click and trio because they are installed, and so does every program that imports httpx.

{machine}.

### Repeat it

```sh
make bench            # about five minutes; updates this section
make bench QUICK=1    # at most a minute; only prints
```

The benchmark needs Linux. Stop other programs first: on a busy machine, the figures and the factors vary widely.

### Limits

- A network and a database take more time than any of these clients. A faster client saves CPU time of the program
  that reports; it does not make a backend faster.
- The stub uses plain HTTP. Over TLS, a persistent connection needs one handshake; the official SDK connects again for
  every call, which costs more over TLS than here.
- Ours and the official SDK check the arguments and encode the body; ours also retries, and keeps reports in order. The
  other clients omit all of this: their bytes are prepared before the measurement.
- With client and server on different CPUs, the figures and the factors would differ.
"""
