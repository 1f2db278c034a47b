"""The outbox in whatever runs it: forks, exits, signals, freezes. Whatever a receipt was returned for arrives."""

import os
import signal
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from runtimes.programs import EXIT_SECONDS, Target, end, run, start
from xpander_sdk import Backend, OutboxError, Tasks, Timeouts

CALL = Timeouts(connect=1.0, read=1.0, total=1.0)  # so that what the dead have taken is free again after 6 s

COMMON = """
import asyncio, json, logging, multiprocessing, os, signal, sys, threading, time
from xpander_sdk import Backend, Configuration, OutboxSettings, Timeouts

logging.getLogger("xpander_sdk").setLevel(logging.ERROR)  # a busy machine may be late
agent_id = os.environ["XPANDER_AGENT_ID"]
backend = Backend(Configuration(timeouts=Timeouts(connect=1.0, read=1.0, total=1.0)))

def submit(name):
    return backend.submit_external_task(id=f"{agent_id}-{name}", result=name)

def leave():
    print(json.dumps(time.monotonic()), flush=True)

def forked(work, *arguments):
    pid = os.fork()
    if pid:
        return pid
    work(*arguments)
    sys.exit(0)

def ended(pid):
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])

"""


@pytest.fixture
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XPANDER_OUTBOX", str(tmp_path / "outbox.db"))
    return tmp_path / "outbox.db"


def outbox(target: Target, path: Path) -> Any:
    return Backend(target.configuration.with_options(outbox=path, timeouts=CALL, agent_id=target.agent_id)).outbox


def arrived(target: Target, path: Path) -> set[str]:
    """What has arrived, once another process has delivered what was left."""
    left = outbox(target, path)
    assert left.drain(60), left.stats()
    books = left.stats()
    left.close(0)
    assert (books.accepted, books.pending, books.dead) == (books.delivered, 0, 0)
    tasks = Tasks(target.configuration).list(target.agent_id)
    names = [task.result for task in tasks]
    assert len(names) == len(set(names))
    return set(names)


def pending(target: Target, path: Path) -> int:
    return int(outbox(target, path).stats().pending)


def names(prefix: str, amount: int) -> set[str]:
    return {f"{prefix}-{number}" for number in range(amount)}


# Forks


@pytest.mark.parametrize("before", [["before"], []], ids=["used before", "not used before"])
def test_parent_and_forked_children_report(before, target, path):
    program = """
for name in sys.argv[1:]:
    submit(name)

def child(name):
    for number in range(10):
        submit(f"{name}-{number}")
    assert backend.outbox.flush(30)

children = [forked(child, name) for name in "ab"]
submit("meanwhile")
codes = [ended(pid) for pid in children]
submit("after")
print(json.dumps(codes))
"""
    assert run(target, COMMON + program, *before).result == [0, 0]
    assert arrived(target, path) == {*before, "meanwhile", "after", *names("a", 10), *names("b", 10)}


def test_workers_of_multiprocessing_that_end_as_they_do_lose_nothing(over_http, path):
    program = """
submit("before")
with multiprocessing.get_context("fork").Pool(3, maxtasksperchild=5) as pool:
    ids = pool.map(lambda_free, range(30))
print(json.dumps(len(ids)))
"""
    program = "def lambda_free(number):\n    return submit(f'pool-{number}').id\n" + program
    assert run(over_http, COMMON + program).result == 30
    assert arrived(over_http, path) == {"before", *names("pool", 30)}


def test_children_forked_while_threads_report_are_not_held_up(over_http, path):
    program = """
import warnings
warnings.filterwarnings("ignore", ".*multi-threaded", DeprecationWarning)
is_over = threading.Event()
counts = [0] * 3

def busy(number):
    while not is_over.is_set():
        submit(f"thread-{number}-{counts[number]}")
        counts[number] += 1
        time.sleep(0.005)

def child(name):
    for number in range(3):
        submit(f"{name}-{number}")
    os._exit(0)

threads = [threading.Thread(target=busy, args=(number,)) for number in range(3)]
for thread in threads:
    thread.start()
codes = []
for turn in range(6):
    codes += [ended(pid) for pid in [forked(child, f"child-{turn}-{number}") for number in range(2)]]
is_over.set()
for thread in threads:
    thread.join()
print(json.dumps([codes, counts]))
"""
    codes, counts = run(over_http, COMMON + program).result
    assert codes == [0] * 12
    by_threads = {f"thread-{number}-{n}" for number, count in enumerate(counts) for n in range(count)}
    by_children = {f"child-{turn}-{number}-{n}" for turn in range(6) for number in range(2) for n in range(3)}
    assert arrived(over_http, path) == by_threads | by_children


# Ends


def test_an_exit_delivers_what_waits(target, path):
    done = run(target, COMMON + "for number in range(20):\n    submit(f'run-{number}')\nleave()\n")
    assert (done.code, done.err) == (0, "")
    assert done.at - float(done.out) < EXIT_SECONDS
    assert arrived(target, path) == names("run", 20)


@pytest.mark.parametrize("behaviour", ["hanging", "refusing"])
def test_an_exit_waits_for_a_backend_for_so_long_and_no_longer(behaviour, stub, path):
    target = stub.target(behaviour)
    program = """
backend = Backend(Configuration(outbox=OutboxSettings(exit_seconds=0.5)))  # and calls that may take 30 s
for number in range(20):
    submit(f"run-{number}")
leave()
"""
    done = run(target, COMMON + program)
    assert done.code == 0
    assert done.at - float(done.out) < 0.5 + 5
    assert pending(target, path) == 20


ENDS = {
    "os._exit": ("os._exit(5)", 5),
    "sys.exit": ("sys.exit(5)", 5),
    "exception": ("raise LookupError('of the program')", 1),
    "kill": ("os.kill(os.getpid(), signal.SIGKILL)", -signal.SIGKILL),
    "term": ("os.kill(os.getpid(), signal.SIGTERM); time.sleep(60)", -signal.SIGTERM),
    "abort": ("os.abort()", -signal.SIGABRT),
}


@pytest.mark.parametrize("way", list(ENDS))
def test_whatever_ends_a_program_loses_nothing(way, over_http, path):
    statement, code = ENDS[way]
    program = f"for number in range(50):\n    submit(f'run-{{number}}')\nprint('all', flush=True)\n{statement}\n"
    done = run(over_http, COMMON + program)
    assert (done.code, done.out) == (code, "all\n")
    if way == "exception":
        assert done.err.count("Error") == 1
    assert arrived(over_http, path) == names("run", 50)


def test_a_handler_of_sigterm_that_reports_and_exits_loses_nothing(over_http, path):
    program = """
def handler(*_):
    submit("last")
    sys.exit(0)

signal.signal(signal.SIGTERM, handler)
number = 0
while True:
    submit(f"run-{number}")
    print(number, flush=True)
    number += 1
"""
    process = start(over_http, COMMON + program)
    assert process.stdout is not None
    for _ in range(50):
        process.stdout.readline()
    process.send_signal(signal.SIGTERM)
    done = end(process)
    assert (done.code, done.err) == (0, "")
    got = arrived(over_http, path)
    assert got == {"last", *names("run", len(got) - 1)}
    assert len(got) > 50


def test_threads_that_report_until_the_end_hold_nothing_up_and_lose_nothing(over_http, path):
    program = """
begun = threading.Semaphore(0)

def busy(name):
    number = 0
    while True:
        submit(f"{name}-{number}")
        os.write(1, f"{name}-{number}\\n".encode())
        number += 1
        begun.release()
        time.sleep(0.02)

for name in "abc":
    threading.Thread(target=busy, args=(name,), daemon=True).start()
for _ in range(60):
    begun.acquire()
leave()
"""
    done = run(over_http, COMMON + program)
    assert (done.code, done.err) == (0, "")
    left = [line for line in done.out.split() if line[0] not in "abc"]
    assert done.at - float(left[0]) < EXIT_SECONDS
    told = {line for line in done.out.split() if line[0] in "abc"}
    assert len(told) >= 60
    assert told <= arrived(over_http, path)


def test_an_interrupt_ends_a_drain_at_once(stub, path):
    target = stub.target("hanging")
    program = """
backend = Backend(Configuration(outbox=OutboxSettings(worker="none")))
submit("run-0")
print("ready", flush=True)
try:
    backend.outbox.drain(60)
except KeyboardInterrupt:
    leave()
"""
    process = start(target, COMMON + program)
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    stub.wait_for_report(target)
    process.send_signal(signal.SIGINT)
    done = end(process)
    assert (done.code, done.err) == (0, "")
    assert done.at - float(done.out) < EXIT_SECONDS
    assert pending(target, path) == 1


def test_a_process_that_is_frozen_for_longer_than_its_turn_loses_and_doubles_nothing(over_http, path):
    program = """
for number in range(40):
    submit(f"run-{number}")
    print(number, flush=True)
sys.stdin.read()
"""
    process = start(over_http, COMMON + program)
    assert process.stdout is not None
    process.stdout.readline()
    os.kill(process.pid, signal.SIGSTOP)
    deadline = time.monotonic() + 7
    while time.monotonic() < deadline:
        with suppress(OutboxError):  # where it was frozen in the middle of a transaction, which nobody can end
            outbox(over_http, path).drain(1)  # as another process does, once the time of the frozen one is up
        time.sleep(0.1)
    os.kill(process.pid, signal.SIGCONT)
    assert end(process).code == 0
    assert arrived(over_http, path) == names("run", 40)


# Without threads, and in event loops


def test_without_a_worker_it_delivers_when_it_is_told_to(target, path):
    program = """
backend = Backend(Configuration(outbox=OutboxSettings(worker="none")))
receipts = [submit(f"run-{number}") for number in range(5)]
assert threading.active_count() == 1
assert backend.outbox.stats().delivered == 0
assert backend.outbox.drain(30)
print(json.dumps([threading.active_count(), *(str(receipt.state) for receipt in receipts)]))
"""
    assert run(target, COMMON + program).result == [1, *["delivered"] * 5]
    assert arrived(target, path) == names("run", 5)


@pytest.mark.parametrize("library", ["asyncio", "trio"])
def test_reports_of_an_event_loop_are_delivered_and_awaited(library, target, path):
    program = f"""
import {library}
async def main():
    names = [f"run-{{number}}" for number in range(10)]
    receipts = [await backend.asubmit_external_task(id=f"{{agent_id}}-{{name}}", result=name) for name in names]
    return [str(await receipt) for receipt in receipts], [receipt.task.result for receipt in receipts]

states, results = {library}.run(main{"()" if library == "asyncio" else ""})
print(json.dumps([states, results]))
"""
    states, results = run(target, COMMON + program).result
    assert states == ["delivered"] * 10
    assert arrived(target, path) == set(results) == names("run", 10)


def test_an_event_loop_goes_on_while_a_report_waits_for_room(over_http, path):
    program = """
settings = OutboxSettings(worker="none", max_reports=1, when_full="block", block_seconds=1)
backend = Backend(Configuration(outbox=settings))

async def main():
    await backend.asubmit_external_task(id=f"{agent_id}-run-0", result="run-0")
    ticks = 0
    waits = asyncio.ensure_future(backend.asubmit_external_task(id=f"{agent_id}-run-1", result="run-1"))
    while not waits.done():
        ticks += 1
        await asyncio.sleep(0.01)
    return ticks, type(waits.exception()).__name__

print(json.dumps(asyncio.run(main())))
"""
    ticks, error = run(over_http, COMMON + program).result
    assert ticks > 10
    assert error == "OutboxFullError"
    assert arrived(over_http, path) == {"run-0"}
