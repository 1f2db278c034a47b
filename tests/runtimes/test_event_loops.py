"""Event loops that run while a report is made, and those that come and go."""

import pytest

from runtimes.programs import run
from xpander_sdk import Tasks

# What each program does: `once()` is one event loop's life with a report in it.
LOOPS = {
    "asyncio": """
        import asyncio
        def once():
            asyncio.run(Task.areport_external_task())
    """,
    "uvloop": """
        import asyncio, uvloop
        def once():
            with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
                runner.run(Task.areport_external_task())
    """,
    "trio": """
        import trio
        def once():
            trio.run(Task.areport_external_task)
    """,
}

MANY = """
import json, sys, threading
from runtimes import vitals
from xpander_sdk import Task
{once}
def look():
    return vitals.descriptors(), vitals.threads(), len(vitals.connections())

for _ in range(10):
    once()
before, objects, resident = look(), vitals.objects(), vitals.resident()
for _ in range(int(sys.argv[1])):
    once()
after = look()
print(json.dumps([before, after, vitals.objects() - objects, vitals.resident() - resident]))
"""


def many(once: str) -> str:
    lines = once.splitlines()
    return MANY.format(once="\n".join(line[8:] for line in lines))


@pytest.mark.parametrize(("library", "count"), [("asyncio", 1_000), ("uvloop", 300), ("trio", 300)])
def test_short_event_loops_leave_nothing_behind(library, count, stub):
    # Not in the development mode, for the time: that nothing warns is the next test's.
    done = run(stub.target(), many(LOOPS[library]), str(count), strict=False)
    before, after, objects, resident = done.result
    assert after == before
    assert after[1:] == [0, 0]
    # A loop would be hundreds; what stays is of caches that fill.
    assert objects < 3 * count
    assert resident < 8_192


@pytest.mark.parametrize("library", LOOPS)
def test_short_event_loops_give_no_warning(library, stub):
    before, after, *_ = run(stub.target(), many(LOOPS[library]), "20").result
    assert after == before


# Not trio, which keeps the threads that the file is used from for ten seconds.
@pytest.mark.parametrize("library", ["asyncio", "uvloop"])
def test_short_event_loops_over_a_file_leave_nothing_behind(library, in_process):
    before, after, *_ = run(in_process, many(LOOPS[library]), "20").result
    assert after == before


def test_event_loops_that_were_only_closed_leave_nothing_behind(stub):
    # As frameworks do that are older than asyncio.run. Without its end there is no moment to close the connections at,
    # so asyncio warns of each; but they must not stay.
    once = """
        import asyncio, warnings
        warnings.simplefilter("ignore", ResourceWarning)
        def once():
            loop = asyncio.new_event_loop()
            loop.run_until_complete(Task.areport_external_task())
            loop.close()
            import gc; gc.collect()
    """
    before, after, *_ = run(stub.target(), many(once), "50", strict=False).result
    assert after == before


def test_many_connections_of_an_event_loop_end_with_it(stub):
    program = """
        import asyncio, json
        from runtimes import vitals
        from xpander_sdk import Task

        async def main():
            await asyncio.gather(*(Task.areport_external_task() for _ in range(32)))
            return len(vitals.connections())

        print(json.dumps([asyncio.run(main()), len(vitals.connections())]))
    """
    during, after = run(stub.target(), program).result
    assert 1 < during <= 32
    assert after == 0


def test_many_connections_of_a_trio_run_end_with_it(stub):
    program = """
        import json, trio
        from runtimes import vitals
        from xpander_sdk import Task

        async def main():
            async with trio.open_nursery() as nursery:
                for _ in range(32):
                    nursery.start_soon(Task.areport_external_task)
            return len(vitals.connections())

        print(json.dumps([trio.run(main), len(vitals.connections())]))
    """
    during, after = run(stub.target(), program).result
    assert 1 < during <= 32
    assert after == 0


IN_A_RUNNING_LOOP = {
    "in a coroutine": """
        async def main():
            report("first")
            await asyncio.gather(areport("second"), areport("third"))
            report("fourth")
    """,
    "in a callback": """
        async def main():
            done = asyncio.Event()
            asyncio.get_running_loop().call_soon(lambda: (report("first"), done.set()))
            await done.wait()
            await asyncio.gather(areport("second"), areport("third"))
            report("fourth")
    """,
    "in a loop within a thread of a loop": """
        async def inner():
            report("second")
            await areport("third")

        async def main():
            await areport("first")
            await asyncio.to_thread(asyncio.run, inner())
            report("fourth")
    """,
    "between the items of a walk": """
        async def main():
            for name in ("first", "second", "third"):
                await areport(name)
            async for _ in Tasks().aiterate(os.environ["XPANDER_AGENT_ID"]):
                report("fourth")
    """,
}


@pytest.mark.parametrize("main", IN_A_RUNNING_LOOP.values(), ids=IN_A_RUNNING_LOOP)
def test_both_forms_work_in_a_running_event_loop(main, target):
    names = ("first", "second", "third", "fourth")
    program = f"""
        import asyncio, json, os
        from xpander_sdk import Task, Tasks

        def named(name):
            return os.environ["XPANDER_AGENT_ID"] + name

        def report(name):
            Task.report_external_task(id=named(name), result=name)

        async def areport(name):
            await Task.areport_external_task(id=named(name), result=name)
{main}
        asyncio.run(main())
        print(json.dumps("done"))
    """
    assert run(target, program).result == "done"
    tasks = Tasks(target.configuration).list(target.agent_id)
    assert {task.id: task.result for task in tasks} == {f"{target.agent_id}{name}": name for name in names}


@pytest.mark.parametrize("steps", [1, 3])
def test_a_walk_that_is_abandoned_is_no_error(steps, stub):
    # The stub's pages have two items each: within a page, and in a later one.
    program = """
        import asyncio, json, sys
        from xpander_sdk import Tasks

        async def main():
            seen = 0
            async for _ in Tasks().aiterate("agent-123"):
                seen += 1
                if seen == int(sys.argv[1]):
                    break
            return seen

        print(json.dumps(asyncio.run(main())))
    """
    assert run(stub.target(), program, str(steps)).result == steps


def test_a_walk_that_is_abandoned_with_an_exception_leaves_that_alone(over_http):
    program = """
        import asyncio, json
        from xpander_sdk import Task, Tasks

        async def main():
            for _ in range(2):
                task = await Task.areport_external_task()
            async for _ in Tasks().aiterate(task.agent_id):
                raise LookupError("of the program")

        try:
            asyncio.run(main())
        except LookupError as error:
            print(json.dumps(str(error)))
    """
    assert run(over_http, program).result == "of the program"
