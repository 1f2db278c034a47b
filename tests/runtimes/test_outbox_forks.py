"""Outbox in processes that fork: each report with a receipt arrives."""

import pytest

from runtimes.outbox_state import delivered_names
from runtimes.processes import numbered, run, thread_report_names


@pytest.mark.parametrize("names_before", [["before"], []], ids=["used before", "not used before"])
def test_reports_of_parent_and_forked_children_arrive(names_before, target, outbox_file):
    assert run(target, "outboxes.fork_children", *names_before).result == [0, 0]
    expected = {*names_before, "meanwhile", "after", *numbered("a", 10), *numbered("b", 10)}
    assert delivered_names(target, outbox_file) == expected


def test_reports_of_multiprocessing_pool_arrive(over_http, outbox_file):
    assert run(over_http, "outboxes.start_multiprocessing_pool").result == 30
    assert delivered_names(over_http, outbox_file) == {"before", *numbered("pool", 30)}


def test_children_forked_while_threads_report_do_not_block(over_http, outbox_file):
    codes, counts = run(over_http, "outboxes.fork_while_threads_are_reporting").result
    assert codes == [0] * 12
    child_reports = {f"child-{turn}-{number}-{n}" for turn in range(6) for number in range(2) for n in range(3)}
    assert delivered_names(over_http, outbox_file) == thread_report_names(counts) | child_reports
