"""Processes that fork: parent and children each report as if they were alone."""

import pytest

from runtimes.programs import Target, run
from xpander_sdk import Tasks

COMMON = """
import asyncio, json, multiprocessing, os, sys, threading, time
from runtimes import vitals
from xpander_sdk import Backend, Task

agent_id = os.environ["XPANDER_AGENT_ID"]

def report(name):
    arguments = {"id": f"{agent_id}-{name}", "result": name}
    if sys.argv[1] == "sync":
        task = Task.report_external_task(**arguments)
    else:
        task = asyncio.run(Task.areport_external_task(**arguments))
    assert (task.id, task.result) == (arguments["id"], name), task

def child(name):
    report(f"{name}-first")
    report(f"{name}-second")

def forked(work, *arguments):
    pid = os.fork()
    if pid:
        return pid
    work(*arguments)
    sys.exit(0)

def ended(pid):
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])

"""


def recorded(target: Target) -> set[str]:
    """The runs that arrived, by their names."""
    tasks = Tasks(target.configuration).list(target.agent_id)
    assert all(task.id == f"{target.agent_id}-{task.result}" for task in tasks)
    return {task.result for task in tasks}


CHILDREN = {f"{name}-{turn}" for name in "ab" for turn in ("first", "second")}


@pytest.mark.parametrize("before", [["before"], []], ids=["used before", "not used before"])
def test_parent_and_forked_children_all_report(before, form, target):
    program = """
for name in sys.argv[2:]:
    report(name)
children = [forked(child, name) for name in "ab"]
report("meanwhile")
codes = [ended(pid) for pid in children]
report("after")
print(json.dumps(codes))
"""
    assert run(target, COMMON + program, form, *before).result == [0, 0]
    assert recorded(target) == {*before, *CHILDREN, "meanwhile", "after"}


@pytest.mark.parametrize("before", [["before"], []], ids=["used before", "not used before"])
def test_parent_and_children_of_multiprocessing_all_report(before, form, target):
    program = """
for name in sys.argv[2:]:
    report(name)
context = multiprocessing.get_context("fork")
children = [context.Process(target=child, args=(name,)) for name in "ab"]
for process in children:
    process.start()
report("meanwhile")
for process in children:
    process.join()
report("after")
print(json.dumps([process.exitcode for process in children]))
"""
    assert run(target, COMMON + program, form, *before).result == [0, 0]
    assert recorded(target) == {*before, *CHILDREN, "meanwhile", "after"}


def test_children_leave_the_connection_of_the_parent_alone(over_http):
    program = """
report("before")
before = vitals.connections()
codes = [ended(forked(child, name)) for name in "ab"]
report("after")
print(json.dumps([codes, len(before), vitals.connections() == before]))
"""
    assert run(over_http, COMMON + program, "sync").result == [[0, 0], 1, True]


def test_a_child_that_only_ends_disturbs_nothing(target):
    program = """
report("before")
codes = [ended(forked(lambda: None)) for _ in range(2)]
report("after")
print(json.dumps(codes))
"""
    assert run(target, COMMON + program, "sync").result == [0, 0]
    assert recorded(target) == {"before", "after"}


def test_a_grandchild_reports_too(form, target):
    program = """
def parent_of_another():
    report("child")
    assert ended(forked(report, "grandchild")) == 0
    report("child-after")

report("before")
code = ended(forked(parent_of_another))
report("after")
print(json.dumps(code))
"""
    assert run(target, COMMON + program, form).result == 0
    assert recorded(target) == {"before", "child", "grandchild", "child-after", "after"}


def test_a_fork_within_a_running_event_loop_leaves_both_sides_able_to_report(target):
    program = """
async def areport(name):
    await Task.areport_external_task(id=f"{agent_id}-{name}", result=name)

async def main():
    await areport("before")
    pid = os.fork()
    if not pid:
        # The parent's event loop cannot go on here, and cannot be left but at once.
        code = 1
        try:
            Task.report_external_task(id=f"{agent_id}-child", result="child")
            asyncio.run(areport("child-in-a-loop"))
            code = 0
        finally:
            os._exit(code)
    await areport("meanwhile")
    code = await asyncio.to_thread(ended, pid)
    await areport("after")
    return code

print(json.dumps(asyncio.run(main())))
"""
    assert run(target, COMMON + program, "async").result == 0
    assert recorded(target) == {"before", "child", "child-in-a-loop", "meanwhile", "after"}


# Not a file that was not used before: the server's own first imports, within its libraries, are under no lock of ours.
@pytest.mark.parametrize(
    ("name", "before"),
    [("over_http", ["before"]), ("over_http", []), ("in_process", ["before"])],
    ids=["over_http-used before", "over_http-not used before", "in_process-used before"],
)
def test_children_forked_while_threads_report_are_not_held_up(name, before, request):
    target = request.getfixturevalue(name)
    # Whatever lock a thread of the parent holds at that moment, that of a first import included: nobody gives it back
    # in the child.
    program = """
import warnings
# Newer Pythons warn of exactly this.
warnings.filterwarnings("ignore", ".*multi-threaded", DeprecationWarning)
is_over = threading.Event()
counts = [0] * 4

def busy(number):
    while not is_over.is_set():
        report(f"thread-{number}-{counts[number]}")
        counts[number] += 1
        time.sleep(0.002)  # a file has one writer at a time, and no queue between processes

def in_child(name):
    child(name)
    # Not through the parent's threads, which are not here.
    os._exit(0)

for name in sys.argv[2:]:
    report(name)
threads = [threading.Thread(target=busy, args=(number,)) for number in range(4)]
for thread in threads:
    thread.start()
codes = []
for turn in range(4):
    pids = [forked(in_child, f"{turn}-{number}") for number in range(3)]
    codes += [ended(pid) for pid in pids]
is_over.set()
for thread in threads:
    thread.join()
print(json.dumps([codes, counts]))
"""
    # A child that is held up is so for ever.
    codes, counts = run(target, COMMON + program, "sync", *before).result
    assert codes == [0] * 12
    by_children = {f"{turn}-{n}-{which}" for turn in range(4) for n in range(3) for which in ("first", "second")}
    by_threads = {f"thread-{number}-{n}" for number, count in enumerate(counts) for n in range(count)}
    assert recorded(target) == by_children | by_threads | set(before)


@pytest.mark.parametrize("way", ["closes its backend", "exits"])
def test_what_a_child_reports_to_a_file_survives_a_parent_that(way, in_process):
    # SQLite takes the last process that closes a file to be alone with it; a child that came by a fork must count.
    program = """
report("before")
to_child, from_parent = os.pipe()
to_parent, from_child = os.pipe()

def waiting():
    report("child-before")
    os.close(from_parent)
    os.write(from_child, b"!")
    os.read(to_child, 1)  # until the parent's end is closed
    for number in range(20):
        report(f"child-{number}")
    # As the children of multiprocessing end: nothing is put in order.
    os._exit(0)

pid = forked(waiting)
os.close(to_child)
report("parent-meanwhile")
os.read(to_parent, 1)
if sys.argv[2] == "exits":
    print(json.dumps(0), flush=True)
    sys.exit(0)
Backend().close()
os.close(from_parent)
for number in range(20):
    report(f"parent-{number}")
print(json.dumps(ended(pid)))
"""
    assert run(in_process, COMMON + program, "sync", way).result == 0
    by_child = {"child-before", *(f"child-{number}" for number in range(20))}
    by_parent = set() if way == "exits" else {f"parent-{number}" for number in range(20)}
    assert recorded(in_process) == {"before", "parent-meanwhile", *by_child, *by_parent}
