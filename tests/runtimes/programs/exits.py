"""Programs that exit in various ways; each one prints the time before its exit."""

import asyncio
import sys
import threading

from runtimes.programs.common import print_time, report, run_scenario
from xpander_sdk import Task

# Created here, so that the word "Error" occurs only once in a traceback: in its last line.
UNHANDLED = LookupError("of the program")


def exit_with_open_connections(form: str) -> None:
    report(form)
    report(form)
    print_time()


def exit_after_both_forms() -> None:
    async def main() -> None:
        await Task.areport_external_task()
        Task.report_external_task()

    asyncio.run(main())
    print_time()


def exit_after_trio() -> None:
    import trio

    trio.run(Task.areport_external_task)
    print_time()


def call_sys_exit(form: str) -> None:
    report(form)
    print_time()
    sys.exit(3)


def call_sys_exit_in_event_loop() -> None:
    async def main() -> None:
        await Task.areport_external_task()
        print_time()
        sys.exit(3)

    asyncio.run(main())


def raise_exception(form: str) -> None:
    report(form)
    print_time()
    raise UNHANDLED


def raise_exception_in_event_loop() -> None:
    async def main() -> None:
        await Task.areport_external_task()
        print_time()
        raise UNHANDLED

    asyncio.run(main())


def exit_while_daemon_thread_reports_once(form: str) -> None:
    threading.Thread(target=report, args=(form,), daemon=True).start()
    sys.stdin.read()
    print_time()


def exit_while_daemon_threads_report_repeatedly() -> None:
    reported = threading.Semaphore(0)

    def report_repeatedly() -> None:
        while True:
            report("sync")
            reported.release()

    for _ in range(4):
        threading.Thread(target=report_repeatedly, daemon=True).start()
    for _ in range(12):
        reported.acquire()
    print_time()


def exit_while_event_loop_runs_in_daemon_thread() -> None:
    loop = asyncio.new_event_loop()
    threading.Thread(target=loop.run_forever, daemon=True).start()
    asyncio.run_coroutine_threadsafe(Task.areport_external_task(), loop).result()
    print_time()


def report_once(form: str) -> None:
    report(form)


if __name__ == "__main__":
    run_scenario(globals())
