"""Reports in event loops: many short loops, running loops, and iterations that end early."""

import pytest

from runtimes.processes import run
from xpander_sdk import Tasks


# Without development mode, which makes the program slow. The next test checks that there are no warnings.
@pytest.mark.parametrize(("library", "count"), [("asyncio", 1_000), ("uvloop", 300), ("trio", 300)])
def test_short_event_loops_leave_no_resources_behind(library, count, stub):
    program = run(stub.target(), "event_loops.run_short_loops", library, str(count), development_mode=False)
    before, after, objects, resident_kib = program.result
    assert after == before
    assert after[1:] == [0, 0]
    # A loop that stays would be hundreds of objects. Caches that fill cause a smaller growth.
    assert objects < 3 * count
    assert resident_kib < 8_192


@pytest.mark.parametrize("library", ["asyncio", "uvloop", "trio"])
def test_short_event_loops_cause_no_warning(library, stub):
    before, after, *_ = run(stub.target(), "event_loops.run_short_loops", library, "20").result
    assert after == before


# Without trio, which keeps the threads that access the file for ten seconds.
@pytest.mark.parametrize("library", ["asyncio", "uvloop"])
def test_short_event_loops_with_file_leave_no_resources_behind(library, in_process):
    before, after, *_ = run(in_process, "event_loops.run_short_loops", library, "20").result
    assert after == before


def test_event_loops_closed_without_shutdown_leave_no_resources_behind(stub):
    program = run(stub.target(), "event_loops.run_short_loops", "closed", "50", development_mode=False)
    before, after, *_ = program.result
    assert after == before


def test_connections_of_event_loop_are_closed_with_it(stub):
    during, after = run(stub.target(), "event_loops.count_connections_of_loop", "asyncio").result
    assert 1 < during <= 32
    assert after == 0


def test_connections_of_trio_run_are_closed_with_it(stub):
    during, after = run(stub.target(), "event_loops.count_connections_of_loop", "trio").result
    assert 1 < during <= 32
    assert after == 0


@pytest.mark.parametrize("place", ["coroutine", "callback", "loop of a thread", "iteration"])
def test_both_forms_report_in_running_event_loop(place, target):
    names = ("first", "second", "third", "fourth")
    assert run(target, "event_loops.report_in_both_forms", place).result == "done"
    tasks = Tasks(target.configuration).list(target.agent_id)
    assert {task.id: task.result for task in tasks} == {f"{target.agent_id}{name}": name for name in names}


# A page of the stub has two items: the iteration ends within the first page, or in the second one.
@pytest.mark.parametrize("steps", [1, 3])
def test_iteration_left_by_break_causes_no_error(steps, stub):
    assert run(stub.target(), "event_loops.break_iteration", str(steps)).result == steps


def test_exception_raised_in_iteration_is_not_changed(over_http):
    assert run(over_http, "event_loops.raise_in_iteration").result == "of the program"
