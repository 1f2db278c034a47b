"""Delivery at the end of a program: no report is left to another program while the backend answers."""

import pytest

from runtimes.outbox_state import pending_count
from runtimes.processes import numbered, run, start
from xpander_sdk import Backend, Tasks


def assert_delivered(target, outbox_file, names):
    """Assert that the programs, which have ended, have delivered reports with these names."""
    assert pending_count(target, outbox_file) == 0
    assert {task.result for task in Tasks(target.configuration).list(target.agent_id)} == names


@pytest.mark.parametrize(
    ("scenario", "code", "count"),
    [
        ("end", 0, 1),
        ("raise_exception", 1, 1),
        ("call_sys_exit", 3, 1),
        ("submit_in_thread", 0, 1),
        ("submit_in_daemon_thread", 0, 1),
        ("submit_in_event_loop", 0, 1),
        ("submit_in_exit_handler", 0, 1),
        ("submit_after_the_outbox_has_ended", 0, 2),
        ("submit_in_forked_child", 0, 1),
    ],
)
def test_program_delivers_before_it_ends(scenario, code, count, target, outbox_file):
    assert run(target, f"program_ends.{scenario}").code == code
    assert_delivered(target, outbox_file, numbered("run", count))


@pytest.mark.parametrize("method", ["fork", "spawn"])
@pytest.mark.parametrize(
    ("scenario", "count"),
    [("submit_in_processes", 4), ("submit_in_pool", 8), ("submit_in_closed_pool", 8), ("submit_in_executor", 8)],
)
def test_child_processes_deliver_before_they_end(scenario, count, method, over_http, outbox_file):
    assert run(over_http, f"program_ends.{scenario}", method).code == 0
    assert_delivered(over_http, outbox_file, numbered("run", count))


def test_program_that_submits_nothing_delivers_what_a_killed_one_has_left(over_http, outbox_file):
    run(over_http, "outboxes.end_after_50_reports", "kill")
    left = pending_count(over_http, outbox_file)
    program = run(over_http, "program_ends.submit_nothing")
    program.assert_silent_exit()
    assert_delivered(over_http, outbox_file, numbered("run", 50))
    assert left > 0


def test_program_that_submits_nothing_does_not_load_the_outbox_if_it_is_empty(over_http, outbox_file):
    run(over_http, "program_ends.end")
    before = outbox_file.read_bytes()
    program = run(over_http, "program_ends.submit_nothing")
    assert program.out == "no registry\n"
    assert outbox_file.read_bytes() == before
    assert not outbox_file.with_name("outbox.db-wal").exists()


def test_program_without_outbox_file_creates_none(over_http, outbox_file):
    run(over_http, "program_ends.submit_nothing").assert_silent_exit()
    assert not outbox_file.exists()


def test_leases_of_a_dead_process_are_released_at_once(stub, outbox_file):
    hanging = stub.target("hanging")
    process = start(hanging, "program_ends.end")
    stub.wait_for_report(hanging)
    process.kill()
    process.communicate()
    outbox = Backend(hanging.configuration.with_options(outbox=outbox_file)).outbox
    delivery = outbox._state.delivery
    assert delivery.claim() is None
    delivery.release_dead_owners()
    claim = delivery.claim()
    assert claim is not None
    outbox._state.store.release_lease(*claim.batches)
    outbox.close(0)
