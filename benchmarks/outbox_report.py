"""Results of `make bench-outbox`, as tables for the terminal and as a section of docs/benchmarks.md."""

from collections.abc import Sequence
from dataclasses import dataclass

from benchmarks import report
from benchmarks.report import Measure, format_figure

CALLS = (
    Measure("none median", 'µs per call, `worker="none"`: median'),
    Measure("none p99", "p99"),
    Measure("away median", "µs per call, backend unreachable: median"),
    Measure("away p99", "p99"),
    Measure("deliver median", "µs per call, during delivery: median"),
    Measure("deliver p99", "p99"),
    Measure("away first", "first run of a new process, ms"),
    Measure("none cpu", 'CPU seconds per 1,000, `worker="none"`'),
    Measure("away cpu", "CPU seconds per 1,000, backend unreachable"),
    Measure("deliver cpu", "CPU seconds per 1,000, with delivery"),
    Measure("deliver rate", "runs/s, until the backend has received all", is_higher_better=True),
    Measure("deliver arrived", "of these runs received, %", is_higher_better=True),
)
DRAINS = ("a stub", "our server")
DRAIN = (
    Measure("drain rate", "reports/s", is_higher_better=True),
    Measure("drain cpu", "CPU seconds per 1,000"),
    Measure("drain grown", "file per 1,000 reports, MB"),
    Measure("drain drained", "file after the drain, MB"),
    Measure("drain closed", "file after the end of the program, MB"),
)


@dataclass(frozen=True)
class Survival:
    """Number of runs that arrived of those that a program left behind.

    Attributes:
        subject: The product.
        left: The number of runs that the program left behind.
        is_killed: Whether the program was killed; otherwise, it ended normally.
        arrived: The number of these runs that the backend received later.
        seconds: The seconds that the normal end took; None if the program did not end.
    """

    subject: str
    left: int
    is_killed: bool
    arrived: int
    seconds: float | None


@dataclass(frozen=True)
class Tables:
    """Tables of the results."""

    samples: report.Samples
    subjects: Sequence[str]
    survivals: Sequence[Survival]

    def as_text(self) -> str:
        """Return the tables for the terminal."""
        tables = (self._calls(), self._drain(), self._survivals())
        return "\n\n".join(map(report.as_text, tables))

    def section(self, machine: report.Machine, *, calls: int, drained: int) -> str:
        """Return the section of the page."""
        return SECTION.format(
            calls=report.as_markdown(self._calls()),
            drain=report.as_markdown(self._drain()),
            survivals=report.as_markdown(self._survivals()),
            count=f"{calls:,}",
            drained=f"{drained:,}",
            rounds=machine.rounds,
            machine=machine.describe(self.subjects),
        )

    def _calls(self) -> report.Rows:
        return report.rows(self.samples, self.subjects, CALLS)

    def _drain(self) -> report.Rows:
        rows = ([measure.title, *(self._plain(measure, name) for name in DRAINS)] for measure in DRAIN)
        return [["", *DRAINS], *rows]

    def _plain(self, measure: Measure, subject: str) -> str:
        value = self.samples.median(measure.key, subject)
        return "" if value is None else format_figure(value)

    def _survivals(self) -> report.Rows:
        names = list(dict.fromkeys(survival.subject for survival in self.survivals))
        rows: dict[tuple[int, bool], list[str]] = {}
        for survival in self.survivals:
            end = "kill -9" if survival.is_killed else "exit"
            row = rows.setdefault((survival.left, survival.is_killed), [f"{survival.left:,} left, {end}: arrived"])
            if survival.is_killed:
                row.append(f"{survival.arrived:,}")
            else:
                duration = "did not end" if survival.seconds is None else f"exit {survival.seconds:.1f} s"
                row.append(f"{survival.arrived:,} ({duration})")
        return [["", *names], *rows.values()]


SECTION = """\
`make bench-outbox` wrote this section in one run on one machine. It measures the cost of submitting a finished run of
about 1 kB, and how many runs arrive.

{calls}

In brackets: by what factor ours is better (faster, or using less); below 1, ours is worse. A call of **ours**, with the
default `durability="crash"`, returns when the run is in the file, where it survives the end of the process. A call of
**ours, power** (`durability="power"`) returns when the run is on the disk. The calls of the other products return when
the run is in memory. The environment has the extra `fast`, and the backend takes many runs in one request from each
product.

Draining an outbox with {drained} reports after the backend has become reachable. The stub takes single reports
only, and our server takes batches:

{drain}

Surviving runs: a program records runs while the backend is unreachable, and ends normally or by kill -9. Then the
backend starts, and the same program starts again, records one more run, and flushes. The table shows how many of the
runs left behind arrived:

{survivals}

### Method

- **ours**: `Backend.submit_external_task`. **langsmith**: `Client.create_run`, once, with the outputs and the end.
  **langfuse**: `start_observation(as_type="generation")` and `end()`. **opik**: `trace`, and a `span` in it for the
  token usage. All use their default settings, except that telemetry is off. Each of the products, ours
  too, has a separate environment.
- A new process makes 50 calls to warm up, and then {count} calls one after another without a pause. During delivery,
  the caller and the delivery compete for the same CPU. "Until the backend has received all" ends with the product's
  `flush`. The program and the backend share one CPU; the backend accepts every request and counts the runs in it.
- The time of a first run starts with the process and includes imports.
- Each figure is the median of {rounds} rounds, in each of which the products run in a different order. Surviving runs
  were measured once; a program that had not ended after 60 s was killed.
- The size of the file includes SQLite's write-ahead log, which grows with every commit until a checkpoint.

{machine}.

### Limits

- The backend takes many runs in one request, as our server does. To a backend that takes single reports only, such as
  the stub of the second table, each run is a request of its own, at a lower rate and with more CPU time.
- The disk determines the time of `power`, which waits for it at every call.
- The other products may lose fewer runs with other settings: langsmith, for example, can write failed requests into a
  folder (`LANGSMITH_FAILED_TRACES_DIR`).

```sh
make bench-outbox            # a quarter of an hour; updates this section
make bench-outbox QUICK=1    # one short round; only prints
```
"""
