"""Processes that fork: parent and children report independently of each other."""

import pytest

from runtimes.processes import Target, numbered, run, thread_report_names
from xpander_sdk import Tasks

CHILD_REPORTS = {f"{name}-{turn}" for name in "ab" for turn in ("first", "second")}


def recorded_names(target: Target) -> set[str]:
    """Return the names of the recorded runs."""
    tasks = Tasks(target.configuration).list(target.agent_id)
    assert all(task.id == f"{target.agent_id}-{task.result}" for task in tasks)
    return {task.result for task in tasks}


with_and_without_earlier_report = pytest.mark.parametrize(
    "names_before", [["before"], []], ids=["used before", "not used before"]
)


@with_and_without_earlier_report
def test_parent_and_forked_children_report(names_before, form, target):
    assert run(target, "forks.fork_children", form, *names_before).result == [0, 0]
    assert recorded_names(target) == {*names_before, *CHILD_REPORTS, "meanwhile", "after"}


@with_and_without_earlier_report
def test_parent_and_children_of_multiprocessing_report(names_before, form, target):
    assert run(target, "forks.start_multiprocessing_children", form, *names_before).result == [0, 0]
    assert recorded_names(target) == {*names_before, *CHILD_REPORTS, "meanwhile", "after"}


def test_children_do_not_use_connection_of_parent(over_http):
    assert run(over_http, "forks.compare_connections_of_parent").result == [[0, 0], 1, True]


def test_child_that_only_exits_does_not_disturb_parent(target):
    assert run(target, "forks.fork_children_that_only_exit").result == [0, 0]
    assert recorded_names(target) == {"before", "after"}


def test_grandchild_reports(form, target):
    assert run(target, "forks.fork_grandchild", form).result == 0
    assert recorded_names(target) == {"before", "child", "grandchild", "child-after", "after"}


def test_parent_and_child_report_after_fork_in_running_event_loop(target):
    assert run(target, "forks.fork_in_event_loop").result == 0
    assert recorded_names(target) == {"before", "child", "child-in-a-loop", "meanwhile", "after"}


# Not with a file that was not used before: no lock of ours protects the first imports within the server's libraries.
@pytest.mark.parametrize(
    ("target_fixture", "names_before"),
    [("over_http", ["before"]), ("over_http", []), ("in_process", ["before"])],
    ids=["over_http-used before", "over_http-not used before", "in_process-used before"],
)
def test_children_forked_while_threads_report_do_not_block(target_fixture, names_before, request):
    target = request.getfixturevalue(target_fixture)
    # A blocked child never ends, so `run` would time out.
    codes, counts = run(target, "forks.fork_while_threads_are_reporting", *names_before).result
    assert codes == [0] * 12
    child_reports = {f"{turn}-{n}-{which}" for turn in range(4) for n in range(3) for which in ("first", "second")}
    assert recorded_names(target) == child_reports | thread_report_names(counts) | set(names_before)


def test_child_forked_during_first_validation_does_not_block(in_process):
    assert run(in_process, "forks.fork_during_first_validation").result == 0


@pytest.mark.parametrize("parent_end", ["closes its backend", "exits"])
def test_reports_of_child_to_shared_file_survive_parent_that(parent_end, in_process):
    assert run(in_process, "forks.share_file_with_child", parent_end).result == 0
    child_reports = {"child-before", *numbered("child", 20)}
    parent_reports = set() if parent_end == "exits" else numbered("parent", 20)
    assert recorded_names(in_process) == {"before", "parent-meanwhile", *child_reports, *parent_reports}
