"""Functions shared by the programs."""

import asyncio
import json
import logging
import os
import sys
import threading
import time
from collections.abc import Callable, Coroutine, Mapping
from typing import Any

from xpander_sdk import Task

AGENT_ID = os.environ["XPANDER_AGENT_ID"]

# In development mode, asyncio warns of each step of an event loop that takes longer than 0.1 s. That depends on how
# busy the machine is.
logging.getLogger("asyncio").setLevel(logging.ERROR)


def run_scenario(scenarios: Mapping[str, Any]) -> None:
    """Call the function that the first argument of the program names, and print its result as JSON unless it is None.

    Args:
        scenarios: functions by name; the other arguments of the program are the arguments of the function.
    """
    name, *arguments = sys.argv[1:]
    result = scenarios[name](*arguments)
    if result is not None:
        print(json.dumps(result))


def report(form: str, **arguments: Any) -> Task:
    """Send a report in the form "sync" or "async"."""
    if form == "sync":
        return Task.report_external_task(**arguments)
    return asyncio.run(Task.areport_external_task(**arguments))


def print_time() -> None:
    """Print the monotonic time; the test measures how long the exit takes from here."""
    print(json.dumps(time.monotonic()), flush=True)


def run_loop(library: str, main: Callable[[], Coroutine[Any, Any, Any]]) -> Any:
    """Run a coroutine function in an event loop of "asyncio" or "trio"."""
    if library == "asyncio":
        return asyncio.run(main())
    import trio

    return trio.run(main)


def run_in_threads(count: int, work: Callable[[int], object]) -> None:
    """Call a function with the numbers from 0 to count - 1, each in a thread, and wait for all threads."""
    threads = [threading.Thread(target=work, args=(number,)) for number in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def fork(work: Callable[..., object], *arguments: Any) -> int:
    """Run a function in a forked child, which then exits, and return the process ID of the child."""
    pid = os.fork()
    if pid:
        return pid
    work(*arguments)
    sys.exit(0)


def exit_code(pid: int) -> int:
    """Wait for the end of a child and return its exit code."""
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def fork_while_threads_report(
    report_name: Callable[[str], object],
    report_in_child: Callable[[str], object],
    *,
    thread_count: int,
    pause: float,
    rounds: int,
    children: int,
) -> list[list[int]]:
    """Fork children again and again while threads report.

    A fork may happen while a thread of the parent holds a lock, for example that of a first import. No thread of the
    child ever releases that lock.

    Args:
        report_name: function that sends a report with a name.
        report_in_child: function that a child calls with its name, `ROUND-NUMBER`.
        thread_count: number of threads.
        pause: seconds between two reports of a thread.
        rounds: number of times that children are forked and awaited.
        children: number of children in each round.

    Returns:
        The exit codes of the children, and the number of reports of each thread.
    """
    is_over = threading.Event()
    counts = [0] * thread_count

    def report_repeatedly(number: int) -> None:
        while not is_over.is_set():
            report_name(f"thread-{number}-{counts[number]}")
            counts[number] += 1
            time.sleep(pause)

    def run_child(name: str) -> None:
        report_in_child(name)
        # Not sys.exit: the interpreter would wait for the parent's threads, which do not exist in the child.
        os._exit(0)

    threads = [threading.Thread(target=report_repeatedly, args=(number,)) for number in range(thread_count)]
    for thread in threads:
        thread.start()
    codes = []
    for turn in range(rounds):
        pids = [fork(run_child, f"{turn}-{number}") for number in range(children)]
        codes += [exit_code(pid) for pid in pids]
    is_over.set()
    for thread in threads:
        thread.join()
    return [codes, counts]
