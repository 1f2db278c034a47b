"""The end of a program: at once, with nothing said, whatever is open."""

import signal

import pytest

from runtimes.programs import EXIT_SECONDS, Ended, end, run, start

COMMON = """
import asyncio, json, sys, threading, time
from xpander_sdk import Backend, Task

def report():
    if sys.argv[1] == "sync":
        return Task.report_external_task()
    return asyncio.run(Task.areport_external_task())

def leave():
    print(json.dumps(time.monotonic()), flush=True)

"""


def assert_at_once(done: Ended) -> None:
    """`leave()` was its last statement."""
    assert done.at - float(done.out) < EXIT_SECONDS


def test_an_exit_with_open_connections_is_silent_and_at_once(form, target):
    done = run(target, COMMON + "report()\nreport()\nleave()\n", form)
    assert (done.code, done.err) == (0, "")
    assert_at_once(done)


def test_an_exit_with_both_forms_open_is_silent_and_at_once(target):
    program = """
async def main():
    await Task.areport_external_task()
    Task.report_external_task()

asyncio.run(main())
leave()
"""
    done = run(target, COMMON + program)
    assert (done.code, done.err) == (0, "")
    assert_at_once(done)


def test_an_exit_after_trio_is_silent_and_at_once(target):
    done = run(target, COMMON + "import trio\ntrio.run(Task.areport_external_task)\nleave()\n")
    assert (done.code, done.err) == (0, "")
    assert_at_once(done)


def test_the_code_of_sys_exit_stays(form, target):
    done = run(target, COMMON + "report()\nleave()\nsys.exit(3)\n", form)
    assert (done.code, done.err) == (3, "")
    assert_at_once(done)


def test_sys_exit_within_an_event_loop_is_silent(target):
    program = """
async def main():
    await Task.areport_external_task()
    leave()
    sys.exit(3)

asyncio.run(main())
"""
    done = run(target, COMMON + program)
    assert (done.code, done.err) == (3, "")
    assert_at_once(done)


def test_an_unhandled_exception_is_all_that_is_told(form, target):
    done = run(target, COMMON + "report()\nleave()\nraise LookupError('of the program')\n", form)
    assert done.code == 1
    assert done.err.startswith("Traceback")
    assert done.err.endswith("\nLookupError: of the program\n")
    assert done.err.count("Error") == 1
    assert_at_once(done)


def test_an_unhandled_exception_within_an_event_loop_is_all_that_is_told(target):
    program = """
async def main():
    await Task.areport_external_task()
    leave()
    raise LookupError('of the program')

asyncio.run(main())
"""
    done = run(target, COMMON + program)
    assert done.code == 1
    assert done.err.endswith("\nLookupError: of the program\n")
    assert done.err.count("Traceback") == 1
    assert_at_once(done)


@pytest.mark.parametrize("behaviour", ["hanging", "halting", "refusing"])
def test_a_daemon_thread_in_the_middle_of_a_report_does_not_hold_up_the_exit(behaviour, form, stub):
    target = stub.target(behaviour)
    program = "threading.Thread(target=report, daemon=True).start()\nsys.stdin.read()\nleave()\n"
    process = start(target, COMMON + program, form)
    stub.wait_for_report(target)
    if behaviour == "refusing":
        # That the target is in trouble is said, once; then it waits for the next attempt.
        assert process.stderr is not None
        assert "is unavailable" in process.stderr.readline()
    done = end(process)
    assert (done.code, done.err) == (0, "")
    assert_at_once(done)


def test_daemon_threads_that_report_all_the_time_do_not_hold_up_the_exit(target):
    # Not the asynchronous form: asyncio itself refuses to look up an address while the interpreter ends.
    program = """
begun = threading.Semaphore(0)

def busy():
    while True:
        report()
        begun.release()

for _ in range(4):
    threading.Thread(target=busy, daemon=True).start()
for _ in range(12):
    begun.acquire()
leave()
"""
    done = run(target, COMMON + program, "sync")
    assert (done.code, done.err) == (0, "")
    assert_at_once(done)


def test_an_event_loop_in_a_daemon_thread_does_not_hold_up_the_exit(target):
    program = """
loop = asyncio.new_event_loop()
threading.Thread(target=loop.run_forever, daemon=True).start()
asyncio.run_coroutine_threadsafe(Task.areport_external_task(), loop).result()
leave()
"""
    done = run(target, COMMON + program)
    assert (done.code, done.err) == (0, "")
    assert_at_once(done)


@pytest.mark.parametrize("is_first", [True, False], ids=["before the import", "after the import"])
def test_a_report_made_while_the_program_exits_arrives(is_first, target):
    # As a program does that reports what it did from atexit, whose functions run in the opposite order: so our own
    # clean-up comes before it, or after it.
    register = "import atexit\natexit.register(lambda: (Task.report_external_task(), leave()))\n"
    program = COMMON + "report()\n"
    done = run(target, register + program if is_first else program + register, "sync")
    assert (done.code, done.err) == (0, "")
    assert_at_once(done)


def test_a_signal_that_ends_the_program_ends_it(stub):
    target = stub.target("hanging")
    process = start(target, COMMON + "report()\n", "sync")
    stub.wait_for_report(target)
    process.send_signal(signal.SIGTERM)
    done = end(process, EXIT_SECONDS)
    assert (done.code, done.err) == (-signal.SIGTERM, "")
