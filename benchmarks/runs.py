"""Time that `Backend.run` adds to a report, and the time of a run that is off.

    block      `with backend.run(…)` with an outbox, which stores two reports: the start and the end
    submit     two calls of `submit_external_task` with the same fields
    overhead   median of the block minus median of the two calls; the calls alternate, so that both meet the same disk
    off        `with backend.run(…)` with XPANDER_RUNS=off

`make bench-runs` prints the medians. QUICK=1 measures fewer repetitions.
"""

import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from xpander_sdk import Backend, Configuration, OutboxSettings

WARM_UP = 200
INPUT, RESULT = "What was the revenue in Q3?", "Up 22 % year over year."


def measure(functions: dict[str, Callable[[], None]], repetitions: int) -> dict[str, float]:
    """Return the median time of each function in microseconds. The functions alternate."""
    times: dict[str, list[int]] = {name: [] for name in functions}
    for repetition in range(WARM_UP + repetitions):
        for name, function in functions.items():
            started_at = time.perf_counter_ns()
            function()
            elapsed = time.perf_counter_ns() - started_at
            if repetition >= WARM_UP:
                times[name].append(elapsed)
    return {name: statistics.median(values) / 1_000 for name, values in times.items()}


def measure_outbox(folder: Path, repetitions: int) -> dict[str, float]:
    """Return the medians of a block and of two submissions; nothing is delivered meanwhile."""
    settings = OutboxSettings(file=str(folder / "outbox.db"), worker="none")
    backend = Backend(Configuration(base_url=f"sqlite:///{folder}/runs.db", agent_id="agent-1", outbox=settings))

    def block() -> None:
        with backend.run(input=INPUT) as run:
            run.result = RESULT

    def submit() -> None:
        receipt = backend.submit_external_task(input=INPUT, is_success=None, duration=None)
        backend.submit_external_task(id=receipt.id, input=INPUT, result=RESULT, duration=1.5)

    return measure({"block": block, "submit": submit}, repetitions)


def measure_off(repetitions: int) -> dict[str, float]:
    """Return the median of a block that is off."""
    backend = Backend(Configuration(base_url="sqlite:///unused.db", agent_id="agent-1", runs=False))

    def hundred_blocks() -> None:
        for _ in range(100):  # one block takes less than the clock's resolution
            with backend.run(input=INPUT) as run:
                run.result = RESULT

    return {"off": measure({"off": hundred_blocks}, repetitions)["off"] / 100}


def main() -> None:
    repetitions = 1_000 if "--quick" in sys.argv else 5_000
    with tempfile.TemporaryDirectory() as folder:
        medians = {**measure_outbox(Path(folder), repetitions), **measure_off(repetitions)}
    print(f"block, with its two reports     {medians['block']:8.1f} µs")
    print(f"two submissions                 {medians['submit']:8.1f} µs")
    print(f"overhead of Backend.run         {medians['block'] - medians['submit']:8.1f} µs")
    print(f"block that is off               {medians['off']:8.2f} µs")


if __name__ == "__main__":
    main()
