"""Programs that report in many threads."""

import asyncio
import threading

from runtimes.programs.common import AGENT_ID, report, run_in_threads, run_scenario
from runtimes.resources import connection_count, connections, descriptor_count, object_count, thread_count
from xpander_sdk import Task


def report_in_64_threads(form: str) -> dict[str, object]:
    """Return the responses that do not belong to their report."""
    barrier = threading.Barrier(64)
    responses = {}

    def report_twice(number: int) -> None:
        barrier.wait()
        for turn in range(2):
            run_id = f"{AGENT_ID}-{number}-{turn}"
            task = report(form, id=run_id, input=f"input of {run_id}", result=f"result of {run_id}")
            responses[run_id] = (task.id, task.input.text, task.result)

    run_in_threads(64, report_twice)
    assert len(responses) == 128
    return {
        run_id: response
        for run_id, response in responses.items()
        if response != (run_id, f"input of {run_id}", f"result of {run_id}")
    }


def start_and_end_threads(form: str) -> list[object]:
    """Return the numbers of threads and objects before and after, and the largest number of connections."""
    run_in_threads(64, lambda _: report(form))
    before = [thread_count(), object_count()]
    max_connections = 0
    for _ in range(8):
        run_in_threads(64, lambda _: report(form))
        max_connections = max(max_connections, connection_count())
    return [before, [thread_count(), object_count()], max_connections]


def report_in_successive_threads() -> int:
    """Return the number of connections that 100 threads used, one after the other."""
    used_connections: frozenset[str] = frozenset()
    for _ in range(100):
        run_in_threads(1, lambda _: report("sync"))
        used_connections |= connections()
    return len(used_connections)


def report_to_file_in_threads(form: str) -> list[list[int]]:
    """Return the numbers of descriptors and threads before and after."""
    for _ in range(2):
        run_in_threads(16, lambda _: report(form))
    before = [descriptor_count(), thread_count()]
    for _ in range(4):
        run_in_threads(16, lambda _: report(form))
    return [before, [descriptor_count(), thread_count()]]


# A synchronous program may keep one event loop in a thread for all of its asynchronous calls.


def report_through_asyncio_thread() -> list[int]:
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    tasks = [asyncio.run_coroutine_threadsafe(Task.areport_external_task(), loop) for _ in range(8)]
    count = len({task.result().id for task in tasks})

    async def shut_down() -> None:
        await loop.shutdown_asyncgens()

    asyncio.run_coroutine_threadsafe(shut_down(), loop).result()
    loop.call_soon_threadsafe(loop.stop)
    thread.join()
    loop.close()
    return [count, connection_count()]


def report_through_trio_thread() -> list[int]:
    import trio

    ids = set()

    async def report_once() -> None:
        ids.add((await Task.areport_external_task()).id)

    async def main() -> None:
        async with trio.open_nursery() as nursery:
            for _ in range(8):
                nursery.start_soon(report_once)

    thread = threading.Thread(target=trio.run, args=(main,))
    thread.start()
    thread.join()
    return [len(ids), connection_count()]


if __name__ == "__main__":
    run_scenario(globals())
