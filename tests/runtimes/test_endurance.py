"""Many reports in one process: as much is held after them as before."""

import pytest

from runtimes.programs import run

MINUTES = 240  # seconds, for 10,000 reports on a busy machine; they take seven

COMMON = """
import asyncio, json
from runtimes import vitals
from xpander_sdk import Task

def look():
    counts = [len(vitals.connections()), vitals.descriptors(), vitals.threads()]
    return counts, vitals.objects(), vitals.resident()

"""


def assert_flat(before: list, after: list) -> None:
    assert after[0] == before[0]
    # Of 8,000 reports: less than one object for ten of them. What stays is of caches that fill.
    assert after[1] - before[1] < 800
    assert after[2] - before[2] < 8_192


@pytest.mark.timeout(2 * MINUTES)
def test_10_000_reports_leave_nothing_behind(stub):
    program = """
for number in range(10_000):
    if number == 2_000:
        before = look()
    Task.report_external_task(id=f"run-{number}", result="done")
print(json.dumps([before, look()]))
"""
    before, after = run(stub.target(), COMMON + program, strict=False, seconds=MINUTES).result
    assert_flat(before, after)
    assert after[0][0] == 1


@pytest.mark.timeout(2 * MINUTES)
def test_10_000_asynchronous_reports_with_32_in_flight_leave_nothing_behind(stub):
    program = """
async def report(numbers):
    for number in numbers:
        await Task.areport_external_task(id=f"run-{number}", result="done")

async def batch(count):
    numbers = iter(range(count))
    await asyncio.gather(*(report(numbers) for _ in range(32)))

async def main():
    await batch(2_000)
    before = look()
    await batch(8_000)
    return before, look()

print(json.dumps([*asyncio.run(main()), len(vitals.connections())]))
"""
    before, after, at_end = run(stub.target(), COMMON + program, strict=False, seconds=MINUTES).result
    assert_flat(before, after)
    assert after[0][0] == 32
    assert at_end == 0


def test_each_of_many_reports_goes_out_once(stub):
    target = stub.target()
    program = """
async def main():
    for _ in range(10):
        await asyncio.gather(*(Task.areport_external_task() for _ in range(32)))
        for _ in range(8):
            Task.report_external_task()

asyncio.run(main())
print(json.dumps("done"))
"""
    assert run(target, COMMON + program, strict=False).result == "done"
    assert stub.reports(target) == 400


def test_300_reports_to_a_file_leave_nothing_behind(in_process):
    program = """
async def main():
    for _ in range(50):
        await Task.areport_external_task()

def once():
    for _ in range(50):
        Task.report_external_task()
    asyncio.run(main())

once()
before = look()
once()
once()
print(json.dumps([before, look()]))
"""
    before, after = run(in_process, COMMON + program, strict=False).result
    assert after[0] == before[0]
    assert after[1] - before[1] < 200
