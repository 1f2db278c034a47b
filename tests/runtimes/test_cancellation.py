"""Reports that are cut off: by cancellation, and by Ctrl-C."""

import signal
import time

import pytest

from runtimes.programs import EXIT_SECONDS, end, run, start

HANGING = """
import asyncio, json, os, sys
from contextlib import suppress
from runtimes import vitals
from xpander_sdk import Backend, Task

def cut_off():
    # To be cancelled: the stub does not answer this agent.
    return Task.areport_external_task(agent_id="hanging")

"""

WAYS = {
    "task.cancel": """
async def once():
    task = asyncio.create_task(cut_off())
    await asyncio.sleep(0.05)
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task
""",
    "asyncio.timeout": """
async def once():
    with suppress(TimeoutError):
        async with asyncio.timeout(0.05):
            await cut_off()
""",
    "asyncio.wait_for": """
async def once():
    with suppress(TimeoutError):
        await asyncio.wait_for(cut_off(), 0.05)
""",
    "a task group": """
async def once():
    async def fail():
        await asyncio.sleep(0.05)
        raise LookupError

    with suppress(ExceptionGroup):
        async with asyncio.TaskGroup() as group:
            group.create_task(cut_off())
            group.create_task(fail())
""",
    "trio.move_on_after": """
import trio

async def once():
    with trio.move_on_after(0.05):
        await cut_off()
""",
}


@pytest.mark.parametrize("way", WAYS)
def test_a_cancelled_report_leaves_the_client_usable_and_no_connection(way, stub):
    program = """
async def main():
    # The first report takes its time: it imports.
    await Task.areport_external_task()
    for _ in range(5):
        await once()
    # What is cut off is closed at the event loop's next step.
    await (trio.sleep(0.01) if "trio" in globals() else asyncio.sleep(0.01))
    after = len(vitals.connections())
    await Task.areport_external_task()
    return after, len(vitals.connections())

during = trio.run(main) if "trio" in globals() else asyncio.run(main())
print(json.dumps([*during, len(vitals.connections())]))
"""
    assert run(stub.target(), HANGING + WAYS[way] + program).result == [0, 1, 0]


def test_more_cancelled_reports_than_there_may_be_at_once_leave_the_client_usable(stub):
    program = """
async def main():
    tasks = [asyncio.create_task(cut_off()) for _ in range(150)]
    while len(vitals.connections()) < 100:
        await asyncio.sleep(0.01)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    after = len(vitals.connections())
    async with asyncio.timeout(60):
        await asyncio.gather(*(Task.areport_external_task() for _ in range(100)))
    return after

print(json.dumps(asyncio.run(main())))
"""
    assert run(stub.target(), HANGING + program).result == 0


@pytest.mark.parametrize("kept", ["a new connection", "a kept connection"])
@pytest.mark.parametrize("library", ["asyncio", "trio"])
def test_a_report_may_be_cancelled_at_any_step(library, kept, stub):
    # The cancellation comes ever later, until the report was quicker: so it meets every step at which a report waits.
    program = {
        "asyncio": """
async def stopped(steps):
    task = asyncio.create_task(Task.areport_external_task())
    for _ in range(steps):
        await asyncio.sleep(0)
    is_done = task.done()
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task
    return is_done
""",
        "trio": """
import trio

async def stopped(steps):
    is_done = False

    async def work():
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
""",
    }[library]
    main = """
async def main():
    steps = 0
    most = 0
    await Task.areport_external_task()
    while True:
        if sys.argv[1] == "a new connection":
            await Backend().aclose()
        if await stopped(steps):
            return steps, most
        await Task.areport_external_task()
        most = max(most, len(vitals.connections()))
        # By ones at first, where the steps differ; later most of them are one long wait for the answer.
        steps += 1 + steps // 10

print(json.dumps(trio.run(main) if "trio" in globals() else asyncio.run(main())))
"""
    steps, most = run(stub.target(), HANGING + program + main, kept).result
    assert steps > 3
    assert most == 1


def test_a_walk_that_is_cancelled_is_no_error(stub):
    program = """
from xpander_sdk import Tasks

async def walk():
    async for _ in Tasks().aiterate("agent-123"):
        pass

async def main():
    # The stub's history has no end.
    with suppress(TimeoutError):
        async with asyncio.timeout(0.2):
            await walk()
    await Task.areport_external_task()
    return len(vitals.connections())

print(json.dumps(asyncio.run(main())))
"""
    assert run(stub.target(), HANGING + program).result == 1


def test_a_cancelled_report_to_a_file_leaves_it_usable(in_process):
    program = """
async def main():
    count = 0
    for steps in range(20):
        task = asyncio.create_task(Task.areport_external_task())
        for _ in range(steps):
            await asyncio.sleep(0)
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
        async with asyncio.timeout(60):
            await Task.areport_external_task()
        count += 1
    return count

print(json.dumps(asyncio.run(main())))
"""
    assert run(in_process, HANGING + program).result == 20


REPORT = """
def report(**arguments):
    if sys.argv[1] == "sync":
        return Task.report_external_task(**arguments)
    return asyncio.run(Task.areport_external_task(**arguments))

"""


@pytest.mark.parametrize("behaviour", ["hanging", "halting", "refusing"])
def test_ctrl_c_ends_a_report_at_once(behaviour, form, stub):
    # While it waits for the answer, for the rest of the answer, and for the next attempt.
    target = stub.target(behaviour)
    process = start(target, HANGING + REPORT + "report()\n", form)
    stub.wait_for_report(target)
    time.sleep(0.1)  # for the wait that comes after the answer
    pressed = time.monotonic()
    process.send_signal(signal.SIGINT)
    done = end(process)
    assert done.at - pressed < EXIT_SECONDS
    assert done.code == -signal.SIGINT
    assert done.err.endswith("\nKeyboardInterrupt\n")
    assert "Warning" not in done.err
    assert "ignored" not in done.err


def test_after_ctrl_c_the_client_is_usable_and_no_connection_is_left(form, stub):
    target = stub.target("hanging")
    program = """
after = []
try:
    report()
except KeyboardInterrupt:
    after.append(len(vitals.connections()))
report(agent_id="good")
after.append(len(vitals.connections()))
print(json.dumps(after))
"""
    process = start(target, HANGING + REPORT + program, form)
    stub.wait_for_report(target)
    process.send_signal(signal.SIGINT)
    assert end(process).result == [0, 1 if form == "sync" else 0]


def test_an_exception_of_a_signal_handler_leaves_the_client_usable_and_no_connection(stub):
    # As a worker does that limits its jobs in time.
    program = """
import signal

class TooLate(Exception):
    pass

def stop(*_):
    raise TooLate

signal.signal(signal.SIGALRM, stop)
Task.report_external_task()
for _ in range(5):
    signal.setitimer(signal.ITIMER_REAL, 0.1)
    with suppress(TooLate):
        Task.report_external_task(agent_id="hanging")
after = len(vitals.connections())
Task.report_external_task()
print(json.dumps([after, len(vitals.connections())]))
"""
    assert run(stub.target(), HANGING + program).result == [0, 1]
