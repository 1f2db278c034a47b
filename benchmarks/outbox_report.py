"""What `make bench-outbox` measured, as tables for the terminal and as a section of the page."""

from collections.abc import Sequence
from dataclasses import dataclass

from benchmarks import report
from benchmarks.report import Measure, shown

CALLS = (
    Measure("none median", 'µs a call, `worker="none"`: median'),
    Measure("none p99", "the same: p99"),
    Measure("away median", "µs a call, backend away: median"),
    Measure("away p99", "the same: p99"),
    Measure("deliver median", "µs a call, delivering meanwhile: median"),
    Measure("deliver p99", "the same: p99"),
    Measure("away first", "first run of a new process, ms"),
    Measure("none cpu", 'CPU seconds per 1,000, `worker="none"`'),
    Measure("away cpu", "CPU seconds per 1,000, backend away"),
    Measure("deliver cpu", "CPU seconds per 1,000, with the delivery"),
    Measure("deliver rate", "runs/s, until the backend has all", is_more_better=True),
    Measure("deliver arrived", "of them arrived, %", is_more_better=True),
)
DRAINS = ("a stub", "our server")
DRAIN = (
    Measure("drain rate", "reports/s", is_more_better=True),
    Measure("drain cpu", "CPU seconds per 1,000"),
    Measure("drain grown", "file per 1,000 reports, MB"),
    Measure("drain drained", "file after the drain, MB"),
    Measure("drain closed", "file after the end of the program, MB"),
)


@dataclass(frozen=True)
class Kept:
    """What arrived of the runs that a program left behind, and how long its end took: None if it did not end."""

    subject: str
    left: int
    is_killed: bool
    arrived: int
    seconds: float | None


@dataclass(frozen=True)
class Tables:
    samples: report.Samples
    subjects: Sequence[str]
    kept: Sequence[Kept]

    def as_text(self) -> str:
        tables = (self._calls(), self._drain(), self._kept())
        return "\n\n".join(map(report.as_text, tables))

    def section(self, machine: report.Machine, *, calls: int, drained: int) -> str:
        return SECTION.format(
            calls=report.as_markdown(self._calls()),
            drain=report.as_markdown(self._drain()),
            kept=report.as_markdown(self._kept()),
            count=f"{calls:,}",
            drained=f"{drained:,}",
            rounds=machine.rounds,
            machine=machine.told(self.subjects),
        )

    def _calls(self) -> report.Rows:
        return report.rows(self.samples, self.subjects, CALLS)

    def _drain(self) -> report.Rows:
        rows = ([measure.title, *(self._plain(measure, name) for name in DRAINS)] for measure in DRAIN)
        return [["", *DRAINS], *rows]

    def _plain(self, measure: Measure, subject: str) -> str:
        value = self.samples.median(measure.key, subject)
        return "" if value is None else shown(value)

    def _kept(self) -> report.Rows:
        names = list(dict.fromkeys(kept.subject for kept in self.kept))
        rows: dict[tuple[int, bool], list[str]] = {}
        for kept in self.kept:
            end = "kill -9" if kept.is_killed else "exit"
            row = rows.setdefault((kept.left, kept.is_killed), [f"{kept.left:,} left, {end}: arrived"])
            if kept.is_killed:
                row.append(f"{kept.arrived:,}")
            else:
                took = "did not end" if kept.seconds is None else f"exit {kept.seconds:.1f} s"
                row.append(f"{kept.arrived:,} ({took})")
        return [["", *names], *rows.values()]


SECTION = """\
What it costs to hand over a finished run of about 1 kB, and what becomes of it, in one run on one machine. `make
bench-outbox` wrote this.

{calls}

In brackets: how many times better ours is (faster, or with less); below 1, ours is worse. With **ours**, the
default `durability="crash"`, a call returns when the run is in the file, where it survives the end of the process; with
**ours, power** (`durability="power"`) when the disk has it, too; with the others when the run is in memory.

What a full outbox becomes, with {drained} reports in it, when the backend is back:

{drain}

A program records runs while nothing listens at the backend's port, and ends normally or by kill -9; then the backend is
there, and the same program starts again, records one more run and flushes. Of the runs that were left behind, so many
arrived:

{kept}

## What was measured

- **ours**: `Backend.submit_external_task`. **langsmith**: `Client.create_run`, once, with the outputs and the end.
  **langfuse**: `start_observation(as_type="generation")` and `end()`. **opik**: `trace` and, for the token usage, a
  `span` in it. All with their defaults but for telemetry, which is off; each in an environment of its own.
- The calls are made one after another without a pause, {count} in a fresh process after 50 to warm up: while a run is
  delivered, the caller competes with the delivery for the same CPU. "Until the backend has all" ends with the product's
  own `flush`. Program and backend share one CPU; that backend takes what comes and counts the runs in it.
- A first run is counted from the start of the process, imports included.
- A figure is the median of {rounds} rounds, in which the products take turns, in another order each time. What is kept
  was tried once; a program that had not ended after 60 s was killed.
- The file counts SQLite's log with it, which grows with every commit until it is moved into the file.

{machine}.

## What the numbers do not say

- The others send many runs in one request; the contract has one request for each run, which also says whether it was
  taken. So their runs arrive at a higher rate, and with less CPU for each.
- How much the wait for a disk is depends on the disk: `power` waits for it at every call.
- What the others keep with settings that are not their defaults: langsmith, for one, can be told to write what it could
  not send into a folder (`LANGSMITH_FAILED_TRACES_DIR`).

```sh
make bench-outbox            # a quarter of an hour, and writes this part of the page
make bench-outbox QUICK=1    # a short round, prints only
```
"""
