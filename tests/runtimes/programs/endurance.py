"""Programs that send many reports, and compare the resources of the process before and after."""

import asyncio
from collections.abc import Iterator
from typing import Any

from runtimes.programs.common import run_scenario
from runtimes.resources import connection_count, descriptor_count, object_count, resident_kib, thread_count
from xpander_sdk import Task


def measure() -> dict[str, Any]:
    counts = [connection_count(), descriptor_count(), thread_count()]
    return {"counts": counts, "objects": object_count(), "resident_kib": resident_kib()}


def report_10_000_times() -> list[dict[str, Any]]:
    before = {}
    for number in range(10_000):
        if number == 2_000:
            before = measure()
        Task.report_external_task(id=f"run-{number}", result="done")
    return [before, measure()]


def report_10_000_times_in_event_loop() -> list[Any]:
    """Return both measurements, and the number of connections after the event loop."""

    async def report_each(numbers: Iterator[int]) -> None:
        for number in numbers:
            await Task.areport_external_task(id=f"run-{number}", result="done")

    async def report_concurrently(count: int) -> None:
        numbers = iter(range(count))
        await asyncio.gather(*(report_each(numbers) for _ in range(32)))

    async def main() -> list[dict[str, Any]]:
        await report_concurrently(2_000)
        before = measure()
        await report_concurrently(8_000)
        return [before, measure()]

    return [*asyncio.run(main()), connection_count()]


def report_400_times_in_both_forms() -> str:
    async def main() -> None:
        for _ in range(10):
            await asyncio.gather(*(Task.areport_external_task() for _ in range(32)))
            for _ in range(8):
                Task.report_external_task()

    asyncio.run(main())
    return "done"


def report_600_times_to_file() -> list[dict[str, Any]]:
    async def report_in_event_loop() -> None:
        for _ in range(50):
            await Task.areport_external_task()

    def report_100_times() -> None:
        for _ in range(50):
            Task.report_external_task()
        asyncio.run(report_in_event_loop())

    report_100_times()
    measurements = [measure()]
    for _ in range(5):
        report_100_times()
        measurements.append(measure())
    return measurements


if __name__ == "__main__":
    run_scenario(globals())
