"""Commit of reports, and their tasks."""

import threading
import uuid
from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtimes.resources import descriptor_count
from store.reports import EXAMPLES, NOON, submission
from xpander_server.domain.task import Conflict, Task
from xpander_server.store import Store, TaskQuery


def all_tasks(store: Store, organization_id: str = "org") -> list[Task]:
    """Return all tasks of an organization, with their documents."""
    page = store.history(TaskQuery(organization_id=organization_id), limit=1_000)
    return [store.task(organization_id, task.id) for task in page.tasks]


def test_a_task_has_the_values_of_its_report(store):
    report = {
        "input": 'nul \x00, quote ", newline \n, ü, 😀',
        "llm_response": '{"b":"\\u0000","a":1.50}',
        "tokens": {"prompt_tokens": 10**12},
        "is_success": False,
        "result": "",
        "duration": -0.5,
        "used_tools": ["a\x00", "b"],
        "user_id": "😀" * 255,
    }
    task = store.report(submission("x" * 255, **report))
    assert store.task("org", "x" * 255) == task
    assert (task.input, task.llm_response, task.used_tools) == (
        report["input"], report["llm_response"], report["used_tools"],
    )  # fmt: skip


def test_tasks_of_different_organizations_are_separate(store):
    for organization_id in ("one", "two"):
        store.report(submission("same id", organization_id=organization_id, result=organization_id))
    assert store.task("one", "same id").result == "one"
    assert [task.organization_id for task in all_tasks(store, "two")] == ["two"]
    assert store.metrics("one", "agent").amounts["executing runs"] == 1


def test_a_batch_is_merged_in_order_with_one_outcome_for_each_report(store):
    store.report(submission("old", result="1"))
    outcomes = store.commit(
        [
            submission("old", result="2"),
            submission("new", result="1"),
            submission("old", result="3"),
            submission("new", agent_id="other"),
            submission("new", is_success=True),
        ]
    )
    assert [task.result if isinstance(task, Task) else type(task) for task in outcomes] == [
        "2",
        "1",
        "3",
        Conflict,
        "1",
    ]
    assert {task.id: (task.result, task.is_success) for task in all_tasks(store)} == {
        "old": ("3", None),
        "new": ("1", True),
    }


def test_a_commit_that_fails_changes_nothing(store):
    broken = submission("bad", result=object())
    with pytest.raises(TypeError):
        store.commit([submission("good"), broken])
    assert all_tasks(store) == []
    assert store.metrics("org").amounts == {}


def test_concurrent_reports_of_one_task_lose_nothing(store):
    fields = [{"input": "i"}, {"result": "r"}, {"duration": 1.0}, {"is_success": True}, {"user_id": "u"}, {}]
    barrier = threading.Barrier(len(fields))

    def report(fields: dict) -> None:
        barrier.wait(10)
        for number in range(10):
            store.report(submission(f"t{number}", **fields))

    with ThreadPoolExecutor(len(fields)) as pool:
        list(pool.map(report, fields))
    for task in all_tasks(store):
        assert (task.input, task.result, task.duration, task.is_success, task.user_id) == ("i", "r", 1.0, True, "u")
    amounts = store.metrics("org").amounts
    assert (amounts["completed runs"], amounts["completed duration"]) == (10, 10_000_000)
    assert "executing runs" not in amounts


REPORTS = st.lists(
    st.tuples(
        st.sampled_from(["a", "b"]),
        st.fixed_dictionaries(
            {},
            optional={
                "result": st.sampled_from(["x", "y"]),
                "is_success": st.booleans(),
                "duration": st.sampled_from([1.0, 2.0]),
                "tokens": st.sampled_from([{"prompt_tokens": 1}, {"prompt_tokens": 2}]),
                "llm_response": st.sampled_from(['{"model":"gpt-4o"}', '{"model":"o1"}', "5"]),
            },
        ),
    ),
    max_size=6,
)


@given(REPORTS, st.randoms(use_true_random=False), st.lists(st.integers(0, 5), max_size=3))
@EXAMPLES
def test_order_repetition_and_interleaving_of_reports_do_not_change_the_result(store, reports, random, repeated):
    in_order = [(task_id, report, NOON + number) for number, (task_id, report) in enumerate(reports)]
    shuffled = [*in_order, *(in_order[number] for number in repeated if number < len(in_order))]
    random.shuffle(shuffled)
    states = []
    for order in (in_order, shuffled):
        organization_id = str(uuid.uuid4())
        for task_id, report, reported_at in order:
            late = {"now": NOON + 100, "reported_at": reported_at}
            store.report(submission(task_id, organization_id=organization_id, **late, **report))
        states.append(
            (
                {
                    (task.id, task.result, task.is_success, task.duration, task.model, task.cost)
                    for task in all_tasks(store, organization_id)
                },
                store.metrics(organization_id).amounts,
            )
        )
    assert states[0] == states[1]


def test_connection_that_is_used_during_or_after_close_is_closed(store_url):
    before = descriptor_count()
    store = Store(store_url)
    is_reading, is_closed = threading.Event(), threading.Event()

    def read(connection):
        is_reading.set()
        assert is_closed.wait(20)

    with ThreadPoolExecutor() as executor:
        reading = executor.submit(store._database.read, read)
        assert is_reading.wait(20)
        store.close()
        is_closed.set()
        reading.result()
    assert descriptor_count() == before
    store.report(submission("after"))
    assert descriptor_count() == before
