"""Programs that close backends, and count the open connections before and after."""

import asyncio
import os
import threading

from runtimes.programs.common import run_in_threads, run_loop, run_scenario
from runtimes.resources import connection_count, connections, has_open_file
from xpander_sdk import Backend, Configuration, Task


def count_connections_around_close() -> list[int]:
    counts = []
    with Backend() as backend:
        backend.report_external_task()
        counts.append(connection_count())
    counts.append(connection_count())
    backend.report_external_task()
    counts.append(connection_count())
    return counts


def count_connections_around_async_close(library: str, report_count: str) -> list[int]:
    """Do the same in an event loop, with one report or with several concurrent reports (asyncio only)."""

    async def main() -> list[int]:
        counts = []
        async with Backend() as backend:
            if report_count == "1":
                await backend.areport_external_task()
            else:
                await asyncio.gather(*(backend.areport_external_task() for _ in range(int(report_count))))
            counts.append(connection_count())
        counts.append(connection_count())
        await backend.areport_external_task()
        counts.append(connection_count())
        return counts

    return run_loop(library, main)


def look_for_open_file_around_close(file_name: str) -> list[bool]:
    is_open = []
    with Backend() as backend:
        backend.report_external_task()
        is_open.append(has_open_file(file_name))
    is_open.append(has_open_file(file_name))
    backend.report_external_task()
    is_open.append(has_open_file(file_name))
    return is_open


def close_after_threads() -> list[int]:
    with Backend() as backend:
        run_in_threads(16, lambda _: backend.report_external_task())
        count = connection_count()
    return [count, connection_count()]


def close_while_threads_report() -> list[int]:
    ids: set[str] = set()

    def report_20_times() -> None:
        for _ in range(20):
            ids.add(Task.report_external_task().id)

    threads = [threading.Thread(target=report_20_times) for _ in range(4)]
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads):
        Backend().close()
        threads[0].join(0.005)
    Backend().close()
    return [len(ids), connection_count()]


def close_one_of_two_backends(other_url: str) -> list[object]:
    Task.report_external_task(configuration=Configuration(base_url=other_url, api_key="k"))
    other_connections = connections()
    with Backend() as backend:
        backend.report_external_task()
    return [len(other_connections), connections() == other_connections]


def change_environment(other_url: str, other_agent_id: str) -> list[str]:
    """Return the organizations of a new backend, of the earlier backend, and of the default backend."""
    earlier = Backend()
    earlier.report_external_task()
    os.environ.update(XPANDER_BASE_URL=other_url, XPANDER_API_KEY="another", XPANDER_AGENT_ID=other_agent_id)
    new = Backend()
    return [
        new.report_external_task().organization_id,
        earlier.report_external_task().organization_id,
        Task.report_external_task().organization_id,
    ]


if __name__ == "__main__":
    run_scenario(globals())
