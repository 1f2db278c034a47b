"""Exit of a program: quick and silent, regardless of open connections, threads and event loops."""

import signal

import pytest

from runtimes.processes import EXIT_TIMEOUT, finish, run, start


def test_exit_with_open_connections_is_silent_and_quick(form, target):
    program = run(target, "exits.exit_with_open_connections", form)
    program.assert_silent_exit()
    program.assert_quick_exit()


@pytest.mark.parametrize(
    "scenario",
    [
        pytest.param("exit_after_both_forms", id="both forms"),
        pytest.param("exit_after_trio", id="trio"),
        # Not in the asynchronous form: asyncio itself cannot resolve an address while the interpreter exits.
        pytest.param("exit_while_daemon_threads_report_repeatedly", id="daemon threads"),
        pytest.param("exit_while_event_loop_runs_in_daemon_thread", id="event loop in daemon thread"),
    ],
)
def test_exit_is_silent_and_quick(scenario, target):
    program = run(target, f"exits.{scenario}")
    program.assert_silent_exit()
    program.assert_quick_exit()


def test_sys_exit_keeps_its_code(form, target):
    program = run(target, "exits.call_sys_exit", form)
    program.assert_silent_exit(3)
    program.assert_quick_exit()


def test_sys_exit_in_event_loop_is_silent_and_quick(target):
    program = run(target, "exits.call_sys_exit_in_event_loop")
    program.assert_silent_exit(3)
    program.assert_quick_exit()


def test_unhandled_exception_causes_no_other_output(form, target):
    program = run(target, "exits.raise_exception", form)
    assert program.code == 1
    assert program.err.startswith("Traceback")
    assert program.err.endswith("\nLookupError: of the program\n")
    assert program.err.count("Error") == 1
    program.assert_quick_exit()


def test_unhandled_exception_in_event_loop_causes_no_other_output(target):
    program = run(target, "exits.raise_exception_in_event_loop")
    assert program.code == 1
    assert program.err.endswith("\nLookupError: of the program\n")
    assert program.err.count("Traceback") == 1
    program.assert_quick_exit()


@pytest.mark.parametrize("behavior", ["hanging", "halting", "refusing"])
def test_report_in_daemon_thread_does_not_delay_exit(behavior, form, stub):
    target = stub.target(behavior)
    process = start(target, "exits.exit_while_daemon_thread_reports_once", form)
    stub.wait_for_report(target)
    if behavior == "refusing":
        # The client logs the outage once, and then waits for its next attempt.
        assert process.stderr is not None
        assert "is unavailable" in process.stderr.readline()
    program = finish(process)
    program.assert_silent_exit()
    program.assert_quick_exit()


@pytest.mark.parametrize("registration", ["before import", "after import"])
def test_report_in_atexit_function_arrives(registration, target):
    program = run(target, "atexit_report", registration)
    program.assert_silent_exit()
    program.assert_quick_exit()


def test_sigterm_ends_program(stub):
    target = stub.target("hanging")
    process = start(target, "exits.report_once", "sync")
    stub.wait_for_report(target)
    process.send_signal(signal.SIGTERM)
    finish(process, EXIT_TIMEOUT).assert_silent_exit(-signal.SIGTERM)
