"""Programs that report through an outbox, and fork, exit, or receive signals meanwhile."""

import asyncio
import logging
import multiprocessing
import os
import signal
import sys
import threading
import time
import warnings
from collections.abc import Callable

from runtimes.programs.common import (
    AGENT_ID,
    exit_code,
    fork,
    fork_while_threads_report,
    print_time,
    run_loop,
    run_scenario,
)
from xpander_sdk import Backend, Configuration, OutboxSettings, Receipt, Timeouts

logging.getLogger("xpander_sdk").setLevel(logging.ERROR)  # a busy machine may cause warnings of late responses
TIMEOUTS = Timeouts(connect=1.0, read=1.0, total=1.0)
backend = Backend(Configuration(timeouts=TIMEOUTS))


def submit(name: str) -> Receipt:
    return backend.submit_external_task(id=f"{AGENT_ID}-{name}", result=name)


def submit_runs(count: int) -> list[Receipt]:
    return [submit(f"run-{number}") for number in range(count)]


# Forks.


def fork_children(*names_before: str) -> list[int]:
    for name in names_before:
        submit(name)

    def submit_ten(name: str) -> None:
        for number in range(10):
            submit(f"{name}-{number}")
        assert backend.outbox.flush(30)

    children = [fork(submit_ten, name) for name in "ab"]
    submit("meanwhile")
    codes = [exit_code(pid) for pid in children]
    submit("after")
    return codes


def submit_in_pool(number: int) -> str:
    return submit(f"pool-{number}").id


def start_multiprocessing_pool() -> int:
    submit("before")
    with multiprocessing.get_context("fork").Pool(3, maxtasksperchild=5) as pool:
        return len(pool.map(submit_in_pool, range(30)))


def fork_while_threads_are_reporting() -> list[list[int]]:
    # Newer versions of Python warn of a fork in a process with threads.
    warnings.filterwarnings("ignore", ".*multi-threaded", DeprecationWarning)

    def submit_three(name: str) -> None:
        for number in range(3):
            submit(f"child-{name}-{number}")

    return fork_while_threads_report(submit, submit_three, thread_count=3, pause=0.005, rounds=6, children=2)


# Exits and signals.


def exit_with_pending_reports() -> None:
    submit_runs(20)
    print_time()


def exit_with_limited_wait() -> None:
    """Exit with `exit_seconds` of 0.5 and calls that may take 30 s."""
    global backend
    backend = Backend(Configuration(outbox=OutboxSettings(exit_seconds=0.5)))
    submit_runs(20)
    print_time()


# Created here, so that the word "Error" occurs only once in a traceback: in its last line.
UNHANDLED = LookupError("of the program")


def raise_exception() -> None:
    raise UNHANDLED


def terminate_itself() -> None:
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(60)


ENDS: dict[str, Callable[[], object]] = {
    "os._exit": lambda: os._exit(5),
    "sys.exit": lambda: sys.exit(5),
    "exception": raise_exception,
    "kill": lambda: os.kill(os.getpid(), signal.SIGKILL),
    "term": terminate_itself,
    "abort": os.abort,
}


def end_after_50_reports(way: str) -> None:
    submit_runs(50)
    print("all", flush=True)
    ENDS[way]()


def report_in_sigterm_handler() -> None:
    def handle(*_: object) -> None:
        submit("last")
        sys.exit(0)

    signal.signal(signal.SIGTERM, handle)
    number = 0
    while True:
        submit(f"run-{number}")
        print(number, flush=True)
        number += 1


def exit_while_threads_report() -> None:
    """Print the name of each report that has a receipt, and at last the time."""
    submitted = threading.Semaphore(0)

    def submit_repeatedly(name: str) -> None:
        number = 0
        while True:
            submit(f"{name}-{number}")
            os.write(1, f"{name}-{number}\n".encode())
            number += 1
            submitted.release()
            time.sleep(0.02)

    for name in "abc":
        threading.Thread(target=submit_repeatedly, args=(name,), daemon=True).start()
    for _ in range(60):
        submitted.acquire()
    print_time()


def interrupt_drain() -> None:
    """Drain the outbox until a KeyboardInterrupt."""
    global backend
    backend = Backend(Configuration(outbox=OutboxSettings(worker="none")))
    submit("run-0")
    print("ready", flush=True)
    try:
        backend.outbox.drain(60)
    except KeyboardInterrupt:
        print_time()


def report_and_wait_for_input() -> None:
    for number in range(40):
        submit(f"run-{number}")
        print(number, flush=True)
    sys.stdin.read()


# Delivery without a worker, and in event loops.


def drain_without_worker() -> list[object]:
    """Return the number of threads, and the states of the receipts."""
    global backend
    backend = Backend(Configuration(outbox=OutboxSettings(worker="none")))
    receipts = submit_runs(5)
    assert threading.active_count() == 1
    assert backend.outbox.stats().delivered == 0
    assert backend.outbox.drain(30)
    return [threading.active_count(), *(str(receipt.state) for receipt in receipts)]


def await_receipts(library: str) -> list[list[str]]:
    """Return the states of the receipts, and the results of their tasks."""

    async def main() -> list[list[str]]:
        names = [f"run-{number}" for number in range(10)]
        receipts = [await backend.asubmit_external_task(id=f"{AGENT_ID}-{name}", result=name) for name in names]
        return [[str(await receipt) for receipt in receipts], [receipt.task.result for receipt in receipts]]

    return run_loop(library, main)


def block_on_full_outbox() -> list[object]:
    """Return the number of steps of the event loop while a report waits for space, and the type of its exception."""
    settings = OutboxSettings(worker="none", max_reports=1, when_full="block", block_seconds=1)
    full_backend = Backend(Configuration(outbox=settings))

    async def main() -> list[object]:
        await full_backend.asubmit_external_task(id=f"{AGENT_ID}-run-0", result="run-0")
        waiting = asyncio.ensure_future(full_backend.asubmit_external_task(id=f"{AGENT_ID}-run-1", result="run-1"))
        ticks = 0
        while not waiting.done():
            ticks += 1
            await asyncio.sleep(0.01)
        return [ticks, type(waiting.exception()).__name__]

    return asyncio.run(main())


if __name__ == "__main__":
    run_scenario(globals())
