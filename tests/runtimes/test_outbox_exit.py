"""Outbox in programs that exit or receive signals: each report with a receipt arrives."""

import os
import signal
import time
from contextlib import suppress

import pytest

from runtimes.outbox_state import delivered_names, open_outbox, pending_count
from runtimes.processes import EXIT_TIMEOUT, finish, numbered, read_line, run, start
from xpander_sdk import OutboxError


def test_exit_delivers_pending_reports(target, outbox_file):
    program = run(target, "outboxes.exit_with_pending_reports")
    program.assert_silent_exit()
    program.assert_quick_exit()
    assert delivered_names(target, outbox_file) == numbered("run", 20)


@pytest.mark.parametrize("behavior", ["hanging", "refusing"])
def test_exit_waits_no_longer_than_exit_seconds(behavior, stub, outbox_file):
    target = stub.target(behavior)
    program = run(target, "outboxes.exit_with_limited_wait")
    assert program.code == 0
    program.assert_quick_exit(0.5 + 5)
    assert pending_count(target, outbox_file) == 20


@pytest.mark.parametrize(
    ("way", "code"),
    [
        ("os._exit", 5),
        ("sys.exit", 5),
        ("exception", 1),
        ("kill", -signal.SIGKILL),
        ("term", -signal.SIGTERM),
        ("abort", -signal.SIGABRT),
    ],
)
def test_no_end_of_a_program_loses_reports(way, code, over_http, outbox_file):
    program = run(over_http, "outboxes.end_after_50_reports", way)
    assert (program.code, program.out) == (code, "all\n")
    if way == "exception":
        assert program.err.count("Error") == 1
    assert delivered_names(over_http, outbox_file) == numbered("run", 50)


def test_sigterm_handler_that_reports_and_exits_loses_no_report(over_http, outbox_file):
    process = start(over_http, "outboxes.report_in_sigterm_handler")
    for _ in range(50):
        read_line(process)
    process.send_signal(signal.SIGTERM)
    finish(process).assert_silent_exit()
    names = delivered_names(over_http, outbox_file)
    assert names == {"last", *numbered("run", len(names) - 1)}
    assert len(names) > 50


def test_exit_while_threads_report_is_quick_and_loses_no_report(over_http, outbox_file):
    program = run(over_http, "outboxes.exit_while_threads_report")
    program.assert_silent_exit()
    submitted = {line for line in program.out.split() if line[0] in "abc"}
    exit_times = [float(line) for line in program.out.split() if line[0] not in "abc"]
    assert program.ended_at - exit_times[0] < EXIT_TIMEOUT
    assert len(submitted) >= 60
    assert submitted <= delivered_names(over_http, outbox_file)


def test_interrupt_ends_drain_quickly(stub, outbox_file):
    target = stub.target("hanging")
    process = start(target, "outboxes.interrupt_drain")
    assert read_line(process) == "ready\n"
    stub.wait_for_report(target)
    process.send_signal(signal.SIGINT)
    program = finish(process)
    program.assert_silent_exit()
    program.assert_quick_exit()
    assert pending_count(target, outbox_file) == 1


def test_process_stopped_for_longer_than_its_lease_loses_and_doubles_no_report(over_http, outbox_file):
    process = start(over_http, "outboxes.report_and_wait_for_input")
    read_line(process)
    os.kill(process.pid, signal.SIGSTOP)
    deadline = time.monotonic() + 7
    while time.monotonic() < deadline:
        # This process delivers the reports once the lease of the stopped process has expired. It raises OutboxError if
        # the process was stopped within a transaction, which no other process can end.
        with suppress(OutboxError):
            open_outbox(over_http, outbox_file).drain(1)
        time.sleep(0.1)
    os.kill(process.pid, signal.SIGCONT)
    assert finish(process).code == 0
    assert delivered_names(over_http, outbox_file) == numbered("run", 40)
