"""Measuring loops of the client benchmark: `python SUBJECT MODE SIZE SECONDS PORT DISTRIBUTION…`.

Prints JSON with the measurements and the versions of the distributions. Imports add to the time of a first report, so
most of them are inside the functions that need them.
"""

import json
import sys
import time
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager, AbstractContextManager

Report = Callable[[], None]
AsyncReport = Callable[[], Awaitable[None]]
# A function with the arguments URL and size of the body. It returns a context manager that owns the connections and
# returns the function that sends one report, or raises an exception. Many threads, or many tasks of one event loop, may
# call that function at the same time.
Session = Callable[[str, str], AbstractContextManager[Report]]
AsyncSession = Callable[[str, str], AbstractAsyncContextManager[AsyncReport]]
Measured = dict[str, float]

WARM_UP = 8  # reports of all workers together; each worker sends at least one, which opens its connection


def main(session: Session | None, async_session: AsyncSession | None) -> None:
    """Run the loop that the arguments of the program select."""
    mode, size, seconds, port, *distributions = sys.argv[1:]
    url = f"http://127.0.0.1:{port}"
    kind, _, workers = mode.partition("-")
    if kind == "async" or session is None:
        import asyncio

        assert async_session is not None
        measured = asyncio.run(_concurrent(async_session(url, size), kind, int(workers or 1), float(seconds)))
    else:
        with session(url, size) as report:
            if kind == "first":
                measured = _first(report)
            elif kind == "sync":
                measured = _one_after_another(report, float(seconds))
            else:
                measured = _threaded(report, int(workers), float(seconds))
    from importlib.metadata import version

    print(json.dumps({"measured": measured, "versions": {name: version(name) for name in distributions}}))


def _first(report: Report) -> Measured:
    report()
    # The monotonic clock is the same for all processes; the benchmark read it before it started this process.
    return {"answered_at": time.monotonic()}


def _one_after_another(report: Report, seconds: float) -> Measured:
    for _ in range(WARM_UP):
        report()
    clock = _Clock(seconds)
    count = _until(report, clock.end)
    return clock.measured(count)


def _threaded(report: Report, workers: int, seconds: float) -> Measured:
    from concurrent.futures import ThreadPoolExecutor
    from threading import Barrier

    barrier = Barrier(workers)

    def warm_up(_: int) -> None:
        barrier.wait()  # so that each thread sends one report, and opens a connection
        report()

    with ThreadPoolExecutor(workers) as pool:
        list(pool.map(warm_up, range(workers)))
        clock = _Clock(seconds)
        counts = list(pool.map(lambda _: _until(report, clock.end), range(workers)))
        return clock.measured(sum(counts))


async def _concurrent(
    session: AbstractAsyncContextManager[AsyncReport], kind: str, workers: int, seconds: float
) -> Measured:
    import asyncio

    async with session as report:
        if kind == "first":
            await report()
            return {"answered_at": time.monotonic()}

        async def warm_up() -> None:
            for _ in range(max(1, WARM_UP // workers)):
                await report()

        async def until(end: float) -> int:
            count = 0
            while time.monotonic() < end:
                await report()
                count += 1
            return count

        await asyncio.gather(*(warm_up() for _ in range(workers)))
        clock = _Clock(seconds)
        counts = await asyncio.gather(*(until(clock.end) for _ in range(workers)))
        return clock.measured(sum(counts))


def _until(report: Report, end: float) -> int:
    count = 0
    while time.monotonic() < end:
        report()
        count += 1
    return count


class _Clock:
    """Elapsed time and CPU time since the start of a loop."""

    def __init__(self, seconds: float) -> None:
        self.started = time.monotonic()
        self.cpu = time.process_time()
        self.end = self.started + seconds

    def measured(self, count: int) -> Measured:
        elapsed, cpu = time.monotonic() - self.started, time.process_time() - self.cpu
        return {"rate": count / elapsed, "cpu": cpu / count * 1_000, "peak": _peak_megabytes()}


def _peak_megabytes() -> float:
    # Not ru_maxrss, which starts with the size of the parent process.
    with open("/proc/self/status") as status:
        peak = next(line for line in status if line.startswith("VmHWM:"))
    return int(peak.split()[1]) / 1_024
