"""Reports that end early: by cancellation, by Ctrl-C, or by an exception of a signal handler."""

import signal
import time

import pytest

from runtimes.processes import EXIT_TIMEOUT, finish, run, start

CANCELLATIONS = ["task.cancel", "asyncio.timeout", "asyncio.wait_for", "asyncio.TaskGroup", "trio.move_on_after"]


@pytest.mark.parametrize("way", CANCELLATIONS)
def test_cancelled_report_leaves_client_usable_and_no_connection(way, stub):
    assert run(stub.target(), "cancellation.cancel_repeatedly", way).result == [0, 1, 0]


def test_more_cancelled_reports_than_connections_leave_client_usable(stub):
    assert run(stub.target(), "cancellation.cancel_more_than_max_connections").result == 0


@pytest.mark.parametrize("connection", ["new connection", "reused connection"])
@pytest.mark.parametrize("library", ["asyncio", "trio"])
def test_report_can_be_cancelled_at_each_step(library, connection, stub):
    steps, max_connections = run(stub.target(), "cancellation.cancel_at_each_step", library, connection).result
    assert steps > 3
    assert max_connections == 1


def test_cancelled_iteration_raises_no_error(stub):
    assert run(stub.target(), "cancellation.cancel_iteration").result == 1


def test_cancelled_report_to_file_leaves_file_usable(in_process):
    assert run(in_process, "cancellation.cancel_reports_to_file").result == 20


# The report waits for the response ("hanging"), for the rest of the response ("halting"), or for a retry ("refusing").
@pytest.mark.parametrize("behavior", ["hanging", "halting", "refusing"])
def test_ctrl_c_ends_report_quickly(behavior, form, stub):
    target = stub.target(behavior)
    process = start(target, "cancellation.report_once", form)
    stub.wait_for_report(target)
    time.sleep(0.1)  # the client needs this time to process the response, and to start its next wait
    interrupted_at = time.monotonic()
    process.send_signal(signal.SIGINT)
    program = finish(process)
    assert program.ended_at - interrupted_at < EXIT_TIMEOUT
    assert program.code == -signal.SIGINT
    assert program.err.endswith("\nKeyboardInterrupt\n")
    assert "Warning" not in program.err
    assert "ignored" not in program.err


def test_client_is_usable_after_ctrl_c_and_has_no_connection_left(form, stub):
    target = stub.target("hanging")
    process = start(target, "cancellation.report_after_interrupt", form)
    stub.wait_for_report(target)
    process.send_signal(signal.SIGINT)
    assert finish(process).result == [0, 1 if form == "sync" else 0]


def test_exception_in_signal_handler_leaves_client_usable_and_no_connection(stub):
    assert run(stub.target(), "cancellation.raise_in_signal_handler").result == [0, 1]
