"""A backend as a handle: what it holds is given back when it says so, and it is made from the environment as it is."""

from runtimes.programs import run

COMMON = """
import asyncio, json, os, threading
from runtimes import vitals
from xpander_sdk import Backend, Configuration, Task

"""


def test_after_a_backend_no_connection_is_open_and_a_later_call_opens_one(stub):
    program = """
counts = []
with Backend() as backend:
    backend.report_external_task()
    counts.append(len(vitals.connections()))
counts.append(len(vitals.connections()))
backend.report_external_task()
counts.append(len(vitals.connections()))
print(json.dumps(counts))
"""
    assert run(stub.target(), COMMON + program).result == [1, 0, 1]


def test_after_an_asynchronous_backend_no_connection_is_open_and_a_later_call_opens_one(stub):
    program = """
async def main():
    counts = []
    async with Backend() as backend:
        await asyncio.gather(*(backend.areport_external_task() for _ in range(8)))
        counts.append(len(vitals.connections()) > 1)
    counts.append(len(vitals.connections()))
    await backend.areport_external_task()
    counts.append(len(vitals.connections()))
    return counts

print(json.dumps(asyncio.run(main())))
"""
    assert run(stub.target(), COMMON + program).result == [True, 0, 1]


def test_after_a_backend_in_trio_no_connection_is_open_and_a_later_call_opens_one(stub):
    program = """
import trio

async def main():
    counts = []
    async with Backend() as backend:
        await backend.areport_external_task()
        counts.append(len(vitals.connections()))
    counts.append(len(vitals.connections()))
    await backend.areport_external_task()
    counts.append(len(vitals.connections()))
    return counts

print(json.dumps(trio.run(main)))
"""
    assert run(stub.target(), COMMON + program).result == [1, 0, 1]


def test_after_a_backend_no_file_is_open_and_a_later_call_opens_it(in_process):
    program = """
def is_open():
    links = [os.path.join("/proc/self/fd", number) for number in os.listdir("/proc/self/fd")]
    return any(os.path.realpath(link).endswith("runs.db") for link in links)

counts = []
with Backend() as backend:
    backend.report_external_task()
    counts.append(is_open())
counts.append(is_open())
backend.report_external_task()
counts.append(is_open())
print(json.dumps(counts))
"""
    assert run(in_process, COMMON + program).result == [True, False, True]


def test_a_backend_closes_what_threads_opened_too(stub):
    program = """
with Backend() as backend:
    threads = [threading.Thread(target=backend.report_external_task) for _ in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    during = len(vitals.connections())
print(json.dumps([during > 0, len(vitals.connections())]))
"""
    assert run(stub.target(), COMMON + program).result == [True, 0]


def test_a_backend_that_is_closed_while_threads_report_harms_none_of_them(target):
    program = """
counts = []

def work():
    for _ in range(20):
        counts.append(Task.report_external_task().id)

threads = [threading.Thread(target=work) for _ in range(4)]
for thread in threads:
    thread.start()
while any(thread.is_alive() for thread in threads):
    Backend().close()
    threads[0].join(0.005)
Backend().close()
print(json.dumps([len(set(counts)), len(vitals.connections())]))
"""
    assert run(target, COMMON + program).result == [80, 0]


def test_a_backend_leaves_the_connections_to_other_targets_open(over_http, stub):
    program = """
import sys
other = Configuration(base_url=sys.argv[1], api_key="k")
Task.report_external_task(configuration=other)
before = vitals.connections()
with Backend() as backend:
    backend.report_external_task()
print(json.dumps([len(before), vitals.connections() == before]))
"""
    assert run(over_http, COMMON + program, stub.url).result == [1, True]


def test_a_new_backend_follows_the_environment_and_an_old_one_stays(over_http, stub):
    other = stub.target()
    program = """
import sys
first = Backend()
first.report_external_task()
os.environ.update(XPANDER_BASE_URL=sys.argv[1], XPANDER_API_KEY="another", XPANDER_AGENT_ID=sys.argv[2])
second = Backend()
organizations = [
    second.report_external_task().organization_id,
    first.report_external_task().organization_id,
    Task.report_external_task().organization_id,
]
print(json.dumps(organizations))
"""
    done = run(over_http, COMMON + program, stub.url, other.agent_id)
    assert done.result == ["org-stub", over_http.configuration.organization_id, "org-stub"]
    assert stub.reports(other) == 2
