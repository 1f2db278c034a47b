"""Threads: many at the same time, and many one after the other."""

import pytest

from runtimes.processes import run
from xpander_sdk import Task, Tasks


def test_each_report_of_64_threads_arrives_once_with_its_own_response(form, target):
    wrong_responses = run(target, "threads.report_in_64_threads", form).result
    assert wrong_responses == {}
    tasks = Tasks(target.configuration).list(target.agent_id)
    run_ids = {f"{target.agent_id}-{number}-{turn}" for number in range(64) for turn in range(2)}
    assert sorted(task.id for task in tasks) == sorted(run_ids)
    assert {task.id: task.result for task in tasks} == {run_id: f"result of {run_id}" for run_id in run_ids}
    task = Task.load(f"{target.agent_id}-17-1", target.configuration)
    assert task.input.text == f"input of {task.id}"


def test_ended_threads_leave_no_resources_behind(form, stub):
    before, after, max_connections = run(stub.target(), "threads.start_and_end_threads", form).result
    (threads_before, objects_before), (threads_after, objects_after) = before, after
    assert threads_after == threads_before == 0
    # A thread or an event loop that stays would be hundreds of objects. Caches that fill cause a smaller growth.
    assert objects_after - objects_before < 3 * 512
    # The threads of the synchronous form share connections. In the asynchronous form, each event loop closes its own.
    assert max_connections <= (64 if form == "sync" else 0)


def test_successive_threads_share_one_connection(stub):
    assert run(stub.target(), "threads.report_in_successive_threads").result == 1


def test_threads_with_file_leave_no_resources_behind(form, in_process):
    before, after = run(in_process, "threads.report_to_file_in_threads", form).result
    (descriptors_before, threads_before), (descriptors_after, threads_after) = before, after
    # The store opens connections to the file when it needs them, at most five.
    assert descriptors_after <= descriptors_before + 15
    assert threads_after == threads_before == 0


@pytest.mark.parametrize("library", ["asyncio", "trio"])
def test_event_loop_in_a_thread_reports_for_other_threads(library, over_http):
    assert run(over_http, f"threads.report_through_{library}_thread").result == [8, 0]
