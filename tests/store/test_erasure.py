"""Erasure of tasks: contents go, metrics stay, and nothing brings the contents back."""

from collections.abc import Iterator
from typing import Any

import pytest

from xpander_server.domain.task import Erased
from xpander_server.store import ErasureSelection, Store, Submission, TaskQuery

NOW = 1_767_600_000_000_000
SECRET = "secret-of-ana"
CALLS = [{"response_id": SECRET, "model": "gpt-4o-mini", "provider": "openai", "tokens": {"prompt_tokens": 1_000}}]
REPORT: dict[str, Any] = {
    "input": SECRET,
    "result": SECRET,
    "error": SECRET,
    "llm_response": f'"{SECRET}"',
    "user_id": SECRET,
    "conversation_id": SECRET,
    "metadata": {"customer": SECRET},
    "calls": CALLS,
    "used_tools": ["search"],
    "duration": 2.0,
    "is_success": False,
}


@pytest.fixture
def store(store_url: str) -> Iterator[Store]:
    store = Store(store_url)
    yield store
    store.close()


def report(store: Store, task_id: str, agent_id: str = "agent", now: int = NOW, **changes: Any) -> None:
    store.report(Submission("org", agent_id, task_id, {**REPORT, **changes}, None, now))


def erase(store: Store, **selection: Any) -> int:
    return store.erase(ErasureSelection(organization_id="org", **selection), actor="ops", now=NOW + 1)


def history(store: Store, **filters: Any) -> list[str]:
    return [task.id for task in store.history(TaskQuery(organization_id="org", filters=filters), limit=10).tasks]


def dump(store: Store) -> str:
    """Return all rows of all tables as text."""
    from xpander_server.store.schema.tables import metadata

    def read(connection: Any) -> str:
        return "\n".join(str(row) for table in metadata.sorted_tables for row in connection.execute(table.select()))

    return store._database.read(read)


def test_contents_are_nowhere_in_the_store_after_an_erasure(store: Store):
    report(store, "1")
    assert SECRET in dump(store)
    assert erase(store, task_id="1") == 1
    assert SECRET not in dump(store)


def test_metrics_are_as_before_also_after_a_rebuild(store: Store):
    report(store, "1")
    report(store, "2", is_success=True)
    before = store.metrics("org", "agent").amounts
    erase(store, task_id="1")
    assert store.metrics("org", "agent").amounts == before
    store.rebuild_metrics()
    assert store.metrics("org", "agent").amounts == before


def test_an_erased_task_is_not_found(store: Store):
    report(store, "1")
    report(store, "2")
    erase(store, task_id="1")
    assert store.task("org", "1") is None
    assert history(store) == ["2"]
    assert history(store, metadata=[f"customer={SECRET}"]) == ["2"]


def test_a_late_report_does_not_store_the_contents_again(store: Store):
    report(store, "1")
    before = store.metrics("org", "agent").amounts
    erase(store, task_id="1")
    with pytest.raises(Erased, match="The task '1' was erased"):
        report(store, "1")
    assert store.task("org", "1") is None
    assert store.metrics("org", "agent").amounts == before


def test_a_late_report_in_a_batch_fails_alone(store: Store):
    report(store, "1")
    erase(store, task_id="1")
    submissions = [Submission("org", "agent", task_id, REPORT, None, NOW) for task_id in ("1", "2", "1")]
    outcomes = store.commit(submissions)
    assert [isinstance(outcome, Erased) for outcome in outcomes] == [True, False, True]
    assert history(store) == ["2"]


@pytest.mark.parametrize(
    ("selection", "remaining"),
    [
        ({"task_id": "1"}, ["3", "2"]),
        ({"user_id": "u"}, ["1"]),
        ({"agent_id": "b"}, ["2", "1"]),
        ({"before": NOW + 2_000_000}, ["3", "2"]),
        ({"user_id": "u", "agent_id": "agent"}, ["3", "1"]),
        ({"task_id": "none"}, ["3", "2", "1"]),
    ],
)
def test_all_conditions_select(store: Store, selection: dict[str, Any], remaining: list[str]):
    report(store, "1", now=NOW + 1_000_000)
    report(store, "2", now=NOW + 2_000_000, user_id="u")
    report(store, "3", now=NOW + 3_000_000, user_id="u", agent_id="b")
    assert erase(store, **selection) == 3 - len(remaining)
    assert history(store) == remaining


def test_other_organizations_are_not_touched(store: Store):
    store.report(Submission("other", "agent", "1", REPORT, None, NOW))
    assert erase(store, user_id=SECRET) == 0
    assert store.task("other", "1") is not None


def test_a_selection_without_conditions_is_refused():
    with pytest.raises(ValueError, match="an erasure must name a task, a user, an agent or a time"):
        ErasureSelection(organization_id="org")


def test_audit_log_says_who_erased_what(store: Store):
    report(store, "1")
    report(store, "2")
    erase(store, agent_id="agent")
    erase(store, task_id="none")
    (entry,) = store.audit_log("org", limit=10)
    assert (entry["actor"], entry["action"], entry["at"]) == ("ops", "erase", NOW + 1)
    assert entry["details"] == {"agent_id": "agent", "tasks": 2}
    assert store.audit_log("other", limit=10) == []
