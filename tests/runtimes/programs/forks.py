"""Programs that fork, and report in parent and children."""

import asyncio
import enum
import multiprocessing
import os
import sys
import threading
import warnings
from types import ModuleType

from runtimes.programs import common
from runtimes.programs.common import AGENT_ID, exit_code, fork, fork_while_threads_report, run_scenario
from runtimes.resources import connections
from xpander_sdk import Backend, Task


def report(form: str, name: str) -> None:
    task = common.report(form, id=f"{AGENT_ID}-{name}", result=name)
    assert (task.id, task.result) == (f"{AGENT_ID}-{name}", name), task


def report_twice(form: str, name: str) -> None:
    report(form, f"{name}-first")
    report(form, f"{name}-second")


def fork_children(form: str, *names_before: str) -> list[int]:
    """Report before and after the forks; return the exit codes of the children."""
    for name in names_before:
        report(form, name)
    children = [fork(report_twice, form, name) for name in "ab"]
    report(form, "meanwhile")
    codes = [exit_code(pid) for pid in children]
    report(form, "after")
    return codes


def start_multiprocessing_children(form: str, *names_before: str) -> list[int | None]:
    """Do the same as `fork_children` with `multiprocessing`."""
    for name in names_before:
        report(form, name)
    context = multiprocessing.get_context("fork")
    children = [context.Process(target=report_twice, args=(form, name)) for name in "ab"]
    for process in children:
        process.start()
    report(form, "meanwhile")
    for process in children:
        process.join()
    report(form, "after")
    return [process.exitcode for process in children]


def compare_connections_of_parent() -> list[object]:
    """Return the exit codes, the number of connections before the forks, and whether the parent still has them."""
    report("sync", "before")
    connections_before = connections()
    codes = [exit_code(fork(report_twice, "sync", name)) for name in "ab"]
    report("sync", "after")
    return [codes, len(connections_before), connections() == connections_before]


def fork_children_that_only_exit() -> list[int]:
    report("sync", "before")
    codes = [exit_code(fork(lambda: None)) for _ in range(2)]
    report("sync", "after")
    return codes


def fork_grandchild(form: str) -> int:
    def report_around_fork() -> None:
        report(form, "child")
        assert exit_code(fork(report, form, "grandchild")) == 0
        report(form, "child-after")

    report(form, "before")
    code = exit_code(fork(report_around_fork))
    report(form, "after")
    return code


def fork_during_first_validation() -> int:
    """Fork while a thread validates for the first time; return the exit code of the child, which validates too."""
    from xpander_server.schema_validation import create_validator

    validator = create_validator({"components": {}}, {"type": "string"})
    has_forked = threading.Event()
    is_initializing = threading.Event()

    class WaitingModule(ModuleType):
        """Module `enum`, which jsonschema-rs reads while it initializes itself."""

        def __getattr__(self, name: str) -> object:
            is_initializing.set()
            has_forked.wait()
            return getattr(enum, name)

    sys.modules["enum"] = WaitingModule("enum")
    thread = threading.Thread(target=validator.is_valid, args=("value",))
    thread.start()
    while thread.is_alive() and not is_initializing.wait(0.01):
        pass
    child = fork(validator.is_valid, "value")
    has_forked.set()
    thread.join()
    return exit_code(child)


def fork_in_event_loop() -> int:
    async def areport(name: str) -> None:
        await Task.areport_external_task(id=f"{AGENT_ID}-{name}", result=name)

    async def main() -> int:
        await areport("before")
        pid = os.fork()
        if not pid:
            # The child cannot continue the parent's event loop, so it must leave with os._exit.
            code = 1
            try:
                Task.report_external_task(id=f"{AGENT_ID}-child", result="child")
                asyncio.run(areport("child-in-a-loop"))
                code = 0
            finally:
                os._exit(code)
        await areport("meanwhile")
        code = await asyncio.to_thread(exit_code, pid)
        await areport("after")
        return code

    return asyncio.run(main())


def fork_while_threads_are_reporting(*names_before: str) -> list[list[int]]:
    # Newer versions of Python warn of a fork in a process with threads.
    warnings.filterwarnings("ignore", ".*multi-threaded", DeprecationWarning)
    for name in names_before:
        report("sync", name)
    return fork_while_threads_report(
        lambda name: report("sync", name),
        lambda name: report_twice("sync", name),
        thread_count=4,
        pause=0.002,  # a file has one writer at a time, and no queue between processes
        rounds=4,
        children=3,
    )


def share_file_with_child(parent_end: str) -> int:
    """Report in a child while its parent closes the file, and after it.

    Sequence: parent and child report; the parent closes its backend, or exits; then the child reports again. SQLite
    deletes the write-ahead log when the last process closes the file, so it must notice the child.

    Args:
        parent_end: "closes its backend" or "exits".
    """
    report("sync", "before")
    child_read, parent_write = os.pipe()
    parent_read, child_write = os.pipe()

    def report_after_parent() -> None:
        report("sync", "child-before")
        os.close(parent_write)
        os.write(child_write, b"!")
        os.read(child_read, 1)  # returns when the parent closes its end
        for number in range(20):
            report("sync", f"child-{number}")
        # Children of multiprocessing end in the same way: without any clean-up.
        os._exit(0)

    pid = fork(report_after_parent)
    os.close(child_read)
    report("sync", "parent-meanwhile")
    os.read(parent_read, 1)
    if parent_end == "exits":
        print(0, flush=True)
        sys.exit(0)
    Backend().close()
    os.close(parent_write)
    for number in range(20):
        report("sync", f"parent-{number}")
    return exit_code(pid)


if __name__ == "__main__":
    run_scenario(globals())
