"""Threads: many at once, and those that come and go."""

import pytest

from runtimes.programs import run
from xpander_sdk import Task, Tasks

FORMS = """
import asyncio, json, os, sys, threading
from runtimes import vitals
from xpander_sdk import Task

def report(**arguments):
    if sys.argv[1] == "sync":
        return Task.report_external_task(**arguments)
    return asyncio.run(Task.areport_external_task(**arguments))

def in_threads(count, work):
    threads = [threading.Thread(target=work, args=(number,)) for number in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

"""


def test_each_report_of_64_threads_arrives_once_and_is_answered_to_its_own(form, target):
    program = """
agent_id = os.environ["XPANDER_AGENT_ID"]
barrier = threading.Barrier(64)
answered = {}

def work(number):
    barrier.wait()
    for turn in range(2):
        run_id = f"{agent_id}-{number}-{turn}"
        task = report(id=run_id, input=f"input of {run_id}", result=f"result of {run_id}")
        answered[run_id] = (task.id, task.input.text, task.result)

in_threads(64, work)
assert len(answered) == 128
mixed_up = {
    run_id: answer for run_id, answer in answered.items()
    if answer != (run_id, f"input of {run_id}", f"result of {run_id}")
}
print(json.dumps(mixed_up))
"""
    assert run(target, FORMS + program, form).result == {}
    tasks = Tasks(target.configuration).list(target.agent_id)
    expected = {f"{target.agent_id}-{number}-{turn}" for number in range(64) for turn in range(2)}
    assert sorted(task.id for task in tasks) == sorted(expected)
    assert {task.id: task.result for task in tasks} == {run_id: f"result of {run_id}" for run_id in expected}
    some = Task.load(f"{target.agent_id}-17-1", target.configuration)
    assert some.input.text == f"input of {some.id}"


def test_threads_that_come_and_go_leave_nothing_behind(form, stub):
    program = """
in_threads(64, lambda _: report())
before = [vitals.threads(), vitals.objects()]
most = 0
for _ in range(8):
    in_threads(64, lambda _: report())
    most = max(most, len(vitals.connections()))
print(json.dumps([before, [vitals.threads(), vitals.objects()], most]))
"""
    (threads, objects), (threads_after, objects_after), connections = run(stub.target(), FORMS + program, form).result
    assert threads_after == threads == 0
    # A thread, or its event loop, would be hundreds; what stays is of caches that fill.
    assert objects_after - objects < 3 * 512
    # Those of the synchronous form are shared, and at most as many as there were threads at once.
    assert connections <= (64 if form == "sync" else 0)


def test_threads_one_after_another_share_one_connection(stub):
    program = """
kept = set()
for _ in range(100):
    in_threads(1, lambda _: report())
    kept |= vitals.connections()
print(json.dumps(len(kept)))
"""
    assert run(stub.target(), FORMS + program, "sync").result == 1


def test_threads_over_a_file_leave_nothing_behind(form, in_process):
    program = """
def look():
    return vitals.descriptors(), vitals.threads()

for _ in range(2):
    in_threads(16, lambda _: report())
before = look()
for _ in range(4):
    in_threads(16, lambda _: report())
print(json.dumps([before, look()]))
"""
    before, after = run(in_process, FORMS + program, form).result
    # Connections to the file are opened as they are needed, up to the pool's five.
    assert after[0] <= before[0] + 15
    assert after[1] == before[1] == 0


@pytest.mark.parametrize("library", ["asyncio", "trio"])
def test_an_event_loop_in_a_thread_of_its_own_serves_the_others(library, over_http):
    # As a synchronous program does that keeps one event loop for all of its asynchronous work.
    program = {
        "asyncio": """
loop = asyncio.new_event_loop()
thread = threading.Thread(target=loop.run_forever)
thread.start()
tasks = [asyncio.run_coroutine_threadsafe(Task.areport_external_task(), loop) for _ in range(8)]
count = len({task.result().id for task in tasks})

async def finish():
    await loop.shutdown_asyncgens()

asyncio.run_coroutine_threadsafe(finish(), loop).result()
loop.call_soon_threadsafe(loop.stop)
thread.join()
loop.close()
""",
        "trio": """
import trio
found = set()

async def one():
    found.add((await Task.areport_external_task()).id)

async def main():
    async with trio.open_nursery() as nursery:
        for _ in range(8):
            nursery.start_soon(one)

thread = threading.Thread(target=trio.run, args=(main,))
thread.start()
thread.join()
count = len(found)
""",
    }[library]
    look = "print(json.dumps([count, len(vitals.connections())]))\n"
    assert run(over_http, FORMS + program + look, "async").result == [8, 0]
