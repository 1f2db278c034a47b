"""Programs whose reports are canceled or interrupted before they end."""

import asyncio
import signal
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any

from runtimes.programs.common import report, run_loop, run_scenario
from runtimes.resources import connection_count
from xpander_sdk import Backend, Task, Tasks


def hanging_report() -> Any:
    """Return the coroutine of a report that the stub backend never responds to."""
    return Task.areport_external_task(agent_id="hanging")


async def cancel_task() -> None:
    task = asyncio.create_task(hanging_report())
    await asyncio.sleep(0.05)
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task


async def leave_timeout_block() -> None:
    with suppress(TimeoutError):
        async with asyncio.timeout(0.05):
            await hanging_report()


async def time_out_in_wait_for() -> None:
    with suppress(TimeoutError):
        await asyncio.wait_for(hanging_report(), 0.05)


async def fail_in_task_group() -> None:
    async def fail() -> None:
        await asyncio.sleep(0.05)
        raise LookupError

    with suppress(ExceptionGroup):
        async with asyncio.TaskGroup() as group:
            group.create_task(hanging_report())
            group.create_task(fail())


async def leave_trio_cancel_scope() -> None:
    import trio

    with trio.move_on_after(0.05):
        await hanging_report()


CANCELLATIONS: dict[str, Callable[[], Awaitable[None]]] = {
    "task.cancel": cancel_task,
    "asyncio.timeout": leave_timeout_block,
    "asyncio.wait_for": time_out_in_wait_for,
    "asyncio.TaskGroup": fail_in_task_group,
    "trio.move_on_after": leave_trio_cancel_scope,
}


async def sleep(library: str, seconds: float) -> None:
    if library == "asyncio":
        await asyncio.sleep(seconds)
        return
    import trio

    await trio.sleep(seconds)


def cancel_repeatedly(way: str) -> list[int]:
    """Return the number of connections after canceled reports, after a further report, and at the end."""
    library = "trio" if way.startswith("trio") else "asyncio"

    async def main() -> tuple[int, int]:
        await Task.areport_external_task()  # the first report also imports modules
        for _ in range(5):
            await CANCELLATIONS[way]()
        # The event loop closes the connections of canceled reports in its next step.
        await sleep(library, 0.01)
        after_cancellation = connection_count()
        await Task.areport_external_task()
        return after_cancellation, connection_count()

    return [*run_loop(library, main), connection_count()]


def cancel_more_than_max_connections() -> int:
    async def main() -> int:
        tasks = [asyncio.create_task(hanging_report()) for _ in range(150)]
        while connection_count() < 100:  # noqa: ASYNC110 - no event announces a connection
            await asyncio.sleep(0.01)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        after_cancellation = connection_count()
        async with asyncio.timeout(60):
            await asyncio.gather(*(Task.areport_external_task() for _ in range(100)))
        return after_cancellation

    return asyncio.run(main())


async def cancel_after_steps_in_asyncio(steps: int) -> bool:
    """Cancel a report after some steps of the event loop; return whether it had ended before."""
    task = asyncio.create_task(Task.areport_external_task())
    for _ in range(steps):
        await asyncio.sleep(0)
    was_done = task.done()
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task
    return was_done


async def cancel_after_steps_in_trio(steps: int) -> bool:
    """Do the same as `cancel_after_steps_in_asyncio`."""
    import trio

    is_done = False

    async def work() -> None:
        nonlocal is_done
        await Task.areport_external_task()
        is_done = True

    async with trio.open_nursery() as nursery:
        nursery.start_soon(work)
        for _ in range(steps):
            await trio.lowlevel.checkpoint()
        was_done = is_done
        nursery.cancel_scope.cancel()
    return was_done


def cancel_at_each_step(library: str, connection: str) -> list[int]:
    """Cancel one report after the other, each one after more steps, until a report ends before its cancellation.

    Args:
        library: "asyncio" or "trio".
        connection: "new connection" or "reused connection".

    Returns:
        The number of steps at the end, and the largest number of connections.
    """
    cancel_after_steps = cancel_after_steps_in_trio if library == "trio" else cancel_after_steps_in_asyncio

    async def main() -> list[int]:
        steps = max_connections = 0
        await Task.areport_external_task()
        while True:
            if connection == "new connection":
                await Backend().aclose()
            if await cancel_after_steps(steps):
                return [steps, max_connections]
            await Task.areport_external_task()
            max_connections = max(max_connections, connection_count())
            # The first steps differ from each other. Most of the later ones belong to the wait for the response, so
            # the distance between two cancellations grows.
            steps += 1 + steps // 10

    return run_loop(library, main)


def cancel_iteration() -> int:
    async def iterate() -> None:
        async for _ in Tasks().aiterate("agent-123"):
            pass

    async def main() -> int:
        # The history of the stub backend has no end.
        with suppress(TimeoutError):
            async with asyncio.timeout(0.2):
                await iterate()
        await Task.areport_external_task()
        return connection_count()

    return asyncio.run(main())


def cancel_reports_to_file() -> int:
    """Return the number of reports that succeeded, each after a canceled report."""

    async def main() -> int:
        count = 0
        for steps in range(20):
            await cancel_after_steps_in_asyncio(steps)
            async with asyncio.timeout(60):
                await Task.areport_external_task()
            count += 1
        return count

    return asyncio.run(main())


def report_once(form: str) -> None:
    report(form)


def report_after_interrupt(form: str) -> list[int]:
    """Return the number of connections after the interrupt and after a further report."""
    counts = []
    try:
        report(form)
    except KeyboardInterrupt:
        counts.append(connection_count())
    report(form, agent_id="good")
    counts.append(connection_count())
    return counts


class TimeLimitExceeded(Exception):
    """The time limit of a job, as workers implement it."""


def raise_in_signal_handler() -> list[int]:
    """Return the number of connections after interrupted reports and after a further report."""

    def stop(*_: object) -> None:
        raise TimeLimitExceeded

    signal.signal(signal.SIGALRM, stop)
    Task.report_external_task()
    for _ in range(5):
        signal.setitimer(signal.ITIMER_REAL, 0.1)
        with suppress(TimeLimitExceeded):
            Task.report_external_task(agent_id="hanging")
    after_interrupts = connection_count()
    Task.report_external_task()
    return [after_interrupts, connection_count()]


if __name__ == "__main__":
    run_scenario(globals())
