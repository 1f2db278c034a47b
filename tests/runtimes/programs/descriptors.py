"""Program that reports with fewer descriptors than calls."""

import asyncio
import resource
from collections import Counter

from runtimes.programs.common import run_in_threads, run_scenario
from xpander_sdk import Configuration, RetryPolicy, Task, Timeouts, TransportSettings

CALLS = 200
LIMIT = 64
CONFIGURATION = Configuration(timeouts=Timeouts(connect=40, read=40, total=60), retry=RetryPolicy(attempts=1))


def report_with_few_descriptors(form: str) -> dict[str, int]:
    """Send reports at once, and count the outcomes."""
    Task.report_external_task(CONFIGURATION)  # imports all modules
    resource.setrlimit(resource.RLIMIT_NOFILE, (LIMIT, LIMIT))
    outcomes = {"threads": report_in_threads, "asyncio": report_in_tasks, "trio": report_in_trio}[form]()
    return dict(Counter(outcomes))


def report_in_threads() -> list[str]:
    outcomes: list[str] = []

    def report(number: int) -> None:
        try:
            outcomes.append(str(Task.report_external_task(CONFIGURATION).status))
        except Exception as error:
            outcomes.append(f"{type(error).__name__}: {error}")

    run_in_threads(CALLS, report)
    return outcomes


async def report_async(outcomes: list[str], configuration: Configuration) -> None:
    try:
        outcomes.append(str((await Task.areport_external_task(configuration)).status))
    except Exception as error:
        outcomes.append(f"{type(error).__name__}: {error}")


def report_in_tasks() -> list[str]:
    outcomes: list[str] = []
    # Each destination may use 100 connections.
    configurations = [
        CONFIGURATION.with_options(transport=TransportSettings(headers={"x-destination": str(number)}))
        for number in range(4)
    ]

    async def report_all() -> None:
        await asyncio.gather(*(report_async(outcomes, configurations[number % 4]) for number in range(CALLS)))

    asyncio.run(report_all())
    return outcomes


def report_in_trio() -> list[str]:
    import trio

    outcomes: list[str] = []

    async def report_all() -> None:
        async with trio.open_nursery() as nursery:
            for _ in range(CALLS):
                nursery.start_soon(report_async, outcomes, CONFIGURATION)

    trio.run(report_all)
    return outcomes


def report_after_idle_connections(form: str) -> str:
    """Report to many destinations, one after the other; their idle connections take all descriptors."""
    Task.report_external_task(CONFIGURATION)
    resource.setrlimit(resource.RLIMIT_NOFILE, (LIMIT, LIMIT))
    configurations = [
        CONFIGURATION.with_options(transport=TransportSettings(headers={"x-destination": str(number)}))
        for number in range(LIMIT + 10)
    ]
    if form == "threads":
        tasks = [Task.report_external_task(configuration) for configuration in configurations]
    else:

        async def report_to_each() -> list[Task]:
            return [await Task.areport_external_task(configuration) for configuration in configurations]

        tasks = asyncio.run(report_to_each())
    return str(tasks[-1].status)


if __name__ == "__main__":
    run_scenario(globals())
