"""Programs that report in event loops: short ones, running ones, and several at once."""

import asyncio
import gc
import warnings
from collections.abc import Awaitable, Callable

from runtimes.programs.common import AGENT_ID, run_loop, run_scenario
from runtimes.resources import connection_count, descriptor_count, object_count, resident_kib, thread_count
from xpander_sdk import Task, Tasks


def report_with_asyncio_run() -> None:
    asyncio.run(Task.areport_external_task())


def report_with_uvloop() -> None:
    import uvloop

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(Task.areport_external_task())


def report_with_trio() -> None:
    import trio

    trio.run(Task.areport_external_task)


def report_with_closed_loop() -> None:
    """Run an event loop without the shutdown steps of `asyncio.run`, as older frameworks do.

    asyncio then warns of each open connection, because the SDK has no opportunity to close it.
    """
    warnings.simplefilter("ignore", ResourceWarning)
    loop = asyncio.new_event_loop()
    loop.run_until_complete(Task.areport_external_task())
    loop.close()
    gc.collect()


EVENT_LOOPS = {
    "asyncio": report_with_asyncio_run,
    "uvloop": report_with_uvloop,
    "trio": report_with_trio,
    "closed": report_with_closed_loop,
}


def run_short_loops(kind: str, count: str) -> list[object]:
    """Return the counts of resources before and after many event loops, and the growth of objects and memory."""
    report_in_new_loop = EVENT_LOOPS[kind]

    def count_resources() -> tuple[int, int, int]:
        return descriptor_count(), thread_count(), connection_count()

    for _ in range(10):
        report_in_new_loop()
    before, objects, resident = count_resources(), object_count(), resident_kib()
    for _ in range(int(count)):
        report_in_new_loop()
    after = count_resources()
    return [before, after, object_count() - objects, resident_kib() - resident]


def count_connections_of_loop(library: str) -> list[int]:
    """Return the number of connections at the end of an event loop and after it."""

    async def main_in_asyncio() -> int:
        await asyncio.gather(*(Task.areport_external_task() for _ in range(32)))
        return connection_count()

    async def main_in_trio() -> int:
        import trio

        async with trio.open_nursery() as nursery:
            for _ in range(32):
                nursery.start_soon(Task.areport_external_task)
        return connection_count()

    return [run_loop(library, main_in_trio if library == "trio" else main_in_asyncio), connection_count()]


# Both forms within a running event loop. Each function sends the reports "first" to "fourth".


def report_name(name: str) -> None:
    Task.report_external_task(id=f"{AGENT_ID}{name}", result=name)


async def areport_name(name: str) -> None:
    await Task.areport_external_task(id=f"{AGENT_ID}{name}", result=name)


async def report_in_coroutine() -> None:
    report_name("first")
    await asyncio.gather(areport_name("second"), areport_name("third"))
    report_name("fourth")


async def report_in_callback() -> None:
    done = asyncio.Event()
    asyncio.get_running_loop().call_soon(lambda: (report_name("first"), done.set()))
    await done.wait()
    await asyncio.gather(areport_name("second"), areport_name("third"))
    report_name("fourth")


async def report_in_loop_of_thread() -> None:
    async def report_in_inner_loop() -> None:
        report_name("second")
        await areport_name("third")

    await areport_name("first")
    await asyncio.to_thread(asyncio.run, report_in_inner_loop())
    report_name("fourth")


async def report_during_iteration() -> None:
    for name in ("first", "second", "third"):
        await areport_name(name)
    async for _ in Tasks().aiterate(AGENT_ID):
        report_name("fourth")


PLACES: dict[str, Callable[[], Awaitable[None]]] = {
    "coroutine": report_in_coroutine,
    "callback": report_in_callback,
    "loop of a thread": report_in_loop_of_thread,
    "iteration": report_during_iteration,
}


def report_in_both_forms(place: str) -> str:
    asyncio.run(PLACES[place]())
    return "done"


# Iterations that do not reach their end.


def break_iteration(steps: str) -> int:
    async def main() -> int:
        count = 0
        async for _ in Tasks().aiterate("agent-123"):
            count += 1
            if count == int(steps):
                break
        return count

    return asyncio.run(main())


def raise_in_iteration() -> str | None:
    async def main() -> None:
        for _ in range(2):
            task = await Task.areport_external_task()
        async for _ in Tasks().aiterate(task.agent_id):
            raise LookupError("of the program")

    try:
        asyncio.run(main())
    except LookupError as error:
        return str(error)
    return None


if __name__ == "__main__":
    run_scenario(globals())
